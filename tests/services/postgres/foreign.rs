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
    let forget = "DELETE FROM \"public\".\"stockpulse_epochs\" WHERE job = E'ohlc' AND sink = E'ohlc_candles'";
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

#[test]
fn rows_that_were_committed_and_are_nowhere_are_missed() {
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
    // As a database that was put back to before the last epoch, while the checkpoint names rows of it.
    let last = database.value("SELECT epoch FROM stockpulse_epochs");
    let document = std::fs::read_dir(folder.path().join("checkpoint")).unwrap();
    let named = document
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "json")
        })
        .map(|path| std::fs::read_to_string(path).unwrap())
        .any(|text| text.contains(".copy"));
    database.run("UPDATE stockpulse_epochs SET epoch = epoch - 1, staged = ''");
    let ended = job(&folder, &broker, &database, &["--available-now"]).end();
    if named {
        assert_eq!(ended.code, Some(5), "epoch {last}: {}", ended.said);
        assert!(ended.said.contains("were committed, but"), "{}", ended.said);
    } else {
        // The last commit names no rows, so nothing can be known to be missing.
        assert_eq!(ended.code, Some(0), "epoch {last}: {}", ended.said);
    }
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
