//! Feed → Kafka; see `stockpulse::producer`.

fn main() -> std::process::ExitCode {
    stockpulse::producer::cli::run()
}
