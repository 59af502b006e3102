//! An outbox and a remote that can be anything a remote is: away, slow to answer, or gone in the middle. Whatever
//! stops, and whenever: each row is sent once, and in order.

use std::collections::BTreeSet;
use std::io::BufRead;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use arrow::array::{Int64Array, RecordBatch, StringViewArray};
use stockpulse::checkpoint::FileEntry;
use stockpulse::disk::{Allowed, Disk};
use stockpulse::model::Epoch;
use stockpulse::sink::outbox::{Marker, Outbox, OutboxOptions, Remote};
use stockpulse::sink::staging::Staging;
use stockpulse::sink::{Peer, RowTimes, SinkError, SinkRows};

use crate::crash::{At, Stop, folder};
use crate::job::harness::listing;

/// Commits of a job.
const EPOCHS: u64 = 3;
/// Rows of a window, more than an outbox writes at once.
const ROWS: i64 = 150;

/// What lasts: the remote, and the checkpoint.
#[derive(Debug, Default)]
struct World {
    /// Rows that readers see.
    sent: Vec<String>,
    marker: Option<Marker>,
    epoch: u64,
    committed: Vec<FileEntry>,
    /// How often the remote was asked for something.
    calls: usize,
}

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// Not done.
    Refused,
    /// Done, and the answer is lost.
    Unanswered,
}

/// How a remote remembers what was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Memory {
    /// As long as the rows are there.
    Lasting,
    /// As long as it likes.
    Fading,
    /// Not at all.
    None,
}

struct Fake {
    world: Arc<Mutex<World>>,
    stop: Arc<Stop>,
    faults: Vec<(usize, Fault)>,
    memory: Memory,
}

impl std::fmt::Debug for Fake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Fake")
    }
}

fn away() -> SinkError {
    SinkError::Away {
        peer: Peer::Other,
        why: "nobody answers".to_owned(),
    }
}

/// The end of the process.
fn ended(error: &std::io::Error) -> SinkError {
    SinkError::NotWritable(error.to_string())
}

impl Fake {
    /// A call of the remote with its effect. The process can be stopped before it, and between it and its answer.
    fn call<T>(&self, name: &str, effect: impl FnOnce(&mut World) -> T) -> Result<T, SinkError> {
        let mut world = self.world.lock().unwrap();
        let number = world.calls;
        world.calls += 1;
        let fault = self.faults.iter().find(|(at, _)| *at == number);
        let allowed = (self.stop.effect(name.to_owned(), 0)).map_err(|error| ended(&error))?;
        match fault {
            Some((_, Fault::Refused)) => return Err(away()),
            Some((_, Fault::Unanswered)) => {
                effect(&mut world);
                return Err(away());
            }
            None => {}
        }
        let answer = effect(&mut world);
        match allowed {
            Allowed::Whole => Ok(answer),
            Allowed::Part(_) => Err(SinkError::NotWritable("stopped here".to_owned())),
        }
    }
}

impl Remote for Fake {
    fn encode(&self, rows: &SinkRows, text: &mut Vec<u8>) -> Result<(), SinkError> {
        let names = rows.rows.column(0);
        let names = names.as_any().downcast_ref::<StringViewArray>().unwrap();
        let RowTimes::Each(times) = &rows.times else {
            panic!("each row has its time");
        };
        for (name, time) in names.iter().zip(times.iter()) {
            text.extend(format!("{} {}\n", time.unwrap(), name.unwrap()).bytes());
        }
        Ok(())
    }

    fn ending(&self) -> &'static str {
        ".rows"
    }

    fn marker(&mut self, _: Epoch) -> Result<Option<Marker>, SinkError> {
        let marker = self.call("ask", |world| world.marker.clone())?;
        Ok(marker.filter(|_| self.memory != Memory::None))
    }

    fn send(&mut self, marker: &Marker, staged: &mut dyn BufRead) -> Result<(), SinkError> {
        let lines: Vec<String> = staged.lines().map(Result::unwrap).collect();
        self.call("send", |world| {
            world.sent.extend(lines);
            world.marker = Some(marker.clone());
        })
    }

    fn remembers(&self) -> bool {
        self.memory == Memory::Lasting
    }
}

/// The rows of a commit: of two windows, in no order, two of a name.
fn rows(epoch: u64) -> Vec<SinkRows> {
    let window = |time: i64| {
        let names = (0..ROWS).map(|row| format!("s{:03}", (row * 7) % (ROWS - 1)));
        let names = StringViewArray::from_iter_values(names);
        let numbers = Int64Array::from_iter_values(0..ROWS);
        let rows = RecordBatch::try_from_iter_with_nullable([
            ("name", Arc::new(names) as _, true),
            ("number", Arc::new(numbers) as _, true),
        ]);
        SinkRows {
            times: RowTimes::One(time),
            rows: rows.unwrap(),
        }
    };
    let time = epoch as i64 * 10;
    vec![window(time + 1), window(time)]
}

