//! What is in no candle is in the dead letters: each reject and each late tick once, with its bytes, however
//! the run is cut, stopped and started again.

use std::fs;
use std::path::PathBuf;

use expect_test::{Expect, expect};
use stockpulse::job::{DeadLetters, JobError, JobSpec, Rebuild, Summary};
use stockpulse::model::{Counts, Exit};
use stockpulse::source::Topic;
use stockpulse::source::replay::{ReplayFrame, ReplayTopic};

use super::exact::OHLC;
use super::harness::{Bench, Regime, listing, long_before, noon, read_rows};

/// 2026-08-01T10:00:00Z, milliseconds.
const START_MS: i64 = 1_785_578_400_000;
/// All that tells two letters apart but their bytes.
const PLACES: &str = "SELECT reason, table_name, partition, \"offset\", element, event_time, late_by_ms \
     FROM t ORDER BY partition, \"offset\", element, table_name";

/// Where a bench's dead letters go.
pub fn folder(bench: &Bench) -> PathBuf {
    bench.dir.path().join("data/dead")
}

/// A run that keeps its dead letters.
pub fn run_keeping(
    bench: &Bench,
    topic: &dyn Topic,
    regime: &Regime,
    clock: fn() -> i64,
) -> Result<Summary, JobError> {
    stockpulse::job::run(keeping(bench, regime, clock), topic, &mut |_| {})
}

fn keeping(bench: &Bench, regime: &Regime, clock: fn() -> i64) -> JobSpec {
    JobSpec {
        dead_letters: Some(DeadLetters::Folder(folder(bench))),
        ..bench.spec_at(regime, clock).unwrap()
    }
}

/// The letters as text; none where nothing was ever kept.
pub fn letters(bench: &Bench, query: &str) -> Vec<String> {
    match folder(bench).exists() && !listing(&folder(bench)).is_empty() {
        true => read_rows(&folder(bench), query),
        false => Vec::new(),
    }
}

/// Late ticks and rejects of a job's counts.
pub fn unplaced(counts: &Counts) -> u64 {
    counts.late + counts.rejected()
}

fn check(bench: &Bench, query: &str, expected: Expect) {
    expected.assert_eq(&letters(bench, query).join("\n"));
}

fn append(topic: &ReplayTopic, partition: i32, payload: Option<&[u8]>) -> i64 {
    topic.append(
        partition,
        ReplayFrame {
            timestamp_ms: Some(START_MS),
            key: None,
            payload: payload.map(<[u8]>::to_vec),
        },
    )
}

fn tick(topic: &ReplayTopic, second: i64) {
    ticks(topic, &[second]);
}

