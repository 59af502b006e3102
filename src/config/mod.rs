//! Every flag and environment variable, with unit and default. A flag beats the environment, which
//! beats `.env`, which beats the default.
//!
//! One file a binary; [`env`] loads `.env`, [`kafka`] keeps librdkafka properties, [`secret`] keeps what
//! must not be shown.

pub mod env;
pub mod kafka;
pub mod secret;
