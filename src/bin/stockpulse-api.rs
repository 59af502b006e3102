//! `stockpulse-api`: HTTP.

use std::process::ExitCode;

fn main() -> ExitCode {
    stockpulse::api::run()
}
