//! The job over frames in memory: exact candles under every regime.

mod cases;
pub mod edit;
pub mod exact;
pub mod harness;
mod preview;
mod property;
pub mod rebuild;
mod refused;
