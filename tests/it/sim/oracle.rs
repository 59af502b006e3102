//! What must be there: every tick in its candle or in the dead letters, by definition or for a reason.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int32Type, Int64Type, TimestampNanosecondType};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use stockpulse::job::Summary;
use stockpulse::model::Watermark;
use stockpulse::testing::files_below;

use super::life::{IDLE, Seen};
use super::market::Message;
use super::world::{Log, State};
use crate::crash::rows;
use crate::job::definition::{MINUTE_MS, Placed, SKEW_MS, Tick, candle};

const MILLI: i64 = 1_000_000;
/// The watermark of a message without ticks: the expression's default, a minute before 1970-01-02.
const NO_TICK_MS: i64 = 86_400_000 - MINUTE_MS;
/// So long a frame can be there before a job that takes a partition for quiet has heard of it, nanoseconds.
const UNHEARD: u128 = 17_000_000_000;

/// Offsets that the topic forgot before the job was done with them: those of frames that were read, and are
/// needed again for windows that were open; and those of frames that were never read.
#[derive(Debug, Clone, Default)]
pub struct Lost {
    needed: BTreeSet<(i32, i64)>,
    unread: BTreeSet<(i32, i64)>,
}

impl Lost {
    pub fn is_nothing(&self) -> bool {
        self.needed.is_empty()
    }

    pub fn add(&mut self, partition: i32, needed: i64, next: i64, low: i64) {
        self.needed
            .extend((needed..low).map(|offset| (partition, offset)));
        self.unread
            .extend((next.max(needed)..low).map(|offset| (partition, offset)));
    }
}

/// A dead letter: reason, partition, offset, event time in milliseconds.
type Letter = (String, i32, i64, Option<i64>);

pub struct Oracle {
    candles: Vec<String>,
    /// Windows that lost frames have ticks of.
    spoiled: BTreeSet<String>,
    found: Vec<String>,
    letters: BTreeSet<Letter>,
    expected: BTreeSet<Letter>,
    counts: BTreeMap<&'static str, u64>,
    by_closing: u64,
}

impl Oracle {
    /// Computes what must be in `folder`, from all that the topic ever held.
    pub fn new(
        folder: &Path,
        state: &State,
        lost: &Lost,
        since: &BTreeMap<i32, i64>,
    ) -> Result<Oracle, String> {
        let letters = letters(&folder.join("data/letters"))?;
        let mut oracle = Oracle {
            candles: Vec::new(),
            spoiled: BTreeSet::new(),
            found: rows(&folder.join("data/ohlc"), &[])?,
            letters,
            expected: BTreeSet::new(),
            counts: BTreeMap::new(),
            by_closing: 0,
        };
        let mut windows: BTreeMap<(&str, i64), Vec<Placed<'_>>> = BTreeMap::new();
        for (&partition, log) in &state.logs {
            let first = since.get(&partition).copied().unwrap_or(0);
            let mut watermark = i64::MIN;
            for (offset, entry) in (0..).zip(&log.entries) {
                let was_read = offset >= first && !lost.unread.contains(&(partition, offset));
                let is_spoiled = offset < first || lost.needed.contains(&(partition, offset));
                let frame = match &entry.message {
                    Message::Ping => {
                        watermark = watermark.max(NO_TICK_MS);
                        continue;
                    }
                    Message::Garbage => {
                        if was_read {
                            oracle.letter("malformed", partition, offset, None);
                        }
                        continue;
                    }
                    Message::Frame(frame) => frame,
                };
                for (place, tick) in (0..).zip(&frame.ticks) {
                    let start = tick.time_ms - tick.time_ms.rem_euclid(MINUTE_MS);
                    if is_spoiled {
                        oracle.spoiled.insert(key(tick.symbol, start));
                    }
                    if !was_read {
                        continue;
                    }
                    oracle.count_one("read");
                    if tick.time_ms > entry.kafka_ms + SKEW_MS {
                        oracle.letter("future", partition, offset, Some(tick.time_ms));
                        continue;
                    }
                    let late = ("late".to_string(), partition, offset, Some(tick.time_ms));
                    let by_definition =
                        start + MINUTE_MS <= watermark && lost.is_nothing() && first == 0;
                    if by_definition || oracle.letters.contains(&late) {
                        oracle.by_closing += u64::from(!by_definition);
                        if !lost.is_nothing() {
                            // When its window is built again from what is left, the frame that made it late may
                            // be gone.
                            oracle.spoiled.insert(key(tick.symbol, start));
                        }
                        oracle.count_one("late");
                        oracle.expected.insert(late);
                        continue;
                    }
                    oracle.count_one("in_windows");
                    let order = offset as usize * 8 + place;
                    let placed = (tick.time_ms, partition, order, tick);
                    windows
                        .entry((tick.symbol, start))
                        .or_default()
                        .push(placed);
                }
                watermark =
                    watermark.max(candidate(entry.kafka_ms, &frame.ticks).unwrap_or(i64::MIN));
            }
        }
        oracle.candles = windows
            .into_iter()
            .map(|((symbol, start), ticks)| candle(symbol, start, ticks))
            .collect();
        oracle.candles.sort();
        Ok(oracle)
    }

