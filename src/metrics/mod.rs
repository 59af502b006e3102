//! Every metric, a method each.

pub mod feed;
pub mod ingest;
pub mod producer;
