//! Candles are those of a plain function, each once, whatever happens to the job.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::database::Database;
use super::{folder, folder_of, job};
use crate::market::{Candles, Market, PARTITIONS};
use crate::support::broker::TestBroker;
use crate::support::seed::Seeded;

/// How often a job is killed, unless told otherwise.
const KILLS: usize = 8;

fn kills() -> usize {
    let told = std::env::var("STOCKPULSE_TEST_KILLS").ok();
    told.map_or(KILLS, |kills| kills.parse().unwrap())
}

#[test]
fn candles_are_those_of_a_plain_function_and_a_second_run_adds_nothing() {
    let (market, database, folder) = (Market::recorded(usize::MAX), Database::new(), folder());
    let broker = market.in_topic();
    let bounded = ["--create-tables", "--available-now"];
    let ended = job(&folder, &broker, &database, &bounded).end();
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    assert!(
        !ended.said.contains(super::database::PASSWORD),
        "{}",
        ended.said
    );
    assert_eq!(database.candles(), market.candles());
    let marked = "SELECT job, sink, rows > 0, staged LIKE '%.copy %' FROM stockpulse_epochs";
    assert_eq!(database.value(marked), "ohlc|ohlc_candles|t|t");
    let again = job(&folder, &broker, &database, &["--available-now"]).end();
    assert_eq!(again.code, Some(0), "{}", again.said);
    assert_eq!(database.candles(), market.candles());
    // As the example declares them, and with the times that they are, not those of the session's zone.
    let types = "SELECT string_agg(column_name || ' ' || data_type, ', ' ORDER BY ordinal_position) \
                 FROM information_schema.columns WHERE table_name = 'ohlc_candles'";
    assert_eq!(
        database.value(types),
        "symbol text, window_start timestamp with time zone, window_end timestamp with time zone, \
         open_price double precision, high_price double precision, low_price double precision, \
         close_price double precision"
    );
}

#[test]
fn the_table_of_the_original_takes_them_too() {
    let (market, database, folder) = (Market::recorded(600), Database::new(), folder());
    database.run(
        "CREATE TABLE ohlc_candles (symbol VARCHAR(20), window_start TIMESTAMP, window_end TIMESTAMP, \
         open_price DOUBLE PRECISION, high_price DOUBLE PRECISION, low_price DOUBLE PRECISION, \
         close_price DOUBLE PRECISION, PRIMARY KEY (symbol, window_start))",
    );
    let ended = job(&folder, &market.in_topic(), &database, &["--available-now"]).end();
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    assert_eq!(database.candles(), market.candles());
}

/// Kills the job again and again while the market is traded, then lets it come to its end.
fn killed(folder: &crate::support::shipped::Folder, database: &Database, market: &Market) {
    let mut seeded = Seeded::new();
    let broker = TestBroker::start(PARTITIONS);
    let share = market.len().div_ceil(kills());
    let appender = broker.appender();
    let mut commits = 0;
    for life in 0..kills() {
        market.append(
            &appender,
            life * share..market.len().min((life + 1) * share),
        );
        let run = job(folder, &broker, database, &[]).start();
        match seeded.one_in(4) {
            true => std::thread::sleep(seeded.moment(0, 300)),
            false => {
                run.wait_for(" is committed");
                std::thread::sleep(seeded.moment(0, 150));
            }
        }
        let ended = run.kill();
        assert_eq!(ended.code, None, "it ended by itself: {}", ended.said);
        commits += ended.said.matches(" is committed").count();
    }
    let ended = job(folder, &broker, database, &["--available-now"]).end();
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    assert!(commits >= kills() / 4, "{commits} commits");
    eprintln!("postgres: {} kills, {commits} commits before them", kills());
}

/// Looks until the test ends: what was seen stays as it is, and nothing goes.
fn watch(database: &Database, over: &AtomicBool) -> (usize, Candles) {
    let (mut looks, mut seen) = (0, BTreeMap::new());
    while !over.load(Ordering::Relaxed) {
        if let Ok(now) = database.try_candles() {
            for (key, candle) in &seen {
                assert_eq!(now.get(key), Some(candle), "{key:?} changed");
            }
            seen = now;
            looks += 1;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    (looks, seen)
}

struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    /// Also when an assertion fails: the scope waits for the reader.
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_job_that_is_killed_again_and_again_writes_each_candle_once_and_readers_see_none_change() {
    let (market, database, folder) = (Market::recorded(usize::MAX), Database::new(), folder());
    let over = AtomicBool::new(false);
    // The table is made by the first start.
    database.run(
        "CREATE TABLE ohlc_candles (symbol text, window_start timestamptz, window_end timestamptz, \
         open_price float8, high_price float8, low_price float8, close_price float8, \
         PRIMARY KEY (symbol, window_start))",
    );
    std::thread::scope(|scope| {
        let ends = Over(&over);
        let reader = scope.spawn(|| watch(&database, &over));
        killed(&folder, &database, &market);
        drop(ends);
        let (looks, _) = reader.join().unwrap();
        assert!(looks > kills(), "{looks} looks");
    });
    assert_eq!(database.candles(), market.candles());
}

#[test]
fn without_a_key_rows_are_appended_each_once_over_kills() {
    let (market, database) = (Market::recorded(2000), Database::new());
    let folder = folder_of(
        "CREATE TABLE archive (symbol TEXT, price DOUBLE, at TIMESTAMP)
         WITH (connector = 'postgres', type = 'sink', url = '{{ POSTGRES_URL }}');
         INSERT INTO archive SELECT symbol, price, _timestamp FROM ticks;",
    );
    database.run("CREATE TABLE archive (symbol text, price float8, at timestamptz)");
    killed(&folder, &database, &market);
    let mut expected = BTreeMap::new();
    for (_, message) in &market.messages {
        let frame: serde_json::Value = serde_json::from_slice(message).unwrap();
        for tick in frame["data"].as_array().unwrap() {
            let row = format!(
                "{}|{}|{}",
                tick["s"].as_str().unwrap(),
                tick["p"],
                tick["t"]
            );
            *expected.entry(row).or_insert(0) += 1;
        }
    }
    let rows =
        database.run("SELECT symbol, price, (extract(epoch FROM at) * 1000)::bigint FROM archive");
    let mut found = BTreeMap::new();
    for row in rows {
        let values: Vec<&str> = row.split('|').collect();
        let price: f64 = values[1].parse().unwrap();
        let row = format!(
            "{}|{}|{}",
            values[0],
            serde_json::Value::from(price),
            values[2]
        );
        *found.entry(row).or_insert(0) += 1;
    }
    assert!(
        found == expected,
        "{} rows, {} expected",
        found.len(),
        expected.len()
    );
}
