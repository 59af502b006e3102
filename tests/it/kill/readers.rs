//! Everybody who reads a table while the job that writes it is killed: file by file, with DataFusion, and, on a
//! real Kafka, with DuckDB. What they see must be what the plain function says, once, and it must stay.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::sessions::Sessions;
use super::watch::Files;
use crate::support::broker::is_real_broker;

/// An interpreter with the packages of `.ci/requirements.txt`.
const TEST_PYTHON: &str = "STOCKPULSE_TEST_PYTHON";
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/readers/duckdb_watch.py");
/// A reader rests for as long as its look took, and at least this long.
const REST: Duration = Duration::from_millis(1);
/// Longer than two looks of DuckDB at the fullest table.
const LAST_LOOKS: Duration = Duration::from_secs(300);

/// One way to read.
pub trait Look: Send + 'static {
    /// Reads everything; what is wrong with it.
    fn look(&mut self, looks: &mut Looks) -> Result<(), String>;
}

/// What a reader did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Looks {
    /// Looks that read a file at least.
    pub looks: usize,
    /// Candles that were held against the expected ones, over all looks.
    pub compared: usize,
    /// Candles of the last look.
    pub last: usize,
}

impl Looks {
    pub fn looked(&mut self, candles: usize) {
        self.looks += usize::from(candles > 0);
        self.compared += candles;
        self.last = candles;
    }
}

/// All readers of a table.
pub struct Readers {
    files: Reader,
    datafusion: Reader,
    duckdb: Option<DuckDb>,
}

/// What all of them did.
#[derive(Debug)]
pub struct Reads {
    pub files: Looks,
    pub datafusion: Looks,
    pub duckdb: Option<Looks>,
}

impl Readers {
    /// Readers of `table`, in which nothing but the candles of `expected` may ever be seen.
    pub fn start(table: &Path, expected: &[String]) -> Readers {
        let rows = Arc::new(expected.iter().cloned().collect::<BTreeSet<_>>());
        Readers {
            files: Reader::start(Files::new(table, &rows)),
            datafusion: Reader::start(Sessions::new(table, &rows)),
            duckdb: is_real_broker().then(|| DuckDb::start(table, expected)),
        }
    }

    /// Fails if something was seen that must not be.
    pub fn check(&mut self) {
        self.files.check();
        self.datafusion.check();
        if let Some(duckdb) = &mut self.duckdb {
            duckdb.check();
        }
    }

    /// Ends after a last look of each, which must have seen `candles`.
    pub fn end(self, candles: usize) -> Reads {
        let reads = Reads {
            files: self.files.end(),
            datafusion: self.datafusion.end(),
            duckdb: self.duckdb.map(DuckDb::end),
        };
        let last = [Some(reads.files), Some(reads.datafusion), reads.duckdb];
        for looks in last.into_iter().flatten() {
            assert_eq!(looks.last, candles, "{reads:?}");
        }
        reads
    }
}

/// A thread that reads until it is told to end, or sees what must not be.
struct Reader {
    stop: Arc<AtomicBool>,
    wrong: Arc<Mutex<Option<String>>>,
    thread: Option<JoinHandle<Looks>>,
}

impl Reader {
    fn start(mut reader: impl Look) -> Reader {
        let (stop, wrong) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(None)));
        let (stopping, saw) = (Arc::clone(&stop), Arc::clone(&wrong));
        let thread = std::thread::spawn(move || {
            let mut looks = Looks::default();
            loop {
                // Before the last look, so that it sees everything.
                let last = stopping.load(Ordering::Relaxed);
                let begun = Instant::now();
                if let Err(error) = reader.look(&mut looks) {
                    *saw.lock().unwrap() = Some(error);
                    return looks;
                }
                if last {
                    return looks;
                }
                std::thread::sleep(begun.elapsed().max(REST));
            }
        });
        Reader {
            stop,
            wrong,
            thread: Some(thread),
        }
    }

    fn check(&self) {
        if let Some(wrong) = self.wrong.lock().unwrap().as_ref() {
            panic!("{wrong}");
        }
    }

    fn end(mut self) -> Looks {
        self.stop.store(true, Ordering::Relaxed);
        let looks = self.thread.take().unwrap().join().unwrap();
        self.check();
        looks
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// `duckdb_watch.py`, which looks until its standard input ends.
struct DuckDb {
    child: Child,
    /// The file of the expected candles.
    _expected: tempfile::NamedTempFile,
}

impl DuckDb {
    fn start(table: &Path, expected: &[String]) -> DuckDb {
        let python = std::env::var(TEST_PYTHON).unwrap_or_else(|_| {
            panic!("on a real Kafka DuckDB reads along: export {TEST_PYTHON}=$(.ci/python)")
        });
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let header = "symbol,window_start,window_end,open,high,low,close,volume,trades\n";
        let text = format!("{header}{}\n", expected.join("\n"));
        file.write_all(text.as_bytes()).unwrap();
        let child = Command::new(python)
            .arg(SCRIPT)
            .args([table, file.path()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        DuckDb {
            child,
            _expected: file,
        }
    }

    fn check(&mut self) {
        if self.child.try_wait().unwrap().is_some() {
            let (_, said) = self.said();
            panic!("DuckDB: {said}");
        }
    }

    /// What it said at its end, on standard output and on standard error.
    fn said(&mut self) -> (String, String) {
        let mut said = [String::new(), String::new()];
        let outputs: [Box<dyn std::io::Read>; 2] = [
            Box::new(self.child.stdout.take().unwrap()),
            Box::new(self.child.stderr.take().unwrap()),
        ];
        for (text, mut output) in said.iter_mut().zip(outputs) {
            output.read_to_string(text).unwrap();
        }
        said.into()
    }

    fn end(mut self) -> Looks {
        drop(self.child.stdin.take());
        let begun = Instant::now();
        while self.child.try_wait().unwrap().is_none() {
            assert!(begun.elapsed() < LAST_LOOKS, "DuckDB reads on");
            std::thread::sleep(Duration::from_millis(10));
        }
        let (counts, wrong) = self.said();
        assert!(self.child.wait().unwrap().success(), "DuckDB: {wrong}");
        let counts: Vec<usize> = counts
            .split_whitespace()
            .map(|count| count.parse().unwrap())
            .collect();
        let [looks, compared, last] = counts[..] else {
            panic!("three counts, not {counts:?}");
        };
        Looks {
            looks,
            compared,
            last,
        }
    }
}

impl Drop for DuckDb {
    fn drop(&mut self) {
        // Fails when it has ended, which is what we want.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
