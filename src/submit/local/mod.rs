//! Local jobs that run: who they are, how they get on, and how one is stopped.

mod ask;
mod record;

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use serde_json::Value;

pub use record::{Listed, Record, signal};

use super::{launch, read_sql, refuse};
use crate::config::ingest::IngestOptions;
use crate::job::{LastCommit, last_commit};
use crate::model::Exit;

/// How long a job that is stopped may take for its last commit.
const STOP_PATIENCE: Duration = Duration::from_secs(120);
/// How often it is looked whether it has ended.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Enters a job that this process runs, or waits to run again, in the list.
pub fn enter(
    options: &IngestOptions,
    checkpoint: Option<&Path>,
    page: Option<String>,
    waits: bool,
) -> Listed {
    let whole = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let pid = std::process::id();
    Listed::enter(&Record {
        name: options.name.clone(),
        pid,
        born: record::born(pid),
        started_ms: Utc::now().timestamp_millis(),
        sql: whole(&options.sql_path),
        checkpoint: checkpoint.map(whole),
        page,
        waits,
    })
}

/// `--status ID`: ends with 0 where the job runs, else with 1.
pub fn status(id: &str, options: &IngestOptions) -> ExitCode {
    let listed = match record::all() {
        Ok(listed) => listed,
        Err(error) => return refuse(Exit::Failed, &cannot_list(&error)),
    };
    let (running, gone) = of(id, &listed);
    for record in &running {
        tell(&described(record, options));
    }
    if !running.is_empty() {
        return Exit::Done.into();
    }
    let told = checkpoint_of_sql(options);
    let checkpoint = told.or_else(|| gone.last()?.checkpoint.clone());
    if checkpoint.is_none() && gone.is_empty() {
        return refuse(Exit::Failed, &unknown(id, &listed));
    }
    let mut text = format!("{id}: not running\n");
    if let Some(record) = gone.last() {
        let what = format!(
            "process {} of {} is gone without a farewell",
            record.pid,
            moment(record.started_ms)
        );
        line(&mut text, "process", &what);
    }
    commit(&mut text, checkpoint.as_deref());
    tell(&text);
    Exit::Failed.into()
}

/// `--kill ID`: asks the job to stop, and waits until it has.
pub fn kill(id: &str) -> ExitCode {
    let listed = match record::all() {
        Ok(listed) => listed,
        Err(error) => return refuse(Exit::Failed, &cannot_list(&error)),
    };
    let (running, _) = of(id, &listed);
    let record = match running[..] {
        [record] => record,
        [] => return refuse(Exit::Failed, &unknown(id, &listed)),
        _ => {
            let message = format!(
                "several jobs are called {id}; name one by its process: {}",
                names(&running)
            );
            return refuse(Exit::Usage, &message);
        }
    };
    if let Err(error) = signal(record.pid, "TERM") {
        let message = format!("{} cannot be stopped: {error}", named(record));
        return refuse(Exit::Failed, &message);
    }
    let since = Instant::now();
    while record.is_alive() {
        if since.elapsed() >= STOP_PATIENCE {
            let message = format!(
                "{} has not ended {} s after SIGTERM; look at its log. A second SIGTERM ends it at once, and the next run goes on from the last commit",
                named(record),
                STOP_PATIENCE.as_secs()
            );
            return refuse(Exit::Failed, &message);
        }
        std::thread::sleep(LOOK_EVERY);
    }
    let mut text = format!("{}: stopped\n", named(record));
    commit(&mut text, record.checkpoint.as_deref());
    tell(&text);
    Exit::Done.into()
}

/// The jobs of this name or process: those that run, and those that were not taken off the list.
fn of<'a>(id: &str, listed: &'a [Record]) -> (Vec<&'a Record>, Vec<&'a Record>) {
    let is_meant = |record: &&Record| record.name == id || record.pid.to_string() == id;
    (listed.iter().filter(is_meant)).partition(|record| record.is_alive())
}

fn named(record: &Record) -> String {
    format!("{} (process {})", record.name, record.pid)
}

fn names(records: &[&Record]) -> String {
    let names: Vec<String> = records.iter().map(|record| named(record)).collect();
    names.join(", ")
}

fn unknown(id: &str, listed: &[Record]) -> String {
    let running: Vec<&Record> = listed.iter().filter(|record| record.is_alive()).collect();
    match running.is_empty() {
        true => format!("no job {id} runs here, nor any other of this user"),
        false => format!("no job {id} runs here; these do: {}", names(&running)),
    }
}

/// Says it on standard output.
fn tell(text: &str) {
    // Deliberately: nothing can be done when nobody reads any more.
    let _ = std::io::stdout().write_all(text.as_bytes());
}

