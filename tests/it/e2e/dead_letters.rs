//! What the shipped job keeps of what is in no candle: in a folder, and in a topic.

use crate::job::harness::read_rows;
use crate::support::broker::TestBroker;
use crate::support::shipped::{Folder, INGEST, Run};

const DEAD_LETTERS: &str = "spark.stockpulse.deadLetters";

/// Two candles' ticks, a late one, and what is none.
fn produce(broker: &TestBroker) {
    let tick = |minute: i64| {
        let time = 1_575_526_680_000 + minute * 60_000;
        format!(r#"{{"type":"trade","data":[{{"s":"A","p":2.5,"t":{time},"v":1}}]}}"#)
    };
    let frames = [
        tick(0),
        "nonsense \u{20ac}".to_string(),
        tick(5),
        tick(1),
        r#"{"data":[{"s":"A","p":"x","t":1,"v":1}]}"#.to_string(),
    ];
    broker.produce(frames.iter().map(|frame| (0, frame.as_bytes())));
}

#[test]
fn a_folder_gets_rejects_and_late_ticks_with_their_bytes() {
    let (broker, folder) = (TestBroker::start(1), Folder::new());
    produce(&broker);
    let conf = format!("{DEAD_LETTERS}=data/dead");
    let arguments = ["--conf", conf.as_str(), "--verbose"];
    let ended = folder.available_now(&broker, &arguments);
    let said = [
        "2 rows in",
        "and 3 dead letters by this run",
        "deadLetters             data/dead",
    ];
    for said in said {
        assert!(ended.said.contains(said), "no \"{said}\": {}", ended.said);
    }
    let read = || {
        read_rows(
            &folder.path().join("data/dead"),
            "SELECT reason, \"offset\", element, late_by_ms, arrow_cast(value, 'Utf8') AS value FROM t \
             ORDER BY \"offset\"",
        )
    };
    let letters = [
        "malformed,1,null,null,nonsense €",
        "late,3,0,120000,\"{\"\"type\"\":\"\"trade\"\",\"\"data\"\":[{\"\"s\"\":\"\"A\"\",\"\"p\"\":2.5,\"\"t\"\":1575526740000,\"\"v\"\":1}]}\"",
        "wrong_type,4,0,null,\"{\"\"data\"\":[{\"\"s\"\":\"\"A\"\",\"\"p\"\":\"\"x\"\",\"\"t\"\":1,\"\"v\"\":1}]}\"",
    ];
    assert_eq!(read(), letters);
    folder.available_now(&broker, &arguments);
    assert_eq!(read(), letters);
}

#[test]
fn a_topic_gets_rejects_and_late_ticks_as_json() {
    let (broker, folder) = (TestBroker::start(1), Folder::new());
    let dead = broker.beside("dead", 2);
    produce(&broker);
    let conf = format!("{DEAD_LETTERS}=kafka:{}", dead.topic);
    // On a real Kafka the marker of a job stays, so each test's job has a name of its own.
    let arguments = ["--conf", conf.as_str(), "--name", dead.topic.as_str()];
    let ended = folder.available_now(&broker, &arguments);
    assert!(ended.said.contains("and 3 dead letters"), "{}", ended.said);
    folder.available_now(&broker, &arguments);
    let mut letters: Vec<(String, serde_json::Value)> = (dead.read_committed().into_iter())
        .map(|letter| {
            let value = serde_json::from_slice(&letter.payload).unwrap();
            (letter.key.unwrap(), value)
        })
        .collect();
    letters.sort_by(|one, other| one.0.cmp(&other.0));
    let keys: Vec<&str> = letters.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(keys, ["0/1", "0/3", "0/4"]);
    let (_, nonsense) = &letters[0];
    assert_eq!(nonsense["reason"], "malformed");
    assert_eq!(nonsense["topic"], broker.topic);
    assert_eq!(nonsense["value"], "bm9uc2Vuc2Ug4oKs");
    assert_eq!(nonsense["value_text"], "nonsense \u{20ac}");
    let (_, late) = &letters[1];
    assert_eq!(late["late_by_ms"], 120_000);
    assert_eq!(late["table_name"], "ohlc");
    assert_eq!(late["event_time"], "2019-12-05T06:19:00");
}

#[test]
fn places_that_make_no_sense_are_refused_before_anything_is_asked() {
    let folder = Folder::new();
    let refused = |place: &str, more: &[&str], why: &str| {
        let ended = Run::new(INGEST, folder.path())
            .arguments(&["ohlc.sql", "--dry-run"])
            .arguments(more)
            .conf(DEAD_LETTERS, place)
            .end();
        assert_eq!(ended.code, Some(2), "{place}: {}", ended.said);
        assert!(ended.said.contains(why), "{place}: {}", ended.said);
        assert!(ended.said.contains(DEAD_LETTERS), "{place}: {}", ended.said);
    };
    let place = "it must be a folder of this machine";
    refused("", &[], place);
    refused("s3://bucket/dead", &[], place);
    refused("kafka:", &[], place);
    refused("kafka:dead letters", &[], place);
    refused(
        "kafka:raw_ticks",
        &[],
        "that is the topic that the job reads",
    );
    refused("kafka:dead", &["--rebuild"], "cannot be replaced");
    let table = "that is the folder of table \"ohlc\"";
    refused("data/ohlc", &[], table);
    refused("./data/../data/ohlc/dead", &[], table);
    refused("data", &[], table);
    refused(
        "data/_checkpoints/ohlc/dead",
        &[],
        "that is the folder of the checkpoint",
    );
    folder.file(
        "shown.sql",
        &format!("{} SELECT 1 FROM raw_ticks;", before_tables()),
    );
    let ended = Run::new(INGEST, folder.path())
        .arguments(&["shown.sql", "--dry-run"])
        .conf(DEAD_LETTERS, "data/dead")
        .end();
    assert_eq!(ended.code, Some(2), "{}", ended.said);
    assert!(
        ended.said.contains("the SQL only shows rows"),
        "{}",
        ended.said
    );
}

fn before_tables() -> &'static str {
    use crate::support::shipped::OHLC;
    &OHLC[..OHLC.find("-- (2)").unwrap()]
}

#[test]
fn a_look_at_the_job_says_where_they_go() {
    let folder = Folder::new();
    for (place, dry_run, explained) in [
        (
            "data/dead",
            "keeps dead letters in data/dead",
            "data/dead, published with",
        ),
        (
            "kafka:dead",
            "keeps dead letters in kafka:dead",
            "topic dead, a transaction",
        ),
    ] {
        for (flag, said) in [("--dry-run", dry_run), ("--explain", explained)] {
            let ended = Run::new(INGEST, folder.path())
                .arguments(&["ohlc.sql", flag])
                .conf(DEAD_LETTERS, place)
                .end();
            assert_eq!(ended.code, Some(0), "{}", ended.said);
            let words = ended.said.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(words.contains(said), "{flag}: {}", ended.said);
        }
    }
}
