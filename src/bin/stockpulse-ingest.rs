//! Kafka → SQL → Parquet; see [`stockpulse::submit`].

fn main() -> std::process::ExitCode {
    stockpulse::submit::run()
}
