//! `stockpulse bench scale`: how cost grows, one thing varied at a time.
//!
//! A row is the job over a topic of its own beside the bare consumer, as in a backlog. The topics are small, so that
//! the whole takes minutes: of a second's run about a tenth is the start of the process, the same in every row.

mod memory;
mod report;
mod settings;

use self::report::{Report, Row};
use self::settings::{Setting, base, settings};
use super::cluster::Cluster;
use super::error::BenchError;
use super::programs::Programs;
use super::report::{cores, show};
use super::rounds::Rounds;
use super::scratch::Scratch;
use super::stop::Stop;
use super::topic::Topic;
use crate::config::bench::{BenchAxis, JobArgs, ScaleArgs};

/// What the settings need of the number of ticks: every number of ticks in a message divides it.
const TICKS_MULTIPLE: u64 = 100;

/// Measures it, and reports.
pub(super) fn measure(args: &ScaleArgs, stop: &Stop) -> Result<(), BenchError> {
    if !args.ticks.is_multiple_of(TICKS_MULTIPLE) {
        let text = format!("--ticks {} is no multiple of {TICKS_MULTIPLE}", args.ticks);
        return Err(BenchError::Usage(text));
    }
    let programs = Programs::find()?;
    let cluster = Cluster::new(&args.kafka)?;
    let scratch = Scratch::new(args.output.work_dir.as_deref(), false)?;
    let usual = base(args.ticks);
    let ready = |content| Topic::ready(&cluster, content, None, false, stop);
    let mut usual_topic = None;
    let settings = settings(args.ticks, &args.axis);
    let mut rows = Vec::new();
    for (at, setting) in settings.iter().enumerate() {
        let (number, of) = (at + 1, settings.len());
        eprintln!(
            "{number} of {of}: {}: {}",
            setting.axis_name(),
            setting.value
        );
        let other;
        let topic = match (setting.content.name() == usual.name(), &mut usual_topic) {
            (false, _) => {
                other = ready(&setting.content)?;
                &other
            }
            (true, Some(topic)) => topic,
            (true, none) => none.insert(ready(&usual)?),
        };
        let row = measure_row(args, setting, topic, &programs, &scratch, stop)?;
        rows.push(row);
    }
    let open = match args.axis.is_empty() || args.axis.contains(&BenchAxis::Memory) {
        true => memory::measure(args, &programs, &cluster, &scratch, stop)?,
        false => Vec::new(),
    };
    let report = Report {
        ticks: args.ticks,
        rounds: args.rounds,
        cores: cores(),
        rows,
        open,
    };
    show(&report, args.output.json, || report.json());
    Ok(())
}

fn measure_row(
    args: &ScaleArgs,
    setting: &Setting,
    topic: &Topic,
    programs: &Programs,
    scratch: &Scratch,
    stop: &Stop,
) -> Result<Row, BenchError> {
    let job = JobArgs {
        master: setting.master.clone(),
        conf: Vec::new(),
    };
    let rounds = Rounds {
        programs,
        kafka: &args.kafka,
        topic,
        sql: &scratch.file("scale.sql", &setting.sql)?,
        job: &job,
        ticks: args.ticks,
        stop,
    };
    Ok(Row::new(setting, rounds.run(scratch, args.rounds)?))
}
