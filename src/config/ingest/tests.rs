//! Precedence and meaning of flags and properties.

use std::path::PathBuf;

use clap::Parser;
use expect_test::{Expect, expect};

use super::args::IngestArgs;
use super::*;

mod options;
mod properties;

const CPUS: usize = 6;

fn no_environment(_: &str) -> Option<String> {
    None
}

fn resolve(line: &[&str], file: Option<&str>) -> Result<(IngestOptions, Vec<String>), UsageError> {
    let mut words = vec!["stockpulse-ingest", "sql/ohlc.sql"];
    if file.is_some() {
        words.extend(["--properties-file", "job.conf"]);
    }
    words.extend(line);
    parsed(&words, file)
}

/// The whole line, as it is typed.
fn parsed(words: &[&str], file: Option<&str>) -> Result<(IngestOptions, Vec<String>), UsageError> {
    let args = IngestArgs::try_parse_from(words).expect("a command line");
    let file = file.map(|text| (PathBuf::from("job.conf"), text.to_owned()));
    let files: Vec<_> = file.into_iter().collect();
    IngestOptions::resolve(args, &files, &no_environment, CPUS)
}

fn options(line: &[&str], file: Option<&str>) -> IngestOptions {
    resolve(line, file).expect("options").0
}

fn check_error(line: &[&str], file: Option<&str>, expected: Expect) {
    expected.assert_eq(&resolve(line, file).unwrap_err().0);
}

#[test]
fn defaults() {
    let (options, warnings) = resolve(&[], None).unwrap();
    assert_eq!(
        options,
        IngestOptions {
            name: "ohlc".to_owned(),
            master: Master::Local { threads: CPUS },
            deploy_mode: DeployMode::Client,
            action: Action::Run,
            threads: CPUS,
            cores: None,
            memory_limit: None,
            supervise: false,
            files: vec![],
            codec: None,
            sql_path: PathBuf::from("sql/ohlc.sql"),
            checkpoint_location: None,
            trigger: Trigger::AtOnce,
            starting_offsets: None,
            max_offsets_per_trigger: None,
            fail_on_data_loss: true,
            max_future_skew: Duration::from_secs(600),
            sink_patience: None,
            dead_letters: None,
            compaction: Some(Duration::from_secs(3600)),
            rebuild: false,
            create_tables: false,
            postgres_password: None,
            ui: Some(UiOptions {
                host: DEFAULT_UI_HOST.to_owned(),
                port: DEFAULT_UI_PORT,
                token: None,
            }),
            vars: BTreeMap::new(),
            kafka_environment: vec![],
            kafka_conf: vec![],
            verbose: false,
        }
    );
    assert!(warnings.is_empty());
}

#[test]
fn a_flag_beats_conf_which_beats_the_file() {
    let file =
        "spark.master local[2]\nspark.app.name=from-file\nspark.stockpulse.trigger 2 seconds\n";
    let from_file = options(&[], Some(file));
    assert_eq!(
        (from_file.threads, from_file.name.as_str()),
        (2, "from-file")
    );
    assert_eq!(
        from_file.trigger,
        Trigger::ProcessingTime(Duration::from_secs(2))
    );

    let conf = [
        "--conf",
        "spark.master=local[3]",
        "-c",
        "spark.app.name=conf",
        "--conf",
        "spark.stockpulse.trigger=500 milliseconds",
    ];
    let from_conf = options(&conf, Some(file));
    assert_eq!((from_conf.threads, from_conf.name.as_str()), (3, "conf"));
    assert_eq!(
        from_conf.trigger,
        Trigger::ProcessingTime(Duration::from_millis(500))
    );

    let mut all = conf.to_vec();
    all.extend(["--master", "local[4]", "--name", "flag", "--available-now"]);
    let from_flags = options(&all, Some(file));
    assert_eq!((from_flags.threads, from_flags.name.as_str()), (4, "flag"));
    assert_eq!(from_flags.trigger, Trigger::AvailableNow);
}

