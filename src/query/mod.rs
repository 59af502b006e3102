//! SQL file → job: tables, pipelines, what is accepted and what is refused, with positions.
//!
//! [`sql`] reads the text (variables, statements, CREATE TABLE); the rest plans it on DataFusion.

pub mod sql;

mod above;
mod aggregates;
mod collected;
mod determinism;
mod ends;
mod explain;
mod forgiving;
mod json;
mod locality;
mod locate;
mod lookup;
mod lowering;
mod meaning;
mod origin;
mod pipeline;
mod plan;
mod postgres_table;
mod recover;
mod refusal;
mod session;
mod shortcuts;
mod sinks;
mod split;
mod static_table;
mod steps;
mod stream;
mod table_file;
mod text_keys;
mod topics;
mod trail;
mod unnested;
mod watermark;
mod windowing;

pub use above::Tasks;
pub use aggregates::Table;
pub use explain::{Explained, Line, Section, duration_words, explain, size_words};
pub use meaning::{Change, compare, folder_of, path_of};
pub use pipeline::{Pipeline, Ticks};
pub use plan::{JobPlan, Output, SourcePlan};
pub use postgres_table::postgres_declaration;
pub use sinks::{Rolling, SinkOptions};
pub use steps::Tally;
pub use stream::FrameColumn;
pub use table_file::{FileTable, declaration};
pub use topics::same_brokers;
pub use trail::{Trace, Trail};
pub use watermark::WatermarkPlan;
