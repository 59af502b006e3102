//! Every flag and environment variable, with unit and default. A flag beats the environment, which
//! beats `.env`, which beats the default.
//!
//! One file a binary; [`env`] loads `.env`, [`kafka`] keeps librdkafka properties, [`log`] sets
//! logging up, [`secret`] keeps what must not be shown, [`instant`] reads times.

pub mod api;
pub mod demo;
pub mod env;
pub mod ingest;
pub mod instant;
pub mod kafka;
pub mod log;
pub mod secret;
pub mod stockpulse;

/// `value` without white space around it, or `default` when nothing is left: a variable that is set
/// to nothing, as a compose file does with one it does not know, counts as not set.
fn not_empty(value: String, default: &str) -> String {
    match value.trim() {
        "" => default.to_string(),
        trimmed => trimmed.to_string(),
    }
}
