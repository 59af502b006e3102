//! The shipped binaries as a user runs them: in a folder of their own, with no environment but what a
//! test sets; what they say can be waited for while they run.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::broker::{PATIENCE, TestBroker};

pub const INGEST: &str = env!("CARGO_BIN_EXE_stockpulse-ingest");
pub const PRODUCER: &str = env!("CARGO_BIN_EXE_stockpulse-producer");
pub const STOCKPULSE: &str = env!("CARGO_BIN_EXE_stockpulse");
/// The main job.
pub const OHLC: &str = include_str!("../../../sql/ohlc.sql");
/// Recorded frames.
pub const TICKS: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/data/xrpeth_ticks.ndjson.gz"
);

/// A working directory with the main job in it, and where the job's data goes.
pub struct Folder(TempDir);

impl Folder {
    pub fn new() -> Folder {
        let folder = Folder(tempfile::tempdir().unwrap());
        folder.file("ohlc.sql", OHLC);
        folder
    }

    /// The main job as it is, but a partition is idle after so many milliseconds.
    pub fn with_idle_ms(idle_ms: u64) -> Folder {
        let folder = Folder::new();
        let before = "connector = 'kafka',";
        assert!(OHLC.contains(before));
        let option = format!("{before}\n    idle_micros = {},", idle_ms * 1000);
        folder.file("ohlc.sql", &OHLC.replacen(before, &option, 1));
        folder
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn file(&self, name: &str, text: &str) {
        std::fs::write(self.path().join(name), text).unwrap();
    }

    pub fn table(&self) -> PathBuf {
        self.path().join("data/ohlc")
    }

    pub fn checkpoints(&self) -> PathBuf {
        self.path().join("data/_checkpoints/ohlc")
    }

    /// The newest checkpoint's file.
    pub fn newest_checkpoint(&self) -> PathBuf {
        self.checkpoint().expect("a checkpoint")
    }

    /// The newest checkpoint's file, if there is one.
    pub fn checkpoint(&self) -> Option<PathBuf> {
        let entries = std::fs::read_dir(self.checkpoints()).ok()?;
        let documents = entries.map(|entry| entry.unwrap().path()).filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "json")
        });
        documents.max()
    }

    /// `stockpulse-ingest … ohlc.sql` on the topic of `broker`.
    pub fn ingest(&self, broker: &TestBroker, arguments: &[&str]) -> Run {
        Run::new(INGEST, self.path())
            .arguments(&["ohlc.sql"])
            .arguments(arguments)
            .conf("spark.stockpulse.var.KAFKA_TOPIC", &broker.topic)
            .conf("spark.ui.enabled", "false")
            .env("KAFKA_BROKER", &broker.bootstrap)
    }

    /// `stockpulse-ingest --available-now … ohlc.sql`, which must end well.
    pub fn available_now(&self, broker: &TestBroker, arguments: &[&str]) -> Ended {
        let ended = self
            .ingest(broker, arguments)
            .arguments(&["--available-now"])
            .end();
        assert_eq!(ended.code, Some(0), "{}", ended.said);
        ended
    }
}

impl Drop for Folder {
    /// What a failed test leaves is kept where `STOCKPULSE_TEST_KEEP` is set.
    fn drop(&mut self) {
        if std::thread::panicking() && std::env::var_os("STOCKPULSE_TEST_KEEP").is_some() {
            self.0.disable_cleanup(true);
            eprintln!("kept: {}", self.path().display());
        }
    }
}

/// A command line.
pub struct Run(Command);

impl Run {
    pub fn new(program: &str, folder: &Path) -> Run {
        let mut command = Command::new(program);
        command
            .current_dir(folder)
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Run(command)
    }

    pub fn arguments(mut self, arguments: &[&str]) -> Run {
        self.0.args(arguments);
        self
    }

    pub fn conf(self, name: &str, value: &str) -> Run {
        self.arguments(&["--conf", &format!("{name}={value}")])
    }

    pub fn env(mut self, name: &str, value: &str) -> Run {
        self.0.env(name, value);
        self
    }

