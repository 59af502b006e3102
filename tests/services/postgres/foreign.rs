//! A database that knows more of a job than its checkpoint, or less: said, not guessed.

use std::path::Path;

use super::database::Database;
use super::{folder, job};
use crate::market::{Market, PARTITIONS};
use crate::support::broker::TestBroker;

#[test]
fn a_job_without_the_checkpoint_it_had_is_refused_and_told_the_ways_on() {
    let (market, database, folder) = (Market::recorded(600), Database::new(), folder());
    let broker = market.in_topic();
    let ended = job(
        &folder,
        &broker,
        &database,
        &["--create-tables", "--available-now"],
    )
    .end();
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    std::fs::remove_dir_all(folder.path().join("checkpoint")).unwrap();
    let ended = job(&folder, &broker, &database, &["--available-now"]).end();
    assert_eq!(ended.code, Some(5), "{}", ended.said);
    let forget =
        "DELETE FROM \"public\".\"stockpulse_epochs\" WHERE job = 'ohlc' AND sink = 'ohlc_candles'";
    for part in [
        "holds no checkpoint that knows of it",
        "another --name",
        forget,
    ] {
        assert!(ended.said.contains(part), "{part}: {}", ended.said);
    }
    // What it says works.
    database.run(forget);
    let ended = job(&folder, &broker, &database, &["--available-now"]).end();
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    assert_eq!(database.candles(), market.candles());
}

#[test]
fn a_checkpoint_that_was_put_back_is_refused() {
    let (market, database, folder) = (Market::recorded(1200), Database::new(), folder());
    let broker = TestBroker::start(PARTITIONS);
    let appender = broker.appender();
    market.append(&appender, 0..600);
    let ended = job(
        &folder,
        &broker,
        &database,
        &["--create-tables", "--available-now"],
    )
    .end();
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    let (now, then) = (folder.path().join("checkpoint"), folder.path().join("then"));
    copy(&now, &then);
    market.append(&appender, 600..market.len());
    let ended = job(&folder, &broker, &database, &["--available-now"]).end();
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    std::fs::remove_dir_all(&now).unwrap();
    std::fs::rename(&then, &now).unwrap();
    let ended = job(&folder, &broker, &database, &["--available-now"]).end();
    assert_eq!(ended.code, Some(5), "{}", ended.said);
    assert!(
        ended
            .said
            .contains("the checkpoint in checkpoint is of epoch"),
        "{}",
        ended.said
    );
}

/// As a standby that takes over without the newest commits.
#[test]
fn a_database_that_goes_back_while_it_is_written_to_ends_the_job() {
    let (market, database, folder) = (Market::recorded(1200), Database::new(), folder());
    let broker = TestBroker::start(PARTITIONS);
    let appender = broker.appender();
    market.append(&appender, 0..600);
    let run = job(&folder, &broker, &database, &["--create-tables"]).start();
    database.wait_for("SELECT max(epoch) FROM stockpulse_epochs", |epoch| {
        epoch != "0"
    });
    database.run("UPDATE stockpulse_epochs SET epoch = epoch - 1, staged = ''");
    market.append(&appender, 600..market.len());
    let ended = run.end();
    assert_eq!(ended.code, Some(5), "{}", ended.said);
    assert!(
        ended
            .said
            .contains("the database went back to an earlier state"),
        "{}",
        ended.said
    );
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        match path.is_dir() {
            true => copy(&path, &target),
            false => drop(std::fs::copy(&path, &target).unwrap()),
        }
    }
}
