//! The job over frames in memory: exact candles under every regime.

mod begin;
mod cases;
mod compaction;
pub mod dead_letters;
pub mod definition;
mod delta;
pub mod edit;
pub mod exact;
mod folders;
mod fuzz;
pub mod harness;
mod metamorphic;
mod preview;
pub mod property;
mod quiet;
pub mod rebuild;
mod refused;
mod static_tables;
mod topic;
