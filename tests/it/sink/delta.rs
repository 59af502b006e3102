//! A Delta table beside other writers, and one that is not as the SQL says.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use expect_test::{Expect, expect};
use serde_json::{Value, json};
use stockpulse::disk::{Allowed, Disk, Step, Watch};
use stockpulse::model::Epoch;
use stockpulse::sink::{DeltaOptions, DeltaSink, ParquetSink, SinkError};
use tempfile::TempDir;

use crate::crash::delta::{Table, options, read, rows, schema};

/// The id of this job's commits.
const APP: &str = "stockpulse/scene/candles";

/// A table in a folder of its own.
struct Scene {
    folder: TempDir,
}

impl Scene {
    fn new() -> Scene {
        Scene {
            folder: TempDir::new().unwrap(),
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("data/candles")
    }

    fn options(&self, committed: Option<u64>) -> DeltaOptions {
        options(self.folder.path(), &Disk::default(), committed.map(Epoch))
    }

    fn open(&self, committed: Option<u64>) -> Result<DeltaSink, SinkError> {
        DeltaSink::open(self.options(committed), schema())
    }

    fn watched(&self, watch: Arc<dyn Watch>) -> DeltaSink {
        let disk = Disk::watched(watch);
        let options = options(self.folder.path(), &disk, None);
        DeltaSink::open(options, schema()).unwrap()
    }

    fn read(&self) -> Table {
        read(&self.path()).unwrap()
    }

    /// Writes version 0 as another program would, with `change` made to its actions.
    fn create(&self, change: impl FnOnce(&mut Value, &mut Value)) {
        let field = |name: &str, of: &str| json!({"name": name, "type": of, "nullable": true, "metadata": {}});
        let mut protocol = json!({"minReaderVersion": 1, "minWriterVersion": 2});
        let mut metadata = json!({
            "id": "5fba94ed-9794-4965-ba6e-6ee3c0d22af9",
            "format": {"provider": "parquet", "options": {}},
            "schema": {"type": "struct", "fields": [
                field("symbol", "string"), field("time", "timestamp"), field("close", "double"), field("day", "date"),
            ]},
            "partitionColumns": ["day"],
            "configuration": {},
            "createdTime": 0,
        });
        change(&mut protocol, &mut metadata);
        let schema = metadata["schema"].take().to_string();
        let metadata = metadata.as_object_mut().unwrap();
        metadata.remove("schema");
        metadata.insert("schemaString".to_owned(), schema.into());
        let actions = [json!({"protocol": protocol}), json!({"metaData": metadata})];
        write_version(&self.path(), 0, &actions);
    }
}

fn write_version(table: &Path, version: usize, actions: &[Value]) {
    let log = table.join("_delta_log");
    fs::create_dir_all(&log).unwrap();
    let lines: Vec<String> = actions.iter().map(Value::to_string).collect();
    fs::write(
        log.join(format!("{version:020}.json")),
        lines.join("\n") + "\n",
    )
    .unwrap();
}

/// Writes a version just before the sink does, so many times.
struct Faster {
    table: PathBuf,
    times: AtomicUsize,
    actions: Mutex<Vec<Value>>,
}

impl Faster {
    fn new(scene: &Scene, times: usize, actions: &[Value]) -> Arc<Faster> {
        Arc::new(Faster {
            table: scene.path(),
            times: AtomicUsize::new(times),
            actions: Mutex::new(actions.to_vec()),
        })
    }
}

impl Watch for Faster {
    fn before(&self, step: &Step<'_>) -> io::Result<Allowed> {
        let name = step.path().file_name().unwrap().to_string_lossy();
        let version = name
            .strip_prefix('.')
            .and_then(|name| name.strip_suffix(".json.tmp"));
        if let (Step::Create(_), Some(version)) = (step, version) {
            let version: usize = version.parse().unwrap();
            let left = self
                .times
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                    left.checked_sub(usize::from(version > 0))
                });
            if version > 0 && left.is_ok() {
                write_version(&self.table, version, &self.actions.lock().unwrap());
            }
        }
        Ok(Allowed::Whole)
    }

    fn after(&self, _: &Step<'_>) {}
}

