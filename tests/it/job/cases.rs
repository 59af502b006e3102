//! Cases as data: every folder of `tests/cases/` is run under every regime against the same golden rows.
//!
//! A case is `case.json` (see [`Case`]), `frames.ndjson` (see [`Line`]; without it the cases' common
//! `market.ndjson`) and `job.sql` (without it `sql/ohlc.sql`, edited as `case.json` says). What must come
//! out is `expected.<table>.csv` a table and `expected.json`. `UPDATE_EXPECT=1` writes them anew.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use stockpulse::job::Summary;
use stockpulse::source::replay::{ReplayFrame, ReplayTopic};

use super::exact::OHLC;
use super::harness::{Bench, Regime, counts, listing, read_rows};

/// Cases that are run at the same time.
const THREADS: usize = 4;

/// `case.json`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    /// What it shows.
    #[expect(dead_code, reason = "for the reader")]
    about: String,
    /// Replacements in `sql/ohlc.sql`: what a user would edit.
    #[serde(default)]
    edit: Vec<(String, String)>,
    /// Partitions of the topic; by default as many as the frames name.
    partitions: Option<i32>,
}

/// A line of `frames.ndjson`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    /// Partition.
    p: i32,
    /// Kafka's timestamp, milliseconds since 1970 UTC.
    ts: Option<i64>,
    /// The frame.
    frame: Option<Box<RawValue>>,
    /// The frame, where it is no JSON. With neither it is a message without a payload.
    raw: Option<String>,
}

/// `expected.json`.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Expected {
    counts: BTreeMap<String, u64>,
    open_windows: usize,
    directories: BTreeSet<String>,
}

/// The clock of every run that ends a case: 2026-08-01T12:00:00Z.
pub fn noon() -> i64 {
    1_785_585_600 * 1_000_000_000
}

/// The clock of a run that is stopped in the middle: nothing is overdue.
pub fn long_before() -> i64 {
    1_767_225_600 * 1_000_000_000
}

#[test]
fn every_case_gives_its_rows_under_every_regime() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let entries = std::fs::read_dir(&root).unwrap();
    let mut folders: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    folders.retain(|path| path.is_dir());
    folders.sort();
    assert!(!folders.is_empty());
    let next = AtomicUsize::new(0);
    let work = || {
        let mut faults = Vec::new();
        while let Some(folder) = folders.get(next.fetch_add(1, Ordering::Relaxed)) {
            if let Err(fault) = Loaded::new(&root, folder).and_then(|case| case.check()) {
                faults.push(format!("{}: {fault}", folder.display()));
            }
        }
        faults
    };
    let faults: Vec<String> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..THREADS).map(|_| scope.spawn(work)).collect();
        let faults = workers
            .into_iter()
            .flat_map(|worker| worker.join().unwrap());
        faults.collect()
    });
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

/// A case, read from its folder.
struct Loaded {
    folder: PathBuf,
    sql: String,
    partitions: i32,
    frames: Vec<(i32, ReplayFrame)>,
}

/// What came out: the text of every expected file, by name.
type Found = BTreeMap<String, String>;

