//! Sinks against the real service, with the shipped binaries and plain clients: `cargo test --test services`, which
//! `cargo test` leaves out. Where the services are stands in the environment: `.ci/postgres start`, then
//! `env $(.ci/postgres env) cargo test --test services postgres`; `.ci/s3` and `s3` alike. Without an address a test fails. Kafka is the embedded
//! broker, or the one of `STOCKPULSE_TEST_BROKER`.
//!
//! `STOCKPULSE_TEST_KILLS` says how often a job is killed, `STOCKPULSE_TEST_OUTAGE_SECONDS` for how long a server is away.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod market;
mod postgres;
mod s3;
mod support;
