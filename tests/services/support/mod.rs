//! What `tests/it` has for it, as far as it is wanted here.
#![allow(dead_code, reason = "the other tests use the rest")]

#[path = "../../it/support/broker.rs"]
pub mod broker;
#[path = "../../it/support/seed.rs"]
pub mod seed;
#[path = "../../it/support/shipped.rs"]
pub mod shipped;
