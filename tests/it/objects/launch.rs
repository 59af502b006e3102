//! What the shipped job makes of URLs before anything starts: no store is asked.

use crate::support::shipped::{Ended, Folder, INGEST, Run};

const LOCATION: &str = "spark.sql.streaming.checkpointLocation";
const TABLE: &str = "spark.stockpulse.var.CANDLES_PATH";

fn explained(conf: &[(&str, &str)]) -> Ended {
    let folder = Folder::new();
    let run = Run::new(INGEST, folder.path()).arguments(&["--explain", "ohlc.sql"]);
    let run = conf
        .iter()
        .fold(run, |run, (name, value)| run.conf(name, value));
    run.env("AWS_SECRET_ACCESS_KEY", "hidden").end()
}

fn refused(conf: &[(&str, &str)], why: &str) {
    let ended = explained(conf);
    assert_eq!(ended.code, Some(2), "{}", ended.said);
    assert!(ended.said.contains(why), "{}", ended.said);
}

#[test]
fn checkpoints_are_beside_the_table_unless_something_waits_in_a_folder() {
    let checkpoint = |conf: &[(&str, &str)]| {
        let ended = explained(conf);
        assert_eq!(ended.code, Some(0), "{}", ended.said);
        assert!(!ended.said.contains("hidden"), "{}", ended.said);
        let mut lines = ended.printed.lines().map(str::trim);
        let line = lines.find_map(|line| line.strip_prefix("checkpoint"));
        line.unwrap().trim().to_owned()
    };
    let table = (TABLE, "s3://ticks/market/ohlc");
    let beside = "s3://ticks/market/_checkpoints/ohlc";
    assert_eq!(checkpoint(&[table]), beside);
    assert_eq!(
        checkpoint(&[(TABLE, "gs://ticks/ohlc")]),
        "gs://ticks/_checkpoints/ohlc"
    );
    assert_eq!(checkpoint(&[table, (LOCATION, "here")]), "here");
    assert_eq!(
        checkpoint(&[table, (LOCATION, "s3://other/x/")]),
        "s3://other/x"
    );
    let kept = ("spark.stockpulse.deadLetters", "letters");
    assert_eq!(checkpoint(&[table, kept, (LOCATION, "here")]), "here");
}

#[test]
fn what_waits_in_a_folder_does_not_go_with_checkpoints_on_a_store() {
    let store = (LOCATION, "s3://ticks/checkpoints");
    refused(
        &[store],
        "checkpoints on an object store are for tables there",
    );
    let table = (TABLE, "s3://ticks/market/ohlc");
    let letters = ("spark.stockpulse.deadLetters", "letters");
    refused(
        &[store, table, letters],
        "dead letters wait beside them in a folder",
    );
    refused(&[table, letters], "there is no place for checkpoints");
    refused(&[table, (LOCATION, "s3://ticks")], "is a whole bucket");
    refused(
        &[table, (LOCATION, "ftp://ticks/x")],
        "no object store has this kind of URL",
    );
}

#[test]
fn a_url_that_holds_a_login_is_refused_without_being_shown() {
    let with_login = explained(&[(TABLE, "s3://AKIA:hidden@ticks/ohlc")]);
    assert_eq!(with_login.code, Some(3), "{}", with_login.said);
    assert!(
        with_login.said.contains("holds a login"),
        "{}",
        with_login.said
    );
    assert!(!with_login.said.contains("hidden"), "{}", with_login.said);
    let location = explained(&[(LOCATION, "s3://AKIA:hidden@ticks/ohlc")]);
    assert_eq!(location.code, Some(2), "{}", location.said);
    assert!(!location.said.contains("hidden"), "{}", location.said);
}