fn cannot_list(error: &std::io::Error) -> String {
    format!("the list of running jobs cannot be read: {error}")
}

/// Where the job of the SQL file that was named keeps its checkpoints, if one was, and is sound.
fn checkpoint_of_sql(options: &IngestOptions) -> Option<PathBuf> {
    if options.sql_path.as_os_str().is_empty() {
        return None;
    }
    let told = |error: String| tracing::warn!("its checkpoint is not known: {error}");
    let sql = read_sql(options).map_err(told).ok()?;
    let prepared = launch::prepare(options, &sql).map_err(|error| told(error.to_string()));
    prepared.ok()?.checkpoint_dir
}

/// How a job gets on.
fn described(record: &Record, options: &IngestOptions) -> String {
    let state = match record.waits {
        true => "waits to be started again",
        false => "running",
    };
    let mut text = format!("{}: {state}\n", record.name);
    let up = Utc::now().timestamp_millis() - record.started_ms;
    let process = format!(
        "{}, since {}, for {}",
        record.pid,
        moment(record.started_ms),
        length(up / 1000)
    );
    line(&mut text, "process", &process);
    line(&mut text, "sql", &record.sql.display().to_string());
    if let Some(page) = &record.page {
        line(&mut text, "page", &format!("http://{page}/"));
        let token = options.ui.as_ref().and_then(|ui| ui.token.as_ref());
        match ask::job(page, token) {
            Ok(job) => progress(&mut text, &job),
            Err(error) => line(&mut text, "progress", &format!("not known: {error}")),
        }
    }
    commit(&mut text, record.checkpoint.as_deref());
    text
}

/// What the job's page says.
fn progress(text: &mut String, job: &Value) {
    let number = |value: &Value| value.as_f64().unwrap_or_default() as i64;
    let ticks = &job["ticks"];
    if ticks.is_null() {
        return line(text, "progress", "it has not read anything yet");
    }
    let read = format!(
        "{} read from {}, {} a second now; {} in windows, {} late",
        number(&ticks["read"]),
        job["topic"].as_str().unwrap_or("Kafka"),
        number(&job["ticks_per_second"]),
        number(&ticks["in_windows"]),
        number(&ticks["late"])
    );
    line(text, "ticks", &read);
    if let Some(watermark) = job["watermark"].as_str() {
        let open = number(&job["open_windows"]);
        line(
            text,
            "watermark",
            &format!("{watermark}, {open} windows open"),
        );
    }
    let written = format!(
        "{} rows in {} files, by this run",
        number(&job["rows_written"]),
        number(&job["files_written"])
    );
    line(text, "written", &written);
    for sink in job["sinks"].as_array().into_iter().flatten() {
        let away = &sink["away"];
        if away.is_null() {
            continue;
        }
        let said = format!(
            "for {} (table {}), away for {}, tried {} times: {}",
            sink["place"].as_str().unwrap_or_default(),
            sink["table"].as_str().unwrap_or_default(),
            length(number(&away["for_s"])),
            number(&away["attempts"]),
            away["why"].as_str().unwrap_or_default()
        );
        line(text, "waits", &said);
    }
}

/// The newest commit, and where it is.
fn commit(text: &mut String, checkpoint: Option<&Path>) {
    let Some(checkpoint) = checkpoint else {
        return;
    };
    let said = match last_commit(checkpoint) {
        Ok(Some(LastCommit { epoch, at, read })) => {
            let at = at.map(|at| DateTime::<Utc>::from(at).timestamp_millis());
            let at = at.map(|at| format!(" of {}", moment(at)));
            format!(
                "epoch {epoch}{}, {read} ticks read since the job began",
                at.unwrap_or_default()
            )
        }
        Ok(None) => "none yet".to_owned(),
        Err(error) => format!("cannot be read: {error}"),
    };
    line(text, "last commit", &said);
    line(text, "checkpoint", &checkpoint.display().to_string());
}

fn line(text: &mut String, label: &str, said: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "  {label:<12} {said}");
}

fn moment(ms: i64) -> String {
    match DateTime::from_timestamp_millis(ms) {
        Some(moment) => moment.format("%Y-%m-%d %H:%M:%S UTC").to_string(),
        None => "an unknown time".to_owned(),
    }
}

/// A length of time for people, of its two largest units.
fn length(seconds: i64) -> String {
    let seconds = seconds.max(0);
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, _, _) => format!("{hours} h {} min", minutes % 60),
        _ => format!("{days} d {} h", hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_has_its_two_largest_units() {
        let of = [5, 65, 3_700, 90_000, -1].map(length);
        assert_eq!(of, ["5 s", "1 min 5 s", "1 h 1 min", "1 d 1 h", "0 s"]);
    }
}
