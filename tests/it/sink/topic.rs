//! Rows → a Kafka topic: each once, whatever comes between the commit and the end of its transaction.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{BinaryViewArray, Int32Array, Int64Array, RecordBatch};
use stockpulse::checkpoint::FileEntry;
use stockpulse::disk::Disk;
use stockpulse::model::Epoch;
use stockpulse::sink::kafka::{self, LetterOptions, TopicAddress};
use stockpulse::sink::outbox::Outbox;
use stockpulse::sink::{RowTimes, SinkError, SinkRows};

use crate::job::harness::listing;
use crate::support::broker::TestBroker;

fn open(broker: &TestBroker, job: &str, stage: &Path) -> Result<Outbox, SinkError> {
    let options = LetterOptions {
        table: "letters".to_string(),
        to: TopicAddress {
            topic: broker.topic.clone(),
            kafka: broker.kafka(),
        },
        job: job.to_string(),
        stage: stage.to_path_buf(),
        sort_columns: vec![0, 1],
        disk: Disk::default(),
    };
    kafka::letters(&options, &rows(&[]).rows.schema())
}

/// A job's name of its own: on a real Kafka its marker stays.
fn job(broker: &TestBroker) -> String {
    broker.topic.clone()
}

fn rows(offsets: &[i64]) -> SinkRows {
    let values = offsets
        .iter()
        .map(|offset| (offset % 2 == 0).then_some(b"\"x\xff".as_slice()));
    let rows = RecordBatch::try_from_iter_with_nullable([
        (
            "partition",
            Arc::new(Int32Array::from_value(3, offsets.len())) as _,
            true,
        ),
        (
            "offset",
            Arc::new(Int64Array::from(offsets.to_vec())) as _,
            true,
        ),
        (
            "value",
            Arc::new(BinaryViewArray::from_iter(values)) as _,
            true,
        ),
    ]);
    SinkRows {
        times: RowTimes::One(0),
        rows: rows.unwrap(),
    }
}

fn stage(sink: &mut Outbox, epoch: u64, offsets: &[i64]) -> Vec<FileEntry> {
    sink.stage(Epoch(epoch), vec![rows(offsets)]).unwrap()
}

fn keys(broker: &TestBroker) -> Vec<String> {
    let stored = broker.read_committed().into_iter();
    let mut keys: Vec<String> = stored.map(|message| message.key.unwrap()).collect();
    keys.sort();
    keys
}

#[test]
fn a_row_is_a_message_and_its_file_goes() {
    let (broker, dir) = (TestBroker::start(2), tempfile::tempdir().unwrap());
    let mut sink = open(&broker, &job(&broker), dir.path()).unwrap();
    assert_eq!(sink.stage(Epoch(1), Vec::new()).unwrap(), []);
    let files = stage(&mut sink, 2, &[8, 7]);
    assert_eq!(broker.read_committed(), []);
    assert_eq!(listing(dir.path()), ["0000000002.jsonl"]);
    sink.publish(&files).unwrap();
    sink.publish(&files).unwrap();
    assert_eq!(keys(&broker), ["3/7", "3/8"]);
    let mut texts: Vec<String> = (broker.read_committed().into_iter())
        .map(|message| String::from_utf8(message.payload).unwrap())
        .collect();
    texts.sort();
    assert_eq!(
        texts,
        [
            r#"{"partition":3,"offset":7,"value":null,"value_text":null}"#,
            r#"{"partition":3,"offset":8,"value":"Inj/","value_text":null}"#
        ]
    );
    assert_eq!(listing(dir.path()), [""; 0]);
}