    /// The shell script in a mount namespace of its own, in which it may mount what it likes; this command line is
    /// its arguments.
    pub fn in_own_mounts(self, script: &str) -> Run {
        let inner = self.0;
        let folder = inner.get_current_dir().expect("a folder");
        let mut run = Run::new("unshare", folder).arguments(&[
            "--user",
            "--map-root-user",
            "--mount",
            "sh",
            "-euc",
            script,
            "sh",
        ]);
        run.0.arg(inner.get_program()).args(inner.get_args());
        let set = inner
            .get_envs()
            .filter_map(|(name, value)| Some((name, value?)));
        run.0.envs(set);
        run.0.env("PATH", std::env::var_os("PATH").unwrap());
        run
    }

    pub fn start(mut self) -> Started {
        let mut child = self.0.spawn().unwrap();
        let said = Said::default();
        let readers = vec![
            said.follow(child.stdout.take().unwrap(), true),
            said.follow(child.stderr.take().unwrap(), false),
        ];
        Started {
            child,
            said,
            readers,
        }
    }

    /// Runs to the end.
    pub fn end(self) -> Ended {
        self.start().end()
    }
}

/// How a run ended, and everything it said.
#[derive(Debug)]
pub struct Ended {
    /// `None`: by a signal.
    pub code: Option<i32>,
    /// Both outputs as they came: which of two lines of different outputs is first is chance.
    pub said: String,
    /// What it printed to its standard output alone.
    pub printed: String,
}

/// A run under way; it is killed if it has not ended before this goes.
pub struct Started {
    child: Child,
    said: Said,
    readers: Vec<JoinHandle<()>>,
}

impl Started {
    /// `TERM` or `INT`.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .args([format!("-{name}"), self.child.id().to_string()])
            .status();
        assert!(sent.unwrap().success());
    }

    /// `kill -9`.
    pub fn kill(mut self) -> Ended {
        self.child.kill().unwrap();
        self.end()
    }

    /// Waits until it has said `text`; what it has said by then.
    pub fn wait_for(&self, text: &str) -> String {
        let said = self.said.wait(PATIENCE, |said| said.text.contains(text));
        assert!(said.contains(text), "never said \"{text}\":\n{said}");
        said
    }

    /// Whether it has ended after so long.
    pub fn ends_within(&self, limit: Duration) -> bool {
        self.said.wait(limit, |said| said.closed == 2);
        self.said.state.lock().unwrap().closed == 2
    }

    /// Waits for the end.
    pub fn end(mut self) -> Ended {
        if !self.ends_within(PATIENCE) {
            let said = self.said.state.lock().unwrap().text.clone();
            panic!("it runs on:\n{said}");
        }
        for reader in self.readers.drain(..) {
            reader.join().unwrap();
        }
        let code = self.child.wait().unwrap().code();
        let state = self.said.state.lock().unwrap();
        Ended {
            code,
            said: state.text.clone(),
            printed: state.printed.clone(),
        }
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        // Fails when it has ended, which is what we want.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a process has said so far.
#[derive(Clone, Default)]
struct Said {
    state: Arc<Mutex<SaidState>>,
    more: Arc<Condvar>,
}

#[derive(Default)]
struct SaidState {
    text: String,
    /// What of `text` came from the standard output.
    printed: String,
    /// Outputs that are at their end.
    closed: usize,
}

impl Said {
    fn follow(&self, mut output: impl Read + Send + 'static, is_printed: bool) -> JoinHandle<()> {
        let said = self.clone();
        std::thread::spawn(move || {
            let mut piece = [0; 4096];
            loop {
                let length = output.read(&mut piece).unwrap_or(0);
                let mut state = said.state.lock().unwrap();
                let text = String::from_utf8_lossy(&piece[..length]);
                state.text.push_str(&text);
                if is_printed {
                    state.printed.push_str(&text);
                }
                state.closed += usize::from(length == 0);
                said.more.notify_all();
                if length == 0 {
                    return;
                }
            }
        })
    }

    /// Until `enough` says so, both outputs are closed, or time is up.
    fn wait(&self, limit: Duration, enough: impl Fn(&SaidState) -> bool) -> String {
        let end = Instant::now() + limit;
        let mut state = self.state.lock().unwrap();
        while !enough(&state) && state.closed < 2 {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state = self.more.wait_timeout(state, left).unwrap().0;
        }
        state.text.clone()
    }
}