fn other_commit() -> [Value; 2] {
    [
        json!({"commitInfo": {"timestamp": 1, "operation": "WRITE"}}),
        json!({"txn": {"appId": "another", "version": 7}}),
    ]
}

fn check(error: &SinkError, scene: &Scene, expected: Expect) {
    let kind = match error {
        SinkError::NotWritable(_) => "not writable",
        SinkError::Foreign(_) => "foreign",
        SinkError::Options(_) => "options",
        SinkError::Away { .. } => "away",
        SinkError::Closed => "closed",
    };
    let folder = scene.folder.path().canonicalize().unwrap();
    let text = error
        .to_string()
        .replace(&folder.display().to_string(), "HERE");
    expected.assert_eq(&format!("{kind}: {text}\n"));
}

#[test]
fn an_epoch_is_one_version_of_the_table_with_its_statistics() {
    let scene = Scene::new();
    let mut sink = scene.open(None).unwrap();
    let files = sink.stage(Epoch(1), vec![rows(1)]).unwrap();
    assert_eq!(scene.read().versions, 1, "only the empty table");
    sink.publish(&files).unwrap();
    sink.publish(&files).unwrap();
    let table = scene.read();
    assert_eq!(table.versions, 2, "the second time it is there already");
    assert_eq!(table.transactions, [(APP.to_owned(), 1)]);
    let said: Vec<String> = table
        .adds
        .iter()
        .map(|(path, add)| {
            let (day, name) = path.split_once('/').unwrap();
            assert!(
                name.starts_with("scene-") && name.ends_with(".parquet"),
                "{name}"
            );
            let statistics: Value = serde_json::from_str(add["stats"].as_str().unwrap()).unwrap();
            assert_eq!(add["dataChange"], true);
            format!("{day} {} {statistics}", add["partitionValues"])
        })
        .collect();
    expect![[r#"
        day=2026-07-31 {"day":"2026-07-31"} {"maxValues":{"close":1.0,"symbol":"ETH:XRP","time":"2026-07-31T23:59:00.000Z"},"minValues":{"close":1.0,"symbol":"ETH:XRP","time":"2026-07-31T23:59:00.000Z"},"nullCount":{"close":0,"symbol":0,"time":0},"numRecords":1,"tightBounds":true}
        day=2026-08-01 {"day":"2026-08-01"} {"maxValues":{"close":1.5,"symbol":"BTC","time":"2026-08-01T00:00:00.000Z"},"minValues":{"close":1.5,"symbol":"BTC","time":"2026-08-01T00:00:00.000Z"},"nullCount":{"close":0,"symbol":0,"time":0},"numRecords":1,"tightBounds":true}
    "#]].assert_eq(&(said.join("\n") + "\n"));
    let first = fs::read_to_string(scene.path().join("_delta_log/00000000000000000000.json"));
    let protocol = r#"{"protocol":{"minReaderVersion":1,"minWriterVersion":2}}"#;
    assert!(first.unwrap().contains(protocol));
}

#[test]
fn rows_are_those_of_a_folder_of_parquet_but_for_what_microseconds_leave_out() {
    let scene = Scene::new();
    let mut sink = scene.open(None).unwrap();
    let mut options = scene.options(None).files;
    options.path = scene.folder.path().join("data/folder");
    let mut folder = ParquetSink::open(options, schema()).unwrap();
    for epoch in 1..=3 {
        let files = sink.stage(Epoch(epoch), vec![rows(epoch)]).unwrap();
        sink.publish(&files).unwrap();
        let files = folder.stage(Epoch(epoch), vec![rows(epoch)]).unwrap();
        folder.publish(&files).unwrap();
    }
    let found = scene.read().rows;
    assert_eq!(found.len(), 6);
    let folder = scene.folder.path().join("data/folder");
    assert_eq!(found, crate::crash::rows(&folder, &[]).unwrap());
}

#[test]
fn a_version_that_another_writer_took_is_followed_by_ours() {
    let scene = Scene::new();
    let faster = Faster::new(&scene, 3, &other_commit());
    let mut sink = scene.watched(faster.clone());
    let files = sink.stage(Epoch(1), vec![rows(1)]).unwrap();
    sink.publish(&files).unwrap();
    let table = scene.read();
    assert_eq!(table.versions, 5);
    assert_eq!(table.transactions.last(), Some(&(APP.to_owned(), 1)));
    assert_eq!(table.rows.len(), 2);
    // And one that commits between two of our epochs.
    write_version(&scene.path(), 5, &other_commit());
    let files = sink.stage(Epoch(2), vec![rows(2)]).unwrap();
    sink.publish(&files).unwrap();
    let table = scene.read();
    assert_eq!((table.versions, table.rows.len()), (7, 4));
}

#[test]
fn an_epoch_that_a_late_twin_has_committed_is_not_committed_again() {
    let scene = Scene::new();
    let twin = json!({"txn": {"appId": APP, "version": 1, "lastUpdated": 1}});
    let mut sink = scene.watched(Faster::new(&scene, 1, &[twin]));
    let files = sink.stage(Epoch(1), vec![rows(1)]).unwrap();
    sink.publish(&files).unwrap();
    let table = scene.read();
    assert_eq!(table.versions, 2);
    assert_eq!(table.transactions, [(APP.to_owned(), 1)]);
}

#[test]
fn writers_that_are_always_faster_are_waited_for() {
    let scene = Scene::new();
    let faster = Faster::new(&scene, 1000, &other_commit());
    let mut sink = scene.watched(faster.clone());
    let files = sink.stage(Epoch(1), vec![rows(1)]).unwrap();
    let error = sink.publish(&files).unwrap_err();
    check(
        &error,
        &scene,
        expect![[r#"
        away: other writers took the next version of HERE/data/candles 10 times in a row
    "#]],
    );
    faster.times.store(0, Ordering::Relaxed);
    sink.publish(&files).unwrap();
    assert_eq!(scene.read().rows.len(), 2);
}

#[test]
fn a_table_that_changes_under_the_job_is_no_longer_written() {
    let scene = Scene::new();
    scene.create(|_, _| {});
    let mut sink = scene.open(None).unwrap();
    let files = sink.stage(Epoch(1), vec![rows(1)]).unwrap();
    let before = scene.path().join("_delta_log/00000000000000000000.json");
    let metadata = fs::read_to_string(&before).unwrap();
    let metadata = metadata.lines().nth(1).unwrap();
    let mut changed: Value = serde_json::from_str(metadata).unwrap();
    changed["metaData"]["configuration"]["delta.constraints.positive"] = "close > 0".into();
    write_version(&scene.path(), 1, &[changed]);
    let error = sink.publish(&files).unwrap_err();
    check(
        &error,
        &scene,
        expect![[r#"
        foreign: the Delta table HERE/data/candles is not one that this job can append to:
          the table has the CHECK constraint positive
        Change the table by another program, or the SQL; or give the table another path
    "#]],
    );
    fs::remove_dir_all(scene.path()).unwrap();
    let error = sink.publish(&files).unwrap_err();
    check(
        &error,
        &scene,
        expect![[r#"
        foreign: the Delta table HERE/data/candles is gone, or another one was made in its place, and with it the rows that were written. Put it back; or start over with another checkpoint location, for which what Kafka retains is computed again
    "#]],
    );
}

#[test]
fn a_file_that_is_gone_before_its_commit_is_named() {
    let scene = Scene::new();
    let mut sink = scene.open(None).unwrap();
    let files = sink.stage(Epoch(1), vec![rows(1)]).unwrap();
    drop(sink);
    let path = scene.path().join(&files[1].published);
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[1..]).unwrap();
    let mut sink = scene.open(Some(1)).unwrap();
    let error = sink.recover(&files).unwrap_err().to_string();
    assert!(error.contains("and the checkpoint says"), "{error}");
    fs::remove_file(&path).unwrap();
    let error = sink.recover(&files).unwrap_err().to_string();
    assert!(error.contains("VACUUM"), "{error}");
    fs::write(&path, &bytes).unwrap();
    sink.recover(&files).unwrap();
    assert_eq!(scene.read().rows.len(), 2);
}

#[test]
fn a_checkpoint_that_is_not_the_tables_is_refused() {
    let scene = Scene::new();
    let mut sink = scene.open(None).unwrap();
    for epoch in 1..=2 {
        let files = sink.stage(Epoch(epoch), vec![rows(epoch)]).unwrap();
        sink.publish(&files).unwrap();
    }
    drop(sink);
    let error = scene.open(None).unwrap_err();
    check(
        &error,
        &scene,
        expect![[r#"
        foreign: the Delta table HERE/data/candles has epoch 2 of this job ("stockpulse/scene/candles"), but there is no checkpoint: rows would be in it twice. Give the job the checkpoint location that it had; or another name, for which the rows are computed again beside those; or the table another path
    "#]],
    );
    let error = scene.open(Some(1)).unwrap_err();
    check(
        &error,
        &scene,
        expect![[r#"
        foreign: the Delta table HERE/data/candles has epoch 2 of this job ("stockpulse/scene/candles"), but the checkpoint ends with epoch 1: rows would be in it twice. Give the job the checkpoint location that it had; or another name, for which the rows are computed again beside those; or the table another path
    "#]],
    );
    // Staged by an epoch that the checkpoint cannot have.
    let mut sink = scene.open(Some(2)).unwrap();
    sink.stage(Epoch(5), vec![rows(5)]).unwrap();
    let error = sink.recover(&[]).unwrap_err().to_string();
    assert!(error.contains("is of epoch 5"), "{error}");
}

#[test]
fn what_is_no_table_or_another_one_is_refused_with_the_differences() {
    let scene = Scene::new();
    fs::create_dir_all(scene.path()).unwrap();
    fs::write(scene.path().join("notes.txt"), "mine").unwrap();
    check(
        &scene.open(None).unwrap_err(),
        &scene,
        expect![[r#"
        foreign: HERE/data/candles is not empty (HERE/data/candles/notes.txt is in it) and no Delta table: it has no _delta_log. Give the table another path
    "#]],
    );

    let scene = Scene::new();
    scene.create(|_, metadata| {
        let fields = metadata["schema"]["fields"].as_array_mut().unwrap();
        fields[0]["nullable"] = false.into();
        fields[2]["type"] = "string".into();
        fields.remove(1);
        fields.push(json!({"name": "venue", "type": "string", "nullable": true, "metadata": {}}));
        metadata["partitionColumns"] = json!([]);
    });
    check(
        &scene.open(None).unwrap_err(),
        &scene,
        expect![[r#"
        foreign: the Delta table HERE/data/candles is not one that this job can append to:
          column "symbol": it may be null in the SQL, and is NOT NULL in the table
          column "time": timestamp in the SQL, not in the table
          column "close": double in the SQL, string in the table
          column "venue": string in the table, not in the SQL
          partitioned by (day) in the SQL, by nothing in the table
        Change the table by another program, or the SQL; or give the table another path
    "#]],
    );

    let scene = Scene::new();
    scene.create(|protocol, metadata| {
        *protocol = json!({"minReaderVersion": 3, "minWriterVersion": 7,
            "readerFeatures": ["deletionVectors"], "writerFeatures": ["deletionVectors", "appendOnly"]});
        metadata["configuration"] = json!({"delta.setTransactionRetentionDuration": "interval 7 days"});
    });
    check(
        &scene.open(None).unwrap_err(),
        &scene,
        expect![[r#"
        foreign: the Delta table HERE/data/candles is not one that this job can append to:
          the table has the feature deletionVectors
          the table forgets which epochs it has after 168 hours (delta.setTransactionRetentionDuration): at least 30 days are needed, lest a job that was stopped for longer writes rows twice
        Change the table by another program, or the SQL; or give the table another path
    "#]],
    );

    let scene = Scene::new();
    scene.create(|protocol, metadata| {
        *protocol = json!({"minReaderVersion": 2, "minWriterVersion": 6});
        metadata["configuration"] = json!({
            "delta.enableChangeDataFeed": "true", "delta.columnMapping.mode": "none", "delta.constraints.positive": "close > 0"
        });
        let field = &mut metadata["schema"]["fields"][2];
        field["metadata"] = json!({"delta.generationExpression": "1.0"});
    });
    check(
        &scene.open(None).unwrap_err(),
        &scene,
        expect![[r#"
        foreign: the Delta table HERE/data/candles is not one that this job can append to:
          the table has the change data feed (delta.enableChangeDataFeed)
          the table has the CHECK constraint positive
          column "close" is generated in the table
        Change the table by another program, or the SQL; or give the table another path
    "#]],
    );
}

#[test]
fn a_table_that_another_program_made_is_appended_to() {
    let scene = Scene::new();
    scene.create(|protocol, metadata| {
        *protocol = json!({"minReaderVersion": 3, "minWriterVersion": 7,
            "readerFeatures": [], "writerFeatures": ["appendOnly", "invariants"]});
        let fields = metadata["schema"]["fields"].as_array_mut().unwrap();
        fields.swap(0, 2);
        metadata["configuration"] = json!({"delta.appendOnly": "true",
            "delta.setTransactionRetentionDuration": "interval 60 days"});
    });
    let mut sink = scene.open(None).unwrap();
    let files = sink.stage(Epoch(1), vec![rows(1)]).unwrap();
    sink.publish(&files).unwrap();
    assert_eq!(scene.read().rows.len(), 2);
}

#[test]
fn two_jobs_never_write_one_table() {
    let scene = Scene::new();
    let _first = scene.open(None).unwrap();
    let error = scene.open(None).unwrap_err().to_string();
    assert!(error.contains("one job a table"), "{error}");
}

#[test]
fn a_file_that_is_in_the_table_is_never_removed() {
    let scene = Scene::new();
    let mut sink = scene.open(None).unwrap();
    let files = sink.stage(Epoch(1), vec![rows(1)]).unwrap();
    // As after a log that has forgotten the epoch: the file is there, the transaction is not.
    let file = &files[0];
    let (day, _) = file.published.split_once('/').unwrap();
    let day = day.strip_prefix("day=").unwrap();
    let add = json!({"path": file.published, "partitionValues": {"day": day}, "size": file.bytes,
        "modificationTime": 0, "dataChange": true});
    write_version(&scene.path(), 1, &[json!({"add": add})]);
    drop(sink);
    let mut sink = scene.open(None).unwrap();
    let error = sink.recover(&[]).unwrap_err().to_string();
    assert!(error.contains("is in the Delta table"), "{error}");
    assert!(scene.path().join(&file.published).exists());
}

#[test]
fn what_was_staged_and_not_committed_is_removed() {
    let scene = Scene::new();
    let mut sink = scene.open(None).unwrap();
    let files = sink.stage(Epoch(1), vec![rows(1)]).unwrap();
    sink.publish(&files).unwrap();
    sink.stage(Epoch(2), vec![rows(2)]).unwrap();
    let other = scene
        .path()
        .join("day=2026-07-31/scene-0000000002-000.parquet");
    fs::write(&other, "another job's").unwrap();
    drop(sink);
    let mut sink = scene.open(Some(1)).unwrap();
    sink.recover(&files).unwrap();
    let left = stockpulse::testing::files_below(&scene.path()).unwrap();
    let data = left.iter().filter(|file| file.ends_with(".parquet"));
    assert_eq!(data.count(), 3, "{left:?}");
    assert!(other.exists());
}