#[test]
fn tables_are_made_where_a_flag_or_a_property_says_so() {
    assert!(options(&["--create-tables"], None).create_tables);
    assert!(options(&["--conf", "spark.stockpulse.createTables=true"], None).create_tables);
    assert!(!options(&[], None).create_tables);
    let described = options(&["--create-tables"], None).describe();
    assert!(
        described.contains("createTables            true"),
        "{described}"
    );
}

#[test]
fn a_rebuild_is_asked_for_by_a_flag_or_a_property() {
    assert!(options(&["--rebuild"], None).rebuild);
    assert!(options(&["--conf", "spark.stockpulse.rebuild=true"], None).rebuild);
    assert!(options(&[], Some("spark.stockpulse.rebuild true")).rebuild);
    assert!(!options(&["--conf", "spark.stockpulse.rebuild=false"], None).rebuild);
    assert!(
        options(&["--rebuild"], None)
            .describe()
            .contains("rebuild                 true")
    );
    check_error(
        &["--conf", "spark.stockpulse.rebuild=yes"],
        None,
        expect![[r#"spark.stockpulse.rebuild (--conf) is "yes"; it must be true or false"#]],
    );
}

#[test]
fn compaction_can_be_put_off_and_turned_off() {
    let grace = |value: &str| {
        let conf = format!("spark.stockpulse.compactionGrace={value}");
        options(&["--conf", &conf], None)
    };
    let a_day = grace("1 day");
    assert_eq!(a_day.compaction, Some(Duration::from_secs(86_400)));
    assert!(a_day.describe().contains("compaction              true"));
    assert_eq!(grace("0 seconds").compaction, Some(Duration::ZERO));
    let off = options(&[], Some("spark.stockpulse.compaction false"));
    assert_eq!(off.compaction, None);
    assert!(off.describe().contains("compaction              false"));
    check_error(
        &["--conf", "spark.stockpulse.compactionGrace=1 month"],
        None,
        expect![[
            r#"spark.stockpulse.compactionGrace (--conf) is "1 month"; it must be a length of time such as 10 minutes"#
        ]],
    );
}

#[test]
fn the_last_conf_of_a_name_wins() {
    let line = ["--conf", "spark.app.name=a", "--conf", "spark.app.name=b"];
    assert_eq!(options(&line, None).name, "b");
}

#[test]
fn the_properties_file_is_as_sparks() {
    let file = "# a comment\n\n  spark.sql.streaming.checkpointLocation   file:///data/check\n\
        spark.stockpulse.startingOffsets={\"raw_ticks\":{\"0\":23,\"1\":-2}}\n\
        spark.stockpulse.maxOffsetsPerTrigger: 5000\nspark.stockpulse.failOnDataLoss\tFALSE\n\
        spark.stockpulse.var.WHERE = price > 1 # not a comment\nspark.kafka.sasl.password hunter2\n\
        spark.stockpulse.maxFutureSkew=1 hour\r\n! another comment\n";
    let options = options(&[], Some(file));
    assert_eq!(
        options.checkpoint_location,
        Some(Place::Folder(PathBuf::from("/data/check")))
    );
    let Some(StartingOffsets::Map(map)) = &options.starting_offsets else {
        panic!("{:?}", options.starting_offsets);
    };
    assert_eq!(
        map["raw_ticks"],
        BTreeMap::from([(0, 23), (1, StartingOffsets::EARLIEST)])
    );
    assert_eq!(options.max_offsets_per_trigger, Some(5000));
    assert!(!options.fail_on_data_loss);
    assert_eq!(options.vars["WHERE"], "price > 1 # not a comment");
    assert_eq!(
        options.kafka_conf,
        [("sasl.password".to_owned(), Secret::new("hunter2"))]
    );
    assert_eq!(options.max_future_skew, Duration::from_secs(3600));
    assert_eq!(options.dead_letters, None);
    let shown = format!("{options:?}\n{}", options.describe());
    assert!(
        !shown.contains("hunter2") && shown.contains("sasl.password"),
        "{shown}"
    );
}

#[test]
fn masters() {
    for (master, threads) in [
        ("local", 1),
        ("local[1]", 1),
        ("local[16]", 16),
        ("local[3,2]", 3),
        ("local[*, 2]", CPUS),
        ("local[*]", CPUS),
    ] {
        assert_eq!(
            options(&["--master", master], None).threads,
            threads,
            "{master}"
        );
    }
    check_error(
        &["--master", "local[0]"],
        None,
        expect![
            "--master local[0]: it is local[N] for N threads (1 to 1024), local[*] for one on each CPU, local for one, or arroyo://HOST:PORT for an Arroyo cluster"
        ],
    );
    check_error(
        &["--master", "yarn"],
        None,
        expect![
            "--master yarn: StockPulse is no Spark program and needs no cluster; it runs in this process: --master local[*] for a thread on each CPU, or local[N]"
        ],
    );
    check_error(
        &["--conf", "spark.master=spark://host:7077"],
        None,
        expect![
            "--master spark://host:7077: StockPulse is no Spark program and needs no cluster; it runs in this process: --master local[*] for a thread on each CPU, or local[N]"
        ],
    );
}

#[test]
fn names() {
    let of = |sql: &str| {
        let args = IngestArgs::try_parse_from(["stockpulse-ingest", sql]).unwrap();
        IngestOptions::resolve(args, &[], &no_environment, 1)
            .unwrap()
            .0
            .name
    };
    assert_eq!(of("sql/ohlc.sql"), "ohlc");
    assert_eq!(of("my job.v2.sql"), "my-job.v2");
    assert_eq!(of(".sql"), "sql");
    assert_eq!(of("…"), "job");
    check_error(
        &["--name", "My App"],
        None,
        expect![[
            r#"--name is "My App"; a job's name is letters, digits, - _ and ., begins with a letter or digit and has at most 100 of them: My-App"#
        ]],
    );
}

#[test]
fn wrong_values_say_what_would_be_right() {
    let conf = |pair: &str, expected: Expect| check_error(&["--conf", pair], None, expected);
    conf(
        "spark.stockpulse.triger=1 second",
        expect![
            "spark.stockpulse.triger (--conf) is not a property of StockPulse; did you mean spark.stockpulse.trigger?"
        ],
    );
    conf(
        "spark.stockpulse.nonsense=1",
        expect![
            "spark.stockpulse.nonsense (--conf) is not a property of StockPulse; --help lists them"
        ],
    );
    conf(
        "spark.stockpulse.trigger=soon",
        expect![[
            r#"spark.stockpulse.trigger (--conf) is "soon"; it must be availableNow, or a time from 10ms to a day such as 1 second or 500 milliseconds"#
        ]],
    );
    conf(
        "spark.stockpulse.trigger=1 month",
        expect![[
            r#"spark.stockpulse.trigger (--conf) is "1 month"; it must be availableNow, or a time from 10ms to a day such as 1 second or 500 milliseconds"#
        ]],
    );
    conf(
        "spark.stockpulse.startingOffsets={\"t\":{\"0\":-3}}",
        expect![[
            r#"spark.stockpulse.startingOffsets (--conf) is "{"t":{"0":-3}}"; it must be earliest, latest, or offsets by topic and partition such as {"raw_ticks":{"0":23,"1":-2}} (-2 is earliest, -1 latest)"#
        ]],
    );
    conf(
        "spark.stockpulse.maxOffsetsPerTrigger=0",
        expect![[
            r#"spark.stockpulse.maxOffsetsPerTrigger (--conf) is "0"; it must be a whole number above 0"#
        ]],
    );
    conf(
        "spark.stockpulse.failOnDataLoss=perhaps",
        expect![[
            r#"spark.stockpulse.failOnDataLoss (--conf) is "perhaps"; it must be true or false"#
        ]],
    );
    conf(
        "spark.sql.streaming.checkpointLocation=s3://AKIA:hunter2@bucket/x",
        expect![
            "spark.sql.streaming.checkpointLocation (--conf) is a URL with a login or a signature in it; these belong into the environment"
        ],
    );
    conf(
        "spark.stockpulse.var.my-var=1",
        expect![
            "spark.stockpulse.var.my-var (--conf): a variable's name is letters, digits and _, and does not begin with a digit"
        ],
    );
    conf(
        "spark.kafka.=1",
        expect!["spark.kafka. (--conf): the librdkafka property is missing"],
    );
    check_error(
        &[],
        Some("\nspark.stockpulse.deadLetters s3://bucket/dead\n"),
        expect![[
            r#"spark.stockpulse.deadLetters (job.conf:2) is "s3://bucket/dead"; it must be a folder of this machine (a path, or file:/// and one), or kafka: and a topic such as kafka:dead_letters"#
        ]],
    );
    conf(
        "spark.stockpulse.deadLetters=kafka:a topic",
        expect![[
            r#"spark.stockpulse.deadLetters (--conf) is "kafka:a topic"; it must be a folder of this machine (a path, or file:/// and one), or kafka: and a topic such as kafka:dead_letters; a topic's name is 1 to 249 letters, digits, . _ and -"#
        ]],
    );
    check_error(
        &[],
        Some("\nspark.stockpulse.maxFutureSkew a while\n"),
        expect![[
            r#"spark.stockpulse.maxFutureSkew (job.conf:2) is "a while"; it must be a length of time such as 10 minutes"#
        ]],
    );
}

#[test]
fn a_conf_that_cannot_be_read_is_not_shown() {
    check_error(
        &["--conf", "spark.kafka.sasl.password hunter2"],
        None,
        expect!["--conf number 1 is not NAME=VALUE"],
    );
}

#[test]
fn what_has_no_effect_is_said() {
    let line = [
        "--conf",
        "spark.sql.shuffle.partitions=4",
        "--conf",
        "spark.sql.streaming.checkpointlocation=x",
        "--conf",
        "foo=bar",
    ];
    expect![[r#"
        foo (--conf) has no effect here
        spark.sql.shuffle.partitions (--conf) has no effect here: nothing is shuffled: threads are --master local[N], and a thread reads whole partitions of the topic
        spark.sql.streaming.checkpointlocation (--conf) has no effect here; did you mean spark.sql.streaming.checkpointLocation?"#]].assert_eq(&resolve(&line, None).unwrap().1.join("\n"));
}

#[test]
fn variables_come_from_conf_then_the_environment() {
    let line = [
        "--conf",
        "spark.stockpulse.var.A=conf",
        "--conf",
        "spark.stockpulse.var.EMPTY=",
    ];
    let options = options(&line, None);
    let environment = |name: &str| match name {
        "A" | "B" | "EMPTY" => Some("environment".to_owned()),
        "UNSET" => Some(String::new()),
        _ => None,
    };
    let of = |name| options.variable(name, &environment);
    assert_eq!(of("A").as_deref(), Some("conf"));
    assert_eq!(of("B").as_deref(), Some("environment"));
    assert_eq!(of("EMPTY").as_deref(), Some(""));
    assert_eq!(of("UNSET"), None);
    assert_eq!(of("C"), None);
    assert_eq!(
        options.unused_vars(&BTreeSet::from(["A".to_owned()])),
        ["EMPTY"]
    );
}

#[test]
fn kafka_properties_beat_the_sql_file_which_beats_the_environment() {
    let args = IngestArgs::try_parse_from([
        "stockpulse-ingest",
        "x.sql",
        "--conf",
        "spark.kafka.a=conf",
        "--conf",
        "spark.kafka.d=conf",
    ])
    .unwrap();
    let environment = |name: &str| {
        (name == KAFKA_PROPERTIES).then(|| "a=env,b=env,c=env,bootstrap.servers=env:1".to_owned())
    };
    let (options, _) = IngestOptions::resolve(args, &[], &environment, 1).unwrap();
    let sql = ["a", "b"].map(|name| (name.to_owned(), Secret::new("sql")));
    let kafka = options.kafka("sql:9092", &sql);
    assert_eq!(kafka.brokers, "sql:9092");
    let pairs: Vec<_> = kafka.iter().collect();
    assert_eq!(
        pairs,
        [("a", "conf"), ("b", "sql"), ("c", "env"), ("d", "conf")]
    );
}

#[test]
fn the_brokers_can_be_overridden() {
    let options = options(
        &["--conf", "spark.kafka.bootstrap.servers=other:9092"],
        None,
    );
    assert_eq!(options.kafka("sql:9092", &[]).brokers, "other:9092");
}
