//! A job whose table is on a store, with its checkpoints in a folder or on the store too: stopped at every request,
//! and each of its requests refused or its answer lost.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use expect_test::expect;
use object_store::ObjectStore;
use object_store::memory::InMemory;
use stockpulse::checkpoint::Location;
use stockpulse::disk::Disk;
use stockpulse::job::{self, Clock, Console, JobError, JobSpec, StartAt, Summary};
use stockpulse::metrics::ingest::IngestMetrics;
use stockpulse::model::Exit;
use stockpulse::objects::{Address, Request, StorageOptions, StoreError, Stores, Watch};
use stockpulse::query::JobPlan;
use stockpulse::query::sql::SqlFile;
use stockpulse::source::replay::{ReplayFrame, ReplayTopic};

use super::store::{TABLE, below, fork, objects, rows};
use crate::crash::{self, everywhere, folder};
use crate::job::exact::OHLC;

/// 2026-07-31T23:58:00Z: the market goes over midnight, so that there are folders of two days.
const START_MS: i64 = 1_785_542_280_000;
const MINUTE_MS: i64 = 60_000;
/// Every window is overdue at its end.
const WALL_CLOCK: i64 = (START_MS + 24 * 60 * MINUTE_MS) * 1_000_000;
/// What a refused request fails with.
const STOPPED: &str = "stopped here";

/// Where the job's checkpoints are.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kept {
    InFolder,
    OnStore,
}

/// What happens at one of a job's requests.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    /// The process ends before it.
    Ends(usize),
    /// It is not done, because the store does not answer.
    Refused(usize),
    /// It is done, and its answer is lost.
    Unheard(usize),
    Never,
}

struct Faults {
    fault: Fault,
    requests: Mutex<Vec<String>>,
}

impl Faults {
    fn new(fault: Fault) -> Arc<Faults> {
        Arc::new(Faults {
            fault,
            requests: Mutex::default(),
        })
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    fn has_ended(&self) -> bool {
        matches!(self.fault, Fault::Ends(at) if self.requests.lock().unwrap().len() > at)
    }
}

impl Watch for Faults {
    fn before(&self, request: &Request<'_>) -> Result<(), StoreError> {
        let mut requests = self.requests.lock().unwrap();
        let number = requests.len();
        requests.push(request.to_string());
        match self.fault {
            Fault::Ends(at) if number >= at => Err(StoreError::Refused(STOPPED.to_owned())),
            Fault::Refused(at) if number == at => Err(StoreError::Away(STOPPED.to_owned())),
            _ => Ok(()),
        }
    }

