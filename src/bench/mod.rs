//! How fast the ingest job is, on this machine, with this broker: as ratios to a bare consumer and to DataFusion.
//!
//! `stockpulse bench backlog` generates a topic once, then alternates a consumer that only counts and the
//! shipped `stockpulse-ingest` on the same topic, each in a process of its own, so that its CPU time
//! and peak memory are its own. `live` has the job run along with a market; `scale` is many backlogs, one thing
//! varied at a time; `aggregates` compares with DataFusion; `compaction` asks a month of candles before and after
//! its files were compacted, without Kafka. Beside a tick's way: nothing else imports this room.

mod aggregates;
mod bare;
mod cluster;
mod compaction;
mod error;
mod live;
mod process;
mod programs;
mod report;
mod rounds;
mod scale;
mod scratch;
mod sql;
mod stop;
mod ticks;
mod topic;

use std::process::ExitCode;

use crate::config::bench::{BenchArgs, BenchWhat};
use crate::model::Exit;
use error::BenchError;
use stop::Stop;

pub use ticks::Frames;

/// Runs `stockpulse bench`; the report goes to standard output, everything else to standard error.
pub fn run(args: &BenchArgs) -> ExitCode {
    match measure(&args.what()) {
        Ok(()) => Exit::Done.into(),
        Err(error) => {
            eprintln!("error: {error}");
            error.exit().into()
        }
    }
}

fn measure(what: &BenchWhat) -> Result<(), BenchError> {
    let stop = || {
        Stop::on_signals()
            .map_err(|e| BenchError::Failed(format!("cannot listen for signals: {e}")))
    };
    match what {
        BenchWhat::Backlog(args) => rounds::measure(args, &stop()?),
        BenchWhat::Live(args) => live::measure(args, &stop()?),
        BenchWhat::Scale(args) => scale::measure(args, &stop()?),
        BenchWhat::Aggregates(args) => aggregates::measure(args, &stop()?),
        BenchWhat::Compaction(args) => compaction::measure(args, &stop()?),
        // They end with the process that started them.
        BenchWhat::BareConsumer(args) => bare::run(args),
        BenchWhat::Query(args) => programs::run_query(args),
    }
}
