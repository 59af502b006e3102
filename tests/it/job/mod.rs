//! The job over frames in memory: exact candles under every regime.

mod exact;
pub mod harness;
