//! What the tests of several rooms start: a broker, a feed's server, the shipped binaries.

pub mod broker;
pub mod cut;
pub mod finnhub;
pub mod seed;
pub mod shipped;
