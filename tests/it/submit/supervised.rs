//! `--supervise`: a job that fails is started again, one that cannot do better is not, and signals reach it.

use super::*;
use crate::e2e::replay;
use crate::support::shipped::{Folder, INGEST, Run};

/// The job, supervised, with a list of its own.
fn supervised(broker: &TestBroker, folder: &Folder) -> Run {
    folder
        .ingest(broker, &["--supervise"])
        .env("XDG_RUNTIME_DIR", folder.path().to_str().unwrap())
}

/// The process that is listed.
fn listed(folder: &Folder) -> String {
    let line = ["--status", "ohlc"];
    let asked = Run::new(INGEST, folder.path())
        .arguments(&line)
        .env("XDG_RUNTIME_DIR", folder.path().to_str().unwrap())
        .end();
    let (_, process) = asked.said.split_once("process ").expect(&asked.said);
    process.trim().split(',').next().unwrap().to_owned()
}

#[test]
fn a_job_that_fails_is_started_again_until_it_can_run() {
    let (broker, folder) = (TestBroker::start(1), Folder::new());
    replay(&broker, &folder);
    // No folder can be made where a file is.
    folder.file("data", "");
    let run = supervised(&broker, &folder).start();
    run.wait_for("(exit status: 7); it is started again in 1s");
    run.wait_for("it is started again in 2s");
    std::fs::remove_file(folder.path().join("data")).unwrap();
    run.wait_for(" is committed");
    run.signal("TERM");
    let ended = run.end();
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    assert!(
        ended.said.contains("stopping after a last commit"),
        "{}",
        ended.said
    );
}

#[test]
fn a_job_that_was_killed_goes_on_and_is_stopped_by_its_name() {
    let (broker, folder) = (TestBroker::start(1), Folder::new());
    replay(&broker, &folder);
    let run = supervised(&broker, &folder).start();
    run.wait_for(" is committed");
    let first = listed(&folder);
    let sent = Command::new("kill").args(["-9", &first]).status();
    assert!(sent.unwrap().success());
    run.wait_for("(signal: 9 (SIGKILL)); it is started again in 1s");
    // While it waits it is listed, too.
    assert_ne!(listed(&folder), first);
    let runs_again = || {
        run.wait_for("reading begins")
            .matches("reading begins")
            .count()
            == 2
    };
    let limit = std::time::Instant::now() + crate::support::broker::PATIENCE;
    while !runs_again() {
        assert!(std::time::Instant::now() < limit, "it is not started again");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let killed = Run::new(INGEST, folder.path())
        .arguments(&["--kill", "ohlc"])
        .env("XDG_RUNTIME_DIR", folder.path().to_str().unwrap())
        .end();
    assert_eq!(killed.code, Some(0), "{}", killed.said);
    let ended = run.end();
    assert_eq!(ended.code, Some(0), "{}", ended.said);
}

#[test]
fn what_can_only_fail_again_ends() {
    let shell = Shell::new().with_file("job.sql", ECHO);
    let refused = shell.run(&["job.sql", "--supervise"], &[]);
    assert_eq!(refused.code, Some(3), "{}", refused.stderr);
    assert!(
        !refused.stderr.contains("started again"),
        "{}",
        refused.stderr
    );
    assert_eq!(refused.stderr.matches("unknown connector").count(), 1);
    let usage = shell.run(&["job.sql", "--supervise", "--master", "yarn"], &[]);
    assert_eq!(usage.code, Some(2), "{}", usage.stderr);
    let looked = shell.run(&["job.sql", "--supervise", "--dry-run"], &[]);
    assert_eq!(looked.code, Some(3), "{}", looked.stderr);
}
