//! What an open window and symbol costs: the job reads a topic of which no window closes, and is looked at then.

use serde::Serialize;

use super::settings::base;
use crate::bench::cluster::Cluster;
use crate::bench::error::BenchError;
use crate::bench::live::running::LiveJob;
use crate::bench::programs::{Job, Programs};
use crate::bench::report::grouped;
use crate::bench::scratch::Scratch;
use crate::bench::sql::with_windows;
use crate::bench::stop::Stop;
use crate::bench::ticks::SPAN_MS;
use crate::bench::topic::{Content, Topic};
use crate::config::bench::{JobArgs, ScaleArgs};

/// Symbols that trade in each window.
const SYMBOLS: u32 = 1_000;
/// Windows that are open at the end of the topic; their width is its time divided by it.
const WINDOWS: [u64; 4] = [1, 100, 250, 500];
/// Longer than the time from a topic's first tick to its last.
const DELAY: &str = "7 hours";

/// One number of windows.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Open {
    pub(super) windows: u64,
    pub(super) symbols: u32,
    /// Windows and symbols that hold ticks.
    pub(super) cells: f64,
    pub(super) anon_bytes: u64,
    pub(super) rss_bytes: u64,
}

/// Measures them all.
pub(super) fn measure(
    args: &ScaleArgs,
    programs: &Programs,
    cluster: &Cluster,
    scratch: &Scratch,
    stop: &Stop,
) -> Result<Vec<Open>, BenchError> {
    // A message a tick, so that each tick's window and symbol are drawn alone.
    let content = Content {
        symbols: SYMBOLS,
        ticks_per_frame: 1,
        ..base(args.ticks)
    };
    let topic = Topic::ready(cluster, &content, None, false, stop)?;
    let job = JobArgs {
        master: "local[*]".to_owned(),
        conf: Vec::new(),
    };
    let all_read = format!("and {} ticks so far", grouped(args.ticks));
    let mut rows = Vec::new();
    for windows in WINDOWS {
        eprintln!("memory of {windows} open windows of {SYMBOLS} symbols");
        let width = format!("{} milliseconds", SPAN_MS / windows);
        let folder = scratch.folder("round")?;
        let job = Job {
            sql: &scratch.file("memory.sql", &with_windows(&width, DELAY))?,
            broker: &cluster.broker,
            topic: &topic.name,
            args: &job,
            folder: &folder,
        };
        let mut running = LiveJob::start(programs, &job)?;
        running.until_said(&all_read, stop)?;
        let memory = running.process.memory();
        let memory = memory.ok_or_else(|| {
            BenchError::Failed("a process's memory is known on Linux only".to_owned())
        })?;
        rows.push(Open {
            windows,
            symbols: SYMBOLS,
            cells: cells(args.ticks, windows * u64::from(SYMBOLS)),
            anon_bytes: memory.anon_bytes,
            rss_bytes: memory.rss_bytes,
        });
    }
    Ok(rows)
}

/// How many of `cells` hold any of so many ticks, each of which falls into one of them by chance.
fn cells(ticks: u64, cells: u64) -> f64 {
    let cells = cells as f64;
    cells * -(-(ticks as f64) / cells).exp_m1()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_without_ticks_do_not_count() {
        assert!((cells(1_000_000, 1_000) - 1_000.0).abs() < 1e-9);
        let half = cells(693_147, 1_000_000);
        assert!((half - 500_000.0).abs() < 1.0, "{half}");
    }
}