fn expected() -> Vec<String> {
    let of = |time: i64| {
        let mut names: Vec<i64> = (0..ROWS).map(|row| (row * 7) % (ROWS - 1)).collect();
        names.sort_unstable();
        names
            .into_iter()
            .map(move |name| format!("{time} s{name:03}"))
    };
    let times = (1..=EPOCHS as i64).flat_map(|epoch| [epoch * 10, epoch * 10 + 1]);
    times.flat_map(of).collect()
}

/// A job, again and again, over one world.
struct Scene {
    world: Arc<Mutex<World>>,
    memory: Memory,
    split: bool,
    faults: Vec<(usize, Fault)>,
}

impl Scene {
    fn new(memory: Memory, split: bool) -> Scene {
        Scene {
            world: Arc::default(),
            memory,
            split,
            faults: Vec::new(),
        }
    }

    /// A process, to its end or to where it is stopped; its steps.
    fn run(&self, folder: &Path, at: At) -> (Result<(), SinkError>, Vec<String>) {
        let stop = Arc::new(Stop::new(at, folder));
        let ended = self.live(folder, &stop);
        (ended, stop.steps())
    }

    fn outbox(&self, folder: &Path, stop: &Arc<Stop>) -> Result<Outbox, SinkError> {
        let disk = Disk::watched(stop.clone());
        let options = OutboxOptions {
            table: "candles".to_owned(),
            published: "there".to_owned(),
            place: "a remote".to_owned(),
            connector: "fake",
            staging: Staging::folder(&folder.join("outbox/candles"), &disk)?,
            schema: rows(1)[0].rows.schema(),
            sort_columns: vec![0],
            time_first: true,
            file_bytes_max: self.split.then_some(1400),
        };
        let remote = Fake {
            world: Arc::clone(&self.world),
            stop: Arc::clone(stop),
            faults: self.faults.clone(),
            memory: self.memory,
        };
        Ok(Outbox::new(options, Box::new(remote)))
    }

    fn live(&self, folder: &Path, stop: &Arc<Stop>) -> Result<(), SinkError> {
        let mut outbox = self.outbox(folder, stop)?;
        let (epoch, committed) = {
            let world = self.world.lock().unwrap();
            (world.epoch, world.committed.clone())
        };
        until_there(|| outbox.recover(&committed))?;
        for epoch in epoch + 1..=EPOCHS {
            let files = outbox.stage(Epoch(epoch), rows(epoch))?;
            stop.effect("commit".to_owned(), 0)
                .map_err(|error| ended(&error))?;
            {
                let mut world = self.world.lock().unwrap();
                (world.epoch, world.committed) = (epoch, files.clone());
            }
            until_there(|| outbox.publish(&files))?;
            // Once more does nothing.
            until_there(|| outbox.publish(&files))?;
        }
        Ok(())
    }

    /// Rows that were sent are the first of those that are to be sent, each once.
    fn check(&self, whole: bool) -> Result<(), String> {
        let world = self.world.lock().unwrap();
        let expected = expected();
        if self.memory == Memory::None {
            let sent: BTreeSet<_> = world.sent.iter().collect();
            let missing = expected.iter().filter(|row| !sent.contains(row)).count();
            return match whole && missing > 0 {
                true => Err(format!("{missing} rows are missing")),
                false => Ok(()),
            };
        }
        let right = match whole {
            true => world.sent == expected,
            false => expected.starts_with(&world.sent),
        };
        match right {
            true => Ok(()),
            false => Err(format!(
                "{} rows were sent, of {}",
                world.sent.len(),
                expected.len()
            )),
        }
    }
}

/// The job tries again as long as the remote is away.
fn until_there(mut attempt: impl FnMut() -> Result<(), SinkError>) -> Result<(), SinkError> {
    loop {
        match attempt() {
            Err(SinkError::Away { .. }) => {}
            done => return done,
        }
    }
}

/// Before every step, and in the middle of every write and of every call.
fn places(steps: &[String]) -> Vec<At> {
    let before = (0..steps.len()).map(At::Before);
    let amid = steps
        .iter()
        .enumerate()
        .filter(|(_, step)| step.starts_with("write ") || *step == "send" || *step == "ask");
    before.chain(amid.map(|(at, _)| At::Amid(at))).collect()
}

const MEMORIES: [Memory; 3] = [Memory::Lasting, Memory::Fading, Memory::None];

