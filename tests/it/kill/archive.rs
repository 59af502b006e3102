//! `kill -9` of a job that archives every tick beside its candles: each tick is in the archive once.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::market::Market;
use super::staged;
use crate::job::harness::{assert_recorded_candles, read_rows};
use crate::support::seed::Seeded;
use crate::support::shipped::{Folder, OHLC};

/// The job is killed for so long, then it may end.
const KILLING: Duration = Duration::from_secs(6);
/// Frames of an epoch.
const EPOCH_FRAMES: u32 = 16;

/// `sql/ohlc.sql` with an archive of the ticks.
fn job() -> String {
    let archive = "
CREATE TABLE archive (symbol TEXT, time TIMESTAMP, price DOUBLE, volume DOUBLE) WITH (
    connector = 'filesystem', type = 'sink', path = 'data/archive', format = 'parquet',
    'partitioning.time_pattern' = 'date=%Y-%m-%d'
);
INSERT INTO archive SELECT symbol, _timestamp, price, volume FROM ticks;
";
    format!("{OHLC}{archive}")
}

/// The ticks of the frames, as the archive's rows are read: `symbol,ms,price,volume`, sorted.
fn ticks(frames: &[Vec<u8>]) -> Vec<String> {
    let mut ticks = Vec::new();
    for frame in frames {
        let frame: Value = serde_json::from_slice(frame).unwrap();
        for tick in frame["data"].as_array().unwrap() {
            let number = |name: &str| tick[name].as_f64().unwrap();
            let symbol = tick["s"].as_str().unwrap();
            let (time, price, volume) = (&tick["t"], number("p"), number("v"));
            ticks.push(format!("{symbol},{time},{price:?},{volume:?}"));
        }
    }
    ticks.sort();
    ticks
}

#[test]
fn an_archive_killed_again_and_again_has_every_tick_once() {
    let mut seeded = Seeded::new();
    let (market, folder) = (Market::new(), Folder::new());
    folder.file("ohlc.sql", &job());
    market.append(&market.broker.appender(), 0..market.frames.len());
    let begun = Instant::now();
    let mut kills = 0;
    let ended = loop {
        let kills_on = begun.elapsed() < KILLING;
        let run = market
            .job(&folder, EPOCH_FRAMES)
            .arguments(&["--available-now"])
            .start();
        if !kills_on {
            break run.end();
        }
        run.ends_within(seeded.moment(60, 400));
        let ended = run.kill();
        if ended.code.is_some() {
            break ended;
        }
        kills += 1;
    };
    let what = format!("seed {}, {kills} kills", seeded.seed);
    assert_eq!(ended.code, Some(0), "{what}: {}", ended.said);
    assert!(kills >= 3, "{what}");
    let mut rows = read_rows(
        &folder.path().join("data/archive"),
        "SELECT symbol, CAST(CAST(time AS TIMESTAMP(3)) AS BIGINT), price, volume FROM t",
    );
    rows.sort();
    assert_eq!(rows.len(), 12_477, "{what}");
    assert!(rows == ticks(&market.frames), "{what}: other ticks");
    let candles = read_rows(
        &folder.table(),
        "SELECT symbol, window_start, window_end, open, high, low, close, volume, trades \
         FROM t ORDER BY symbol, window_start",
    );
    assert_recorded_candles(&candles, &what);
    assert_eq!(staged(&folder), ["archive/lock", "ohlc/lock"], "{what}");
    eprintln!("kills: archive: {what}");
}