    fn after(&self, _: &Request<'_>) -> Result<(), StoreError> {
        match self.fault {
            Fault::Unheard(at) if self.requests.lock().unwrap().len() == at + 1 => {
                Err(StoreError::Away(STOPPED.to_owned()))
            }
            _ => Ok(()),
        }
    }
}

/// Frames of the topic, each with a tick of two symbols, every twenty seconds.
const FRAMES: i64 = 30;

fn topic() -> ReplayTopic {
    let topic = ReplayTopic::new("raw_ticks", 1);
    for number in 0..FRAMES {
        let time_ms = START_MS + number * 20_000;
        let tick = |symbol: &str, price: i64| {
            format!(r#"{{"s":"{symbol}","p":{price}.5,"t":{time_ms},"v":1.0}}"#)
        };
        let ticks = [tick("A", 10 + number), tick("B", 50 - number)].join(",");
        let payload = format!(r#"{{"type":"trade","data":[{ticks}]}}"#);
        let frame = ReplayFrame {
            timestamp_ms: Some(time_ms),
            key: None,
            payload: Some(payload.into_bytes()),
        };
        topic.append(0, frame);
    }
    topic
}

fn spec(folder: &Path, table: &str, kept: Kept, stores: Stores) -> JobSpec {
    let lookup = |name: &str| match name {
        "COMMIT_INTERVAL" => Some("1 millisecond".to_string()),
        "CANDLES_PATH" => Some(table.to_owned()),
        _ => None,
    };
    let file = SqlFile::parse("job.sql", OHLC, &lookup).unwrap();
    let time = Arc::new(AtomicU64::new(0));
    let steady = Arc::clone(&time);
    let clock = Clock::simulated(
        || WALL_CLOCK,
        move || Duration::from_millis(steady.fetch_add(2, Ordering::Relaxed)),
        move |pause| {
            let millis = u64::try_from(pause.as_millis()).unwrap();
            time.fetch_add(millis, Ordering::Relaxed);
        },
    );
    let checkpoint = match kept {
        Kept::InFolder => folder.join("checkpoint").into(),
        Kept::OnStore => Location::Store {
            address: Address::parse("s3://ticks/data/_checkpoints/ohlc").unwrap(),
            options: StorageOptions::default(),
        },
    };
    JobSpec {
        checkpoint_dir: Some(checkpoint),
        stores,
        clock,
        plan: JobPlan::new(&file).unwrap(),
        name: "ohlc".to_string(),
        threads: 1,
        micro_batch_frames: 3,
        console: Console::stdout(),
        bounded: true,
        closes_at_once: false,
        trigger: Duration::from_secs(3600),
        start: StartAt::Earliest,
        max_offsets_per_trigger: Some(6),
        fail_on_data_loss: true,
        max_future_skew: Duration::from_secs(600),
        compaction: None,
        sink_patience: None,
        dead_letters: None,
        stop: Arc::new(AtomicBool::new(false)),
        disk: Disk::default(),
        in_turns: true,
        metrics: IngestMetrics::default(),
        open: None,
    }
}

/// A store, and a folder for what is not on it.
struct Scene {
    folder: tempfile::TempDir,
    store: Arc<InMemory>,
    kept: Kept,
}

impl Scene {
    fn new(kept: Kept) -> Scene {
        Scene {
            folder: folder(),
            store: Arc::new(InMemory::new()),
            kept,
        }
    }

    fn run(&self, faults: &Arc<Faults>) -> Result<Summary, JobError> {
        let store: Arc<dyn ObjectStore> = Arc::clone(&self.store) as _;
        let stores = Stores::instead(store, Some(faults.clone()));
        let spec = spec(self.folder.path(), TABLE, self.kept, stores);
        job::run(spec, &topic(), &mut |_| {})
    }

    fn whole(&self) -> Result<Summary, JobError> {
        self.run(&Faults::new(Fault::Never))
    }

    /// What is wrong with what a reader sees while no job runs.
    fn check_midway(&self, expected: &[String]) -> Result<usize, String> {
        let rows = rows(&self.store)?;
        if let Some(twice) = rows.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(format!("twice: {}", twice[0]));
        }
        match rows.iter().find(|row| !expected.contains(row)) {
            Some(row) => Err(format!("a row too many: {row}")),
            None => Ok(rows.len()),
        }
    }

    fn check_end(
        &self,
        ended: Result<Summary, JobError>,
        expected: &[String],
    ) -> Result<(), String> {
        let summary = ended.map_err(|error| format!("it ended with {error}"))?;
        if !summary.counts.balanced() || summary.counts.read != 2 * FRAMES as u64 {
            return Err(format!("counted {:?}", summary.counts));
        }
        if rows(&self.store)? != expected {
            return Err(format!("{:?} is not {expected:?}", rows(&self.store)));
        }
        // What was staged before the first commit is removed by the first start after it.
        self.whole()
            .map_err(|error| format!("once more: {error}"))?;
        let staged = below(&self.store, "data/_stage");
        match staged.keys().find(|key| key.ends_with(".parquet")) {
            Some(left) => Err(format!("{left} is left behind")),
            None => Ok(()),
        }
    }
}

/// What the same job writes into a folder.
fn expected() -> Vec<String> {
    let folder = folder();
    let table = folder.path().join("data/ohlc");
    let spec = spec(
        folder.path(),
        table.to_str().unwrap(),
        Kept::InFolder,
        Stores::default(),
    );
    job::run(spec, &topic(), &mut |_| {}).unwrap();
    let mut rows = crash::rows(&table, &[]).unwrap();
    rows.sort();
    assert_eq!(rows.len() as i64, 2 * FRAMES / 3);
    rows
}

/// The requests of a run from nothing to the end.
fn requests(kept: Kept) -> Vec<String> {
    let faults = Faults::new(Fault::Never);
    Scene::new(kept).run(&faults).unwrap();
    faults.requests()
}

#[test]
fn stopped_at_any_request_a_job_goes_on_with_nothing_lost_and_nothing_twice() {
    let expected = expected();
    for kept in [Kept::InFolder, Kept::OnStore] {
        let places: Vec<usize> = (0..=requests(kept).len()).collect();
        everywhere(&places, |&at| {
            let scene = Scene::new(kept);
            let faults = Faults::new(Fault::Ends(at));
            let ended = scene.run(&faults);
            let wrong = |what: String| {
                format!(
                    "{kept:?}, before {at} ({:?}): {what}",
                    faults.requests().last()
                )
            };
            if let (true, Err(error)) = (faults.has_ended(), &ended)
                && !error.to_string().contains(STOPPED)
            {
                return Err(wrong(error.to_string()));
            }
            let before = scene.check_midway(&expected).map_err(wrong)?;
            let ended = scene.whole();
            scene.check_end(ended, &expected).map_err(wrong)?;
            match before <= scene.check_midway(&expected).map_err(wrong)? {
                true => Ok(()),
                false => Err(wrong("rows have vanished".to_owned())),
            }
        });
        eprintln!("{kept:?}: {} places", places.len());
    }
}

#[test]
fn stopped_again_while_it_makes_good_what_the_first_stop_left() {
    let expected = expected();
    let places: Vec<usize> = (0..=requests(Kept::OnStore).len()).collect();
    let tried = AtomicU64::new(0);
    everywhere(&places, |&first| {
        let scene = Scene::new(Kept::OnStore);
        // Ends as it may: what it leaves counts.
        let _ = scene.run(&Faults::new(Fault::Ends(first)));
        for second in 0.. {
            let again = Scene {
                folder: folder(),
                store: fork(&scene.store),
                kept: scene.kept,
            };
            let faults = Faults::new(Fault::Ends(second));
            let ended = again.run(&faults);
            let stages = |request: &String| request.starts_with("put data/_stage");
            let is_over = faults.requests().iter().any(stages);
            let wrong = |what: String| format!("before {first}, then before {second}: {what}");
            if !faults.has_ended() {
                return again.check_end(ended, &expected).map_err(wrong);
            }
            tried.fetch_add(1, Ordering::Relaxed);
            again.check_midway(&expected).map_err(wrong)?;
            let ended = again.whole();
            again.check_end(ended, &expected).map_err(wrong)?;
            if is_over {
                break;
            }
        }
        Ok(())
    });
    eprintln!("{} pairs of places", tried.into_inner());
}

#[test]
fn a_store_that_does_not_answer_once_or_whose_answer_is_lost_is_asked_again() {
    let expected = expected();
    for kept in [Kept::InFolder, Kept::OnStore] {
        let number = requests(kept).len();
        let refused = (0..number).map(Fault::Refused);
        let faults: Vec<Fault> = refused.chain((0..number).map(Fault::Unheard)).collect();
        everywhere(&faults, |&fault| {
            let scene = Scene::new(kept);
            let faults = Faults::new(fault);
            let ended = scene.run(&faults);
            let wrong = |what: String| format!("{kept:?}, {fault:?}: {what}");
            scene.check_end(ended, &expected).map_err(wrong)
        });
        eprintln!("{kept:?}: {} faults", faults.len());
    }
}

#[test]
fn an_epoch_is_staged_then_committed_then_copied_to_its_place() {
    let requests = requests(Kept::OnStore);
    let stages = |request: &String| request.starts_with("put data/_stage");
    let commits = |request: &String| request.starts_with("put new data/_checkpoints");
    let first = requests.iter().position(stages).unwrap();
    let last = requests.iter().rposition(commits).unwrap();
    let last = requests[..last].iter().rposition(stages).unwrap();
    let text = |requests: &[String]| requests.join("\n") + "\n";
    expect![[r#"
        get data/_checkpoints/ohlc/lock.json
        list data/_checkpoints/ohlc
        list data/_checkpoints/ohlc
        put new data/_checkpoints/ohlc/start-000000001.json
        put new data/_checkpoints/ohlc/start-000000001.json
        list data/_checkpoints/ohlc
        put data/_checkpoints/ohlc/lock.json
        list data/ohlc
    "#]]
    .assert_eq(&text(&requests[..first]));
    expect![[r#"
        put data/_stage/ohlc/000000001/ohlc-0000000004-000.parquet
        put new data/_checkpoints/ohlc/checkpoint-000000004.json
        list data/_checkpoints/ohlc
        remove data/_checkpoints/ohlc/checkpoint-000000002.json
        look at data/ohlc/date=2026-08-01/ohlc-0000000004-000.parquet
        copy to data/ohlc/date=2026-08-01/ohlc-0000000004-000.parquet
        look at data/ohlc/date=2026-08-01/ohlc-0000000004-000.parquet
        remove data/_stage/ohlc/000000001/ohlc-0000000004-000.parquet
        get data/_checkpoints/ohlc/lock.json
        remove data/_checkpoints/ohlc/lock.json
    "#]]
    .assert_eq(&text(&requests[last..]));
}

#[test]
fn files_that_no_checkpoint_knows_of_are_not_mixed_with() {
    let scene = Scene::new(Kept::OnStore);
    let left = Bytes::from_static(b"rows of somebody else");
    let all = objects(&scene.store, None);
    all.put("data/ohlc/date=2026-07-31/x.parquet", left)
        .unwrap();
    let error = scene.whole().unwrap_err();
    assert_eq!(error.exit(), Exit::Mismatch);
    expect!["s3://ticks/data/ohlc holds Parquet files, but s3://ticks/data/_checkpoints/ohlc holds no checkpoint that knows of them; give the table another path (CANDLES_PATH), or the job the checkpoint location that it had"].assert_eq(&error.to_string());
}

#[test]
fn an_object_of_the_same_name_is_not_overwritten_and_one_that_is_gone_is_missed() {
    for (keeps_size, keeps_staged) in [(true, true), (false, true), (false, false)] {
        let requests = requests(Kept::OnStore);
        let copy = requests
            .iter()
            .position(|r| r.starts_with("copy to"))
            .unwrap();
        let scene = Scene::new(Kept::OnStore);
        scene.run(&Faults::new(Fault::Ends(copy))).unwrap_err();
        let all = objects(&scene.store, None);
        let staged: BTreeMap<String, Bytes> = below(&scene.store, "data/_stage");
        let (key, content) = staged
            .iter()
            .find(|(key, _)| key.ends_with(".parquet"))
            .unwrap();
        let published = requests[copy].strip_prefix("copy to ").unwrap();
        let other = match keeps_size {
            true => vec![b'x'; content.len()],
            false => b"x".to_vec(),
        };
        match keeps_staged {
            true => all.put(published, other.clone().into()).unwrap(),
            false => all.delete(key).unwrap(),
        }
        let error = scene.whole().unwrap_err();
        assert_eq!(error.exit(), Exit::Mismatch, "{error}");
        match keeps_staged {
            true => {
                assert!(
                    error.to_string().contains("holds something else"),
                    "{error}"
                );
                assert_eq!(all.get(published).unwrap().unwrap(), other);
            }
            false => assert!(error.to_string().contains("neither published nor staged")),
        }
    }
}
