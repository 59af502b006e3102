//! The rounds of a backlog: a bare consumer, then the job, on the same topic.

use std::path::Path;

use super::bare::Counted;
use super::cluster::Cluster;
use super::error::BenchError;
use super::programs::{Job, Programs, written};
use super::report::{Report, Round, show};
use super::scratch::Scratch;
use super::stop::Stop;
use super::topic::{Content, Topic};
use crate::config::bench::{BacklogArgs, BrokerArgs, JobArgs};

/// One topic and one job, to be run in turn with the bare consumer.
pub(super) struct Rounds<'a> {
    pub(super) programs: &'a Programs,
    pub(super) kafka: &'a BrokerArgs,
    pub(super) topic: &'a Topic,
    pub(super) sql: &'a Path,
    pub(super) job: &'a JobArgs,
    /// What the candles' trades must come to, if they have such a column.
    pub(super) ticks: u64,
    pub(super) stop: &'a Stop,
}

/// What the rounds came to.
pub(super) struct Measured {
    pub(super) counted: Counted,
    pub(super) candles: u64,
    pub(super) rounds: Vec<Round>,
}

impl Rounds<'_> {
    /// Runs them. A first run of the bare consumer is not counted: it warms the page cache.
    pub(super) fn run(&self, scratch: &Scratch, rounds: u32) -> Result<Measured, BenchError> {
        let folder = scratch.folder("round")?;
        let bare = |folder: &Path| {
            self.programs
                .bare(self.kafka, self.topic, folder, self.stop)
        };
        let mut measured = Measured {
            counted: bare(&folder)?.0,
            candles: 0,
            rounds: Vec::new(),
        };
        for number in 1..=rounds {
            let folder = scratch.folder("round")?;
            let job = Job {
                sql: self.sql,
                broker: &self.kafka.broker,
                topic: &self.topic.name,
                args: self.job,
                folder: &folder,
            };
            let (_, bare) = bare(&folder)?;
            let ingest = self.programs.backlog(&job, self.stop)?;
            let (candles, trades) = written(&job.table())?;
            if trades.is_some_and(|trades| trades != self.ticks) {
                return Err(BenchError::Failed(format!(
                    "round {number}: the candles hold {} trades, the topic {} ticks",
                    trades.unwrap_or(0),
                    self.ticks
                )));
            }
            eprintln!(
                "round {number} of {rounds}: bare {:.2} s, stockpulse {:.2} s, {candles} candles",
                bare.wall_s, ingest.wall_s
            );
            measured.rounds.push(Round { bare, ingest });
            measured.candles = candles;
        }
        Ok(measured)
    }
}

/// `stockpulse bench backlog`.
pub(super) fn measure(args: &BacklogArgs, stop: &Stop) -> Result<(), BenchError> {
    if !args.sql.is_file() {
        let sql = args.sql.display();
        let text = format!("{sql} is no file; say which job with --sql");
        return Err(BenchError::Usage(text));
    }
    let programs = Programs::find()?;
    let cluster = Cluster::new(&args.kafka)?;
    let content = Content::new(args.ticks, &args.market);
    let topic = Topic::ready(&cluster, &content, args.topic.as_deref(), args.keep, stop)?;
    let scratch = Scratch::new(args.output.work_dir.as_deref(), args.keep)?;
    let rounds = Rounds {
        programs: &programs,
        kafka: &args.kafka,
        topic: &topic,
        sql: &args.sql,
        job: &args.job,
        ticks: args.ticks,
        stop,
    };
    let measured = rounds.run(&scratch, args.rounds)?;
    let report = Report::new(&content, &topic, &args.job.master, measured);
    show(&report, args.output.json, || report.json());
    Ok(())
}
