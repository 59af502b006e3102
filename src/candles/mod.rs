//! Parquet files → rows, pruned by symbol and time.
pub fn read(_: &crate::config::stockpulse::ReadArgs) -> std::process::ExitCode {
    todo!()
}
