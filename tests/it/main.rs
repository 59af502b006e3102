//! The one integration-test binary, a module a room, so that DataFusion is linked once.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod tidy;
