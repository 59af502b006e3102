//! `stockpulse`: the demo, the reader of candles, the tests of SQL, the benchmark; completions and man pages.

use std::process::ExitCode;

use stockpulse::config::stockpulse::{StockpulseArgs, StockpulseCommand};
use stockpulse::config::{command_line, env, log, manual};
use stockpulse::model::Exit;

fn main() -> ExitCode {
    if let Err(error) = env::load_dotenv() {
        eprintln!("error: {error}");
        return Exit::Usage.into();
    }
    let args = command_line::parse::<StockpulseArgs>();
    match (&args.command, args.verbose) {
        // Its terminal shows where things are and a status line.
        (StockpulseCommand::Demo(_), false) => log::init_logging_at("warn"),
        // Nor do tests log what the job says of every run.
        (StockpulseCommand::Test(_), false) => log::init_logging_at("error"),
        (_, verbose) => log::init_logging(verbose),
    }
    match args.command {
        StockpulseCommand::Demo(demo) => stockpulse::demo::run(&demo),
        StockpulseCommand::Read(read) => stockpulse::candles::read(&read),
        StockpulseCommand::Test(test) => stockpulse::testing::run(&test),
        StockpulseCommand::Bench(bench) => stockpulse::bench::run(&bench),
        StockpulseCommand::Completions(args) => manual::print_completions(&args),
        StockpulseCommand::Man(args) => manual::write_man_pages(&args),
    }
}
