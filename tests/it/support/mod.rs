//! What the tests of several rooms start: a broker, a feed's server.

pub mod broker;
pub mod finnhub;
