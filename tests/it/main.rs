//! The one integration-test binary, so that DataFusion links once.
#![allow(clippy::unwrap_used)]

mod checkpoint;
mod sink;
mod source;
