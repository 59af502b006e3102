//! `stockpulse bench live`: the shipped job at a steady rate of ticks, in a process of its own.
//!
//! Latency is from the broker's answer for the frame that closed a window (on the last of the partitions it
//! brought an event time of window end + delay) until the window's candles can be read in the table's folder. To
//! have many windows in a minute, and to see the engine rather than what a job waits for on purpose, these jobs are
//! `sql/ohlc.sql` with windows of a second, a watermark a second behind and no second of collecting; the rest, the
//! trigger too, is as shipped. CPU and memory are those of `sql/ohlc.sql` as it is. A job is restarted just before a
//! window ends, so that the time to its first new candle is not one of waiting for it.

mod closings;
mod generator;
mod report;
pub(super) mod running;
mod watch;

use std::path::Path;
use std::time::{Duration, Instant};

use self::generator::{Generator, Traffic};
use self::report::{Held, Latency, Percentiles, Report, Restarts};
use self::running::{LOOK_EVERY, LiveJob};
use self::watch::Watch;
use super::cluster::Cluster;
use super::error::BenchError;
use super::programs::{Job, Programs};
use super::report::{Spread, cores, show};
use super::scratch::Scratch;
use super::sql::{OHLC, with_windows};
use super::stop::Stop;
use super::topic::Topic;
use crate::config::bench::LiveArgs;

/// Windows of the jobs whose latency is measured.
const WIDTH_MS: i64 = 1_000;
/// Until what a job does when it starts, and its first windows, are over; less where the measurement is short.
const SETTLE: Duration = Duration::from_secs(5);
/// How long before a window can close a job is killed.
const KILL_AHEAD_MS: i64 = 50;
/// Windows that closed so shortly before the end may not be written.
const LAST_WINDOWS: Duration = Duration::from_secs(3);

/// What every part of it needs.
struct Bench<'a> {
    args: &'a LiveArgs,
    programs: Programs,
    cluster: Cluster,
    scratch: Scratch,
    stop: &'a Stop,
}

/// Measures it, and reports.
pub(super) fn measure(args: &LiveArgs, stop: &Stop) -> Result<(), BenchError> {
    let market = &args.market;
    if market.symbols < market.partitions {
        let (symbols, partitions) = (market.symbols, market.partitions);
        return Err(BenchError::Usage(format!(
            "--symbols {symbols} leave some of --partitions {partitions} without ticks, and no window would close"
        )));
    }
    let bench = Bench {
        args,
        programs: Programs::find()?,
        cluster: Cluster::new(&args.kafka)?,
        scratch: Scratch::new(args.output.work_dir.as_deref(), false)?,
        stop,
    };
    let report = bench.run()?;
    show(&report, args.output.json, || report.json());
    Ok(())
}

