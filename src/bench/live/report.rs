//! What a live bench came to, for a person and for a program.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::bench::process::{Memory, Running};
use crate::bench::report::{Spread, grouped, pretty, shown};

/// Everything that it found out.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) symbols: u32,
    pub(super) partitions: u32,
    pub(super) ticks_per_frame: u32,
    pub(super) compression: &'static str,
    pub(super) master: String,
    pub(super) cores: usize,
    pub(super) latency: Latency,
    /// As it came to.
    pub(super) quiet_ticks_per_s: f64,
    pub(super) quiet: Held,
    /// The same job, once nothing comes any more.
    pub(super) idle_after: Held,
    /// A job whose topic is empty.
    pub(super) idle: Held,
    /// From the start of the process.
    pub(super) first_poll_s: Option<Spread>,
    pub(super) restart: Option<Restarts>,
    pub(super) replay_seconds: u32,
    /// Of a job that has to read so many seconds of ticks again.
    pub(super) restart_replay: Option<Restarts>,
}

/// How soon candles are readable.
#[derive(Debug, Serialize)]
pub(super) struct Latency {
    /// As it came to.
    pub(super) ticks_per_s: f64,
    /// Windows that closed, but were not seen.
    pub(super) windows_unseen: usize,
    pub(super) readable_ms: Option<Percentiles>,
    /// What the job cost meanwhile.
    pub(super) held: Held,
}

/// From the start of the process after a kill.
#[derive(Debug, Serialize)]
pub(super) struct Restarts {
    pub(super) first_poll_s: Spread,
    pub(super) first_candle_s: Spread,
}

/// What a running job cost for some time, and what it held at its end. Known on Linux only.
#[derive(Debug, Serialize)]
pub(super) struct Held {
    /// Of one core.
    pub(super) cpu_percent: Option<f64>,
    pub(super) memory: Option<Memory>,
}

impl Held {
    /// What `process` did since it had used `cpu_s` CPU seconds, `time` ago.
    pub(super) fn between(cpu_s: Option<f64>, process: &Running, time: Duration) -> Held {
        let used = process.cpu_s().zip(cpu_s);
        Held {
            cpu_percent: used.map(|(now, before)| (now - before) / time.as_secs_f64() * 100.0),
            memory: process.memory(),
        }
    }
}

/// Of some values; each is one of them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Percentiles {
    pub(super) count: usize,
    pub(super) p50: f64,
    pub(super) p99: f64,
    pub(super) max: f64,
}

impl Percentiles {
    /// By nearest rank: the least value that so many percent of them do not exceed. None of no values.
    pub(super) fn of(mut values: Vec<f64>) -> Option<Percentiles> {
        values.sort_by(f64::total_cmp);
        let max = *values.last()?;
        let count = values.len();
        let rank = |percent: usize| values[(count * percent).div_ceil(100).max(1) - 1];
        Some(Percentiles {
            count,
            p50: rank(50),
            p99: rank(99),
            max,
        })
    }
}

impl Report {
    /// The report as one JSON object; times in the unit of their names, memory in bytes.
    pub(super) fn json(&self) -> String {
        pretty(self)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} symbols, {} partitions, {} ticks a message ({}), {}, {} cores; median (least to most)\n",
            self.symbols,
            self.partitions,
            self.ticks_per_frame,
            self.compression,
            self.master,
            self.cores
        )?;
        let latency = &self.latency;
        let rate = grouped(latency.ticks_per_s.round() as u64);
        let quiet_rate = grouped(self.quiet_ticks_per_s.round() as u64);
        let readable = match latency.readable_ms {
            None => "no window closed".to_owned(),
            Some(of) => format!(
                "p50 {:.0}, p99 {:.0}, most {:.0}, of {} windows",
                of.p50, of.p99, of.max, of.count
            ),
        };
        let readable = match latency.windows_unseen {
            0 => readable,
            unseen => format!("{readable}; {unseen} never seen"),
        };
        let [first, poll] =
            [self.first_poll_s, restart_poll(&self.restart)].map(|spread| shown(spread, 1e-3, 0));
        let [short, long] =
            [&self.restart, &self.restart_replay].map(|of| shown(restart_candle(of), 1e-3, 0));
        let replayed = format!(
            "the same, {} s of ticks read again, ms",
            self.replay_seconds
        );
        let rows = [
            (format!("at {rate} ticks/s, windows of 1 s"), String::new()),
            (
                "candles readable after the watermark passed, ms".to_owned(),
                readable,
            ),
            ("CPU and memory".to_owned(), latency.held.to_string()),
            ("start after a kill to first poll, ms".to_owned(), poll),
            (
                "start after a kill to first new candle, ms".to_owned(),
                short,
            ),
            (replayed, long),
            (
                format!("at {quiet_rate} ticks/s, sql/ohlc.sql"),
                String::new(),
            ),
            ("CPU and memory".to_owned(), self.quiet.to_string()),
            ("then without ticks".to_owned(), self.idle_after.to_string()),
            ("on an empty topic, sql/ohlc.sql".to_owned(), String::new()),
            ("CPU and memory".to_owned(), self.idle.to_string()),
            ("start to first poll, ms".to_owned(), first),
        ];
        for (name, value) in rows {
            match value.is_empty() {
                true => writeln!(f, "{name}")?,
                false => writeln!(f, "  {name:<48}{value}")?,
            }
        }
        Ok(())
    }
}

