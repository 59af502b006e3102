//! Two starts of one job at once, and their requests in every order there is: no row is lost, none is there twice.
//! Whatever state they leave, a third start makes a whole table of it.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use object_store::memory::InMemory;
use stockpulse::checkpoint::{ChainStore, Checkpoint, CheckpointError, Presence, Present, present};
use stockpulse::disk::Disk;
use stockpulse::model::Epoch;
use stockpulse::objects::{Address, Objects};
use stockpulse::sink::{
    Compression, ObjectsSink, ParquetOptions, RowTimes, SinkRows, TableObjects,
};

use super::store::{TABLE, fork, objects, rows};
use super::turns::{Life, Turns};
use crate::checkpoint::checkpoint;

const CHAIN: &str = "data/_checkpoints/ohlc";

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, true)]))
}

fn numbers(from: u64, to: u64) -> Vec<SinkRows> {
    let numbers = Int64Array::from_iter_values(from as i64..to as i64);
    let columns: Vec<ArrayRef> = vec![Arc::new(numbers)];
    vec![SinkRows {
        times: RowTimes::One(0),
        rows: RecordBatch::try_new(schema(), columns).unwrap(),
    }]
}

fn options() -> ParquetOptions {
    ParquetOptions {
        table: "ohlc".to_owned(),
        job: "ohlc".to_owned(),
        path: PathBuf::from(TABLE),
        time_pattern: None,
        partition_columns: Vec::new(),
        file_bytes: None,
        compression: Compression::Uncompressed,
        row_group_bytes: None,
        filename_prefix: None,
        sort_columns: Vec::new(),
        disk: Disk::default(),
    }
}

/// A process: starts as a job does, and commits so many epochs, each of which counts on from the last. How far an epoch
/// counts depends on who does it, so that two never agree by chance.
fn live(objects: Objects, epochs: u64) -> Result<(), String> {
    let text = |error: CheckpointError| match error {
        CheckpointError::Locked(_) => "overtaken".to_owned(),
        error => error.to_string(),
    };
    let mut chain = ChainStore::open(objects.clone(), CHAIN).map_err(text)?;
    let found = chain.newest().cloned();
    let table = TableObjects {
        objects,
        address: Address::parse(TABLE).unwrap(),
        owner: Some(chain.owner()),
        is_first: found.is_none(),
    };
    let mut sink = ObjectsSink::open(options(), table, schema()).map_err(|e| e.to_string())?;
    if found.is_none() && sink.has_published().map_err(|e| e.to_string())? {
        return Err("files without a checkpoint".to_owned());
    }
    let committed = found.as_ref().map_or(&[][..], |found| &found.files);
    sink.recover(committed).map_err(|e| e.to_string())?;
    chain.forget_earlier().map_err(text)?;
    let (mut state, mut epoch) = found.map_or((0, Epoch::FIRST), |found| {
        (found.counts.read, found.epoch.next())
    });
    for _ in 0..epochs {
        let next = state + 1 + chain.owner().0 % 2;
        let files = sink
            .stage(epoch, numbers(state, next))
            .map_err(|e| e.to_string())?;
        let mut committed = Checkpoint {
            files,
            ..checkpoint(epoch.0)
        };
        committed.counts.read = next;
        chain.commit(&committed).map_err(text)?;
        sink.publish(&committed.files).map_err(|e| e.to_string())?;
        (state, epoch) = (next, epoch.next());
    }
    Ok(())
}

fn numbers_in(store: &Arc<InMemory>) -> Result<Vec<u64>, String> {
    let mut numbers: Vec<u64> = rows(store)?
        .iter()
        .map(|row| row.parse().unwrap())
        .collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// What is wrong with a state that two starts have come to.
fn check(turns: &Turns) -> Result<(), String> {
    let seen = numbers_in(turns.store())?;
    if let Some(twice) = seen.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(format!("{} is there twice: {seen:?}", twice[0]));
    }
    for ended in turns.ended() {
        match ended.as_ref().map_err(String::as_str) {
            Ok(()) | Err("overtaken" | "files without a checkpoint") => {}
            Err(error) => return Err(error.to_owned()),
        }
    }
    // Whoever starts now, alone.
    let left = fork(turns.store());
    let next = objects(&left, None);
    live(next.clone(), 0).map_err(|error| format!("the next start: {error}"))?;
    let end = ChainStore::peek(&next, CHAIN).unwrap();
    let end = end.map_or(0, |newest| newest.counts.read);
    let whole: Vec<u64> = (0..end).collect();
    match numbers_in(&left)? {
        found if found == whole => Ok(()),
        found => Err(format!("the next start leaves {found:?} of {whole:?}")),
    }
}

