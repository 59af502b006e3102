//! The command line of `stockpulse`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::bench::BenchArgs;
use super::demo::DemoArgs;
use super::instant::parse_instant;
use super::manual::{CompletionsArgs, ManArgs};
use super::testing::TestArgs;

/// Live market ticks to exact candles, with SQL.
#[derive(Debug, Clone, Parser)]
#[command(name = "stockpulse", version, max_term_width = 100)]
pub struct StockpulseArgs {
    /// What to do
    #[command(subcommand)]
    pub command: StockpulseCommand,

    /// Log more
    #[arg(long, short, global = true, display_order = 100)]
    pub verbose: bool,
}

/// The subcommands of `stockpulse`.
#[derive(Debug, Clone, Subcommand)]
pub enum StockpulseCommand {
    /// Run the whole pipeline in this process: feed, Kafka, ingest, API
    ///
    /// Nothing else has to be installed or running. It prints where things are, then a status line,
    /// until Ctrl-C.
    Demo(DemoArgs),
    /// Show candles: Parquet to JSON, NDJSON, CSV, Arrow or a table
    ///
    /// Rows are ordered by symbol and window_start; times are UTC. Only the files that can hold
    /// what is asked for are read.
    Read(ReadArgs),
    /// Test a SQL file: ticks in, expected rows out
    ///
    /// A case is a folder with a SQL file (job.sql), ticks (ticks.ndjson, a frame a line as the feed sends
    /// it) and the expected rows (expected.TABLE.csv, which --update writes). The job runs in this process,
    /// without Kafka and into a temporary folder, under every regime: in batches of one, on several
    /// threads and partitions, stopped and started again. The rows must always be the same.
    Test(TestArgs),
    /// Measure the ingest job on generated topics: a backlog, live, how cost grows, aggregates; and compaction
    ///
    /// Needs a running Kafka (but for compaction) and room on its disk: 10 M ticks are about 860 MB before
    /// compression.
    Bench(Box<BenchArgs>),
    /// Print a shell's completions of a program's options: bash, zsh, fish and others
    ///
    /// For this session: source <(stockpulse completions bash stockpulse-ingest). For all of bash's:
    /// stockpulse completions bash stockpulse-ingest > ~/.local/share/bash-completion/completions/stockpulse-ingest
    Completions(CompletionsArgs),
    /// Write the man pages of all four programs into a folder
    ///
    /// stockpulse man ~/.local/share/man/man1 puts them where man looks.
    Man(ManArgs),
}

/// Forms that `stockpulse read` writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ReadFormat {
    /// One array of records
    Json,
    /// A record a line
    Ndjson,
    /// With a header line
    Csv,
    /// Arrow's IPC stream
    Arrow,
    /// For reading by eye; 1000 rows unless --limit says otherwise
    Table,
}

/// What `stockpulse read` reads, and how it shows it.
#[derive(Debug, Clone, Args)]
pub struct ReadArgs {
    /// Folder of Parquet files, with or without date= folders in it, or one file
    #[arg(env = "CANDLES_PATH", default_value = "data/ohlc")]
    pub path: PathBuf,

    /// Form of the output
    #[arg(long, value_enum, default_value_t = ReadFormat::Json)]
    pub format: ReadFormat,

    /// Only this symbol; may be given several times, or with commas between
    #[arg(long, value_name = "SYMBOL", value_delimiter = ',')]
    pub symbol: Vec<String>,

    /// Only windows that start at this time or later: 2019-10-11, 2019-10-11T14:30:00Z, or
    /// milliseconds since 1970
    #[arg(long, value_name = "TIME", value_parser = parse_instant, allow_hyphen_values = true)]
    pub from: Option<i64>,

    /// Only windows that start before this time
    #[arg(long, value_name = "TIME", value_parser = parse_instant, allow_hyphen_values = true)]
    pub to: Option<i64>,

    /// At most so many rows
    #[arg(long, value_name = "ROWS")]
    pub limit: Option<usize>,

    /// Write to this file, which appears whole or not at all, instead of standard output
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        use clap::CommandFactory;
        StockpulseArgs::command().debug_assert();
    }

    #[test]
    fn the_demo_runs_without_any_option() {
        let args = StockpulseArgs::try_parse_from(["stockpulse", "demo"]).unwrap();
        assert!(matches!(args.command, StockpulseCommand::Demo(_)));
        let error = StockpulseArgs::try_parse_from(["stockpulse", "demo", "--feed", "replay"]);
        assert!(error.unwrap_err().to_string().contains("--replay-file"));
    }

    #[test]
    fn times_are_read_and_a_wrong_one_is_named() {
        let parse = |time| StockpulseArgs::try_parse_from(["stockpulse", "read", "--from", time]);
        let StockpulseCommand::Read(read) = parse("2019-10-11").unwrap().command else {
            panic!("not read");
        };
        assert_eq!(read.from, Some(1_570_752_000_000_000_000));
        assert!(parse("-5").is_ok());
        let error = parse("noon").unwrap_err().to_string();
        assert!(
            error.contains("--from") && error.contains("noon"),
            "{error}"
        );
    }
}
