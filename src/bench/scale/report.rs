//! How cost grows, as a table in Markdown and for a program.

use std::fmt;

use serde::Serialize;

use super::memory::Open;
use super::settings::Setting;
use crate::bench::report::{Round, Spread, cpu_ratio, grouped, pretty, wall_ratio};
use crate::bench::rounds::Measured;

/// From one row of an axis to the next, ticks a core and second that change by more than this factor are a cliff.
const CLIFF: f64 = 2.0;

/// Everything that was found out.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) ticks: u64,
    pub(super) rounds: u32,
    pub(super) cores: usize,
    pub(super) rows: Vec<Row>,
    pub(super) open: Vec<Open>,
}

/// One setting.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Row {
    axis: String,
    value: String,
    candles: u64,
    wall_s: Option<Spread>,
    cpu_s: Option<Spread>,
    wall_ratio_to_bare: Option<Spread>,
    cpu_ratio_to_bare: Option<Spread>,
    peak_rss_bytes: Option<Spread>,
    peak_anon_bytes: Option<Spread>,
}

impl Row {
    pub(super) fn new(setting: &Setting, measured: Measured) -> Row {
        let rounds = &measured.rounds;
        let of = |value: fn(&Round) -> Option<f64>| {
            let values: Option<Vec<f64>> = rounds.iter().map(value).collect();
            values.and_then(Spread::of)
        };
        Row {
            axis: setting.axis_name(),
            value: setting.value.clone(),
            candles: measured.candles,
            wall_s: of(|round| Some(round.ingest.wall_s)),
            cpu_s: of(|round| round.ingest.cpu_s),
            wall_ratio_to_bare: wall_ratio(rounds),
            cpu_ratio_to_bare: cpu_ratio(rounds),
            peak_rss_bytes: of(|round| round.ingest.peak_rss_bytes.map(|bytes| bytes as f64)),
            peak_anon_bytes: of(|round| round.ingest.peak_anon_bytes.map(|bytes| bytes as f64)),
        }
    }
}

impl Report {
    /// The report as one JSON object; times in seconds, memory in bytes.
    pub(super) fn json(&self) -> String {
        let report = serde_json::json!({
            "ticks": self.ticks,
            "rounds": self.rounds,
            "cores": self.cores,
            "rows": self.rows,
            "open": self.open,
            "bytes_per_open_window_and_symbol": self.bytes_per_cell(),
            "cliffs": self.cliffs(),
        });
        pretty(&report)
    }

    fn per_second(&self, time: Option<Spread>) -> Option<f64> {
        let median = time?.median;
        (median > 0.0).then(|| self.ticks as f64 / median)
    }

    /// How memory of the process's own grows with windows and symbols that are open.
    fn bytes_per_cell(&self) -> Option<f64> {
        let points = self.open.iter();
        let points = points.map(|open| (open.cells, open.anon_bytes as f64));
        slope(&points.collect::<Vec<_>>())
    }

    fn cliffs(&self) -> Vec<String> {
        let steps = self
            .rows
            .windows(2)
            .filter(|two| two[0].axis == two[1].axis);
        steps
            .filter_map(|two| {
                let before = self.per_second(two[0].cpu_s)?;
                let after = self.per_second(two[1].cpu_s)?;
                let factor = (after / before).max(before / after);
                (factor > CLIFF).then(|| {
                    format!(
                        "{} {} to {}: {:.2} to {:.2} M ticks/s a core, {} to {} candles",
                        two[0].axis,
                        two[0].value,
                        two[1].value,
                        before / 1e6,
                        after / 1e6,
                        grouped(two[0].candles),
                        grouped(two[1].candles),
                    )
                })
            })
            .collect()
    }
}

/// Of the straight line with the least squares through the points; there must be two at least.
fn slope(points: &[(f64, f64)]) -> Option<f64> {
    let count = points.len() as f64;
    let mean_x = points.iter().map(|(x, _)| x).sum::<f64>() / count;
    let mean_y = points.iter().map(|(_, y)| y).sum::<f64>() / count;
    let (mut above, mut below) = (0.0, 0.0);
    for (x, y) in points {
        above += (x - mean_x) * (y - mean_y);
        below += (x - mean_x) * (x - mean_x);
    }
    (below > 0.0).then(|| above / below)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} ticks a topic, {} rounds, {} cores; medians, and least to most of the ratio; unless it is varied: \
             50 symbols, 4 partitions,\n5 ticks a message, lz4, local[*], sql/ohlc.sql (where windows are open: 20 s wide)\n",
            grouped(self.ticks),
            self.rounds,
            self.cores
        )?;
        if !self.rows.is_empty() {
            self.write_rows(f)?;
        }
        if let Some(bytes) = self.bytes_per_cell() {
            if !self.rows.is_empty() {
                writeln!(f)?;
            }
            self.write_open(f, bytes)?;
        }
        Ok(())
    }
}

