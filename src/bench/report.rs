//! What a backlog came to, for a person and for a program; and the spread of some rounds, for all reports.

use std::fmt;

use serde::Serialize;
use serde_json::json;

use super::process::Cost;
use super::rounds::Measured;
use super::topic::{Content, Topic};

/// One round.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Round {
    pub(super) bare: Cost,
    pub(super) ingest: Cost,
}

/// Everything that a bench found out.
pub(super) struct Report {
    ticks: u64,
    frames: u64,
    bytes: u64,
    partitions: u32,
    symbols: u32,
    compression: &'static str,
    master: String,
    cores: usize,
    candles: u64,
    rounds: Vec<Round>,
}

/// Median, least and most of some rounds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Spread {
    pub(super) median: f64,
    pub(super) min: f64,
    pub(super) max: f64,
}

/// What the rounds of one program come to.
#[derive(Debug, Serialize)]
struct Summary {
    wall_s: Option<Spread>,
    cpu_s: Option<Spread>,
    ticks_per_s: Option<Spread>,
    /// Ticks for each second of CPU time.
    ticks_per_s_per_core: Option<Spread>,
    peak_rss_bytes: Option<Spread>,
}

impl Report {
    pub(super) fn new(
        content: &Content,
        topic: &Topic,
        master: &str,
        measured: Measured,
    ) -> Report {
        Report {
            ticks: content.ticks,
            frames: topic.frames,
            bytes: measured.counted.bytes,
            partitions: content.partitions,
            symbols: content.symbols,
            compression: content.compression.name(),
            master: master.to_owned(),
            cores: cores(),
            candles: measured.candles,
            rounds: measured.rounds,
        }
    }

    /// The report as one JSON object; times in seconds, memory in bytes.
    pub(super) fn json(&self) -> String {
        let report = json!({
            "ticks": self.ticks,
            "frames": self.frames,
            "bytes": self.bytes,
            "partitions": self.partitions,
            "symbols": self.symbols,
            "compression": self.compression,
            "master": self.master,
            "cores": self.cores,
            "candles": self.candles,
            "bare": self.summary(|round| round.bare),
            "ingest": self.summary(|round| round.ingest),
            "wall_ratio_to_bare": wall_ratio(&self.rounds),
            "cpu_ratio_to_bare": cpu_ratio(&self.rounds),
            "rounds": self.rounds,
        });
        pretty(&report)
    }

    fn summary(&self, cost: impl Fn(&Round) -> Cost) -> Summary {
        let ticks = self.ticks as f64;
        let of = |value: &dyn Fn(Cost) -> Option<f64>| {
            let values: Option<Vec<f64>> = self.rounds.iter().map(|r| value(cost(r))).collect();
            values.and_then(Spread::of)
        };
        Summary {
            wall_s: of(&|cost| Some(cost.wall_s)),
            cpu_s: of(&|cost| cost.cpu_s),
            ticks_per_s: of(&|cost| Some(ticks / cost.wall_s)),
            ticks_per_s_per_core: of(&|cost| cost.cpu_s.filter(|&s| s > 0.0).map(|s| ticks / s)),
            peak_rss_bytes: of(&|cost| cost.peak_rss_bytes.map(|bytes| bytes as f64)),
        }
    }
}

/// Wall time of the job over that of the bare consumer beside it, round by round.
pub(super) fn wall_ratio(rounds: &[Round]) -> Option<Spread> {
    let ratios = rounds.iter().map(|r| r.ingest.wall_s / r.bare.wall_s);
    Spread::of(ratios.collect())
}

/// The same of their CPU times.
pub(super) fn cpu_ratio(rounds: &[Round]) -> Option<Spread> {
    let ratio = |r: &Round| Some(r.ingest.cpu_s? / r.bare.cpu_s.filter(|&cpu_s| cpu_s > 0.0)?);
    let ratios: Option<Vec<f64>> = rounds.iter().map(ratio).collect();
    ratios.and_then(Spread::of)
}

/// What this machine has.
pub(super) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

impl Spread {
    pub(super) fn of(mut values: Vec<f64>) -> Option<Spread> {
        values.sort_by(f64::total_cmp);
        let (&min, &max) = (values.first()?, values.last()?);
        let middle = values.len() / 2;
        let median = match values.len() % 2 {
            0 => f64::midpoint(values[middle - 1], values[middle]),
            _ => values[middle],
        };
        Some(Spread { median, min, max })
    }
}

