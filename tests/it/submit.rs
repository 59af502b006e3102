//! `stockpulse-ingest` as a person types it: exit codes, messages, where values come from.

mod files;
mod memory;
mod printed;
mod running;
mod supervised;

use std::path::Path;
use std::process::{Command, Output};

use expect_test::{Expect, expect};
use tempfile::TempDir;

use crate::support::broker::TestBroker;

const OHLC: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/sql/ohlc.sql");
/// A file that is always refused, and says what the variable is.
const ECHO: &str = "CREATE TABLE t (a TEXT) WITH (connector = '{{ WHAT | default }}')";

/// An empty working directory, and no environment but what a test sets.
struct Shell {
    dir: TempDir,
}

impl Shell {
    fn new() -> Shell {
        let dir = TempDir::new().unwrap();
        Shell { dir }
    }

    fn with_file(self, name: &str, text: &str) -> Shell {
        std::fs::write(self.dir.path().join(name), text).unwrap();
        self
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn run(&self, line: &[&str], environment: &[(&str, &str)]) -> Ended {
        let Output {
            status,
            stdout,
            stderr,
        } = Command::new(env!("CARGO_BIN_EXE_stockpulse-ingest"))
            .args(line)
            .current_dir(self.path())
            .env_clear()
            .envs(environment.iter().copied())
            .output()
            .unwrap();
        Ended {
            code: status.code(),
            stdout: String::from_utf8(stdout).unwrap(),
            stderr: String::from_utf8(stderr).unwrap(),
        }
    }
}

struct Ended {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

fn check_refusal(line: &[&str], code: i32, expected: Expect) {
    let ended = Shell::new().with_file("job.sql", ECHO).run(line, &[]);
    assert_eq!(ended.code, Some(code), "{}", ended.stderr);
    expected.assert_eq(&ended.stderr);
}

/// What the variable of [`ECHO`] was.
fn variable(shell: &Shell, line: &[&str], environment: &[(&str, &str)]) -> String {
    let mut words = vec!["job.sql"];
    words.extend(line);
    let ended = shell.run(&words, environment);
    assert_eq!(ended.code, Some(3), "{}", ended.stderr);
    let quoted = ended
        .stderr
        .lines()
        .find_map(|line| line.split_once("unknown connector '"));
    quoted
        .expect(&ended.stderr)
        .1
        .trim_end_matches('\'')
        .to_owned()
}

#[test]
fn help_and_version_are_no_errors() {
    let shell = Shell::new();
    let help = shell.run(&["--help"], &[]);
    assert_eq!(help.code, Some(0));
    for known in [
        "--master",
        "--properties-file",
        "--dry-run",
        "--explain",
        "maxOffsetsPerTrigger",
        "local[*]",
        "Exit codes",
    ] {
        assert!(help.stdout.contains(known), "{known}: {}", help.stdout);
    }
    let version = shell.run(&["--version"], &[]);
    assert_eq!((version.code, version.stderr.as_str()), (Some(0), ""));
    assert!(version.stdout.contains(env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_wrong_command_line_ends_with_2() {
    let missing = Shell::new().run(&[], &[]);
    assert_eq!(missing.code, Some(2));
    assert!(
        missing.stderr.contains("the SQL file is missing"),
        "{}",
        missing.stderr
    );
    let unknown = Shell::new().run(&["--mastr", "local", "job.sql"], &[]);
    assert_eq!(unknown.code, Some(2));
    assert!(unknown.stderr.contains("--master"), "{}", unknown.stderr);
    check_refusal(
        &[
            "job.sql",
            "--conf",
            "spark.stockpulse.startingOffset=latest",
        ],
        2,
        expect![[r#"
            error: spark.stockpulse.startingOffset (--conf) is not a property of StockPulse; did you mean spark.stockpulse.startingOffsets?

            for more information, try '--help'
        "#]],
    );
    check_refusal(
        &["job.sql", "--conf", "spark.kafka.sasl.password hunter2"],
        2,
        expect![[r#"
            error: --conf number 1 is not NAME=VALUE

            for more information, try '--help'
        "#]],
    );
    check_refusal(
        &["job.sql", "--master", "yarn"],
        2,
        expect![[r#"
        error: --master yarn: StockPulse is no Spark program and needs no cluster; it runs in this process: --master local[*] for a thread on each CPU, or local[N]

        for more information, try '--help'
    "#]],
    );
    check_refusal(
        &["job.sql", "--deploy-mode", "cluster"],
        2,
        expect![[r#"
            error: --deploy-mode cluster: a local job runs in this process, so its mode is client; a cluster is --master arroyo://HOST:PORT, and a job that outlives the terminal is one of systemd's or Docker's

            for more information, try '--help'
        "#]],
    );
    check_refusal(
        &["job.sql", "--files", "none.csv"],
        2,
        expect![[r#"
        error: --files: there is no file none.csv

        for more information, try '--help'
    "#]],
    );
    check_refusal(
        &["job.sql", "--load-spark-defaults"],
        2,
        expect![[r#"
        error: --load-spark-defaults: neither SPARK_CONF_DIR nor SPARK_HOME is set, so there is no spark-defaults.conf to read; name a file by --properties-file

        for more information, try '--help'
    "#]],
    );
    check_refusal(
        &["job.sql", "--properties-file", "none.conf"],
        2,
        expect![[r#"
            error: --properties-file none.conf cannot be read: No such file or directory (os error 2)

            for more information, try '--help'
        "#]],
    );
}

#[test]
fn a_file_that_is_missing_or_refused_ends_with_3() {
    check_refusal(
        &["none.sql"],
        3,
        expect![[r#"
        error: the SQL file none.sql cannot be read: No such file or directory (os error 2)
    "#]],
    );
    check_refusal(
        &["job.sql"],
        3,
        expect![[r#"
            error: job.sql:1:43: unknown connector 'default'
              1 | CREATE TABLE t (a TEXT) WITH (connector = '{{ WHAT | default }}')
                |                                           ^^^^^^^^^^^^^^^^^^^^^^
              help: the local engine runs 'kafka' and 'filesystem' (source and sink), 'delta', 'postgres' and 'stdout' (sinks)
        "#]],
    );
    let empty = Shell::new()
        .with_file("job.sql", "-- nothing yet\n")
        .run(&["job.sql"], &[]);
    assert_eq!(empty.code, Some(3));
    let binary = Shell::new();
    std::fs::write(binary.path().join("job.sql"), [0xff, 0xfe, 0x00]).unwrap();
    assert_eq!(binary.run(&["job.sql"], &[]).code, Some(3));
}

#[test]
fn all_faults_of_a_file_are_said_at_once() {
    let sql = "CREATE TABLE t (a TEXXT) WITH (connector = 'kafka', type = 'source', topic = 't',\n  \
        bootstrap_servers = '{{ KAFKA_BROKER | localhost:9092 }}', format = 'json', 'auth.password' = 'hunter2');\n\
        SELECT a FROM t WHERE;";
    let ended = Shell::new()
        .with_file("job.sql", sql)
        .run(&["job.sql"], &[]);
    assert_eq!(ended.code, Some(3));
    expect![[r#"
        error: job.sql:1:19: unknown type TEXXT
          1 | CREATE TABLE t (a TEXXT) WITH (connector = 'kafka', type = 'source', topic = 't',
            |                   ^^^^^
          help: did you mean "TEXT"?
        job.sql:2:79: option 'auth.password' means nothing without 'auth.type' = 'sasl'
          2 |   bootstrap_servers = '{{ KAFKA_BROKER | localhost:9092 }}', format = 'json', 'auth.password' = ***);
            |                                                                               ^^^^^^^^^^^^^^^
        job.sql:3:22: expected an expression, found the end of the statement
          3 | SELECT a FROM t WHERE;
            |                      ^
    "#]].assert_eq(&ended.stderr);
}

#[test]
fn a_variable_is_confs_then_the_environments_then_dotenvs_then_the_default() {
    let shell = Shell::new().with_file("job.sql", ECHO);
    assert_eq!(variable(&shell, &[], &[]), "default");
    let shell = shell.with_file(".env", "WHAT=dotenv\n");
    assert_eq!(variable(&shell, &[], &[]), "dotenv");
    let environment = [("WHAT", "environment")];
    assert_eq!(variable(&shell, &[], &environment), "environment");
    let shell = shell.with_file("job.conf", "spark.stockpulse.var.WHAT file\n");
    let file = ["--properties-file", "job.conf"];
    assert_eq!(variable(&shell, &file, &environment), "file");
    let line = [&file[..], &["--conf", "spark.stockpulse.var.WHAT=conf"]].concat();
    assert_eq!(variable(&shell, &line, &environment), "conf");
    let line = [&line[..], &["WHAT=argument"]].concat();
    assert_eq!(variable(&shell, &line, &environment), "argument");
}

#[test]
fn a_dotenv_that_cannot_be_read_is_said_without_its_text() {
    let shell = Shell::new().with_file(".env", "FINNHUB_TOKEN=hunter2 hunter3\"\n");
    let ended = shell.run(&["job.sql"], &[]);
    assert_eq!(ended.code, Some(2));
    assert!(
        ended.stderr.contains(".env") && !ended.stderr.contains("hunter"),
        "{}",
        ended.stderr
    );
}

#[test]
fn what_has_no_effect_is_a_warning() {
    let shell = Shell::new().with_file("job.sql", ECHO);
    let line = [
        "--packages",
        "org.apache.spark:spark-sql-kafka-0-10_2.12:3.5.1",
        "-c",
        "spark.sql.shuffle.partitions=4",
        "job.sql",
    ];
    let ended = shell.run(&line, &[]);
    assert_eq!(ended.code, Some(3));
    for warning in [
        "--packages has no effect here: Kafka and Parquet are built in",
        "spark.sql.shuffle.partitions (--conf) has no effect here: nothing is shuffled",
    ] {
        assert!(ended.stderr.contains(warning), "{}", ended.stderr);
    }
}

#[test]
fn a_line_of_the_original_says_which_one_to_type_now() {
    let line = [
        "--master",
        "local[2]",
        "--packages",
        "org.apache.spark:spark-sql-kafka-0-10_2.12:3.5.1",
        "spark_apps/spark_processor.py",
    ];
    check_refusal(
        &line,
        2,
        expect![[r#"
        error: spark_apps/spark_processor.py is a program for Spark. StockPulse runs a SQL file without Spark; the one that makes candles is sql/ohlc.sql. Type

          stockpulse-ingest --master local[2] sql/ohlc.sql

        without
          --packages: Kafka and Parquet are built in

        docs/SPARK.md has what became of every option and property

        for more information, try '--help'
    "#]],
    );
}

#[test]
fn verbose_shows_the_configuration_without_secrets() {
    let shell = Shell::new().with_file("job.sql", ECHO);
    let line = [
        "job.sql",
        "--verbose",
        "--master",
        "local[3]",
        "--conf",
        "spark.kafka.sasl.password=hunter2",
    ];
    let ended = shell.run(&line, &[("KAFKA_PROPERTIES", "ssl.key.password=hunter3")]);
    for shown in ["local[3]", "sasl.password", "ssl.key.password"] {
        assert!(ended.stderr.contains(shown), "{shown}: {}", ended.stderr);
    }
    assert!(!ended.stderr.contains("hunter"), "{}", ended.stderr);
}

#[test]
fn a_codec_and_a_time_to_begin_at_reach_the_job() {
    let shell = Shell::new();
    let explained = |sql: &str, conf: &str| {
        std::fs::write(shell.path().join("job.sql"), sql).unwrap();
        let ended = shell.run(&["job.sql", "--explain", "--conf", conf], &[]);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        ended.stdout
    };
    let main_job = include_str!("../../sql/ohlc.sql");
    let snappy = "spark.sql.parquet.compression.codec=snappy";
    let told = explained(main_job, snappy);
    assert!(told.contains("snappy") && !told.contains("zstd"), "{told}");
    let named = main_job.replacen(
        "format = 'parquet'",
        "format = 'parquet', 'parquet.compression' = 'gzip'",
        1,
    );
    let told = explained(&named, snappy);
    assert!(told.contains("gzip") && !told.contains("snappy"), "{told}");
    let told = explained(main_job, "spark.stockpulse.startingTimestamp=1700000000000");
    let begins = "with the first message of 2023-11-14 22:13:20.000 UTC or later";
    assert!(told.contains(begins), "{told}");
    let other = "spark.stockpulse.startingOffsetsByTimestamp={\"other\":{\"0\":5}}";
    let ended = shell.run(&["job.sql", "--dry-run", "--conf", other], &[]);
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    assert!(
        ended.stderr.contains("has nothing for topic raw_ticks"),
        "{}",
        ended.stderr
    );
}

#[test]
fn an_available_now_run_of_the_main_job_writes_candles_and_logs_its_commits() {
    let broker = TestBroker::start(1);
    let frame = |minute: i64, price: f64| {
        let time = 1_575_526_680_000 + minute * 60_000;
        format!(r#"{{"type":"trade","data":[{{"s":"A","p":{price},"t":{time},"v":1}}]}}"#)
    };
    let frames: Vec<String> = (0..5).map(|minute| frame(minute, 2.5)).collect();
    broker.produce(frames.iter().map(|frame| (0, frame.as_bytes())));
    let shell = Shell::new();
    let topic = format!("spark.stockpulse.var.KAFKA_TOPIC={}", broker.topic);
    let ended = shell.run(
        &[
            OHLC,
            "--available-now",
            "--master",
            "local[1]",
            "--conf",
            &topic,
        ],
        &[
            ("KAFKA_BROKER", &broker.bootstrap),
            ("CANDLES_PATH", "out/ohlc"),
        ],
    );
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(
        ended.stderr.contains("epoch 1 is committed"),
        "{}",
        ended.stderr
    );
    let day = shell.path().join("out/ohlc/date=2019-12-05");
    let files: Vec<_> = std::fs::read_dir(day)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert!(
        !files.is_empty()
            && files
                .iter()
                .all(|file| file.extension().is_some_and(|e| e == "parquet"))
    );
    assert_eq!(ended.stdout, "");
}
