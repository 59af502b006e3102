//! A child process and what it cost: time, CPU time and peak memory.

use std::io;
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use serde::Serialize;

/// How often a running child is looked at; the resolution of wall times.
const SAMPLE_EVERY: Duration = Duration::from_millis(5);
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
}

/// Runs a command to its end. What it was given for standard output and error stays its own.
pub(super) fn measure(command: &mut Command) -> io::Result<(ExitStatus, Cost)> {
    let started = Instant::now();
    let child = command.spawn()?;
    let mut cost = Cost {
        wall_s: 0.0,
        cpu_s: None,
        peak_rss_bytes: None,
    };
    let status = wait(child, &mut cost)?;
    cost.wall_s = started.elapsed().as_secs_f64();
    Ok((status, cost))
}

/// A child that has ended stays in the process table until it is waited for: its final CPU time is
/// read there first.
fn wait(mut child: Child, cost: &mut Cost) -> io::Result<ExitStatus> {
    loop {
        match stat(child.id()) {
            Some((ended, cpu_s)) => {
                cost.cpu_s = Some(cpu_s);
                if ended {
                    return child.wait();
                }
                cost.peak_rss_bytes = peak_rss(child.id()).or(cost.peak_rss_bytes);
            }
            None => {
                if let Some(status) = child.try_wait()? {
                    return Ok(status);
                }
            }
        }
        std::thread::sleep(SAMPLE_EVERY);
    }
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

fn peak_rss(pid: u32) -> Option<u64> {
    parse_peak_rss(&std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?)
}

fn parse_peak_rss(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
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
    fn peak_memory_is_read() {
        assert_eq!(
            parse_peak_rss("Name:\tx\nVmHWM:\t   16384 kB\n"),
            Some(16_777_216)
        );
        assert_eq!(parse_peak_rss("Name:\tx\n"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_child_is_measured_to_its_end() {
        let count = "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; exit 3";
        let (status, cost) = measure(Command::new("sh").args(["-c", count])).unwrap();
        assert_eq!(status.code(), Some(3));
        assert!(cost.wall_s > 0.0 && cost.cpu_s.is_some_and(|cpu| cpu <= cost.wall_s + 0.02));
        assert!(cost.peak_rss_bytes.is_none_or(|bytes| bytes > 100_000));
    }
}
