//! Dead letters of a job that is killed again and again: each is there once, in a folder and in a topic.

use super::Lives;
use crate::job::harness::{listing, read_rows, recorded_frames};
use crate::support::broker::TestBroker;
use crate::support::seed::Seeded;
use crate::support::shipped::{Folder, Run};

/// Frames of ticks, each with one behind it that is none.
const FRAMES: usize = 700;
/// An available-now run is killed at least this often before it may end.
const KILLS: usize = 10;
/// More runs than it needs to come to its end.
const RUNS_MAX: u64 = 1000;
/// By so much the latest moment of a kill is later each time.
const LONGER_MS: u64 = 5;
const PARTITIONS: i32 = 2;

/// Fills the topic; the letters that it must give.
fn fill(broker: &TestBroker) -> Vec<String> {
    let garbage: Vec<String> = (0..FRAMES).map(|n| format!("garbage {n:04}")).collect();
    let frames = recorded_frames();
    let pairs = frames.iter().zip(&garbage).enumerate();
    broker.produce(pairs.flat_map(|(number, (frame, garbage))| {
        let other = (number % PARTITIONS as usize) as i32;
        [(0, frame.as_slice()), (other, garbage.as_bytes())]
    }));
    garbage
}

/// `epoch_frames`: few, so that it does not come to its end too soon.
fn job(broker: &TestBroker, folder: &Folder, name: &str, place: &str, epoch_frames: &str) -> Run {
    folder
        .ingest(
            broker,
            &["--available-now", "--master", "local[2]", "--name", name],
        )
        .conf("spark.stockpulse.deadLetters", place)
        .conf("spark.stockpulse.trigger", "50 milliseconds")
        .conf("spark.stockpulse.maxOffsetsPerTrigger", epoch_frames)
        .conf("spark.stockpulse.var.COMMIT_INTERVAL", "1 milliseconds")
}

/// Runs to the end, killed on the way; how often that was between a commit and the end of its publishing.
fn killed(
    moments: &mut Seeded,
    folder: &Folder,
    limits_ms: (u64, u64),
    start: impl Fn() -> Run,
) -> usize {
    let (mut lives, mut unsent) = (Lives::default(), 0);
    let ended = (0..RUNS_MAX).find_map(|number| {
        let run = start().start();
        // Ever later, so that it comes to its end on a busy machine, too.
        let latest = limits_ms.1 + LONGER_MS * number;
        run.ends_within(moments.moment(limits_ms.0, latest));
        let ended = run.kill();
        if ended.code.is_some() {
            return Some(ended);
        }
        lives.count(&ended, folder);
        let waiting = folder.checkpoints().join("dead_letters");
        unsent += usize::from(waiting.exists() && !listing(&waiting).is_empty());
        None
    });
    let what = format!("seed {}, {lives:?}, {unsent} unsent", moments.seed);
    let ended = ended.expect(&what);
    assert_eq!(ended.code, Some(0), "{what}: {}", ended.said);
    let counts = format!("0 late, {FRAMES} rejected ({FRAMES} malformed)");
    assert!(ended.said.contains(&counts), "{what}: {}", ended.said);
    assert!(lives.kills >= KILLS, "{what}");
    eprintln!("{what}");
    unsent
}

#[test]
fn killed_again_and_again_a_folder_has_every_letter_once() {
    let (mut moments, broker, folder) =
        (Seeded::new(), TestBroker::start(PARTITIONS), Folder::new());
    let expected = fill(&broker);
    killed(&mut moments, &folder, (30, 120), || {
        job(&broker, &folder, "ohlc", "data/dead", "3")
    });
    let found = read_rows(
        &folder.path().join("data/dead"),
        "SELECT arrow_cast(value, 'Utf8') AS value FROM t ORDER BY 1",
    );
    assert_eq!(found, expected, "seed {}", moments.seed);
    assert_eq!(listing(&folder.path().join("data/_stage/dead")), ["lock"]);
}

#[test]
fn killed_again_and_again_a_topic_has_every_letter_once() {
    let (mut moments, broker, folder) =
        (Seeded::new(), TestBroker::start(PARTITIONS), Folder::new());
    let dead = broker.beside("dead", 2);
    let expected = fill(&broker);
    let place = format!("kafka:{}", dead.topic);
    let unsent = killed(&mut moments, &folder, (100, 900), || {
        job(&broker, &folder, &dead.topic, &place, "8")
    });
    let letters = dead.read_committed().into_iter().map(|letter| {
        let letter: serde_json::Value = serde_json::from_slice(&letter.payload).unwrap();
        letter["value_text"].as_str().unwrap().to_string()
    });
    let mut found: Vec<String> = letters.collect();
    found.sort();
    // The embedded broker also shows what a killed process sent and never committed.
    if !broker.isolates() {
        found.dedup();
    }
    assert_eq!(found, expected, "seed {}", moments.seed);
    assert!(
        unsent > 0,
        "seed {}: never killed before the letters were sent",
        moments.seed
    );
}