fn restart_poll(restarts: &Option<Restarts>) -> Option<Spread> {
    restarts.as_ref().map(|restarts| restarts.first_poll_s)
}

fn restart_candle(restarts: &Option<Restarts>) -> Option<Spread> {
    restarts.as_ref().map(|restarts| restarts.first_candle_s)
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.cpu_percent {
            Some(percent) => write!(f, "{percent:.1} % of a core")?,
            None => write!(f, "CPU unknown")?,
        }
        let Some(memory) = self.memory else {
            return write!(f, ", memory unknown");
        };
        let [rss, anon, file, peak] = [
            memory.rss_bytes,
            memory.anon_bytes,
            memory.file_bytes,
            memory.peak_rss_bytes,
        ]
        .map(|bytes| bytes as f64 / 1e6);
        write!(
            f,
            ", {rss:.0} MB ({anon:.0} its own, {file:.0} pages of files; at most {peak:.0})"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn percentiles_are_values_that_were_there() {
        assert_eq!(Percentiles::of(Vec::new()), None);
        let one = Percentiles::of(vec![7.0]).unwrap();
        assert_eq!((one.count, one.p50, one.p99, one.max), (1, 7.0, 7.0, 7.0));
        let many = Percentiles::of((1..=200).rev().map(f64::from).collect()).unwrap();
        assert_eq!((many.p50, many.p99, many.max), (100.0, 198.0, 200.0));
    }

    fn held(cpu_percent: Option<f64>) -> Held {
        Held {
            cpu_percent,
            memory: cpu_percent.map(|_| Memory {
                rss_bytes: 50_000_000,
                anon_bytes: 10_000_000,
                file_bytes: 40_000_000,
                peak_rss_bytes: 60_000_000,
            }),
        }
    }

    #[test]
    fn a_report_for_a_person_and_for_a_program() {
        let spread = |values: [f64; 3]| Spread::of(values.to_vec()).unwrap();
        let restarts = |values| {
            Some(Restarts {
                first_poll_s: spread([0.1, 0.09, 0.12]),
                first_candle_s: spread(values),
            })
        };
        let report = Report {
            symbols: 50,
            partitions: 4,
            ticks_per_frame: 5,
            compression: "lz4",
            master: "local[*]".to_owned(),
            cores: 2,
            latency: Latency {
                ticks_per_s: 9_999.8,
                windows_unseen: 1,
                readable_ms: Percentiles::of(vec![10.0, 20.0, 30.0]),
                held: held(Some(12.34)),
            },
            quiet_ticks_per_s: 1_000.0,
            quiet: held(Some(2.5)),
            idle_after: held(Some(0.5)),
            idle: held(None),
            first_poll_s: Some(spread([0.1, 0.11, 0.12])),
            restart: restarts([0.2, 0.3, 0.25]),
            replay_seconds: 120,
            restart_replay: restarts([0.8, 0.9, 1.0]),
        };
        expect![[r#"
            50 symbols, 4 partitions, 5 ticks a message (lz4), local[*], 2 cores; median (least to most)

            at 10,000 ticks/s, windows of 1 s
              candles readable after the watermark passed, ms p50 20, p99 30, most 30, of 3 windows; 1 never seen
              CPU and memory                                  12.3 % of a core, 50 MB (10 its own, 40 pages of files; at most 60)
              start after a kill to first poll, ms            100 (90 to 120)
              start after a kill to first new candle, ms      250 (200 to 300)
              the same, 120 s of ticks read again, ms         900 (800 to 1000)
            at 1,000 ticks/s, sql/ohlc.sql
              CPU and memory                                  2.5 % of a core, 50 MB (10 its own, 40 pages of files; at most 60)
              then without ticks                              0.5 % of a core, 50 MB (10 its own, 40 pages of files; at most 60)
            on an empty topic, sql/ohlc.sql
              CPU and memory                                  CPU unknown, memory unknown
              start to first poll, ms                         110 (100 to 120)
        "#]]
        .assert_eq(&report.to_string());
        let json: serde_json::Value = serde_json::from_str(&report.json()).unwrap();
        assert_eq!(json["latency"]["readable_ms"]["p99"], 30.0);
        assert_eq!(json["restart_replay"]["first_candle_s"]["max"], 1.0);
        assert_eq!(json["idle"]["memory"], serde_json::Value::Null);
    }
}
