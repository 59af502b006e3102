//! A child process and what it costs: time, CPU time and memory.

use std::io;
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::error::BenchError;
use super::stop::Stop;

/// How often a running child is looked at; the resolution of wall times.
const SAMPLE_EVERY: Duration = Duration::from_millis(5);
/// Longest that a child may run that is to end by itself.
const RUN_TIMEOUT: Duration = Duration::from_secs(3_600);
/// Linux reports CPU times in hundredths of a second, on every machine that Rust runs on.
const CLOCK_TICKS_PER_SECOND: f64 = 100.0;

/// What a process cost. CPU and memory are known on Linux only.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Cost {
    /// From its start to its end, seconds.
    pub(super) wall_s: f64,
    /// User and system time of all its threads, seconds, to a hundredth.
    pub(super) cpu_s: Option<f64>,
    /// Most memory that was resident at once, bytes.
    pub(super) peak_rss_bytes: Option<u64>,
    /// Most of it that was no page of a file, bytes, as far as it was seen every few milliseconds.
    pub(super) peak_anon_bytes: Option<u64>,
}

/// What of a process is resident, bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct Memory {
    pub(super) rss_bytes: u64,
    /// No pages of a file: heap and stacks.
    pub(super) anon_bytes: u64,
    /// Pages of files: the program itself, above all.
    pub(super) file_bytes: u64,
    /// The most that `rss_bytes` has been.
    pub(super) peak_rss_bytes: u64,
}

/// A child that is killed if it runs when this goes.
pub(super) struct Running(Child);

impl Running {
    pub(super) fn start(what: &str, command: &mut Command) -> Result<Running, BenchError> {
        let child = command.spawn();
        child
            .map(Running)
            .map_err(|e| BenchError::Failed(format!("{what} could not be started: {e}")))
    }

    /// The child itself, for its pipes.
    pub(super) fn child(&mut self) -> &mut Child {
        &mut self.0
    }

    /// How it ended, if it has.
    pub(super) fn ended(&mut self) -> Option<ExitStatus> {
        self.0.try_wait().ok().flatten()
    }

    /// User and system time so far, seconds.
    pub(super) fn cpu_s(&self) -> Option<f64> {
        stat(self.0.id()).map(|(_, cpu_s)| cpu_s)
    }

    /// What it holds now.
    pub(super) fn memory(&self) -> Option<Memory> {
        memory(self.0.id())
    }

    /// `kill -9`, and waits until it is gone.
    pub(super) fn kill(self) {
        drop(self);
    }