    fn letter(&mut self, reason: &'static str, partition: i32, offset: i64, time: Option<i64>) {
        if reason == "malformed" {
            self.count_one("read");
        }
        self.count_one(reason);
        self.expected
            .insert((reason.to_string(), partition, offset, time));
    }

    fn count_one(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    /// What is wrong in the end.
    pub fn check(&self, summary: &Summary) -> Result<(), String> {
        let (open, counted) = (summary.open_windows, summary.counts.by_name());
        if open > 0 {
            return Err(format!("{open} windows are open"));
        }
        if !summary.counts.balanced() || counted != self.counts {
            return Err(format!("counted {counted:?}, not {:?}", self.counts));
        }
        if self.letters != self.expected {
            let more: Vec<_> = self.letters.difference(&self.expected).collect();
            let fewer: Vec<_> = self.expected.difference(&self.letters).collect();
            return Err(format!(
                "dead letters: too many {more:?}, too few {fewer:?}"
            ));
        }
        let whole = |rows: &[String]| -> Vec<String> {
            let is_whole = |row: &&String| !self.spoiled.iter().any(|key| row.starts_with(key));
            rows.iter().filter(is_whole).cloned().collect()
        };
        let (found, expected) = (whole(&self.found), whole(&self.candles));
        if found != expected {
            let found: BTreeSet<String> = found.into_iter().collect();
            let expected: BTreeSet<String> = expected.into_iter().collect();
            let more: Vec<_> = found.difference(&expected).collect();
            let fewer: Vec<_> = expected.difference(&found).collect();
            return Err(format!("candles: too many {more:#?}, too few {fewer:#?}"));
        }
        Ok(())
    }

    pub fn count(&self, seen: &mut Seen) {
        for (what, number) in &self.counts {
            seen.count(what, *number);
        }
        seen.count("late by closing", self.by_closing);
        seen.count("candles", self.found.len() as u64);
    }

    /// Whether every candle and every dead letter is there once, in files that are whole.
    pub fn check_once(folder: &Path) -> Result<(), String> {
        letters(&folder.join("data/letters"))?;
        let mut keys = BTreeSet::new();
        for row in rows(&folder.join("data/ohlc"), &[])? {
            let mut columns = row.split(',');
            let key = (
                columns.next().map(str::to_string),
                columns.next().map(str::to_string),
            );
            if !keys.insert(key) {
                return Err(format!("a candle is there twice: {row}"));
            }
        }
        Ok(())
    }

    /// Whether the watermark up to which windows are closed is where it may be: every partition that may still
    /// say something has passed it.
    pub fn check_watermark(state: &State, closed: Watermark, bounded: bool) -> Result<(), String> {
        // By a wall clock that is wrong nobody can say how old a frame is that was there before the job started.
        if state.set_by != 0 || state.is_recreated {
            return Ok(());
        }
        let idle_ns = i64::try_from(IDLE.as_nanos()).unwrap();
        let overdue = state.wall() - MINUTE_MS * MILLI - idle_ns;
        let mut allowed: Option<i64> = None;
        let mut partitions = Vec::new();
        for (partition, next) in &state.reading {
            let log = &state.logs[partition];
            // The frame that reading began with may be one that an earlier process had read.
            let known = state.opened[partition] + 1;
            let own = watermark(log, known.min(log.high()).max(*next));
            let unread = &log.entries[usize::try_from(*next).unwrap()..];
            let is_behind =
                |arrived: std::time::Duration| (state.now - arrived).as_nanos() > UNHEARD;
            let may_be_quiet = !unread.iter().any(|entry| is_behind(entry.arrived));
            let last = log.entries[..usize::try_from(*next).unwrap()].last();
            let silence = last.map(|last| (state.now - last.arrived).as_nanos());
            let first = unread.first().map(|entry| entry.arrived);
            let unread = (unread.len(), first);
            partitions.push(format!(
                "partition {partition}: {unread:?} unread, watermark {own}, silent for {silence:?} ns"
            ));
            let is_quiet = silence.is_none_or(|silence| silence >= IDLE.as_nanos());
            let never_spoke = last.is_none();
            if may_be_quiet && is_quiet && (!bounded || never_spoke) {
                continue;
            }
            let says = if bounded { own.max(overdue) } else { own };
            allowed = Some(allowed.map_or(says, |allowed| allowed.min(says)));
        }
        let allowed = allowed.unwrap_or(overdue);
        // A silent partition of a bounded run says nothing either.
        let allowed = if bounded {
            allowed.max(overdue)
        } else {
            allowed
        };
        match closed.0 <= allowed {
            true => Ok(()),
            false => Err(format!(
                "at {:?} (bounded: {bounded}, out until {:?}) windows are closed up to {}, {allowed} is allowed; {}",
                state.now,
                state.out_until,
                closed.0,
                partitions.join("; ")
            )),
        }
    }
}

/// A partition's watermark after the frames before `next`, nanoseconds.
fn watermark(log: &Log, next: i64) -> i64 {
    let before = &log.entries[..usize::try_from(next).unwrap()];
    let frames = before.iter().filter_map(|entry| match &entry.message {
        Message::Frame(frame) => candidate(entry.kafka_ms, &frame.ticks),
        Message::Ping => Some(NO_TICK_MS),
        Message::Garbage => None,
    });
    frames.max().map_or(i64::MIN, |ms| ms * MILLI)
}

/// What a frame's watermark expression gives, milliseconds.
fn candidate(kafka_ms: i64, ticks: &[Tick]) -> Option<i64> {
    let first = ticks
        .first()
        .filter(|tick| tick.time_ms <= kafka_ms + SKEW_MS)?;
    Some(first.time_ms - MINUTE_MS)
}

/// What the row of a candle begins with.
fn key(symbol: &str, start_ms: i64) -> String {
    let start = chrono::DateTime::from_timestamp_millis(start_ms).unwrap();
    format!("{symbol},{},", start.format("%Y-%m-%dT%H:%M:%SZ"))
}

fn letters(folder: &Path) -> Result<BTreeSet<Letter>, String> {
    let mut letters = BTreeSet::new();
    for file in files_below(folder).map_err(|error| error.to_string())? {
        let wrong = |error: &dyn std::fmt::Display| format!("{file}: {error}");
        let opened = std::fs::File::open(folder.join(&file)).map_err(|error| wrong(&error))?;
        let reader = ParquetRecordBatchReaderBuilder::try_new(opened)
            .and_then(|builder| builder.build())
            .map_err(|error| wrong(&error))?;
        for batch in reader {
            for letter in letters_of(&batch.map_err(|error| wrong(&error))?) {
                if !letters.insert(letter.clone()) {
                    return Err(format!("a dead letter is there twice: {letter:?}"));
                }
            }
        }
    }
    Ok(letters)
}

fn letters_of(batch: &RecordBatch) -> Vec<Letter> {
    let column = |name: &str| batch.column_by_name(name).unwrap();
    let reasons = cast(column("reason"), &DataType::Utf8).unwrap();
    let partitions = column("partition").as_primitive::<Int32Type>();
    let offsets = column("offset").as_primitive::<Int64Type>();
    let times = column("event_time").as_primitive::<TimestampNanosecondType>();
    let letter = |row: usize| {
        let reason = reasons.as_string::<i32>().value(row).to_string();
        let time = times.is_valid(row).then(|| times.value(row) / MILLI);
        (reason, partitions.value(row), offsets.value(row), time)
    };
    (0..batch.num_rows()).map(letter).collect()
}
