//! Recorded trades through the shipped producer and job: the recorded candles, each once.

use std::collections::BTreeMap;

use super::replay;
use crate::job::exact::deal_apart;
use crate::job::harness::{assert_recorded_candles, listing, read_rows, recorded_frames};
use crate::support::broker::TestBroker;
use crate::support::shipped::{Ended, Folder};

const ALL: &str = "SELECT symbol, window_start, window_end, open, high, low, close, volume, trades \
                   FROM t ORDER BY symbol, window_start";
const GROUP: &str = "stockpulse-ohlc";

pub fn rows(folder: &Folder) -> Vec<String> {
    read_rows(&folder.table(), ALL)
}

/// The table's files and what is in them.
fn content(folder: &Folder) -> BTreeMap<String, Vec<u8>> {
    let table = folder.table();
    let files = listing(&table).into_iter();
    files
        .map(|file| (file.clone(), std::fs::read(table.join(file)).unwrap()))
        .collect()
}

/// Not on a terminal: a log line a commit, and nothing that only a terminal understands.
fn assert_quiet(ended: &Ended) {
    let count = |text: &str| ended.said.matches(text).count();
    let mut epochs: Vec<&str> = (ended.said.match_indices(" is committed"))
        .filter_map(|(at, _)| ended.said[..at].rsplit("epoch ").next())
        .collect();
    let commits = epochs.len();
    epochs.sort_unstable();
    epochs.dedup();
    assert_eq!(
        epochs.len(),
        commits,
        "an epoch is said twice:\n{}",
        ended.said
    );
    assert!(
        ended.said.lines().count() <= commits + 3,
        "more than a line a commit, and one at the beginning, the signal and the end:\n{}",
        ended.said
    );
    assert_eq!((count("\r"), count("\x1b")), (0, 0), "{:?}", ended.said);
}

#[test]
fn replayed_trades_give_the_recorded_candles_and_a_second_run_adds_nothing() {
    for (partitions, master) in [(1, "local[1]"), (2, "local[4]"), (4, "local[2]")] {
        let what = format!("{partitions} partitions, {master}");
        let (broker, folder) = (TestBroker::start(partitions), Folder::new());
        replay(&broker, &folder);
        let ended = folder.available_now(&broker, &["--master", master]);
        assert_recorded_candles(&rows(&folder), &what);
        for said in [
            "2469 rows",
            "12477 ticks read, 12477 in windows",
            "no window is open",
        ] {
            assert!(ended.said.contains(said), "{what}: {}", ended.said);
        }
        assert_quiet(&ended);
        assert_eq!(broker.committed(GROUP), broker.ends(), "{what}");

        let before = content(&folder);
        let again = folder.available_now(&broker, &["--master", master]);
        assert!(again.said.contains("0 rows in 0 files"), "{}", again.said);
        assert_eq!(content(&folder), before, "{what}");
        assert_eq!(listing(&folder.path().join("data/_stage")), ["ohlc/lock"]);
    }
}

#[test]
fn many_small_epochs_over_a_spread_symbol_give_the_recorded_candles() {
    let frames = recorded_frames();
    for partitions in [2, 4] {
        let (broker, folder) = (TestBroker::start(partitions), Folder::new());
        let deal = deal_apart(&frames, partitions);
        broker.produce(deal.into_iter().zip(frames.iter().map(Vec::as_slice)));
        let arguments = [
            "--conf",
            "spark.stockpulse.maxOffsetsPerTrigger=200",
            "--conf",
            "spark.stockpulse.var.COMMIT_INTERVAL=1 milliseconds",
            "--name",
            "spread",
        ];
        let ended = folder.available_now(&broker, &arguments);
        assert_recorded_candles(&rows(&folder), &format!("{partitions} partitions"));
        assert_quiet(&ended);
        let commits = ended.said.matches(" is committed").count();
        assert!(commits > 10, "{commits} commits: {}", ended.said);
        assert_eq!(broker.committed("stockpulse-spread"), broker.ends());
        assert!(
            listing(&folder.table())
                .iter()
                .all(|file| file.contains("/spread-"))
        );
    }
}

/// Continuous: the last candles appear when the market is quiet, and a signal ends it after a commit.
#[test]
fn a_continuous_run_writes_every_candle_and_stops_on_a_signal() {
    // Keyed by symbol: of several partitions all but one never speak.
    for (partitions, signal) in [(1, "INT"), (2, "TERM"), (4, "INT")] {
        let (broker, folder) = (TestBroker::start(partitions), Folder::with_idle_ms(500));
        replay(&broker, &folder);
        let arguments = ["--conf", "spark.stockpulse.trigger=200 milliseconds"];
        let run = folder.ingest(&broker, &arguments).start();
        run.wait_for("2,469 rows written");
        run.signal(signal);
        let ended = run.end();
        assert_eq!(ended.code, Some(0), "{}", ended.said);
        assert_recorded_candles(&rows(&folder), &format!("{partitions} partitions"));
        assert_quiet(&ended);
    }
}

/// Stopped in the middle of the topic, it commits what it has and the next run goes on from there.
#[test]
fn a_signal_in_the_middle_ends_after_a_last_commit() {
    let (broker, folder) = (TestBroker::start(2), Folder::new());
    replay(&broker, &folder);
    for signal in ["TERM", "INT"] {
        let arguments = [
            "--conf",
            "spark.stockpulse.trigger=20 milliseconds",
            "--conf",
            "spark.stockpulse.maxOffsetsPerTrigger=40",
        ];
        let run = folder.ingest(&broker, &arguments).start();
        run.wait_for(" is committed");
        run.signal(signal);
        let ended = run.end();
        assert_eq!(ended.code, Some(0), "{}", ended.said);
        assert!(
            ended.said.contains("stopping after a last commit"),
            "{}",
            ended.said
        );
        let read = checkpointed_ticks(&folder);
        assert!(read < 12_477, "it was not in the middle");
        let goodbye = format!("since the job began {read} ticks read");
        assert!(
            ended.said.contains(&goodbye),
            "no \"{goodbye}\": {}",
            ended.said
        );
        assert_quiet(&ended);
    }
    folder.available_now(&broker, &[]);
    assert_recorded_candles(&rows(&folder), "stopped twice");
}

/// Ticks read, as the newest checkpoint has them.
pub fn checkpointed_ticks(folder: &Folder) -> u64 {
    let text = std::fs::read_to_string(folder.newest_checkpoint()).unwrap();
    let document: serde_json::Value = serde_json::from_str(&text).unwrap();
    document["body"]["counts"]["read"].as_u64().unwrap()
}
