//! `stockpulse`: the demo, the reader of candles, and the benchmark.

use std::process::ExitCode;

use stockpulse::config::stockpulse::{StockpulseArgs, StockpulseCommand};
use stockpulse::config::{command_line, env, log};
use stockpulse::model::Exit;

fn main() -> ExitCode {
    if let Err(error) = env::load_dotenv() {
        eprintln!("error: {error}");
        return Exit::Usage.into();
    }
    let args = command_line::parse::<StockpulseArgs>();
    // The demo's terminal is its own: it logs less, unless asked for more.
    if args.verbose || !matches!(args.command, StockpulseCommand::Demo(_)) {
        log::init_logging(args.verbose);
    }
    match args.command {
        StockpulseCommand::Demo(demo) => stockpulse::demo::run(&demo),
        StockpulseCommand::Read(read) => stockpulse::candles::read(&read),
        StockpulseCommand::Bench(bench) => stockpulse::bench::run(&bench),
    }
}