#[test]
fn a_restart_sends_what_was_not_sent_and_nothing_twice() {
    let (broker, dir) = (TestBroker::start(1), tempfile::tempdir().unwrap());
    let restart = || open(&broker, &job(&broker), dir.path()).unwrap();
    let mut sink = restart();
    // Stopped after the commit of the checkpoint.
    let first = stage(&mut sink, 1, &[1, 2]);
    let copy = fs::read(dir.path().join(&first[0].staged)).unwrap();
    // Not committed.
    stage(&mut sink, 2, &[3]);
    let mut sink = restart();
    sink.recover(&first).unwrap();
    assert_eq!(keys(&broker), ["3/1", "3/2"]);
    assert_eq!(listing(dir.path()), [""; 0]);
    // Stopped after the transaction, before the file went. The embedded broker keeps no transaction's offsets.
    if broker.isolates() {
        fs::write(dir.path().join(&first[0].staged), &copy).unwrap();
        restart().recover(&first).unwrap();
        assert_eq!(keys(&broker), ["3/1", "3/2"]);
        assert_eq!(listing(dir.path()), [""; 0]);
    }
    let mut sink = restart();
    // Another file of the same epoch, as of a job that was started over: it was not sent.
    let again = stage(&mut sink, 1, &[5]);
    let mut sink = restart();
    sink.recover(&again).unwrap();
    assert_eq!(keys(&broker), ["3/1", "3/2", "3/5"]);
}

#[test]
fn a_file_that_was_changed_is_not_sent() {
    let (broker, dir) = (TestBroker::start(1), tempfile::tempdir().unwrap());
    let mut sink = open(&broker, &job(&broker), dir.path()).unwrap();
    let files = stage(&mut sink, 1, &[1]);
    fs::write(dir.path().join(&files[0].staged), "{}\n").unwrap();
    let error = sink.publish(&files).unwrap_err();
    assert!(matches!(&error, SinkError::Foreign(_)), "{error}");
    assert_eq!(broker.read_committed(), []);
}

#[test]
fn a_process_that_was_taken_over_from_sends_nothing_more() {
    let (broker, dirs) = (
        TestBroker::start(1),
        [(); 2].map(|()| tempfile::tempdir().unwrap()),
    );
    let mut old = open(&broker, &job(&broker), dirs[0].path()).unwrap();
    let files = stage(&mut old, 1, &[1]);
    let mut new = open(&broker, &job(&broker), dirs[1].path()).unwrap();
    // The embedded broker shuts nobody out.
    if broker.isolates() {
        let error = old.publish(&files).unwrap_err();
        assert!(error.to_string().contains("has taken over"), "{error}");
    }
    let files = stage(&mut new, 1, &[2]);
    new.publish(&files).unwrap();
    assert_eq!(keys(&broker), ["3/2"]);
}

/// It waits for the whole time that a broker is given.
#[test]
fn while_the_broker_is_away_rows_wait_in_their_file_for_the_next_start() {
    let (mut broker, dir) = (TestBroker::start(1), tempfile::tempdir().unwrap());
    let mut sink = open(&broker, &job(&broker), dir.path()).unwrap();
    let files = stage(&mut sink, 1, &[1]);
    if broker.isolates() {
        // A real one stays; one that cannot be asked is as good as away.
        drop(sink);
        let nobody = TopicAddress {
            topic: broker.topic.clone(),
            kafka: stockpulse::config::kafka::KafkaProperties::new("127.0.0.1:1"),
        };
        let options = LetterOptions {
            table: "letters".to_string(),
            to: nobody,
            job: job(&broker),
            stage: dir.path().to_path_buf(),
            sort_columns: Vec::new(),
            disk: Disk::default(),
        };
        let error = kafka::letters(&options, &rows(&[]).rows.schema()).unwrap_err();
        assert!(matches!(&error, SinkError::Away { .. }), "{error}");
    } else {
        broker.empty();
        let error = sink.publish(&files).unwrap_err();
        assert!(matches!(&error, SinkError::Away { .. }), "{error}");
        drop(sink);
    }
    assert_eq!(listing(dir.path()), ["0000000001.jsonl"]);
    let mut sink = open(&broker, &job(&broker), dir.path()).unwrap();
    sink.recover(&files).unwrap();
    assert_eq!(keys(&broker), ["3/1"]);
}
