//! A running stockpulse-ingest, whose log is read along.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use crate::bench::error::BenchError;
use crate::bench::process::Running;
use crate::bench::programs::{Job, Programs};
use crate::bench::stop::Stop;

/// What stockpulse-ingest logs when it polls for the first time.
const READING_BEGINS: &str = "reading begins";
/// Lines that wait to be looked at, and lines that are shown of a job that ended.
const LINES_MAX: usize = 256;
const LAST_LINES: usize = 10;
/// Longest wait for anything that a job is to do.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often is looked while something is waited for.
pub(in crate::bench) const LOOK_EVERY: Duration = Duration::from_millis(2);

/// The process and what it has said.
pub(in crate::bench) struct LiveJob {
    pub(in crate::bench) process: Running,
    pub(in crate::bench) spawned: Instant,
    lines: Receiver<(Instant, String)>,
    last: VecDeque<String>,
    reads_since: Option<Instant>,
    /// What is waited for, and whether it was said.
    awaited: Option<String>,
    has_said: bool,
}

impl LiveJob {
    pub(in crate::bench) fn start(
        programs: &Programs,
        job: &Job<'_>,
    ) -> Result<LiveJob, BenchError> {
        let mut command = programs.ingest(job);
        command
            .env("STOCKPULSE_LOG", "info")
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let spawned = Instant::now();
        let mut process = Running::start("stockpulse-ingest", &mut command)?;
        let (sender, lines) = sync_channel(LINES_MAX);
        if let Some(log) = process.child().stderr.take() {
            std::thread::spawn(move || follow(log, &sender));
        }
        Ok(LiveJob {
            process,
            spawned,
            lines,
            last: VecDeque::new(),
            reads_since: None,
            awaited: None,
            has_said: false,
        })
    }

    /// Takes what it has said; an error if it has ended.
    pub(in crate::bench) fn look(&mut self) -> Result<(), BenchError> {
        let ended = self.process.ended();
        while let Ok((at, line)) = self.lines.try_recv() {
            if self.reads_since.is_none() && line.contains(READING_BEGINS) {
                self.reads_since = Some(at);
            }
            let awaited = self.awaited.as_ref();
            self.has_said |= awaited.is_some_and(|awaited| line.contains(awaited));
            self.last.push_back(line);
            if self.last.len() > LAST_LINES {
                self.last.pop_front();
            }
        }
        let Some(status) = ended else {
            return Ok(());
        };
        let said: Vec<&str> = self.last.iter().map(String::as_str).collect();
        let said = said.join("\n");
        Err(BenchError::Failed(format!(
            "stockpulse-ingest ended ({status}); the last it said:\n{said}"
        )))
    }

    /// Looks at it again and again until `done` has something.
    pub(in crate::bench) fn until<T>(
        &mut self,
        what: &str,
        stop: &Stop,
        mut done: impl FnMut(&LiveJob) -> Result<Option<T>, BenchError>,
    ) -> Result<T, BenchError> {
        let since = Instant::now();
        loop {
            self.look()?;
            if let Some(done) = done(self)? {
                return Ok(done);
            }
            if since.elapsed() > PATIENCE {
                let limit = PATIENCE.as_secs();
                let text = format!("{what}: nothing of it after {limit} s");
                return Err(BenchError::Failed(text));
            }
            stop.sleep(LOOK_EVERY)?;
        }
    }

    /// Waits for a line with this in it; lines that came before are not looked through.
    pub(in crate::bench) fn until_said(
        &mut self,
        text: &str,
        stop: &Stop,
    ) -> Result<(), BenchError> {
        self.awaited = Some(text.to_owned());
        self.has_said = false;
        self.until(text, stop, |job| Ok(job.has_said.then_some(())))
    }

    /// Waits until it reads: how long that took since it was spawned.
    pub(in crate::bench) fn first_poll(&mut self, stop: &Stop) -> Result<Duration, BenchError> {
        let at = self.until("the job's first poll", stop, |job| Ok(job.reads_since))?;
        Ok(at - self.spawned)
    }
}

/// Hands on each line with the time at which it came, until the log ends or nobody looks any more.
fn follow(log: impl Read, lines: &SyncSender<(Instant, String)>) {
    for line in BufReader::new(log).lines() {
        let Ok(line) = line else {
            return;
        };
        if lines.send((Instant::now(), line)).is_err() {
            return;
        }
    }
}