#[test]
fn stopped_anywhere_and_again_while_that_is_made_good_each_row_is_sent_once_and_in_order() {
    let tried = AtomicUsize::new(0);
    for (memory, split) in MEMORIES.map(|memory| (memory, memory == Memory::Fading)) {
        let (_, steps) = Scene::new(memory, split).run(folder().path(), At::Never);
        for first in places(&steps) {
            for second in std::iter::successors(Some(0), |at| Some(at + 1)) {
                // Two places for one number: before the step, and amid it.
                let mut over = true;
                for second in [At::Before(second), At::Amid(second)] {
                    let (dir, scene) = (folder(), Scene::new(memory, split));
                    let ended = scene.run(dir.path(), first).0;
                    assert!(ended.is_err(), "{first:?} was not reached");
                    let after = scene.world.lock().unwrap().epoch;
                    let (ended, steps) = scene.run(dir.path(), second);
                    let wrong = |why: String| panic!("{memory:?} {first:?} {second:?}: {why}");
                    scene.check(false).unwrap_or_else(wrong);
                    // What the first one has left is made good before anything new is staged.
                    let new = format!("create outbox/candles/{:010}", after + 1);
                    over &= ended.is_ok() || steps.iter().any(|step| step.starts_with(&new));
                    scene.run(dir.path(), At::Never).0.unwrap();
                    scene.check(true).unwrap_or_else(wrong);
                    assert_eq!(listing(&dir.path().join("outbox/candles")), [""; 0]);
                    tried.fetch_add(1, Ordering::Relaxed);
                }
                if over {
                    break;
                }
            }
        }
    }
    eprintln!("{} pairs of places", tried.into_inner());
}

#[test]
fn answers_that_are_lost_twice_cost_nothing_and_repeat_nothing() {
    for (memory, split) in [(Memory::Lasting, false), (Memory::Fading, true)] {
        let scene = Scene::new(memory, split);
        scene.run(folder().path(), At::Never).0.unwrap();
        let calls = scene.world.lock().unwrap().calls;
        for first in 0..calls {
            for second in first + 1..calls + 2 {
                for kinds in [
                    [Fault::Refused, Fault::Unanswered],
                    [Fault::Unanswered, Fault::Refused],
                    [Fault::Unanswered, Fault::Unanswered],
                ] {
                    let (dir, mut scene) = (folder(), Scene::new(memory, split));
                    scene.faults = vec![(first, kinds[0]), (second, kinds[1])];
                    scene.run(dir.path(), At::Never).0.unwrap();
                    scene.check(true).unwrap_or_else(|why| {
                        panic!("{memory:?} {first} {second} {kinds:?}: {why}")
                    });
                }
            }
        }
    }
}

#[test]
fn an_answer_that_is_lost_before_the_process_ends_repeats_nothing_either() {
    for (memory, split) in [(Memory::Lasting, false), (Memory::Fading, true)] {
        let scene = Scene::new(memory, split);
        scene.run(folder().path(), At::Never).0.unwrap();
        let calls = scene.world.lock().unwrap().calls;
        for call in 0..calls {
            let mut at_most = 0;
            for at in std::iter::successors(Some(0), |at| Some(at + 1)) {
                let (dir, mut scene) = (folder(), Scene::new(memory, split));
                scene.faults = vec![(call, Fault::Unanswered)];
                let (ended, steps) = scene.run(dir.path(), At::Before(at));
                scene.check(false).unwrap();
                scene.run(dir.path(), At::Never).0.unwrap();
                scene
                    .check(true)
                    .unwrap_or_else(|why| panic!("{memory:?} {call} {at}: {why}"));
                at_most = at_most.max(steps.len());
                if ended.is_ok() {
                    break;
                }
            }
            assert!(at_most > calls);
        }
    }
}

#[test]
fn an_epoch_is_several_files_where_one_would_be_too_large() {
    let (dir, scene) = (folder(), Scene::new(Memory::Fading, true));
    let stop = Arc::new(Stop::new(At::Never, dir.path()));
    let mut outbox = scene.outbox(dir.path(), &stop).unwrap();
    let files = outbox.stage(Epoch(7), rows(7)).unwrap();
    let names: Vec<&str> = files.iter().map(|file| file.staged.as_str()).collect();
    assert_eq!(names[..2], ["0000000007-000.rows", "0000000007-001.rows"]);
    assert_eq!(files.iter().map(|file| file.rows).sum::<u64>(), 300);
    assert_eq!(listing(&dir.path().join("outbox/candles")), names);
    outbox.publish(&files).unwrap();
    let world = scene.world.lock().unwrap();
    assert_eq!(world.calls, files.len());
    assert_eq!(world.marker.as_ref().unwrap().epoch, Epoch(7));
}

#[test]
fn rows_whose_file_is_gone_are_missed_where_the_remote_can_tell() {
    for memory in [Memory::Lasting, Memory::Fading] {
        let (dir, scene) = (folder(), Scene::new(memory, false));
        let stop = Arc::new(Stop::new(At::Never, dir.path()));
        let mut outbox = scene.outbox(dir.path(), &stop).unwrap();
        let files = outbox.stage(Epoch(1), rows(1)).unwrap();
        std::fs::remove_file(dir.path().join("outbox/candles").join(&files[0].staged)).unwrap();
        match memory {
            Memory::Lasting => {
                let error = outbox.publish(&files).unwrap_err();
                let told = matches!(&error, SinkError::Foreign(why) if why.contains("300 rows of epoch 1 of table candles"));
                assert!(told, "{error}");
            }
            _ => outbox.publish(&files).unwrap(),
        }
    }
}
