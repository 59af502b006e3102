//! `kill -9` of a job that writes its candles to a topic: with `exactly_once` whoever reads committed messages sees
//! each once, and each symbol's in the order of their windows; else each is there at least once.

use crate::e2e::kafka_sink::{EXACTLY, candles, into_topic, job, rows_of};
use crate::job::exact::deal_apart;
use crate::job::harness::{listing, read_rows, recorded_frames};
use crate::support::broker::TestBroker;
use crate::support::seed::Seeded;
use crate::support::shipped::{Folder, Run};

/// How often the job is killed, unless told otherwise.
const KILLS: usize = 12;
/// The recorded market lasts for so many.
const KILLS_MAX: usize = 100;
const PARTITIONS: i32 = 2;
/// The recorded market's symbol, and those that its frames are dealt to.
const SYMBOL: &str = "BINANCE:XRPETH";
const SYMBOLS: [&str; 4] = [SYMBOL, "A", "B", "C"];

fn kills() -> usize {
    let told = std::env::var("STOCKPULSE_TEST_KILLS").ok();
    told.map_or(KILLS, |kills| kills.parse().unwrap())
        .min(KILLS_MAX)
}

/// The recorded market as that of several symbols, so that there are keys to keep apart.
fn frames() -> Vec<Vec<u8>> {
    let frames = recorded_frames().into_iter().enumerate();
    frames
        .map(|(number, frame)| {
            let frame = String::from_utf8(frame).unwrap();
            let symbol = SYMBOLS[number % SYMBOLS.len()];
            frame.replace(SYMBOL, symbol).into_bytes()
        })
        .collect()
}

/// What the same job writes as files when nobody kills it.
fn expected(broker: &TestBroker) -> Vec<String> {
    let folder = Folder::new();
    folder.available_now(broker, &[]);
    let mut rows = read_rows(
        &folder.table(),
        "SELECT symbol, window_start, window_end, open, high, low, close, volume, trades FROM t",
    );
    rows.sort();
    rows
}

/// Numbers as they are, however they are written.
fn values(rows: &[String]) -> Vec<Vec<String>> {
    let value = |text: &str| match text.parse::<f64>() {
        Ok(number) => format!("{number:?}"),
        Err(_) => text.to_string(),
    };
    let mut values: Vec<Vec<String>> = rows
        .iter()
        .map(|row| row.split(',').map(value).collect())
        .collect();
    values.sort();
    values
}

/// Kills the job again and again while more and more of the market is there, then lets it come to its end.
fn killed(mode: &str, check: impl Fn(&TestBroker, &[String], &str)) {
    let mut seeded = Seeded::new();
    let (broker, folder) = (TestBroker::start(PARTITIONS), Folder::new());
    let out = broker.beside("candles", 3);
    folder.file("ohlc.sql", &into_topic(&out.topic, mode));
    let (frames, kills) = (frames(), kills());
    let deal = deal_apart(&frames, PARTITIONS);
    let appender = broker.appender();
    let start = || -> Run {
        job(&folder, &broker, &broker.bootstrap, &out.topic)
            .conf("spark.stockpulse.trigger", "20 milliseconds")
            .conf("spark.stockpulse.maxOffsetsPerTrigger", "40")
    };
    let outbox = folder.checkpoints().join("outbox/ohlc");
    let (mut unsent, mut commits) = (0, 0);
    for kill in 0..kills {
        let slice = frames.len() * kill / kills..frames.len() * (kill + 1) / kills;
        let dealt = deal[slice.clone()].iter().copied();
        appender.append(dealt.zip(frames[slice].iter().map(Vec::as_slice)));
        let run = start().start();
        // Some while it starts and makes good what the last one left, some soon after a commit.
        let (least, most) = match kill % 3 {
            0 => (150, 1200),
            _ => {
                run.wait_for(" is committed");
                (0, 200)
            }
        };
        run.ends_within(seeded.moment(least, most));
        let ended = run.kill();
        assert_eq!(ended.code, None, "it ended by itself: {}", ended.said);
        commits += ended.said.matches(" is committed").count();
        unsent += usize::from(outbox.exists() && !listing(&outbox).is_empty());
    }
    let what = format!(
        "seed {}, {kills} kills, {commits} commits, {unsent} with files that were staged",
        seeded.seed
    );
    let ended = start()
        .arguments(&["--available-now"])
        .conf("spark.stockpulse.maxOffsetsPerTrigger", "100000")
        .end();
    assert_eq!(ended.code, Some(0), "{what}: {}", ended.said);
    assert!(commits > 0, "{what}");
    assert_eq!(listing(&outbox), [""; 0], "{what}");
    check(&out, &expected(&broker), &what);
    eprintln!("kills: topic: {what}");
}

#[test]
fn killed_again_and_again_a_topic_has_every_candle_once() {
    killed(EXACTLY, |out, expected, what| {
        let found = values(&candles(out));
        assert_eq!(found.len(), expected.len(), "{what}");
        assert!(found == values(expected), "{what}: other candles");
    });
}

#[test]
fn killed_again_and_again_a_topic_without_transactions_lacks_no_candle() {
    killed("", |out, expected, what| {
        let mut found = values(&rows_of(&out.read_committed(), false));
        let sent = found.len();
        found.dedup();
        assert!(found == values(expected), "{what}: other candles");
        eprintln!(
            "kills: topic, at least once: {} of {sent} twice",
            sent - found.len()
        );
    });
}
