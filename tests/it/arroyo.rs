//! `--master arroyo://` with the shipped binary, against a server that answers as an Arroyo cluster does.

mod files;
mod same_name;
mod status;
mod trouble;

use std::path::Path;

use serde_json::json;
use tempfile::TempDir;

use crate::support::arroyo::{FakeArroyo, FakePipeline};
use crate::support::broker::TestBroker;
use crate::support::shipped::{INGEST, OHLC, Run};

/// A cluster, a topic of three partitions and a folder with the main job.
struct Scene {
    arroyo: FakeArroyo,
    broker: TestBroker,
    folder: TempDir,
}

impl Scene {
    fn new() -> Scene {
        let scene = Scene {
            arroyo: FakeArroyo::start(),
            broker: TestBroker::start(3),
            folder: tempfile::tempdir().unwrap(),
        };
        scene.file("ohlc.sql", OHLC);
        scene
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn file(&self, name: &str, text: &str) {
        std::fs::write(self.path().join(name), text).unwrap();
    }

    /// `stockpulse-ingest --master arroyo://… …`
    fn run(&self, arguments: &[&str]) -> Run {
        Run::new(INGEST, self.path())
            .arguments(&["--master", &self.arroyo.master()])
            .arguments(arguments)
            .env("KAFKA_BROKER", &self.broker.bootstrap)
            .env("KAFKA_TOPIC", &self.broker.topic)
    }

    fn cluster(&self, arguments: &[&str]) -> Run {
        self.run(&["--deploy-mode", "cluster", "ohlc.sql"])
            .arguments(arguments)
    }

    /// The text that the main job is submitted as.
    fn submitted(&self) -> String {
        let path = std::fs::canonicalize(self.path()).unwrap();
        OHLC.replace(
            "{{ KAFKA_BROKER | localhost:9092 }}",
            &self.broker.bootstrap,
        )
        .replace("{{ KAFKA_TOPIC | raw_ticks }}", &self.broker.topic)
        .replace(
            "{{ CANDLES_PATH | data/ohlc }}",
            &format!("file://{}/data/ohlc", path.display()),
        )
        .replace("{{ COMMIT_INTERVAL | 1 second }}", "1 second")
    }

    fn has(&self, pipeline: FakePipeline) {
        self.arroyo.world().pipelines.push(pipeline);
    }
}

#[test]
fn a_file_becomes_a_pipeline_of_its_name_with_as_many_subtasks_as_the_topic_has_partitions() {
    let scene = Scene::new();
    let ended = scene
        .cluster(&["--conf", "spark.stockpulse.trigger=30 seconds"])
        .end();
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    let created = scene.arroyo.asked("POST", "/pipelines");
    assert_eq!(created.len(), 1);
    let wanted = json!({"name": "ohlc", "query": scene.submitted(), "parallelism": 3, "checkpoint_interval_micros": 30_000_000});
    assert_eq!(created[0].body, wanted);
    let validated = scene.arroyo.asked("POST", "/validate_query");
    assert_eq!(validated[0].body, json!({"query": scene.submitted()}));
    let place = format!(
        "pl_1\nhttp://127.0.0.1:{}/pipelines/pl_1\n",
        scene.arroyo.port
    );
    assert!(ended.printed.contains(&place), "{}", ended.said);
    for said in [
        "pipeline pl_1 is created, with a parallelism of 3",
        "pipeline pl_1 is Compiling",
        "pipeline pl_1 is Scheduling",
        "pipeline pl_1 runs",
    ] {
        assert!(ended.said.contains(said), "{said}: {}", ended.said);
    }
    assert_eq!(scene.arroyo.pipeline("pl_1").state, "Running");
}

#[test]
fn name_and_settings_are_those_of_the_command_line() {
    let scene = Scene::new();
    let ended = scene
        .cluster(&["--name", "mine"])
        .conf("spark.stockpulse.arroyo.parallelism", "2")
        .conf("spark.stockpulse.arroyo.checkpointInterval", "5 seconds")
        .end();
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    let body = &scene.arroyo.asked("POST", "/pipelines")[0].body;
    assert_eq!(
        (
            &body["name"],
            &body["parallelism"],
            &body["checkpoint_interval_micros"]
        ),
        (&json!("mine"), &json!(2), &json!(5_000_000))
    );
    let warned = format!(
        "a parallelism of 2 is less than the 3 partitions of topic {}: Arroyo's watermark is one for each subtask",
        scene.broker.topic
    );
    assert!(ended.said.contains(&warned), "{}", ended.said);
}

#[test]
fn settings_that_arroyo_does_not_take_are_refused_or_become_the_nearest() {
    let scene = Scene::new();
    for (name, value, said) in [
        ("parallelism", "0", "a whole number above 0"),
        ("parallelism", "5000", "a whole number from 1 to 4096"),
        (
            "checkpointInterval",
            "10 milliseconds",
            "a time from 1 second to a day",
        ),
        (
            "checkpointIntervall",
            "10 seconds",
            "did you mean spark.stockpulse.arroyo.checkpointInterval?",
        ),
    ] {
        let name = format!("spark.stockpulse.arroyo.{name}");
        let ended = scene.cluster(&[]).conf(&name, value).end();
        assert_eq!(ended.code, Some(2), "{}", ended.said);
        assert!(ended.said.contains(said), "{said}: {}", ended.said);
    }
    assert!(scene.arroyo.world().asked.is_empty());
    let ended = scene
        .cluster(&[])
        .conf("spark.stockpulse.trigger", "100 milliseconds")
        .end();
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    assert!(
        ended.said.contains("becomes a checkpoint interval of 1s"),
        "{}",
        ended.said
    );
    assert_eq!(scene.arroyo.pipeline("pl_1").interval, 1_000_000);
}

#[test]
fn without_the_broker_the_parallelism_has_to_be_told() {
    let scene = Scene::new();
    let away = |run: Run| {
        run.conf("spark.stockpulse.var.KAFKA_BROKER", "127.0.0.1:1")
            .end()
    };
    let ended = away(scene.cluster(&[]));
    assert_eq!(ended.code, Some(4), "{}", ended.said);
    assert!(
        ended
            .said
            .contains("--conf spark.stockpulse.arroyo.parallelism=4"),
        "{}",
        ended.said
    );
    assert!(scene.arroyo.asked("POST", "/pipelines").is_empty());
    let ended = away(scene.cluster(&["--conf", "spark.stockpulse.arroyo.parallelism=4"]));
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    assert!(
        ended.said.contains("whether a parallelism of 4 is enough"),
        "{}",
        ended.said
    );
    assert_eq!(scene.arroyo.pipeline("pl_1").parallelism, 4);
}

#[test]
fn an_attached_client_shows_progress_and_stops_the_pipeline_with_a_last_checkpoint() {
    let scene = Scene::new();
    scene.arroyo.world().errors = vec![json!({
        "id": "e1", "created_at": 1, "operator_id": "source_0", "task_index": 0, "level": "error",
        "message": "a worker is gone", "details": "it was killed", "error_domain": "internal",
    })];
    for signal in ["INT", "TERM"] {
        let run = scene.run(&["ohlc.sql", "--name", signal]).start();
        run.wait_for("runs; Ctrl-C stops it after a last checkpoint");
        run.wait_for("ms, 1234 rows/s read, 7 rows/s written, backpressure 75 %");
        run.wait_for("reports in source_0: a worker is gone: it was killed");
        run.signal(signal);
        let ended = run.end();
        assert_eq!(ended.code, Some(0), "{}", ended.said);
        assert_eq!(
            ended.said.matches("a worker is gone").count(),
            1,
            "{}",
            ended.said
        );
        for said in [
            "took 321 ms",
            "is CheckpointStopping",
            "is stopped; submitted again, it goes on",
        ] {
            assert!(ended.said.contains(said), "{said}: {}", ended.said);
        }
    }
    let stops = scene.arroyo.asked("PATCH", "/pl_1");
    assert_eq!(stops.len(), 1);
    assert_eq!(stops[0].body, json!({"stop": "checkpoint"}));
    assert_eq!(scene.arroyo.pipeline("pl_2").state, "Stopped");
}

#[test]
fn a_second_signal_leaves_at_once_and_says_that_the_pipeline_may_run() {
    let scene = Scene::new();
    scene.arroyo.world().stops = false;
    let run = scene.run(&["ohlc.sql"]).start();
    run.wait_for("Ctrl-C stops it");
    run.signal("INT");
    run.wait_for("is CheckpointStopping");
    run.signal("INT");
    let ended = run.end();
    assert_eq!(ended.code, Some(1), "{}", ended.said);
    assert!(
        ended
            .said
            .contains("left at once; pipeline pl_1 may still run"),
        "{}",
        ended.said
    );
}

#[test]
fn a_signal_while_the_pipeline_starts_stops_it_as_a_client_and_leaves_it_on_the_cluster_otherwise()
{
    let scene = Scene::new();
    // Each answer about the job is late, so that there is time for a signal.
    let late = crate::support::arroyo::Trouble::Late(std::time::Duration::from_secs(2));
    for (mode, code, state) in [
        ("client", Some(0), "Stopped"),
        ("cluster", Some(0), "Running"),
    ] {
        scene
            .arroyo
            .world()
            .troubles
            .push(("GET", "/jobs", late.clone()));
        let run = scene
            .run(&["ohlc.sql", "--deploy-mode", mode, "--name", mode])
            .start();
        run.wait_for("is created");
        run.signal("INT");
        let ended = run.end();
        assert_eq!(ended.code, code, "{}", ended.said);
        let world = scene.arroyo.world();
        let found = world
            .pipelines
            .iter()
            .find(|pipeline| pipeline.name == mode)
            .unwrap();
        match mode {
            "client" => assert_eq!(found.state, state),
            _ => assert_eq!(found.stop, "none"),
        }
    }
}

#[test]
fn a_pipeline_that_fails_ends_the_client_with_the_reason() {
    let scene = Scene::new();
    scene.arroyo.world().fails_with = Some("the topic raw_ticks does not exist".to_owned());
    for mode in ["client", "cluster"] {
        let ended = scene
            .run(&["ohlc.sql", "--deploy-mode", mode, "--name", mode])
            .end();
        assert_eq!(ended.code, Some(1), "{}", ended.said);
        assert!(
            ended
                .said
                .contains("failed: the topic raw_ticks does not exist"),
            "{}",
            ended.said
        );
    }
    scene.arroyo.world().fails_with = None;
    let run = scene.run(&["ohlc.sql", "--name", "later"]).start();
    run.wait_for("Ctrl-C stops it");
    for pipeline in &mut scene.arroyo.world().pipelines {
        pipeline.failure = Some("out of memory".to_owned());
        pipeline.next = ["Recovering", "Failing", "Failed"].into();
    }
    let ended = run.end();
    assert_eq!(ended.code, Some(1), "{}", ended.said);
    assert!(
        ended.said.contains("is Recovering") && ended.said.contains("failed: out of memory"),
        "{}",
        ended.said
    );
}

#[test]
fn errors_of_the_cluster_have_the_place_in_the_file_as_it_was_written() {
    let scene = Scene::new();
    let submitted = scene.submitted();
    let place = |what: &str| {
        let before = &submitted[..submitted.find(what).unwrap()];
        let (line, column) = (
            before.lines().count(),
            before.rsplit('\n').next().unwrap().len() + 1,
        );
        json!({"start": {"line": line, "column": column}, "end": {"line": line, "column": column + what.len()}})
    };
    scene.arroyo.world().faults = vec![
        json!({"message": "column 'prise' not found", "span": place("first_value(price")}),
        json!({"message": "no such folder", "span": place("'file://")}),
        json!({"message": "it is too long"}),
        json!("as older clusters say it"),
    ];
    let ended = scene.cluster(&[]).end();
    assert_eq!(ended.code, Some(3), "{}", ended.said);
    let line = |what: &str| OHLC[..OHLC.find(what).unwrap()].lines().count();
    for said in [
        format!(
            "ohlc.sql:{}:9: column 'prise' not found\n  {0} |         first_value(price ORDER BY _timestamp) AS open,\n     |         ^^^^^^^^^^^^^^^^^\n",
            line("first_value(price")
        ),
        format!("ohlc.sql:{}:12: no such folder", line("'{{ CANDLES_PATH")),
        "ohlc.sql:1:1: it is too long".to_owned(),
        "ohlc.sql:1:1: as older clusters say it".to_owned(),
    ] {
        assert!(ended.said.contains(&said), "{said}\n{}", ended.said);
    }
    assert!(scene.arroyo.asked("POST", "/pipelines").is_empty());
}

#[test]
fn what_the_local_engine_does_not_run_is_submitted_and_what_cannot_be_read_is_not() {
    let scene = Scene::new();
    scene.file("a.sql", "CREATE TABLE a (x INT) WITH (connector = 'nexmark', path = 'x');\nINSERT INTO b SELECT x FROM a;");
    let ended = scene.run(&["a.sql", "--deploy-mode", "cluster"]).end();
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    assert!(
        ended.said.contains("the parallelism is 1"),
        "{}",
        ended.said
    );
    scene.file("b.sql", "SELECT '{{ NOBODY }}'");
    for (file, said) in [
        ("b.sql", "b.sql:1:9: the variable NOBODY has no value"),
        ("none.sql", "none.sql cannot be read"),
    ] {
        let ended = scene.run(&[file]).end();
        assert_eq!(ended.code, Some(3), "{}", ended.said);
        assert!(ended.said.contains(said), "{}", ended.said);
    }
    assert_eq!(scene.arroyo.asked("POST", "/validate_query").len(), 1);
}

#[test]
fn a_dry_run_validates_at_the_cluster_and_creates_nothing() {
    let scene = Scene::new();
    let ended = scene.cluster(&["--dry-run"]).end();
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    assert!(
        ended
            .said
            .contains("ohlc.sql is valid on the Arroyo cluster at http://127.0.0.1:"),
        "{}",
        ended.said
    );
    let ended = scene.cluster(&["--explain"]).end();
    assert!(
        ended.said.contains(
            "\n    1  KafkaSource<raw_ticks> → 2\n    2  window → 3\n    3  FileSystem\n"
        ),
        "{}",
        ended.said
    );
    assert!(scene.arroyo.asked("POST", "/pipelines").is_empty());
}

#[test]
fn options_that_a_cluster_cannot_follow_are_refused_and_others_warned_about() {
    let scene = Scene::new();
    for option in ["--available-now", "--rebuild"] {
        let ended = scene.cluster(&[option]).end();
        assert_eq!(ended.code, Some(2), "{}", ended.said);
        assert!(ended.said.contains(option), "{}", ended.said);
    }
    assert!(scene.arroyo.world().asked.is_empty());
    let sql = OHLC.replace("    -- Closed candles are collected for at least this long before a file is written.\n    'rolling_policy.interval' = interval '{{ COMMIT_INTERVAL | 1 second }}'\n", "    'filename.prefix' = 'a'\n");
    assert_ne!(sql, OHLC);
    scene.file(
        "ohlc.sql",
        &sql.replace(
            "bad_data = 'drop',\n    'source.offset' = 'earliest'",
            "bad_data = 'drop'",
        ),
    );
    let ended = scene
        .cluster(&[
            "--conf",
            "spark.stockpulse.startingOffsets=latest",
            "--dry-run",
        ])
        .end();
    for said in [
        "startingOffsets has no effect on an Arroyo cluster",
        "ohlc has no 'rolling_policy.interval'",
        "raw_ticks has no 'source.offset'",
    ] {
        assert!(ended.said.contains(said), "{said}: {}", ended.said);
    }
}