impl Report {
    fn write_rows(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "| varied | to | candles | M ticks/s | CPU s | M ticks/s a core | wall ÷ bare consumer | CPU ÷ bare | peak MB | of it its own |"
        )?;
        writeln!(f, "|---|---|---|---|---|---|---|---|---|---|")?;
        for row in &self.rows {
            let median = |spread: Option<Spread>, unit: f64, digits: usize| {
                spread.map_or_else(
                    || "unknown".to_owned(),
                    |of| format!("{:.digits$}", of.median / unit),
                )
            };
            let rate = |time| {
                self.per_second(time).map_or_else(
                    || "unknown".to_owned(),
                    |per_second| format!("{:.2}", per_second / 1e6),
                )
            };
            writeln!(
                f,
                "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
                row.axis,
                row.value,
                grouped(row.candles),
                rate(row.wall_s),
                median(row.cpu_s, 1.0, 2),
                rate(row.cpu_s),
                crate::bench::report::shown(row.wall_ratio_to_bare, 1.0, 2),
                median(row.cpu_ratio_to_bare, 1.0, 2),
                median(row.peak_rss_bytes, 1e6, 0),
                median(row.peak_anon_bytes, 1e6, 0),
            )?;
        }
        match self.cliffs().as_slice() {
            [] => writeln!(
                f,
                "\nno cliff: from row to row no cost a tick changes by more than {CLIFF} times"
            ),
            cliffs => writeln!(
                f,
                "\nmore than {CLIFF} times from row to row:\n- {}",
                cliffs.join("\n- ")
            ),
        }
    }

    fn write_open(&self, f: &mut fmt::Formatter<'_>, bytes: f64) -> fmt::Result {
        writeln!(
            f,
            "| open windows | symbols | of both, with ticks | MB its own | MB |\n|---|---|---|---|---|"
        )?;
        for open in &self.open {
            writeln!(
                f,
                "| {} | {} | {} | {:.1} | {:.1} |",
                open.windows,
                grouped(u64::from(open.symbols)),
                grouped(open.cells.round() as u64),
                open.anon_bytes as f64 / 1e6,
                open.rss_bytes as f64 / 1e6
            )?;
        }
        writeln!(f, "\nan open window and symbol costs {bytes:.0} bytes")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn a_slope_goes_through_the_points() {
        assert_eq!(slope(&[(1.0, 5.0), (2.0, 7.0), (3.0, 9.0)]), Some(2.0));
        assert_eq!(slope(&[(1.0, 5.0), (1.0, 7.0)]), None);
        assert_eq!(slope(&[]), None);
    }

    fn row(axis: &str, value: &str, cpu_s: f64) -> Row {
        let spread = |value: f64| Spread::of(vec![value, value * 2.0, value * 0.5]);
        Row {
            axis: axis.to_owned(),
            value: value.to_owned(),
            candles: 18_000,
            wall_s: spread(cpu_s / 2.0),
            cpu_s: spread(cpu_s),
            wall_ratio_to_bare: spread(1.5),
            cpu_ratio_to_bare: spread(2.0),
            peak_rss_bytes: spread(90e6),
            peak_anon_bytes: spread(20e6),
        }
    }

    #[test]
    fn a_table_that_says_where_it_grows() {
        let report = Report {
            ticks: 2_000_000,
            rounds: 3,
            cores: 2,
            rows: vec![
                row("symbols", "1", 0.5),
                row("symbols", "50", 0.9),
                row("symbols", "1000", 2.0),
            ],
            open: [(1, 1_000.0), (500, 500_000.0)]
                .map(|(windows, cells)| Open {
                    windows,
                    symbols: 1_000,
                    cells,
                    anon_bytes: 20_000_000 + cells as u64 * 100,
                    rss_bytes: 100_000_000,
                })
                .into(),
        };
        expect![[r#"
            2,000,000 ticks a topic, 3 rounds, 2 cores; medians, and least to most of the ratio; unless it is varied: 50 symbols, 4 partitions,
            5 ticks a message, lz4, local[*], sql/ohlc.sql (where windows are open: 20 s wide)

            | varied | to | candles | M ticks/s | CPU s | M ticks/s a core | wall ÷ bare consumer | CPU ÷ bare | peak MB | of it its own |
            |---|---|---|---|---|---|---|---|---|---|
            | symbols | 1 | 18,000 | 8.00 | 0.50 | 4.00 | 1.50 (0.75 to 3.00) | 2.00 | 90 | 20 |
            | symbols | 50 | 18,000 | 4.44 | 0.90 | 2.22 | 1.50 (0.75 to 3.00) | 2.00 | 90 | 20 |
            | symbols | 1000 | 18,000 | 2.00 | 2.00 | 1.00 | 1.50 (0.75 to 3.00) | 2.00 | 90 | 20 |

            more than 2 times from row to row:
            - symbols 50 to 1000: 2.22 to 1.00 M ticks/s a core, 18,000 to 18,000 candles

            | open windows | symbols | of both, with ticks | MB its own | MB |
            |---|---|---|---|---|
            | 1 | 1,000 | 1,000 | 20.1 | 100.0 |
            | 500 | 1,000 | 500,000 | 70.0 | 100.0 |

            an open window and symbol costs 100 bytes
        "#]]
        .assert_eq(&report.to_string());
        let json: serde_json::Value = serde_json::from_str(&report.json()).unwrap();
        assert_eq!(json["bytes_per_open_window_and_symbol"], 100.0);
        assert_eq!(json["rows"][1]["cpu_s"]["median"], 0.9);
    }
}
