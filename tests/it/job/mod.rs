//! The job over frames in memory: exact candles under every regime.

mod begin;
mod cases;
mod compaction;
pub mod edit;
pub mod exact;
mod folders;
mod fuzz;
pub mod harness;
mod preview;
mod property;
pub mod rebuild;
mod refused;
mod static_tables;
