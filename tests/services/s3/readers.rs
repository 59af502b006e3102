//! Who lists and reads a table while jobs and the server are killed: a file is whole as soon as it is seen, holds what it
//! should, never changes, and never goes.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use bytes::Bytes;

use super::bucket::{Bucket, Place, rows_of};
use super::{Market, turn};

/// An interpreter with the packages of `.ci/requirements.txt`.
const TEST_PYTHON: &str = "STOCKPULSE_TEST_PYTHON";
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/readers/s3_read.py");

/// Reads until it is told to end, or sees what must not be.
pub struct Reader {
    stop: Arc<AtomicBool>,
    wrong: Arc<Mutex<Option<String>>>,
    thread: JoinHandle<Seen>,
}

struct Seen {
    bucket: Bucket,
    table: String,
    expected: BTreeSet<String>,
    files: BTreeMap<String, Bytes>,
    candles: BTreeSet<String>,
    looks: usize,
}

impl Seen {
    fn look(&mut self) -> Result<(), String> {
        // While the server is away nobody sees anything.
        let Ok(keys) = self.bucket.files(&self.table) else {
            return Ok(());
        };
        if let Some(gone) = self.files.keys().find(|key| !keys.contains(key)) {
            return Err(format!("{gone} is gone"));
        }
        for key in keys {
            let content = match self.bucket.get(&key) {
                Err(object_store::Error::NotFound { .. }) => {
                    return Err(format!("{key} is not there"));
                }
                Err(_) => return Ok(()),
                Ok(content) => content,
            };
            if let Some(before) = self.files.get(&key) {
                if *before != content {
                    return Err(format!("{key} has changed"));
                }
                continue;
            }
            for candle in rows_of(content.clone()).map_err(|why| format!("{key} {why}"))? {
                if !self.expected.contains(&candle) {
                    return Err(format!("{key} has a wrong candle: {candle}"));
                }
                if !self.candles.insert(candle.clone()) {
                    return Err(format!(
                        "{key} has a candle that is there already: {candle}"
                    ));
                }
            }
            self.files.insert(key, content);
        }
        self.looks += 1;
        Ok(())
    }
}

impl Reader {
    /// Reads the table at `place`, in which nothing but these candles may ever be seen.
    pub fn start(bucket: &Bucket, place: &Place, expected: &[String]) -> Reader {
        let (stop, wrong) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(None)));
        let (stopping, saw) = (Arc::clone(&stop), Arc::clone(&wrong));
        let mut seen = Seen {
            bucket: bucket.clone(),
            table: place.table.clone(),
            expected: expected.iter().cloned().collect(),
            files: BTreeMap::new(),
            candles: BTreeSet::new(),
            looks: 0,
        };
        let thread = std::thread::spawn(move || {
            loop {
                // Before the last look, so that it sees everything.
                let last = stopping.load(Ordering::Relaxed);
                if let Err(error) = seen.look() {
                    *saw.lock().unwrap() = Some(error);
                    return seen;
                }
                if last {
                    return seen;
                }
                std::thread::yield_now();
            }
        });
        Reader {
            stop,
            wrong,
            thread,
        }
    }

    /// Fails if something was seen that must not be.
    pub fn check(&self) {
        let wrong = self.wrong.lock().unwrap();
        assert!(wrong.is_none(), "{}", wrong.as_deref().unwrap_or_default());
    }

    /// Ends after a last look, which must have seen all candles; what it did.
    pub fn end(self, candles: usize) -> String {
        self.stop.store(true, Ordering::Relaxed);
        let seen = self.thread.join().unwrap();
        let wrong = self.wrong.lock().unwrap();
        assert!(wrong.is_none(), "{}", wrong.as_deref().unwrap_or_default());
        assert_eq!(seen.candles.len(), candles);
        format!("{} looks at up to {} files", seen.looks, seen.files.len())
    }
}

#[test]
fn datafusion_reads_the_table_by_the_readmes_statement() {
    let _turn = turn();
    let market = Market::new();
    market.append(0..1, 1);
    let expected = market.candles();
    market.finish(&expected);
    let python = std::env::var(TEST_PYTHON)
        .unwrap_or_else(|_| panic!("{TEST_PYTHON} is not set: export {TEST_PYTHON}=$(.ci/python)"));
    let bucket = &market.bucket;
    let read = Command::new(python)
        .arg(SCRIPT)
        .args([&bucket.address, &bucket.name, &market.place.table])
        .env("AWS_ACCESS_KEY_ID", &bucket.key)
        .env("AWS_SECRET_ACCESS_KEY", &bucket.secret)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&read.stderr);
    assert!(read.status.success(), "{said}");
    let trades = expected.iter().map(|row| {
        let (_, trades) = row.rsplit_once(',').unwrap();
        trades.parse::<u64>().unwrap()
    });
    let expected = format!("{} rows, {} trades\n", expected.len(), trades.sum::<u64>());
    assert_eq!(String::from_utf8_lossy(&read.stdout), expected);
}
