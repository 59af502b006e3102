//! SQL file → job: tables, pipelines, what is accepted and what is refused, with positions.
//!
//! [`sql`] reads the text (variables, statements, CREATE TABLE); the rest plans it on DataFusion.

pub mod sql;

mod aggregates;
mod determinism;
mod forgiving;
mod lowering;
mod meaning;
mod origin;
mod pipeline;
mod plan;
mod session;
mod sinks;
mod steps;
mod stream;
mod tumble;
mod watermark;

pub use aggregates::Table;
pub use meaning::{Change, compare, path_of};
pub use pipeline::{Pipeline, Ticks};
pub use plan::{JobPlan, Output, SourcePlan};
pub use steps::Tally;
pub use watermark::WatermarkPlan;
