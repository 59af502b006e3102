//! The job over frames in memory: exact candles under every regime.

pub mod exact;
pub mod harness;
