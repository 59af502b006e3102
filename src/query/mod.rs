//! SQL file → job: tables, pipelines, what is accepted and what is refused, with positions.
//!
//! [`sql`] reads the text (variables, statements, CREATE TABLE); the rest plans it on DataFusion.

pub mod sql;

mod aggregates;
mod steps;
mod stream;
mod tumble;