fn ticks(topic: &ReplayTopic, seconds: &[i64]) {
    let tick = |second: &i64| {
        let time = START_MS + second * 1000;
        format!(r#"{{"s":"A","p":1.5,"t":{time},"v":1}}"#)
    };
    let ticks: Vec<String> = seconds.iter().map(tick).collect();
    let frame = format!(r#"{{"type":"trade","data":[{}]}}"#, ticks.join(","));
    append(topic, 0, Some(frame.as_bytes()));
}

/// One frame of each kind.
fn poisoned() -> ReplayTopic {
    let topic = ReplayTopic::new("raw_ticks", 1);
    tick(&topic, 0);
    append(&topic, 0, None);
    append(&topic, 0, Some(b" "));
    append(&topic, 0, Some(b"{\"type\":\"trade\",\"data\":[{\"s\":"));
    append(&topic, 0, Some(b"\xff\x00"));
    append(&topic, 0, Some(b"[1]"));
    append(&topic, 0, Some(br#"{"type":"trade","data":7}"#));
    // The second and the fourth are refused, the third lacks its price, the fifth is too late.
    tick(&topic, 300);
    append(
        &topic,
        0,
        Some(
            format!(
                r#"{{"data":[{{"s":"A","p":2,"t":{t}}},null,{{"s":"A","t":{t}}},{{"s":"A","p":"x","t":{t}}},{{"s":"A","p":3,"t":{START_MS}}}]}}"#,
                t = START_MS + 301_000
            )
            .as_bytes(),
        ),
    );
    // Far in the future, first and not first in its frame: no later tick is late for it.
    ticks(&topic, &[100_000]);
    ticks(&topic, &[302, 100_000]);
    tick(&topic, 303);
    // No time that a window could be around.
    let edge = r#"{"data":[{"s":"A","p":1,"t":-9223372036854}]}"#;
    topic.append(
        0,
        ReplayFrame {
            timestamp_ms: None,
            key: Some(b"k\xff".to_vec()),
            payload: Some(edge.as_bytes().to_vec()),
        },
    );
    topic
}

#[test]
fn every_reject_and_every_late_tick_is_a_row_with_its_bytes() {
    let (bench, topic) = (Bench::new(OHLC), poisoned());
    let summary = run_keeping(&bench, &topic, &Regime::default(), noon).unwrap();
    assert_eq!(summary.dead_letters, unplaced(&summary.counts));
    check(
        &bench,
        PLACES,
        expect![[r#"
        empty,null,0,1,null,null,null
        empty,null,0,2,null,null,null
        malformed,null,0,3,null,null,null
        malformed,null,0,4,null,null,null
        not_an_object,null,0,5,null,null,null
        wrong_type,null,0,6,null,null,null
        "null",null,0,8,1,null,null
        "null",ohlc,0,8,2,null,null
        wrong_type,null,0,8,3,null,null
        late,ohlc,0,8,4,2026-08-01T10:00:00Z,180000
        future,ohlc,0,9,0,2026-08-02T13:46:40Z,null
        future,ohlc,0,10,1,2026-08-02T13:46:40Z,null
        out_of_range,ohlc,0,12,0,1677-09-21T00:12:43.146Z,null"#]],
    );
    check(
        &bench,
        "SELECT \"offset\", element, detail FROM t ORDER BY \"offset\", element",
        expect![[r#"
            1,null,no payload
            2,null,nothing but white space
            3,null,not JSON: EOF while parsing a value at line 1 column 29
            4,null,not UTF-8: byte 0xff at position 0
            5,null,"expected an object, found an array"
            6,null,"data: expected an array, found a number: 7"
            8,1,"data[1]: expected an object, found null"
            8,2,a value that the query needs (IS NOT NULL) is missing
            8,3,"data[3].p: expected a number, found a string: ""x"""
            8,4,its window 2026-08-01T10:00:00Z to 2026-08-01T10:01:00Z had closed: no tick before 2026-08-01T10:04:00Z was expected any more
            9,0,event time 2026-08-02T13:46:40Z is more than maxFutureSkew (10 minutes) after Kafka's timestamp 2026-08-01T10:00:00Z
            10,1,event time 2026-08-02T13:46:40Z is more than maxFutureSkew (10 minutes) after Kafka's timestamp 2026-08-01T10:00:00Z
            12,0,event time 1677-09-21T00:12:43.146Z: its window cannot be expressed"#]],
    );
    check(
        &bench,
        "SELECT DISTINCT \"offset\", topic, kafka_timestamp, arrow_cast(key, 'Binary') AS key, \
         arrow_cast(value, 'Binary') AS value FROM t ORDER BY \"offset\"",
        expect![[r#"
            1,raw_ticks,2026-08-01T10:00:00Z,null,null
            2,raw_ticks,2026-08-01T10:00:00Z,null,20
            3,raw_ticks,2026-08-01T10:00:00Z,null,7b2274797065223a227472616465222c2264617461223a5b7b2273223a
            4,raw_ticks,2026-08-01T10:00:00Z,null,ff00
            5,raw_ticks,2026-08-01T10:00:00Z,null,5b315d
            6,raw_ticks,2026-08-01T10:00:00Z,null,7b2274797065223a227472616465222c2264617461223a377d
            8,raw_ticks,2026-08-01T10:00:00Z,null,7b2264617461223a5b7b2273223a2241222c2270223a322c2274223a313738353537383730313030307d2c6e756c6c2c7b2273223a2241222c2274223a313738353537383730313030307d2c7b2273223a2241222c2270223a2278222c2274223a313738353537383730313030307d2c7b2273223a2241222c2270223a332c2274223a313738353537383430303030307d5d7d
            9,raw_ticks,2026-08-01T10:00:00Z,null,7b2274797065223a227472616465222c2264617461223a5b7b2273223a2241222c2270223a312e352c2274223a313738353637383430303030302c2276223a317d5d7d
            10,raw_ticks,2026-08-01T10:00:00Z,null,7b2274797065223a227472616465222c2264617461223a5b7b2273223a2241222c2270223a312e352c2274223a313738353537383730323030302c2276223a317d2c7b2273223a2241222c2270223a312e352c2274223a313738353637383430303030302c2276223a317d5d7d
            12,raw_ticks,null,6bff,7b2264617461223a5b7b2273223a2241222c2270223a312c2274223a2d393232333337323033363835347d5d7d"#]],
    );
    // The candles are those without.
    let plain = Bench::new(OHLC);
    let counts = plain
        .run_at(&topic, &Regime::default(), noon)
        .unwrap()
        .counts;
    assert_eq!((plain.rows(), counts), (bench.rows(), summary.counts));
}

#[test]
fn batches_threads_and_restarts_make_no_difference() {
    let read = |bench: &Bench| {
        letters(
            bench,
            "SELECT * FROM t ORDER BY partition, \"offset\", element, reason",
        )
    };
    let whole = Bench::new(OHLC);
    run_keeping(&whole, &poisoned(), &Regime::default(), noon).unwrap();
    for micro_batch_frames in [1, 3] {
        for max_offsets_per_trigger in [None, Some(1)] {
            let regime = Regime {
                threads: 1,
                micro_batch_frames,
                max_offsets_per_trigger,
                ..Regime::default()
            };
            let (bench, from) = (Bench::new(OHLC), poisoned());
            // Each frame by itself, the job started again for each.
            let topic = ReplayTopic::new("raw_ticks", 1);
            let mut source = from
                .open(&stockpulse::model::Offsets([(0, 0)].into()))
                .unwrap();
            let mut frames = Vec::new();
            let timeout = std::time::Duration::ZERO;
            source
                .poll(100, timeout, &mut |event| {
                    if let stockpulse::source::Event::Frame(frame) = event {
                        frames.push(ReplayFrame {
                            timestamp_ms: frame.timestamp_ms,
                            key: frame.key.map(<[u8]>::to_vec),
                            payload: frame.payload.map(<[u8]>::to_vec),
                        });
                    }
                })
                .unwrap();
            for frame in frames {
                topic.append(0, frame);
                run_keeping(&bench, &topic, &regime, long_before).unwrap();
            }
            let summary = run_keeping(&bench, &topic, &regime, noon).unwrap();
            assert_eq!(read(&bench), read(&whole), "{regime:?}");
            assert_eq!(read(&bench).len() as u64, unplaced(&summary.counts));
        }
    }
}

#[test]
fn a_poison_timestamp_is_kept_and_makes_no_later_tick_late() {
    let (bench, topic) = (Bench::new(OHLC), ReplayTopic::new("raw_ticks", 1));
    tick(&topic, 0);
    tick(&topic, 1_000_000_000);
    tick(&topic, 1);
    let summary = run_keeping(&bench, &topic, &Regime::default(), noon).unwrap();
    assert_eq!(summary.counts.late, 0);
    assert_eq!(summary.counts.in_windows, 2);
    check(
        &bench,
        "SELECT reason, \"offset\", event_time, detail FROM t",
        expect![
            "future,1,2058-04-09T11:46:40Z,event time 2058-04-09T11:46:40Z is more than maxFutureSkew (10 minutes) after Kafka's timestamp 2026-08-01T10:00:00Z"
        ],
    );
}

#[test]
fn what_a_crash_leaves_between_commit_and_publish_is_published_once() {
    let (bench, topic) = (Bench::new(OHLC), poisoned());
    run_keeping(&bench, &topic, &Regime::default(), noon).unwrap();
    let (before, files) = (letters(&bench, PLACES), listing(&folder(&bench)));
    assert!(files.len() >= 2, "{files:?}");
    let stage = bench.dir.path().join("data/_stage/dead");
    for (at, file) in files.iter().enumerate() {
        let published = folder(&bench).join(file);
        let staged = stage.join(published.file_name().unwrap());
        // Some were published before the crash.
        if at % 2 == 0 {
            fs::rename(&published, &staged).unwrap();
        }
    }
    // Of an epoch that was not committed.
    fs::write(stage.join("ohlc-0000000099-000.parquet"), "half").unwrap();
    run_keeping(&bench, &topic, &Regime::default(), noon).unwrap();
    assert_eq!(letters(&bench, PLACES), before);
    assert_eq!(listing(&folder(&bench)), files);
    assert_eq!(listing(&stage), ["lock"]);
}

#[test]
fn a_job_that_goes_on_elsewhere_finishes_where_it_was() {
    for elsewhere in [None, Some("data/other")] {
        let (bench, topic) = (Bench::new(OHLC), poisoned());
        run_keeping(&bench, &topic, &Regime::default(), noon).unwrap();
        let before = letters(&bench, PLACES);
        let stage = bench.dir.path().join("data/_stage/dead");
        for file in listing(&folder(&bench)) {
            let published = folder(&bench).join(file);
            fs::rename(&published, stage.join(published.file_name().unwrap())).unwrap();
        }
        append(&topic, 0, Some(b"nonsense"));
        let spec = JobSpec {
            dead_letters: elsewhere.map(|dir| DeadLetters::Folder(bench.dir.path().join(dir))),
            ..keeping(&bench, &Regime::default(), noon)
        };
        let summary = stockpulse::job::run(spec, &topic, &mut |_| {}).unwrap();
        assert_eq!(letters(&bench, PLACES), before);
        assert_eq!(summary.dead_letters, u64::from(elsewhere.is_some()));
        // And back again: the files of before are its own.
        append(&topic, 0, Some(b"nonsense"));
        run_keeping(&bench, &topic, &Regime::default(), noon).unwrap();
        assert_eq!(letters(&bench, PLACES).len(), before.len() + 1);
    }
}

#[test]
fn files_that_the_checkpoint_does_not_know_of_are_refused() {
    let (bench, topic) = (Bench::new(OHLC), poisoned());
    run_keeping(&bench, &topic, &Regime::default(), noon).unwrap();
    let moved = Bench::new(OHLC);
    fs::create_dir_all(folder(&moved).parent().unwrap()).unwrap();
    fs::rename(folder(&bench), folder(&moved)).unwrap();
    let error = run_keeping(&moved, &topic, &Regime::default(), noon).unwrap_err();
    assert_eq!(error.exit(), Exit::Mismatch);
    let error = error.to_string();
    assert!(error.contains("data/dead holds files"), "{error}");
    // Nor with a checkpoint, where later epochs' files would be in the way.
    let plain = ReplayTopic::new("raw_ticks", 1);
    tick(&plain, 0);
    fs::remove_dir_all(moved.dir.path().join("data/_checkpoints")).unwrap();
    fs::rename(folder(&moved), moved.dir.path().join("data/aside")).unwrap();
    moved.run_at(&plain, &Regime::default(), noon).unwrap();
    fs::rename(moved.dir.path().join("data/aside"), folder(&moved)).unwrap();
    let names = listing(&folder(&moved));
    let later = names[0].replace("-0000000001-", "-0000000077-");
    fs::rename(folder(&moved).join(&names[0]), folder(&moved).join(&later)).unwrap();
    let error = run_keeping(&moved, &plain, &Regime::default(), noon).unwrap_err();
    assert_eq!(error.exit(), Exit::Mismatch, "{error}");
}

#[test]
fn bad_data_that_fails_fails_and_says_where() {
    let sql = OHLC.replace("bad_data = 'drop'", "bad_data = 'fail'");
    let (bench, topic) = (Bench::new(&sql), ReplayTopic::new("raw_ticks", 1));
    tick(&topic, 0);
    append(&topic, 0, Some(b"nonsense"));
    let error = run_keeping(&bench, &topic, &Regime::default(), noon).unwrap_err();
    let error = error.to_string();
    assert!(
        error.contains("raw_ticks, partition 0, offset 1"),
        "{error}"
    );
    assert_eq!(letters(&bench, PLACES), [""; 0]);
}

#[test]
fn with_several_tables_a_frame_is_kept_once_and_a_tick_for_each_that_misses_it() {
    let (table, insert) = (
        OHLC.find("CREATE TABLE ohlc").unwrap(),
        OHLC.find("-- (3)").unwrap(),
    );
    let select = OHLC.find("INSERT INTO ohlc").unwrap();
    let wide = |text: &str| {
        text.replace("TABLE ohlc", "TABLE hourly")
            .replace("INTO ohlc", "INTO hourly")
            .replace("data/ohlc }}'", "data/ohlc }}-hourly'")
            .replace("tumble(interval '1 minute')", "tumble(interval '1 hour')")
    };
    let sql = format!(
        "{OHLC}\n{}\n{}",
        wide(&OHLC[table..insert]),
        wide(&OHLC[select..])
    );
    let (bench, topic) = (Bench::new(&sql), poisoned());
    run_keeping(&bench, &topic, &Regime::default(), noon).unwrap();
    check(
        &bench,
        "SELECT reason, table_name, count(*), count(DISTINCT \"offset\") FROM t \
         GROUP BY 1, 2 ORDER BY 1, 2",
        expect![[r#"
            empty,null,2,2
            future,hourly,2,2
            future,ohlc,2,2
            late,ohlc,1,1
            malformed,null,2,2
            not_an_object,null,1,1
            "null",hourly,1,1
            "null",ohlc,1,1
            "null",null,1,1
            out_of_range,hourly,1,1
            out_of_range,ohlc,1,1
            wrong_type,null,2,2"#]],
    );
}

#[test]
fn rows_without_windows_and_frames_that_the_query_fails_on_are_kept() {
    let select = OHLC.find("INSERT INTO ohlc").unwrap();
    let start = OHLC.find("CREATE TABLE ohlc").unwrap();
    let view = OHLC.find("-- (3)").unwrap();
    let sql = format!(
        "{}CREATE TABLE ohlc (symbol TEXT, inverse BIGINT) WITH (connector = 'filesystem', type = 'sink', \
         path = '{{{{ CANDLES_PATH | data/ohlc }}}}', format = 'parquet', 'partitioning.time_pattern' = 'date=%Y-%m-%d');\n{}\
         INSERT INTO ohlc SELECT symbol, 100 / CAST(volume AS BIGINT) FROM ticks;",
        &OHLC[..start],
        &OHLC[view..select]
    );
    let (bench, topic) = (Bench::new(&sql), ReplayTopic::new("raw_ticks", 1));
    tick(&topic, 0);
    let zero = format!(r#"{{"data":[{{"s":"A","p":1,"t":{START_MS},"v":0}}]}}"#);
    append(&topic, 0, Some(zero.as_bytes()));
    append(
        &topic,
        0,
        Some(br#"{"data":[{"s":null,"p":1,"t":1,"v":1}]}"#),
    );
    tick(&topic, 1);
    let summary = run_keeping(&bench, &topic, &Regime::default(), noon).unwrap();
    assert_eq!(summary.dead_letters, unplaced(&summary.counts));
    check(
        &bench,
        "SELECT reason, table_name, \"offset\", element, detail FROM t ORDER BY \"offset\"",
        expect![[r#"
            wrong_type,ohlc,1,null,the query fails on this frame: Arrow error: Divide by zero error
            "null",ohlc,2,0,a value that the query needs (IS NOT NULL) is missing"#]],
    );
}

/// Far more than may wait in memory: it is committed on the way, though no window closes.
#[test]
fn a_topic_full_of_garbage_is_kept_in_several_epochs() {
    let (bench, topic) = (Bench::new(OHLC), ReplayTopic::new("raw_ticks", 2));
    let garbage = vec![b'x'; 1 << 20];
    for frame in 0..96 {
        append(&topic, frame % 2, Some(&garbage));
    }
    let summary = run_keeping(&bench, &topic, &Regime::default(), noon).unwrap();
    assert_eq!(summary.dead_letters, 96);
    let epochs = summary.epoch.unwrap().0;
    assert!((3..=96).contains(&epochs), "{epochs} epochs");
    check(
        &bench,
        "SELECT partition, count(*), count(DISTINCT \"offset\"), min(length(arrow_cast(value, 'Utf8'))) \
         FROM t GROUP BY 1 ORDER BY 1",
        expect![[r#"
            0,48,48,1048576
            1,48,48,1048576"#]],
    );
}

/// A frame's bytes are once in memory and once in the file, however many of its ticks are refused.
#[test]
fn a_large_frame_of_refused_ticks_is_not_multiplied() {
    let (bench, topic) = (Bench::new(OHLC), ReplayTopic::new("raw_ticks", 1));
    let padding: String = (0..100_000u32)
        .map(|n| char::from(b'a' + (n % 26) as u8))
        .collect();
    let frame = format!(r#"{{"x":"{padding}","data":[{}7]}}"#, "7,".repeat(4_999));
    append(&topic, 0, Some(frame.as_bytes()));
    let summary = run_keeping(&bench, &topic, &Regime::default(), noon).unwrap();
    assert_eq!(summary.dead_letters, 5_000);
    let files = listing(&folder(&bench));
    let bytes: u64 = (files.iter())
        .map(|file| fs::metadata(folder(&bench).join(file)).unwrap().len())
        .sum();
    assert!(bytes < 1 << 20, "{bytes} bytes");
    check(
        &bench,
        "SELECT min(element), max(element), count(DISTINCT element), min(length(arrow_cast(value, 'Utf8'))) FROM t",
        expect!["0,4999,5000,110017"],
    );
}

#[test]
fn timestamps_that_are_noise_do_not_make_a_folder_each() {
    let (bench, topic) = (Bench::new(OHLC), ReplayTopic::new("raw_ticks", 1));
    for day in 0..2_000 {
        let frame = ReplayFrame {
            timestamp_ms: Some(day * 86_400_000),
            key: None,
            payload: Some(b"noise".to_vec()),
        };
        topic.append(0, frame);
    }
    let summary = run_keeping(&bench, &topic, &Regime::default(), noon).unwrap();
    assert_eq!(summary.dead_letters, 2_000);
    check(
        &bench,
        "SELECT count(DISTINCT kafka_timestamp) FROM t",
        expect!["2000"],
    );
    let files = listing(&folder(&bench));
    assert!(
        files
            .iter()
            .all(|file| file.starts_with("date=1970-01-01/")),
        "{files:?}"
    );
}

#[test]
fn a_rebuild_computes_them_again_and_keeps_those_of_before_aside() {
    let (bench, topic) = (Bench::new(OHLC), poisoned());
    run_keeping(&bench, &topic, &Regime::default(), noon).unwrap();
    let before = letters(&bench, PLACES);
    append(&topic, 0, Some(b"nonsense"));
    let wide = OHLC.replace("tumble(interval '1 minute')", "tumble(interval '1 hour')");
    let bench = Bench { sql: wide, ..bench };
    let spec = keeping(&bench, &Regime::default(), noon);
    let summary = stockpulse::job::rebuild(spec, &topic, &mut |_| {}).unwrap();
    let Some(Rebuild::Swapped { kept, .. }) = &summary.rebuild else {
        panic!("{summary:?}");
    };
    // In an hour's window nothing is late, and what was appended since is there.
    let after = letters(&bench, PLACES);
    assert_eq!(after.len() as u64, unplaced(&summary.counts));
    let not_late = |rows: &[String]| rows.iter().filter(|row| !row.starts_with("late")).count();
    assert_eq!(not_late(&after), after.len());
    assert_eq!(not_late(&before) + 1, after.len());
    let kept = kept
        .iter()
        .find(|kept| kept.ends_with(format!("dead-{}", 1)))
        .or(kept.last());
    assert_eq!(read_rows(kept.unwrap(), PLACES), before);
    // The job goes on in the folder, and forgets nothing twice.
    append(&topic, 0, Some(b"nonsense"));
    let summary = run_keeping(&bench, &topic, &Regime::default(), noon).unwrap();
    assert_eq!(summary.dead_letters, 1);
    assert_eq!(
        letters(&bench, PLACES).len() as u64,
        unplaced(&summary.counts)
    );
}

#[test]
fn the_queries_of_the_readme_run() {
    let (bench, topic) = (Bench::new(OHLC), poisoned());
    run_keeping(&bench, &topic, &Regime::default(), noon).unwrap();
    let readme = include_str!("../../../README.md");
    let queries = &readme[readme.find("CREATE EXTERNAL TABLE dead").unwrap()..];
    let queries = queries[..queries.find("```").unwrap()]
        .replace("data/dead/", &format!("{}/", folder(&bench).display()));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let rows: Vec<usize> = runtime.block_on(async {
        let context = datafusion::prelude::SessionContext::new();
        let mut rows = Vec::new();
        for query in queries.split(';').filter(|query| !query.trim().is_empty()) {
            let batches = context.sql(query).await.unwrap().collect().await.unwrap();
            rows.push(batches.iter().map(|batch| batch.num_rows()).sum());
        }
        rows
    });
    // Reasons by table, and the refused values.
    assert_eq!(rows, [0, 9, 2]);
}