/// A row of the table: its name, unit, digits after the point, and where its numbers are.
type Row = (&'static str, f64, usize, fn(&Summary) -> Option<Spread>);

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} ticks in {} messages ({:.1} MB, {}), {} partitions, {} symbols, {} candles",
            grouped(self.ticks),
            grouped(self.frames),
            self.bytes as f64 / 1e6,
            self.compression,
            self.partitions,
            self.symbols,
            grouped(self.candles),
        )?;
        writeln!(
            f,
            "{} rounds, {}, {} cores; median (least to most)\n",
            self.rounds.len(),
            self.master,
            self.cores
        )?;
        let [bare, ingest] = [
            self.summary(|round| round.bare),
            self.summary(|round| round.ingest),
        ];
        writeln!(f, "{:<20}{:<26}stockpulse", "", "bare consumer")?;
        let rows: [Row; 5] = [
            ("wall s", 1.0, 2, |s| s.wall_s),
            ("CPU s", 1.0, 2, |s| s.cpu_s),
            ("M ticks/s", 1e6, 2, |s| s.ticks_per_s),
            ("M ticks/s per core", 1e6, 2, |s| s.ticks_per_s_per_core),
            ("peak memory, MB", 1e6, 0, |s| s.peak_rss_bytes),
        ];
        for (name, unit, digits, of) in rows {
            let [bare, ingest] = [&bare, &ingest].map(|s| shown(of(s), unit, digits));
            writeln!(f, "{name:<20}{bare:<26}{ingest}")?;
        }
        let [wall, cpu] =
            [wall_ratio(&self.rounds), cpu_ratio(&self.rounds)].map(|ratio| shown(ratio, 1.0, 2));
        writeln!(f, "\nrelative to the bare consumer of the same round")?;
        writeln!(f, "{:<20}{wall}\n{:<20}{cpu}", "wall time", "CPU time")
    }
}

/// Prints a report: for a person, or as JSON.
pub(super) fn show(report: &impl fmt::Display, as_json: bool, json: impl FnOnce() -> String) {
    match as_json {
        true => println!("{}", json()),
        false => print!("{report}"),
    }
}

/// JSON that a person can read too.
pub(super) fn pretty(report: &impl Serialize) -> String {
    serde_json::to_string_pretty(report).expect("numbers and names are always JSON")
}

/// A spread in units of `unit`.
pub(super) fn shown(spread: Option<Spread>, unit: f64, digits: usize) -> String {
    let Some(Spread { median, min, max }) = spread else {
        return "unknown".to_owned();
    };
    let [median, min, max] = [median / unit, min / unit, max / unit];
    format!("{median:.digits$} ({min:.digits$} to {max:.digits$})")
}

/// With a comma at every third digit.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut shown = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    fn cost(wall_s: f64) -> Cost {
        Cost {
            wall_s,
            cpu_s: Some(wall_s / 2.0),
            peak_rss_bytes: Some(16_000_000),
            peak_anon_bytes: Some(8_000_000),
        }
    }

    fn report(rounds: Vec<Round>) -> Report {
        Report {
            ticks: 10_000_000,
            frames: 2_000_000,
            bytes: 750_000_000,
            partitions: 4,
            symbols: 50,
            compression: "lz4",
            master: "local[*]".to_owned(),
            cores: 2,
            candles: 18_000,
            rounds,
        }
    }

    #[test]
    fn a_report_for_a_person() {
        let mut rounds: Vec<Round> = [(2.0, 3.0), (1.0, 2.0), (2.0, 4.0)]
            .map(|(bare, ingest)| Round {
                bare: cost(bare),
                ingest: cost(ingest),
            })
            .to_vec();
        rounds[1].ingest.peak_rss_bytes = None;
        expect![[r#"
            10,000,000 ticks in 2,000,000 messages (750.0 MB, lz4), 4 partitions, 50 symbols, 18,000 candles
            3 rounds, local[*], 2 cores; median (least to most)

                                bare consumer             stockpulse
            wall s              2.00 (1.00 to 2.00)       3.00 (2.00 to 4.00)
            CPU s               1.00 (0.50 to 1.00)       1.50 (1.00 to 2.00)
            M ticks/s           5.00 (5.00 to 10.00)      3.33 (2.50 to 5.00)
            M ticks/s per core  10.00 (10.00 to 20.00)    6.67 (5.00 to 10.00)
            peak memory, MB     16 (16 to 16)             unknown

            relative to the bare consumer of the same round
            wall time           2.00 (1.50 to 2.00)
            CPU time            2.00 (1.50 to 2.00)
        "#]].assert_eq(&report(rounds).to_string());
    }

    #[test]
    fn a_report_for_a_program() {
        let round = Round {
            bare: cost(2.0),
            ingest: cost(5.0),
        };
        let report: serde_json::Value = serde_json::from_str(&report(vec![round]).json()).unwrap();
        assert_eq!(report["wall_ratio_to_bare"]["median"], 2.5);
        assert_eq!(report["cpu_ratio_to_bare"]["max"], 2.5);
        assert_eq!(report["ingest"]["ticks_per_s"]["max"], 2e6);
        assert_eq!(report["rounds"][0]["bare"]["peak_rss_bytes"], 16_000_000);
    }

    #[test]
    fn no_ratio_of_cpu_times_that_are_not_known() {
        let mut bare = cost(2.0);
        bare.cpu_s = Some(0.0);
        let ingest = cost(5.0);
        assert_eq!(cpu_ratio(&[Round { bare, ingest }]), None);
    }

    #[test]
    fn spreads_of_even_and_of_no_rounds() {
        assert_eq!(Spread::of(vec![]), None);
        let spread = Spread {
            median: 2.5,
            min: 1.0,
            max: 4.0,
        };
        assert_eq!(Spread::of(vec![4.0, 1.0, 3.0, 2.0]), Some(spread));
    }
}
