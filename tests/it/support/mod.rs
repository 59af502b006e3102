//! What the tests of several rooms start: a broker, a feed's server, the shipped binaries.

pub mod arroyo;
pub mod broker;
pub mod cut;
pub mod fault_port;
pub mod seed;
pub mod shipped;
pub mod speech;
pub mod venue;