impl Loaded {
    fn new(root: &Path, folder: &Path) -> Result<Loaded, String> {
        let read = |path: PathBuf| {
            std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))
        };
        let case: Case = serde_json::from_str(&read(folder.join("case.json"))?)
            .map_err(|error| format!("case.json: {error}"))?;
        let own = folder.join("frames.ndjson");
        let frames = match own.exists() {
            true => read(own)?,
            false => read(root.join("market.ndjson"))?,
        };
        let lines = frames.lines().enumerate().map(|(number, line)| {
            serde_json::from_str(line).map_err(|error| format!("frame {}: {error}", number + 1))
        });
        let lines = lines.collect::<Result<Vec<Line>, String>>()?;
        let named = lines.iter().map(|line| line.p + 1).max().unwrap_or(1);
        let frames = lines.into_iter().map(|line| {
            let payload = line.frame.map(|frame| frame.get().to_string()).or(line.raw);
            let frame = ReplayFrame {
                timestamp_ms: line.ts,
                key: None,
                payload: payload.map(String::into_bytes),
            };
            (line.p, frame)
        });
        let own = folder.join("job.sql");
        let mut sql = match own.exists() {
            true => read(own)?,
            false => OHLC.to_string(),
        };
        for (old, new) in &case.edit {
            if sql.matches(old.as_str()).count() != 1 {
                return Err(format!("{old:?} is not once in the SQL"));
            }
            sql = sql.replace(old, new);
        }
        Ok(Loaded {
            folder: folder.to_path_buf(),
            sql,
            partitions: case.partitions.unwrap_or(named),
            frames: frames.collect(),
        })
    }

    fn check(&self) -> Result<(), String> {
        let plain = self.run(&Regime::default(), &[])?;
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            for (name, text) in &plain {
                std::fs::write(self.folder.join(name), text).map_err(|error| error.to_string())?;
            }
        }
        self.compare(&plain, "plain")?;
        for regime in regimes() {
            self.compare(&self.run(&regime, &[])?, &format!("{regime:?}"))?;
        }
        for (at, cuts) in self.restarts().iter().enumerate() {
            let regime = Regime {
                threads: [1, 2, 4][at % 3],
                micro_batch_frames: [8192, 1, 3][at % 3],
                ..Regime::default()
            };
            let what = format!("stopped after {cuts:?} frames, {regime:?}");
            self.compare(&self.run(&regime, cuts)?, &what)?;
        }
        Ok(())
    }

    /// Runs the job over the frames; after as many as each of `cuts` says it is stopped and started again.
    fn run(&self, regime: &Regime, cuts: &[usize]) -> Result<Found, String> {
        let bench = Bench::new(&match regime.max_offsets_per_trigger {
            // Else windows would wait for the end of so short a run.
            Some(_) => self.sql.replace(
                "COMMIT_INTERVAL | 1 second",
                "COMMIT_INTERVAL | 1 microsecond",
            ),
            None => self.sql.clone(),
        });
        let topic = ReplayTopic::new("raw_ticks", self.partitions);
        let mut from = 0;
        for &cut in cuts {
            self.append(&topic, from, cut);
            from = cut;
            let stopped = bench.run_at(&topic, regime, long_before);
            stopped.map_err(|error| error.to_string())?;
        }
        self.append(&topic, from, self.frames.len());
        let summary = bench.run_at(&topic, regime, noon);
        found(&bench, &summary.map_err(|error| error.to_string())?)
    }

    fn append(&self, topic: &ReplayTopic, from: usize, to: usize) {
        for (partition, frame) in &self.frames[from..to] {
            topic.append(*partition, frame.clone());
        }
    }

    /// Where runs are stopped: early, in the middle, late, and all the time. Not before every partition
    /// has spoken: one that has not is not waited for, so what it says later may be late.
    fn restarts(&self) -> Vec<Vec<usize>> {
        let mut spoken = BTreeSet::new();
        let firsts = self.frames.iter().enumerate();
        let firsts = firsts.filter(|(_, (partition, _))| spoken.insert(*partition));
        let first = firsts.last().map_or(1, |(at, _)| at + 1);
        let last = self.frames.len().saturating_sub(1);
        let all: Vec<usize> = (first..=last).collect();
        let Some(&middle) = all.get(all.len() / 2) else {
            return Vec::new();
        };
        vec![vec![first], vec![middle], vec![last], all]
    }

    fn compare(&self, found: &Found, what: &str) -> Result<(), String> {
        for (name, text) in found {
            let path = self.folder.join(name);
            let expected = std::fs::read_to_string(path).unwrap_or_default();
            if *text != expected {
                return Err(format!(
                    "{what}: {name}\n--- expected\n{expected}--- found\n{text}"
                ));
            }
        }
        Ok(())
    }
}

fn regimes() -> Vec<Regime> {
    let mut regimes = Vec::new();
    for max_offsets_per_trigger in [None, Some(1)] {
        for threads in [1, 2, 4] {
            for micro_batch_frames in [1, 3, 8192] {
                regimes.push(Regime {
                    threads,
                    micro_batch_frames,
                    max_offsets_per_trigger,
                    ..Regime::default()
                });
            }
        }
    }
    regimes
}

fn found(bench: &Bench, summary: &Summary) -> Result<Found, String> {
    let mut directories = BTreeSet::new();
    let mut found = Found::new();
    for output in bench.spec(&Regime::default())?.plan.outputs {
        let Some(folder) = output.sink.folder() else {
            continue;
        };
        let files = match folder.exists() {
            true => listing(folder),
            false => Vec::new(),
        };
        let mut rows = match files.is_empty() {
            true => Vec::new(),
            false => read_rows(folder, "SELECT * FROM t"),
        };
        rows.sort();
        let header = output.schema.fields().iter();
        let header: Vec<&str> = header.map(|field| field.name().as_str()).collect();
        rows.insert(0, header.join(","));
        found.insert(
            format!("expected.{}.csv", output.table),
            rows.join("\n") + "\n",
        );
        directories.extend(files.iter().map(|file| {
            let (directory, _) = file.rsplit_once('/').unwrap_or_default();
            format!("{}/{directory}", output.table)
        }));
    }
    let counts = counts(summary).into_iter();
    let expected = Expected {
        counts: counts
            .map(|(name, ticks)| (name.to_string(), ticks))
            .collect(),
        open_windows: summary.open_windows,
        directories,
    };
    let text = serde_json::to_string_pretty(&expected).unwrap() + "\n";
    found.insert("expected.json".to_string(), text);
    Ok(found)
}
