//! Every metric, a method each.
