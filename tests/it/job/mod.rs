//! The job over frames in memory: exact candles under every regime.

mod cases;
mod edit;
pub mod exact;
pub mod harness;
mod property;
mod refused;
