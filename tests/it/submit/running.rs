//! `--status` and `--kill` of local jobs: who runs is found by name or process, and who is gone is known as gone.

use std::path::PathBuf;

use super::*;
use crate::e2e::replay;
use crate::support::shipped::{Folder, Run, Started};

const TOKEN: &str = "a-token-of-16-letters";

/// The list of jobs, of this test only.
struct List(TempDir);

impl List {
    fn new() -> List {
        List(tempfile::tempdir().unwrap())
    }

    fn of(&self, run: Run) -> Run {
        run.env("XDG_RUNTIME_DIR", self.0.path().to_str().unwrap())
    }

    fn files(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.0.path().join("stockpulse")).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    /// A job that runs, with a commit.
    fn start(&self, broker: &TestBroker, folder: &Folder) -> Started {
        let run = folder
            .ingest(broker, &["--name", "candles"])
            .conf("spark.ui.enabled", "true")
            .conf("spark.ui.port", "0")
            .env("STOCKPULSE_JOB_TOKEN", TOKEN);
        let started = self.of(run).start();
        started.wait_for(" is committed");
        started
    }

    fn ask(&self, folder: &Folder, line: &[&str]) -> crate::support::shipped::Ended {
        let run = Run::new(crate::support::shipped::INGEST, folder.path()).arguments(line);
        self.of(run).end()
    }
}

fn assert_says(ended: &crate::support::shipped::Ended, code: i32, parts: &[&str]) {
    assert_eq!(ended.code, Some(code), "{}", ended.said);
    for part in parts {
        assert!(ended.said.contains(part), "{part}: {}", ended.said);
    }
}

#[test]
fn a_job_that_runs_is_found_by_its_name_and_stopped() {
    let (broker, folder, list) = (TestBroker::start(2), Folder::new(), List::new());
    replay(&broker, &folder);
    let job = list.start(&broker, &folder);
    assert_eq!(list.files().len(), 1);

    let asked = list.ask(&folder, &["--status", "candles"]);
    assert_says(
        &asked,
        0,
        &[
            "candles: running",
            "http://127.0.0.1:",
            "last commit",
            "epoch ",
        ],
    );
    assert!(
        asked.said.contains("set STOCKPULSE_JOB_TOKEN"),
        "{}",
        asked.said
    );
    let with_token = Run::new(crate::support::shipped::INGEST, folder.path())
        .arguments(&["--status=candles"])
        .env("STOCKPULSE_JOB_TOKEN", TOKEN);
    let asked = list.of(with_token).end();
    assert_says(&asked, 0, &[" read from ", "watermark", "rows in "]);
    assert!(!asked.said.contains(TOKEN), "{}", asked.said);

    let unknown = list.ask(&folder, &["--kill", "ohlc"]);
    assert_says(
        &unknown,
        1,
        &["no job ohlc runs here; these do: candles (process "],
    );

    let killed = list.ask(&folder, &["--kill", "candles"]);
    assert_says(&killed, 0, &["stopped", "last commit", "epoch "]);
    assert_eq!(job.end().code, Some(0));
    assert_eq!(list.files(), Vec::<PathBuf>::new());

    let gone = list.ask(&folder, &["--status", "candles"]);
    assert_says(
        &gone,
        1,
        &["no job candles runs here, nor any other of this user"],
    );
    let known = list.ask(&folder, &["--status", "candles", "ohlc.sql"]);
    assert_says(
        &known,
        1,
        &["candles: not running", "last commit", "epoch "],
    );
}

#[test]
fn a_job_that_was_killed_is_known_as_gone_until_it_is_started_again() {
    let (broker, folder, list) = (TestBroker::start(1), Folder::new(), List::new());
    replay(&broker, &folder);
    list.start(&broker, &folder).kill();
    assert_eq!(list.files().len(), 1);
    let gone = list.ask(&folder, &["--status", "candles"]);
    assert_says(
        &gone,
        1,
        &[
            "candles: not running",
            "is gone without a farewell",
            "epoch ",
        ],
    );
    let kill = list.ask(&folder, &["--kill", "candles"]);
    assert_says(&kill, 1, &["no job candles runs here"]);

    let run = folder.ingest(&broker, &["--name", "candles"]);
    let job = list.of(run).start();
    job.wait_for("reading begins");
    assert_eq!(list.files().len(), 1);
    job.signal("TERM");
    assert_eq!(job.end().code, Some(0));
}

#[test]
fn of_two_jobs_of_one_name_one_is_meant_by_its_process() {
    let (broker, list) = (TestBroker::start(1), List::new());
    let folders = [Folder::new(), Folder::new()];
    replay(&broker, &folders[0]);
    let jobs = folders.each_ref().map(|folder| list.start(&broker, folder));
    let both = list.ask(&folders[0], &["--status", "candles"]);
    assert_eq!(
        both.said.matches("candles: running").count(),
        2,
        "{}",
        both.said
    );
    let which = list.ask(&folders[0], &["--kill", "candles"]);
    assert_says(&which, 2, &["several jobs are called candles"]);
    let process = which.said.rsplit_once("(process ").unwrap().1;
    let process = process.split(')').next().unwrap();
    let killed = list.ask(&folders[0], &["--kill", process]);
    assert_says(&killed, 0, &["stopped"]);
    let killed = list.ask(&folders[0], &["--kill", "candles"]);
    assert_says(&killed, 0, &["stopped"]);
    for job in jobs {
        assert_eq!(job.end().code, Some(0));
    }
}

#[test]
fn a_list_that_others_may_write_to_is_not_used() {
    use std::os::unix::fs::PermissionsExt;

    let (folder, list) = (Folder::new(), List::new());
    let open = list.0.path().join("stockpulse");
    std::fs::create_dir(&open).unwrap();
    std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o777)).unwrap();
    let asked = list.ask(&folder, &["--status", "candles"]);
    assert_says(&asked, 1, &["is not a folder of this user only"]);
}
