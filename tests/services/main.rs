//! The shipped job with real services at the other end: `cargo test --test services` by name only, since `cargo test`
//! needs none. Addresses come from the environment (`.ci/s3 env`); without them a test fails and says how to get one.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod s3;
#[path = "../it/support/mod.rs"]
#[allow(dead_code, reason = "what the other tests need, too")]
mod support;
