//! The one integration-test binary, a module a room, so that DataFusion is linked once.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod api;
mod arroyo;
mod bench;
mod broker;
mod checkpoint;
mod crash;
mod decode;
mod e2e;
mod explain;
mod from_spark;
mod fuzz;
mod job;
mod kill;
mod manual;
mod objects;
mod page;
mod producer;
mod read;
mod sim;
mod sink;
mod source;
mod sql_doc;
mod submit;
mod support;
mod testing;
mod tidy;
mod troubleshooting;
