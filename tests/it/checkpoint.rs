//! The checkpoint directory through crashes, damage and a second job.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use stockpulse::checkpoint::{
    Checkpoint, CheckpointError, CheckpointStore, Emitted, PartitionState, ReplayPoint,
};
use stockpulse::disk::Disk;
use stockpulse::model::{Counts, Epoch, Watermark};
use tempfile::TempDir;

pub fn checkpoint(epoch: u64) -> Checkpoint {
    let next = epoch as i64 * 10;
    let state = PartitionState {
        next,
        watermark: Watermark(next),
        replay: ReplayPoint {
            offset: next - 5,
            watermark: Watermark::NONE,
        },
        last: None,
    };
    Checkpoint {
        job: "ohlc".to_owned(),
        epoch: Epoch(epoch),
        topic: "raw_ticks".to_owned(),
        emitted: BTreeMap::from([("ohlc".to_owned(), Emitted(Watermark(next)))]),
        partitions: BTreeMap::from([(0, state)]),
        since: BTreeMap::new(),
        files: Vec::new(),
        counts: Counts::default(),
        dead_letters: None,
        owner: None,
        query: BTreeMap::new(),
    }
}

/// Names in the directory, sorted.
fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// A directory with the commits 1 to `epochs`.
fn committed(epochs: u64) -> TempDir {
    let dir = TempDir::new().unwrap();
    let mut store = CheckpointStore::open(dir.path(), &Disk::default()).unwrap();
    for epoch in 1..=epochs {
        store.commit(&checkpoint(epoch)).unwrap();
    }
    dir
}

fn load_error(dir: &Path) -> String {
    match CheckpointStore::open(dir, &Disk::default()).unwrap().load() {
        Err(CheckpointError::Damaged(message)) => message,
        other => panic!("expected a refusal, found {other:?}"),
    }
}

#[test]
fn the_newest_is_loaded_and_the_one_before_it_kept() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("data/_checkpoints/ohlc");
    let mut store = CheckpointStore::open(&path, &Disk::default()).unwrap();
    assert_eq!(store.load().unwrap(), None);
    for epoch in 1..=12 {
        store.commit(&checkpoint(epoch)).unwrap();
        assert_eq!(store.load().unwrap(), Some(checkpoint(epoch)));
    }
    drop(store);
    assert_eq!(
        names(&path),
        [
            "checkpoint-000000011.json",
            "checkpoint-000000012.json",
            "lock"
        ]
    );
    let mut store = CheckpointStore::open(&path, &Disk::default()).unwrap();
    assert_eq!(store.load().unwrap(), Some(checkpoint(12)));
    store.commit(&checkpoint(13)).unwrap();
    assert_eq!(names(&path)[0], "checkpoint-000000012.json");
}

#[test]
fn a_half_written_temp_file_is_removed_and_foreign_files_are_left_alone() {
    let dir = committed(2);
    fs::write(dir.path().join("checkpoint.tmp"), r#"{"version":1,"cr"#).unwrap();
    fs::write(dir.path().join("checkpoint-7.json"), "mine").unwrap();
    let store = CheckpointStore::open(dir.path(), &Disk::default()).unwrap();
    assert_eq!(store.load().unwrap(), Some(checkpoint(2)));
    assert!(!names(dir.path()).contains(&"checkpoint.tmp".to_owned()));
    assert!(names(dir.path()).contains(&"checkpoint-7.json".to_owned()));
}

#[test]
fn more_leftovers_than_two_are_removed_by_the_next_commit() {
    let dir = committed(4);
    let old = dir.path().join("checkpoint-000000002.json");
    fs::copy(dir.path().join("checkpoint-000000003.json"), &old).unwrap();
    let mut store = CheckpointStore::open(dir.path(), &Disk::default()).unwrap();
    store.commit(&checkpoint(5)).unwrap();
    assert_eq!(
        names(dir.path()),
        [
            "checkpoint-000000004.json",
            "checkpoint-000000005.json",
            "lock"
        ]
    );
}

#[test]
fn a_damaged_newest_one_is_refused_although_an_older_one_is_good() {
    let truncate = |text: &str| text[..text.len() / 2].to_owned();
    let edit = |text: &str| text.replace("\"next\": 20", "\"next\": 21");
    let newer = |text: &str| text.replace("{\"version\":1", "{\"version\":2");
    let wipe = |_: &str| String::new();
    type Damage<'a> = &'a dyn Fn(&str) -> String;
    let cases: [(Damage<'_>, &str); 4] = [
        (&truncate, "not a whole checkpoint document"),
        (&edit, "edited or damaged"),
        (&newer, "version 2"),
        (&wipe, "not a whole checkpoint document"),
    ];
    for (damage, why) in cases {
        let dir = committed(2);
        let newest = dir.path().join("checkpoint-000000002.json");
        let text = fs::read_to_string(&newest).unwrap();
        fs::write(&newest, damage(&text)).unwrap();
        let message = load_error(dir.path());
        assert!(message.contains(why), "{message}");
        assert!(message.contains(newest.to_str().unwrap()), "{message}");
        assert!(message.contains("another output path"), "{message}");
        assert!(newest.exists(), "nothing is reset");
    }
}

#[test]
fn a_document_under_another_epochs_name_is_refused() {
    let dir = committed(2);
    let newest = dir.path().join("checkpoint-000000003.json");
    fs::copy(dir.path().join("checkpoint-000000002.json"), newest).unwrap();
    let message = load_error(dir.path());
    assert!(message.contains("it holds epoch 2"), "{message}");
}

#[test]
fn a_second_job_is_refused_until_the_first_ends() {
    let dir = TempDir::new().unwrap();
    let first = CheckpointStore::open(dir.path(), &Disk::default()).unwrap();
    let Err(CheckpointError::Locked(message)) = CheckpointStore::open(dir.path(), &Disk::default())
    else {
        panic!("the second job was let in");
    };
    let pid = std::process::id();
    assert!(message.contains(&format!("process {pid}:")), "{message}");
    assert!(message.contains(dir.path().to_str().unwrap()), "{message}");
    drop(first);
    CheckpointStore::open(dir.path(), &Disk::default()).unwrap();
}

#[test]
fn a_directory_that_cannot_be_made_is_named() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    let Err(CheckpointError::Io(message)) =
        CheckpointStore::open(&file.join("checkpoints"), &Disk::default())
    else {
        panic!("a directory below a file");
    };
    assert!(message.contains(file.to_str().unwrap()), "{message}");
    assert!(message.contains("move it away"), "{message}");
}
