//! The command line of `stockpulse test`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// What `stockpulse test` tests, and how.
#[derive(Debug, Clone, Args)]
pub struct TestArgs {
    /// A case, or a folder with cases in it, however deep
    #[arg(value_name = "DIR", required = true)]
    pub dirs: Vec<PathBuf>,

    /// Write the expected files that are missing or differ, after every regime gave the same rows
    #[arg(long)]
    pub update: bool,

    /// Under which regimes each case is run
    #[arg(long, value_enum, default_value_t = RegimeChoice::All)]
    pub regime: RegimeChoice,

    /// Only cases whose path has this in it
    #[arg(long, value_name = "TEXT")]
    pub filter: Option<String>,
}

/// Under which regimes a case is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RegimeChoice {
    /// One run, all ticks at once
    Plain,
    /// Also in small batches, on several threads and partitions, stopped and started again
    All,
}