    /// Waits for its end. A child that has ended stays in the process table until it is waited for: its final
    /// CPU time is read there first.
    fn wait(&mut self, cost: &mut Cost, stop: &Stop) -> Result<io::Result<ExitStatus>, BenchError> {
        let since = Instant::now();
        let id = self.0.id();
        loop {
            match stat(id) {
                Some((ended, cpu_s)) => {
                    cost.cpu_s = Some(cpu_s);
                    if ended {
                        return Ok(self.0.wait());
                    }
                    if let Some(memory) = memory(id) {
                        cost.peak_rss_bytes = Some(memory.peak_rss_bytes);
                        cost.peak_anon_bytes = cost.peak_anon_bytes.max(Some(memory.anon_bytes));
                    }
                }
                None => match self.0.try_wait() {
                    Ok(None) => {}
                    Ok(Some(status)) => return Ok(Ok(status)),
                    Err(error) => return Ok(Err(error)),
                },
            }
            stop.check()?;
            if since.elapsed() > RUN_TIMEOUT {
                let limit = RUN_TIMEOUT.as_secs();
                let text = format!("a measured program still ran after {limit} s; it was ended");
                return Err(BenchError::Failed(text));
            }
            std::thread::sleep(SAMPLE_EVERY);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Fails when it has ended, which is what we want.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs a command to its end, which must be a good one. What it was given for standard output and error stays
/// its own.
pub(super) fn succeed(what: &str, command: &mut Command, stop: &Stop) -> Result<Cost, BenchError> {
    match measure(what, command, stop)? {
        (status, cost) if status.success() => Ok(cost),
        (status, _) => Err(BenchError::Failed(format!("{what} failed: {status}"))),
    }
}

fn measure(
    what: &str,
    command: &mut Command,
    stop: &Stop,
) -> Result<(ExitStatus, Cost), BenchError> {
    let started = Instant::now();
    let mut running = Running::start(what, command)?;
    let mut cost = Cost {
        wall_s: 0.0,
        cpu_s: None,
        peak_rss_bytes: None,
        peak_anon_bytes: None,
    };
    let status = running
        .wait(&mut cost, stop)?
        .map_err(|e| BenchError::Failed(format!("{what} cannot be waited for: {e}")))?;
    cost.wall_s = started.elapsed().as_secs_f64();
    Ok((status, cost))
}

/// Whether the process has ended, and its CPU seconds.
fn stat(pid: u32) -> Option<(bool, f64)> {
    parse_stat(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// `pid (name) state …`; the name may hold anything. utime and stime are fields 14 and 15.
fn parse_stat(stat: &str) -> Option<(bool, f64)> {
    let (_, fields) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = fields.split_ascii_whitespace().collect();
    let ended = matches!(*fields.first()?, "Z" | "X");
    let user: u64 = fields.get(11)?.parse().ok()?;
    let system: u64 = fields.get(12)?.parse().ok()?;
    Some((ended, (user + system) as f64 / CLOCK_TICKS_PER_SECOND))
}

fn memory(pid: u32) -> Option<Memory> {
    parse_memory(&std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?)
}

fn parse_memory(status: &str) -> Option<Memory> {
    let bytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(kibibytes * 1024)
    };
    Some(Memory {
        rss_bytes: bytes("VmRSS:")?,
        anon_bytes: bytes("RssAnon:")?,
        file_bytes: bytes("RssFile:")?,
        peak_rss_bytes: bytes("VmHWM:")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_is_read_behind_any_name() {
        let stat = "7 (a) Z (b) R 1 7 7 0 -1 4194304 100 0 0 0 150 25 0 0 20 0 3 0 100 1000 10";
        assert_eq!(parse_stat(stat), Some((false, 1.75)));
        let zombie = "7 (x) Z 1 7 7 0 -1 4194304 100 0 0 0 2 3 0 0 20 0 3 0 100 0 0";
        assert_eq!(parse_stat(zombie), Some((true, 0.05)));
        assert_eq!(parse_stat("7 (x) Z 1"), None);
    }

    #[test]
    fn memory_is_read() {
        let status = "Name:\tx\nVmHWM:\t   16384 kB\nVmRSS:\t  300 kB\nRssAnon:\t 200 kB\nRssFile:\t 100 kB\n";
        let memory = Memory {
            rss_bytes: 307_200,
            anon_bytes: 204_800,
            file_bytes: 102_400,
            peak_rss_bytes: 16_777_216,
        };
        assert_eq!(parse_memory(status), Some(memory));
        assert_eq!(parse_memory("Name:\tx\nVmHWM:\t 1 kB\n"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_child_is_measured_to_its_end() {
        let count = "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; exit 3";
        let mut command = Command::new("sh");
        command.args(["-c", count]);
        let (status, cost) = measure("a loop", &mut command, &Stop::default()).unwrap();
        assert_eq!(status.code(), Some(3));
        assert!(cost.wall_s > 0.0 && cost.cpu_s.is_some_and(|cpu| cpu <= cost.wall_s + 0.02));
        assert!(cost.peak_rss_bytes.is_none_or(|bytes| bytes > 100_000));
        let failed = succeed("a loop", &mut command, &Stop::default()).unwrap_err();
        assert!(failed.to_string().contains("a loop failed"), "{failed}");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_child_does_not_outlive_a_stop() {
        let stop = Stop::default();
        stop.set();
        let mut command = Command::new("sleep");
        command.arg("3600");
        let stopped = measure("a sleep", &mut command, &stop).unwrap_err();
        assert!(matches!(stopped, BenchError::Stopped));
    }
}
