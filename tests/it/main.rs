//! The one integration-test binary, so that DataFusion links once.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod broker;
mod producer;
mod support;
