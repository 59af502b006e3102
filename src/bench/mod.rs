//! How fast the ingest job is, on this machine, with this broker: as a ratio to a bare consumer.
//!
//! `stockpulse bench` generates a topic once, then alternates a consumer that only counts and the
//! shipped `stockpulse-ingest` on the same topic, each in a process of its own, so that its CPU time
//! and peak memory are its own. `--compaction` asks a month of candles before and after its files were
//! compacted instead, without Kafka. Beside a tick's way: nothing else imports this room.

mod bare;
mod compaction;
mod error;
mod process;
mod report;
mod rounds;
mod ticks;
mod topic;

use std::process::ExitCode;

use crate::config::bench::BenchArgs;
use crate::model::Exit;
use error::BenchError;
use topic::Topic;

pub use ticks::Frames;

/// Runs `stockpulse bench`; the report goes to standard output, everything else to standard error.
pub fn run(args: &BenchArgs) -> ExitCode {
    let outcome = match (args.bare, args.compaction) {
        (true, _) => bare::run(args),
        (false, true) => compaction::measure(args),
        (false, false) => measure(args),
    };
    match outcome {
        Ok(()) => Exit::Done.into(),
        Err(error) => {
            eprintln!("error: {error}");
            error.exit().into()
        }
    }
}

fn measure(args: &BenchArgs) -> Result<(), BenchError> {
    let programs = rounds::Programs::find(args)?;
    let topic = Topic::ready(args)?;
    let outcome = rounds::run(args, &programs, &topic);
    topic.leave(args.keep);
    let report = outcome?;
    match args.json {
        true => println!("{}", report.json()),
        false => print!("{report}"),
    }
    Ok(())
}
