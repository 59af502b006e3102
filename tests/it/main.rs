//! The one integration-test binary, so that DataFusion links once.

mod checkpoint;
mod sink;
mod source;