/// Tries every order of the requests of these lives; how many states there are.
fn every_order(store: &InMemory, lives: &[Life]) -> usize {
    let mut seen = HashSet::new();
    let mut untried = vec![Vec::new()];
    while let Some(mut order) = untried.pop() {
        let turns = Turns::start(store, lives);
        order.iter().for_each(|&number| turns.step(number));
        while seen.insert(turns.state()) {
            check(&turns).unwrap_or_else(|wrong| panic!("{wrong}; the order was {order:?}"));
            let ready = turns.ready();
            let Some((&first, others)) = ready.split_first() else {
                break;
            };
            untried.extend(
                others
                    .iter()
                    .map(|&other| [order.as_slice(), &[other]].concat()),
            );
            turns.step(first);
            order.push(first);
        }
    }
    seen.len()
}

/// Only starts: takes over, publishes, removes what is left.
fn no_epoch(objects: Objects) -> Result<(), String> {
    live(objects, 0)
}

fn one_epoch(objects: Objects) -> Result<(), String> {
    live(objects, 1)
}

fn two_epochs(objects: Objects) -> Result<(), String> {
    live(objects, 2)
}

#[test]
fn two_first_starts_in_every_order_lose_nothing_and_write_nothing_twice() {
    let states = every_order(&InMemory::new(), &[one_epoch, one_epoch]);
    eprintln!("{states} states");
    assert!(states > 500, "{states}");
}

#[test]
fn two_starts_that_take_over_in_every_order_lose_nothing_and_write_nothing_twice() {
    // The one before them was stopped between its last commit and what comes after it.
    let store = Arc::new(InMemory::new());
    live(objects(&store, None), 1).unwrap();
    let before = Turns::start(&store, &[two_epochs]);
    let mut documents = 0;
    while documents < 2 {
        let [next] = before.ready()[..] else {
            panic!("it has ended: {:?}", before.ended());
        };
        before.step(next);
        let chain = super::store::below(before.store(), CHAIN);
        documents = chain
            .keys()
            .filter(|key| key.contains("checkpoint-"))
            .count();
    }
    let states = every_order(before.store(), &[one_epoch, no_epoch]);
    eprintln!("{states} states");
    assert!(states > 500, "{states}");
}

#[test]
fn an_earlier_start_ends_when_a_later_one_has_taken_over() {
    let store = Arc::new(InMemory::new());
    let mut first = ChainStore::open(objects(&store, None), CHAIN).unwrap();
    first.commit(&checkpoint(1)).unwrap();
    let mut second = ChainStore::open(objects(&store, None), CHAIN).unwrap();
    let taken = second.newest().unwrap();
    assert_eq!(
        (taken.epoch, taken.owner),
        (Epoch(2), Some(second.owner().0))
    );
    let Err(CheckpointError::Locked(message)) = first.commit(&checkpoint(2)) else {
        panic!("it was overtaken");
    };
    assert!(
        message.contains("another process has taken over"),
        "{message}"
    );
    // Also when the document that it would have met is removed by now.
    for epoch in 3..=5 {
        second.commit(&checkpoint(epoch)).unwrap();
    }
    let late = first.commit(&checkpoint(2));
    assert!(matches!(late, Err(CheckpointError::Locked(_))), "{late:?}");
    let newest = ChainStore::peek(&objects(&store, None), CHAIN).unwrap();
    assert_eq!(newest.unwrap().epoch, Epoch(5));
}

#[test]
fn who_runs_a_job_says_so_until_it_ends() {
    let store = Arc::new(InMemory::new());
    let all = objects(&store, None);
    assert_eq!(present(&all, CHAIN).unwrap(), Present::Nobody);
    let presence = Presence::begin(all.clone(), CHAIN);
    let key = format!("{CHAIN}/lock.json");
    let said = String::from_utf8(all.get(&key).unwrap().unwrap().to_vec()).unwrap();
    // One's own word is no reason not to start.
    assert_eq!(present(&all, CHAIN).unwrap(), Present::Nobody);
    drop(presence);
    assert_eq!(all.get(&key).unwrap(), None);
    let pid = format!("\"pid\":{}", std::process::id());
    assert!(said.contains(&pid), "{said}");
    let of = |said: String| {
        all.put(&key, said.into()).unwrap();
        present(&all, CHAIN).unwrap()
    };
    // The first process of the machine is always there, and one with such a number never.
    assert_eq!(of(said.replace(&pid, "\"pid\":1")), Present::Here(1));
    assert_eq!(
        of(said.replace(&pid, "\"pid\":4294967295")),
        Present::Nobody
    );
    let elsewhere = said.replacen("\"host\":\"", "\"host\":\"another-", 1);
    assert!(matches!(of(elsewhere), Present::Elsewhere { who, .. } if who.contains("of another-")));
    assert_eq!(of("half a docu".to_owned()), Present::Nobody);
}
