//! One integration-test binary, so that DataFusion links once.
#![allow(clippy::unwrap_used)]

mod api;
mod read;
