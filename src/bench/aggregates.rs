//! `stockpulse bench aggregates`: what an aggregate costs a job, and what it costs DataFusion.
//!
//! Both are differences of CPU time: the job of `sql/ohlc.sql` with one aggregate more, less the job without it, on the
//! same topic; a query of DataFusion over Parquet files of the same ticks, which a job has written, with the aggregate
//! less without it. Every run is a process of its own, and all have the same number of threads.

use std::fmt;
use std::path::Path;

use serde::Serialize;

use super::cluster::Cluster;
use super::error::BenchError;
use super::process::Cost;
use super::programs::{Job, Programs, written};
use super::report::{Spread, cores, grouped, pretty, show, shown};
use super::scratch::Scratch;
use super::sql::{OHLC, every_tick, with_aggregate};
use super::stop::Stop;
use super::topic::{Content, Topic};
use crate::config::bench::{AggregatesArgs, JobArgs};

/// What is measured if nothing else is asked for: of a fixed size, every value, and one that wants its rows in order.
const USUAL: [&str; 5] = [
    "avg(price)",
    "stddev(price)",
    "approx_percentile_cont(price, 0.5)",
    "approx_percentile_cont(0.5) WITHIN GROUP (ORDER BY price)",
    "count(DISTINCT price)",
];
/// Less CPU time than this cannot be told from none, seconds: as much as runs of the same differ by.
const LEAST_CPU_S: f64 = 0.05;

/// What was measured.
#[derive(Debug, Serialize)]
struct Report {
    ticks: u64,
    symbols: u32,
    threads: u32,
    rounds: u32,
    cores: usize,
    /// CPU seconds without any of them.
    job_cpu_s: Option<Spread>,
    query_cpu_s: Option<Spread>,
    aggregates: Vec<Added>,
}

/// What an aggregate adds.
#[derive(Debug, Serialize)]
struct Added {
    aggregate: String,
    /// CPU seconds.
    job_cpu_s: f64,
    query_cpu_s: f64,
    /// None where DataFusion's is too little to tell.
    ratio: Option<f64>,
}

/// Measures it, and reports.
pub(super) fn measure(args: &AggregatesArgs, stop: &Stop) -> Result<(), BenchError> {
    let programs = Programs::find()?;
    let cluster = Cluster::new(&args.kafka)?;
    let content = Content::new(args.ticks, &args.market);
    let topic = Topic::ready(&cluster, &content, args.topic.as_deref(), args.keep, stop)?;
    let bench = Bench {
        args,
        programs,
        topic,
        job: JobArgs {
            master: format!("local[{}]", args.threads),
            conf: Vec::new(),
        },
        scratch: Scratch::new(args.output.work_dir.as_deref(), false)?,
        stop,
    };
    let report = bench.run()?;
    show(&report, args.output.json, || pretty(&report));
    Ok(())
}

/// What every run needs.
struct Bench<'a> {
    args: &'a AggregatesArgs,
    programs: Programs,
    topic: Topic,
    job: JobArgs,
    scratch: Scratch,
    stop: &'a Stop,
}

