//! Every metric, a method each.

pub mod ingest;
pub mod producer;
