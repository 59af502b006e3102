//! Every metric, a method each.

pub mod producer;
