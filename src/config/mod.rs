//! Every flag and environment variable, with unit and default. A flag beats the environment, which
//! beats `.env`, which beats the default.
//!
//! One file a binary; [`command_line`] reads a command line, [`mod@env`] loads `.env`, [`postgres`] reads a server's URL, [`kafka`] keeps librdkafka
//! properties, [`log`] sets logging up, [`secret`] keeps what must not be shown, [`instant`] reads times;
//! [`manual`] makes shell completions and man pages of the command lines.

pub mod api;
pub mod bench;
pub mod command_line;
pub mod demo;
pub mod env;
pub mod ingest;
pub mod instant;
pub mod kafka;
pub mod log;
pub mod manual;
pub mod postgres;
pub mod producer;
pub mod secret;
pub mod stockpulse;
pub mod testing;
