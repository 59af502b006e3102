//! The page of a running job: where it stands, what it did in the last hour, its metrics and its open windows, over HTTP.
//!
//! A thread of its own serves it; the job only hands over a report an epoch. While nobody looks nothing is computed.

mod board;
mod guard;
mod open;
mod progress;
mod routes;
mod serve;

pub use board::{About, Board, Ends, Plan};
pub use serve::Page;