impl Bench<'_> {
    fn run(&self) -> Result<Report, BenchError> {
        let args = self.args;
        let (first_poll_s, idle) = self.starts()?;
        let latency = self.latency()?;
        let restart = self.restarts("restart", "a second", 1)?;
        let restart_replay = self.restarts("replay", "the replay", args.replay_seconds)?;
        let (quiet_rate, quiet, idle_after) = self.quiet()?;
        Ok(Report {
            symbols: args.market.symbols,
            partitions: args.market.partitions,
            ticks_per_frame: args.market.ticks_per_frame,
            compression: args.market.compression.name(),
            master: args.job.master.clone(),
            cores: cores(),
            latency,
            quiet_ticks_per_s: quiet_rate,
            quiet,
            idle_after,
            idle,
            first_poll_s,
            restart,
            replay_seconds: args.replay_seconds,
            restart_replay,
        })
    }

    fn topic(&self, part: &str) -> Result<Topic, BenchError> {
        let given = self.args.topic.clone();
        let prefix =
            given.unwrap_or_else(|| format!("stockpulse-bench-live-{}", std::process::id()));
        let name = format!("{prefix}-{part}");
        Topic::empty(&self.cluster, &name, self.args.market.partitions)
    }

    fn start(&self, sql: &Path, topic: &Topic, folder: &Path) -> Result<LiveJob, BenchError> {
        LiveJob::start(&self.programs, &self.job(sql, topic, folder))
    }

    fn job<'a>(&'a self, sql: &'a Path, topic: &'a Topic, folder: &'a Path) -> Job<'a> {
        Job {
            sql,
            broker: &self.cluster.broker,
            topic: &topic.name,
            args: &self.args.job,
            folder,
        }
    }

    fn generate(
        &self,
        topic: &Topic,
        rate: u32,
        before_s: u32,
        delay_ms: i64,
    ) -> Result<Generator, BenchError> {
        let traffic = Traffic {
            cluster: &self.cluster,
            topic: &topic.name,
            market: &self.args.market,
            rate,
            before_s,
            width_ms: WIDTH_MS,
            delay_ms,
        };
        Generator::start(&traffic, self.stop)
    }

    /// Starts on an empty topic, each as if it was the first; the last one is then left alone.
    fn starts(&self) -> Result<(Option<Spread>, Held), BenchError> {
        eprintln!("starting the job {} times, then idle", self.args.kills);
        let topic = self.topic("idle")?;
        let sql = self.scratch.file("ohlc.sql", OHLC)?;
        let mut polls = Vec::new();
        loop {
            let folder = self.scratch.folder("idle")?;
            let mut job = self.start(&sql, &topic, &folder)?;
            polls.push(job.first_poll(self.stop)?.as_secs_f64());
            if polls.len() >= self.args.kills as usize {
                let idle = self.hold(&mut job, self.args.seconds / 3)?;
                return Ok((Spread::of(polls), idle));
            }
            job.process.kill();
        }
    }

    fn latency(&self) -> Result<Latency, BenchError> {
        let (rate, seconds) = (self.args.rate, self.args.seconds);
        eprintln!("{rate} ticks/s for {seconds} s: when candles are readable");
        let topic = self.topic("latency")?;
        let sql = with_windows("1 second", "1 second");
        let sql = self.scratch.file("seconds.sql", &sql)?;
        let folder = self.scratch.folder("latency")?;
        let mut generator = self.generate(&topic, rate, 0, WIDTH_MS)?;
        let mut job = self.start(&sql, &topic, &folder)?;
        let mut watch = Watch::new(self.job(&sql, &topic, &folder).table())?;
        job.until("the first candles", self.stop, |_| {
            watch.look()?;
            Ok((!watch.windows().is_empty()).then_some(()))
        })?;
        self.settle()?;
        watch.look()?;
        let (since, cpu) = (Instant::now(), job.process.cpu_s());
        let time = Duration::from_secs(u64::from(seconds));
        while since.elapsed() < time {
            self.stop.check()?;
            job.look()?;
            watch.look()?;
            if !generator.runs() {
                break;
            }
            std::thread::sleep(LOOK_EVERY);
        }
        let held = Held::between(cpu, &job.process, since.elapsed());
        let until = Instant::now() - LAST_WINDOWS.min(time / 2);
        let ticks_per_s = generator.end()?;
        let closings = generator.closings();
        let (mut ms, mut unseen) = (Vec::new(), 0);
        let closed = closings.passed().iter();
        for (end, &closed) in closed.filter(|&(_, &at)| since <= at && at < until) {
            match watch.windows().get(end) {
                // The job may have it before the broker's answer is here.
                Some(&readable) => {
                    ms.push(readable.saturating_duration_since(closed).as_secs_f64() * 1e3);
                }
                None => unseen += 1,
            }
        }
        Ok(Latency {
            ticks_per_s,
            windows_unseen: unseen,
            readable_ms: Percentiles::of(ms),
            held,
        })
    }

    /// Kills the job just before a window can close, and starts it again at once.
    fn restarts(
        &self,
        name: &str,
        what: &str,
        delay_s: u32,
    ) -> Result<Option<Restarts>, BenchError> {
        let (rate, kills) = (self.args.rate, self.args.kills);
        eprintln!("{rate} ticks/s: {kills} restarts that read {what} again");
        let topic = self.topic(name)?;
        let delay_ms = i64::from(delay_s) * 1_000;
        let sql = with_windows("1 second", &format!("{delay_s} seconds"));
        let sql = self.scratch.file(&format!("{name}.sql"), &sql)?;
        let folder = self.scratch.folder(name)?;
        let mut generator = self.generate(&topic, rate, delay_s + 3, delay_ms)?;
        let mut watch = Watch::new(self.job(&sql, &topic, &folder).table())?;
        let mut job = self.start(&sql, &topic, &folder)?;
        let (mut polls, mut candles) = (Vec::new(), Vec::new());
        for _ in 0..kills {
            let since = Instant::now();
            job.until("candles before a kill", self.stop, |job| {
                watch.look()?;
                let newest = watch.windows().values().max();
                let lived = job.spawned.elapsed().min(since.elapsed());
                let wrote = newest.is_some_and(|&at| at > job.spawned);
                Ok((wrote && lived > Duration::from_secs(2)).then_some(()))
            })?;
            // The end of the window that can close next, but not at once.
            let behind_ms = generator.clock.ms() - delay_ms + 2 * KILL_AHEAD_MS;
            let end = (behind_ms.div_euclid(WIDTH_MS) + 1) * WIDTH_MS;
            let kill_at = end + delay_ms - KILL_AHEAD_MS;
            self.stop.sleep(generator.clock.until(kill_at))?;
            job.process.kill();
            job = self.start(&sql, &topic, &folder)?;
            let readable = job.until("candles after a kill", self.stop, |_| {
                watch.look()?;
                let new = watch.windows().range(end..);
                Ok(new.map(|(_, &at)| at).min())
            })?;
            candles.push(
                readable
                    .saturating_duration_since(job.spawned)
                    .as_secs_f64(),
            );
            polls.push(job.first_poll(self.stop)?.as_secs_f64());
            if !generator.runs() {
                break;
            }
        }
        generator.end()?;
        let spreads = Spread::of(polls).zip(Spread::of(candles));
        Ok(spreads.map(|(first_poll_s, first_candle_s)| Restarts {
            first_poll_s,
            first_candle_s,
        }))
    }

    /// The shipped job at the lower rate, then left alone.
    fn quiet(&self) -> Result<(f64, Held, Held), BenchError> {
        let (rate, seconds) = (self.args.quiet_rate, self.args.seconds);
        eprintln!("{rate} ticks/s for {seconds} s, then idle: CPU and memory");
        let topic = self.topic("quiet")?;
        let sql = self.scratch.file("ohlc.sql", OHLC)?;
        let folder = self.scratch.folder("quiet")?;
        let mut generator = self.generate(&topic, rate, 0, 60_000)?;
        let mut job = self.start(&sql, &topic, &folder)?;
        job.first_poll(self.stop)?;
        self.settle()?;
        let quiet = self.hold(&mut job, seconds)?;
        let ticks_per_s = generator.end()?;
        self.settle()?;
        let idle = self.hold(&mut job, seconds / 3)?;
        Ok((ticks_per_s, quiet, idle))
    }

    fn settle(&self) -> Result<(), BenchError> {
        let third = Duration::from_secs(u64::from(self.args.seconds / 3));
        self.stop.sleep(SETTLE.min(third))
    }

    /// What a job costs for so long.
    fn hold(&self, job: &mut LiveJob, seconds: u32) -> Result<Held, BenchError> {
        let (since, cpu) = (Instant::now(), job.process.cpu_s());
        let time = Duration::from_secs(u64::from(seconds.max(1)));
        while since.elapsed() < time {
            job.look()?;
            self.stop.sleep(Duration::from_millis(100))?;
        }
        Ok(Held::between(cpu, &job.process, since.elapsed()))
    }
}
