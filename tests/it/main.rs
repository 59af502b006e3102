//! One integration-test binary, so that DataFusion links once.
#![allow(clippy::unwrap_used)]

mod api;
mod read;
//! The one integration-test binary, a module a room, so that DataFusion is linked once.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod tidy;

mod decode;
//! The one integration-test binary, so that DataFusion links once.

mod checkpoint;
mod sink;
mod source;
//! The one integration-test binary, so that DataFusion links once.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod broker;
mod producer;
mod support;