impl Bench<'_> {
    fn run(&self) -> Result<Report, BenchError> {
        let asked = match self.args.aggregate.is_empty() {
            true => USUAL.map(str::to_owned).to_vec(),
            false => self.args.aggregate.clone(),
        };
        let ticks = self.scratch.folder("ticks")?;
        let table = self.ticks(&ticks)?;
        // The first of each is without any.
        let runs: Vec<Option<&str>> = (std::iter::once(None))
            .chain(asked.iter().map(|aggregate| Some(aggregate.as_str())))
            .collect();
        let mut job_cpu = vec![Vec::new(); runs.len()];
        let mut query_cpu = vec![Vec::new(); runs.len()];
        for round in 1..=self.args.rounds {
            for (at, &aggregate) in runs.iter().enumerate() {
                let job = self.job(aggregate)?;
                let query = self.query(&table, aggregate)?;
                let shown = aggregate.unwrap_or("nothing more");
                let (round, of) = (round, self.args.rounds);
                eprintln!("round {round} of {of}: {shown}: job {job:.2} CPU s, query {query:.2}");
                job_cpu[at].push(job);
                query_cpu[at].push(query);
            }
        }
        let added = |cpu: &[Vec<f64>], at: usize| least(&cpu[at]) - least(&cpu[0]);
        let aggregates = asked.into_iter().enumerate().map(|(at, aggregate)| {
            let (job, query) = (added(&job_cpu, at + 1), added(&query_cpu, at + 1));
            Added {
                aggregate,
                job_cpu_s: job,
                query_cpu_s: query,
                ratio: ratio(job, query),
            }
        });
        Ok(Report {
            ticks: self.args.ticks,
            symbols: self.args.market.symbols,
            threads: self.args.threads,
            rounds: self.args.rounds,
            cores: cores(),
            aggregates: aggregates.collect(),
            job_cpu_s: Spread::of(job_cpu[0].clone()),
            query_cpu_s: Spread::of(query_cpu[0].clone()),
        })
    }

    /// Every tick of the topic as Parquet files: their folder.
    fn ticks(&self, folder: &Path) -> Result<std::path::PathBuf, BenchError> {
        let sql = self.scratch.file("ticks.sql", &every_tick())?;
        let job = self.of(&sql, folder);
        self.programs.backlog(&job, self.stop)?;
        let (rows, _) = written(&job.table())?;
        match rows == self.args.ticks {
            true => Ok(job.table()),
            false => Err(BenchError::Failed(format!(
                "{rows} of {} ticks were written to Parquet",
                self.args.ticks
            ))),
        }
    }

    fn of<'a>(&'a self, sql: &'a Path, folder: &'a Path) -> Job<'a> {
        Job {
            sql,
            broker: &self.args.kafka.broker,
            topic: &self.topic.name,
            args: &self.job,
            folder,
        }
    }

    /// CPU seconds of the job.
    fn job(&self, aggregate: Option<&str>) -> Result<f64, BenchError> {
        let sql = aggregate.map_or_else(|| OHLC.to_owned(), with_aggregate);
        let sql = self.scratch.file("aggregate.sql", &sql)?;
        let folder = self.scratch.folder("round")?;
        cpu_s(self.programs.backlog(&self.of(&sql, &folder), self.stop)?)
    }

    /// CPU seconds of the query.
    fn query(&self, table: &Path, aggregate: Option<&str>) -> Result<f64, BenchError> {
        let more = aggregate.map_or_else(String::new, |aggregate| format!(", {aggregate}"));
        let statement = format!(
            "SELECT symbol, date_trunc('minute', event_time) AS minute, min(price), max(price), sum(volume), \
             count(*){more} FROM candles GROUP BY symbol, minute"
        );
        let threads = self.args.threads;
        cpu_s(self.programs.query(table, threads, &statement, self.stop)?)
    }
}

fn cpu_s(cost: Cost) -> Result<f64, BenchError> {
    let unknown = || BenchError::Failed("CPU times are known on Linux only".to_owned());
    cost.cpu_s.ok_or_else(unknown)
}

/// The round that was disturbed least: whatever else a machine does only adds to a program's CPU time.
fn least(rounds: &[f64]) -> f64 {
    rounds.iter().copied().fold(f64::INFINITY, f64::min)
}

fn ratio(job: f64, query: f64) -> Option<f64> {
    (query >= LEAST_CPU_S).then(|| job.max(0.0) / query)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} ticks, {} symbols, {} rounds, {} threads, {} cores; CPU seconds of the least round\n",
            grouped(self.ticks),
            self.symbols,
            self.rounds,
            self.threads,
            self.cores
        )?;
        writeln!(
            f,
            "| what it adds | to the job | to DataFusion's query | ratio |"
        )?;
        writeln!(f, "|---|---|---|---|")?;
        for added in &self.aggregates {
            let ratio = match added.ratio {
                Some(ratio) => format!("{ratio:.2}"),
                None => "too little to tell".to_owned(),
            };
            let (job, query) = (added.job_cpu_s, added.query_cpu_s);
            writeln!(
                f,
                "| `{}` | {job:.2} | {query:.2} | {ratio} |",
                added.aggregate
            )?;
        }
        let [job, query] = [self.job_cpu_s, self.query_cpu_s].map(|spread| shown(spread, 1.0, 2));
        writeln!(f, "| (all without it) | {job} | {query} | |")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn a_ratio_where_there_is_one_to_tell() {
        let spread = |value| Spread::of(vec![value]);
        let added = |aggregate: &str, job, query| Added {
            aggregate: aggregate.to_owned(),
            job_cpu_s: job,
            query_cpu_s: query,
            ratio: ratio(job, query),
        };
        assert_eq!(least(&[2.5, 2.0, 3.0]), 2.0);
        let report = Report {
            ticks: 10_000_000,
            symbols: 50,
            threads: 1,
            rounds: 1,
            cores: 2,
            job_cpu_s: spread(4.0),
            query_cpu_s: spread(1.0),
            aggregates: vec![
                added("stddev(price)", 0.3, 0.2),
                added("avg(price)", 0.1, 0.01),
            ],
        };
        expect![[r#"
            10,000,000 ticks, 50 symbols, 1 rounds, 1 threads, 2 cores; CPU seconds of the least round

            | what it adds | to the job | to DataFusion's query | ratio |
            |---|---|---|---|
            | `stddev(price)` | 0.30 | 0.20 | 1.50 |
            | `avg(price)` | 0.10 | 0.01 | too little to tell |
            | (all without it) | 4.00 (4.00 to 4.00) | 1.00 (1.00 to 1.00) | |
        "#]]
        .assert_eq(&report.to_string());
    }
}
