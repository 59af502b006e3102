//! Shows how a job gets on: a bar or a status line on a terminal, else a log line per commit.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::time::Duration;

use chrono::DateTime;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tracing::info;

use crate::job::progress::{ProgressReport, RebuildPhase};
use crate::model::{Epoch, Watermark};
use crate::query::duration_words;
use crate::sink::Console;

/// How often the terminal is drawn again at most, times a second.
const DRAWS_PER_SECOND: u8 = 5;
/// How often the line moves when nothing is reported, so that one sees that it lives.
const STEADY_TICK: Duration = Duration::from_millis(500);

/// What kind of run is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProgressKind {
    /// It ends when everything there was at the start is read: a bar by offsets.
    AvailableNow,
    /// It goes on until stopped: a status line.
    Continuous,
}

/// Shows the reports of one run on standard error.
pub struct Progress {
    /// `None`: not a terminal.
    bar: Option<ProgressBar>,
    /// The commit that was last logged.
    logged: Option<Epoch>,
}

impl Progress {
    /// Begins to show a run. Without a terminal there is a log line per commit at most.
    pub fn new(kind: ProgressKind, is_terminal: bool) -> Progress {
        let bar = is_terminal.then(|| {
            let target = ProgressDrawTarget::stderr_with_hz(DRAWS_PER_SECOND);
            let bar = ProgressBar::with_draw_target(None, target).with_style(style(kind));
            bar.enable_steady_tick(STEADY_TICK);
            bar
        });
        Progress { bar, logged: None }
    }

    /// Shows where the run stands now.
    pub fn update(&mut self, report: &ProgressReport) {
        if let (Some(bar), Some(RebuildPhase::Swapping)) = (&self.bar, report.rebuild) {
            bar.set_message(status_line(report));
        } else if let Some(bar) = &self.bar {
            if let Some(total) = report.offsets_total {
                bar.set_length(total);
            }
            bar.set_position(report.offsets_done);
            bar.set_message(status_line(report));
        } else if report.epoch > self.logged && report.rebuild != Some(RebuildPhase::Swapping) {
            self.logged = report.epoch;
            info!("{}", commit_line(report));
        }
    }

    /// Where printed rows go: above the line that is drawn again and again.
    pub fn console(&self) -> Console {
        match &self.bar {
            Some(bar) => Console::new(Box::new(AboveBar(bar.clone()))),
            None => Console::stdout(),
        }
    }

    /// Ends the showing; the last state stays on the terminal.
    pub fn finish(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.abandon();
        }
    }
}

/// Standard output, while the bar steps aside.
struct AboveBar(ProgressBar);

impl Write for AboveBar {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let whole = || {
            let mut out = io::stdout().lock();
            out.write_all(bytes).and_then(|()| out.flush())
        };
        self.0.suspend(whole).map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stdout().flush()
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.finish();
    }
}

fn style(kind: ProgressKind) -> ProgressStyle {
    let template = match kind {
        ProgressKind::AvailableNow => {
            "{bar:30} {percent:>3} % of {len} messages, {eta} left  {msg}"
        }
        ProgressKind::Continuous => "{spinner} {msg}",
    };
    ProgressStyle::with_template(template).expect("the template is ours and its keys exist")
}

/// What changes from second to second.
fn status_line(report: &ProgressReport) -> String {
    let rebuild = match report.rebuild {
        None => "",
        Some(RebuildPhase::Reading) => "rebuild | ",
        Some(RebuildPhase::Swapping) => return "rebuild | swapping it in".to_owned(),
    };
    let mut line = format!(
        "{rebuild}{} ticks/s | watermark {} | {} open | {} written",
        with_thousands(report.ticks_per_second.max(0.0).round() as u64),
        utc(report.watermark),
        counted(report.open_windows as u64, "window"),
        counted(report.rows_written_total, "row"),
    );
    if let Some(lag) = report.lag() {
        // Writing to a String cannot fail.
        let _ = write!(line, " | {} behind", counted(lag, "message"));
    }
    for (sink, waits) in report.waits_for() {
        let time = duration_words(Duration::from_secs(waits.for_so_long().as_secs()));
        let _ = write!(
            line,
            " | waits for {} for {time}: {}",
            sink.name(),
            waits.why
        );
    }
    line
}

/// What a commit did.
fn commit_line(report: &ProgressReport) -> String {
    let epoch = report.epoch.map_or(0, |Epoch(number)| number);
    format!(
        "epoch {epoch} is committed: {} and {} so far | {}",
        counted(report.files as u64, "file"),
        counted(report.ticks_total, "tick"),
        status_line(report)
    )
}

fn counted(count: u64, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", with_thousands(count))
}

/// `1234567` as `1,234,567`.
fn with_thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn utc(watermark: Watermark) -> String {
    match watermark {
        Watermark::NONE => "none yet".to_owned(),
        Watermark(nanos) => DateTime::from_timestamp_nanos(nanos)
            .format("%Y-%m-%d %H:%M:%S")
            .to_string(),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    fn report() -> ProgressReport {
        ProgressReport {
            ticks_total: 1_234_567,
            ticks_per_second: 40_321.6,
            watermark: Watermark(1_575_526_691_134_000_000),
            open_windows: 1,
            rows_written_total: 2_469,
            offsets_done: 900,
            offsets_total: Some(1_000),
            epoch: Some(Epoch(7)),
            files: 3,
            rebuild: None,
            counts: Default::default(),
            open_groups: 50,
            partitions: Vec::new(),
            stages: Default::default(),
            sinks: Vec::new(),
        }
    }

    #[test]
    fn lines_read_well() {
        expect!["40,322 ticks/s | watermark 2019-12-05 06:18:11 | 1 window open | 2,469 rows written | 100 messages behind"].assert_eq(&status_line(&report()));
        expect!["epoch 7 is committed: 3 files and 1,234,567 ticks so far | 40,322 ticks/s | watermark 2019-12-05 06:18:11 | 1 window open | 2,469 rows written | 100 messages behind"].assert_eq(&commit_line(&report()));
        let nothing = ProgressReport {
            ticks_total: 0,
            ticks_per_second: f64::NAN,
            watermark: Watermark::NONE,
            open_windows: 0,
            rows_written_total: 0,
            offsets_done: 0,
            offsets_total: None,
            epoch: None,
            files: 0,
            counts: Default::default(),
            open_groups: 0,
            partitions: Vec::new(),
            stages: Default::default(),
            sinks: Vec::new(),
            rebuild: None,
        };
        expect!["0 ticks/s | watermark none yet | 0 windows open | 0 rows written"]
            .assert_eq(&status_line(&nothing));
        let rebuild = |phase| ProgressReport {
            rebuild: Some(phase),
            ..report()
        };
        expect!["rebuild | 40,322 ticks/s | watermark 2019-12-05 06:18:11 | 1 window open | 2,469 rows written | 100 messages behind"].assert_eq(&status_line(&rebuild(RebuildPhase::Reading)));
        expect!["rebuild | swapping it in"]
            .assert_eq(&status_line(&rebuild(RebuildPhase::Swapping)));
    }

    #[test]
    fn any_watermark_can_be_shown() {
        for nanos in [i64::MIN + 1, -1, 0, i64::MAX] {
            assert!(!utc(Watermark(nanos)).is_empty());
        }
    }

    #[test]
    fn every_style_can_be_made() {
        for kind in [ProgressKind::AvailableNow, ProgressKind::Continuous] {
            let mut progress = Progress::new(kind, true);
            progress.update(&report());
            progress.finish();
            progress.finish();
        }
    }
}
