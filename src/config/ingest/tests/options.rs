//! spark-submit's options: all are taken, some mean something, and an old line is answered with the new one.

use clap::CommandFactory;

use super::*;
use crate::config::ingest::spark::SPARK_OPTIONS;

fn warnings(line: &[&str]) -> String {
    resolve(line, None).expect("options").1.join("\n")
}

fn check_line(words: &[&str], expected: Expect) {
    expected.assert_eq(&parsed(words, None).unwrap_err().0);
}

/// A value that each option takes.
fn value(name: &str) -> &str {
    match name {
        "master" => "local[6]",
        "deploy-mode" => "client",
        "conf" => "spark.app.name=x",
        "driver-memory" | "executor-memory" => "1g",
        "total-executor-cores" | "executor-cores" => "6",
        "driver-java-options" => "-Dlog4j.configuration=file:log4j.properties",
        _ => "x",
    }
}

#[test]
fn every_option_of_spark_submit_is_taken_both_ways_and_twice() {
    let ends = ["help", "version"];
    for option in SPARK_OPTIONS.iter().filter(|o| !ends.contains(&o.name)) {
        let flag = format!("--{}", option.name);
        let lines = match option.value {
            "" => vec![vec![flag.clone()]],
            _ => {
                let value = value(option.name);
                vec![
                    vec![flag.clone(), value.to_owned()],
                    vec![format!("{flag}={value}")],
                    vec![format!("{flag}={value}"), flag.clone(), value.to_owned()],
                ]
            }
        };
        for line in lines {
            let line: Vec<&str> = line.iter().map(String::as_str).collect();
            let (_, warnings) = resolve(&line, None).expect(&flag);
            match option.instead {
                Some(instead) => assert_eq!(
                    warnings,
                    [format!("{flag} has no effect here: {instead}")],
                    "{line:?}"
                ),
                None => assert!(warnings.is_empty(), "{line:?}: {warnings:?}"),
            }
        }
    }
}

#[test]
fn help_has_what_means_something_and_hides_the_rest() {
    let help = IngestArgs::command().render_long_help().to_string();
    for option in &SPARK_OPTIONS {
        let is_there = help.contains(&format!("--{} ", option.name))
            || help.contains(&format!("--{}\n", option.name));
        assert_eq!(is_there, option.instead.is_none(), "--{}", option.name);
    }
    assert!(help.contains("docs/SPARK.md"), "{help}");
    let widest = help.lines().map(|line| line.chars().count()).max();
    assert!(widest <= Some(100), "{widest:?}");
}

#[test]
fn an_unknown_option_names_the_nearest() {
    let error = |line: &[&str]| {
        let error = IngestArgs::try_parse_from(line).err().expect("an error");
        error.to_string()
    };
    let near = error(&["stockpulse-ingest", "--executor-memry", "1g", "job.sql"]);
    assert!(near.contains("'--executor-memory'"), "{near}");
    let missing = error(&["stockpulse-ingest", "--master"]);
    assert!(missing.contains("a value is required"), "{missing}");
}

#[test]
fn an_old_line_is_answered_with_the_new_one() {
    check_line(
        &[
            "stockpulse-ingest",
            "--master",
            "local[2]",
            "--packages",
            "org.apache.spark:spark-sql-kafka-0-10_2.12:3.5.1",
            "spark_apps/spark_processor.py",
        ],
        expect![[r#"
            spark_apps/spark_processor.py is a program for Spark. StockPulse runs a SQL file without Spark; the one that makes candles is sql/ohlc.sql. Type

              stockpulse-ingest --master local[2] sql/ohlc.sql

            without
              --packages: Kafka and Parquet are built in

            docs/SPARK.md has what became of every option and property"#]],
    );
    check_line(
        &[
            "stockpulse-ingest",
            "--class",
            "org.example.Candles",
            "--master",
            "spark://207.184.161.138:7077",
            "--deploy-mode",
            "cluster",
            "--supervise",
            "--executor-memory=20G",
            "--conf",
            "spark.kafka.sasl.password=hunter2",
            "--conf",
            "spark.app.name=my app",
            "--conf=spark.serializer=org.apache.spark.serializer.KryoSerializer",
            "/opt/candles.JAR",
            "1000",
        ],
        expect![[r#"
            /opt/candles.JAR is a program for Spark. StockPulse runs a SQL file without Spark; the one that makes candles is sql/ohlc.sql. Type

              stockpulse-ingest --master local[*] --conf spark.kafka.sasl.password=… --conf spark.app.name=my-app --executor-memory 20G --supervise sql/ohlc.sql

            without
              --class: the job is the SQL file, there is no main class

            docs/SPARK.md has what became of every option and property"#]],
    );
}

#[test]
fn an_old_line_without_anything_to_leave_out_is_the_same_with_the_sql_file() {
    check_line(
        &["stockpulse-ingest", "--name", "My App", "app.py", "x"],
        expect![[r#"
            app.py is a program for Spark. StockPulse runs a SQL file without Spark; the one that makes candles is sql/ohlc.sql. Type

              stockpulse-ingest --name My-App sql/ohlc.sql

            docs/SPARK.md has what became of every option and property"#]],
    );
}

#[test]
fn what_stands_behind_the_file_sets_its_variables_and_our_options_count_there_too() {
    let line = [
        "KAFKA_TOPIC=ticks",
        "--available-now",
        "WHERE=a = b",
        "--conf",
        "spark.stockpulse.var.KAFKA_TOPIC=conf",
        "EMPTY=",
    ];
    let options = options(&line, None);
    assert_eq!(options.trigger, Trigger::AvailableNow);
    let of = |name| options.variable(name, &|_| Some("environment".to_owned()));
    assert_eq!(of("KAFKA_TOPIC").as_deref(), Some("ticks"));
    assert_eq!(of("WHERE").as_deref(), Some("a = b"));
    assert_eq!(of("EMPTY").as_deref(), Some(""));
    check_error(
        &["my-var=hunter2"],
        None,
        expect![[
            r#"argument 1 after the SQL file sets "my-var", which is no name of a variable: letters, digits and _, no digit first; a property is --conf NAME=VALUE"#
        ]],
    );
    check_error(
        &["hunter2"],
        None,
        expect![
            "argument 1 after the SQL file is not NAME=VALUE, which sets {{ NAME }} in it; options of StockPulse begin with --, and --help lists them"
        ],
    );
    check_error(
        &["other.sql"],
        None,
        expect![
            "other.sql: a job is one SQL file, which may have several INSERTs; a second one is a second job"
        ],
    );
    check_line(
        &["stockpulse-ingest", "TOKEN=hunter2", "job.sql"],
        expect![
            "TOKEN=… stands where the SQL file belongs: the file comes first, what sets its variables after it"
        ],
    );
}

#[test]
fn memory_is_as_spark_writes_it_and_the_drivers_beats_the_executors() {
    let limit = |line: &[&str]| options(line, None).memory_limit;
    for (text, bytes) in [
        ("512m", 512 << 20),
        ("2G", 2 << 30),
        ("1024", 1 << 30),
        ("2048k", 2 << 20),
        ("1048576b", 1 << 20),
        ("1tb", 1 << 40),
    ] {
        assert_eq!(limit(&["--driver-memory", text]), Some(bytes), "{text}");
    }
    assert_eq!(limit(&[]), None);
    assert_eq!(limit(&["--executor-memory=1g"]), Some(1 << 30));
    let both = ["--executor-memory=1g", "--driver-memory", "2g"];
    assert_eq!(limit(&both), Some(2 << 30));
    expect![
        "--executor-memory has no effect beside --driver-memory: job and executor are one process"
    ]
    .assert_eq(&warnings(&both));
    let file = Some("spark.driver.memory 3g\nspark.executor.memory 3g\n");
    assert_eq!(options(&[], file).memory_limit, Some(3 << 30));
    assert_eq!(
        options(&["--driver-memory=1g"], file).memory_limit,
        Some(1 << 30)
    );
    check_error(
        &["--driver-memory", "1.5g"],
        None,
        expect![[
            r#"--driver-memory is "1.5g"; it must be a size of 1m and more such as 512m or 2g"#
        ]],
    );
    check_error(
        &[],
        Some("spark.executor.memory 0m"),
        expect![[
            r#"spark.executor.memory (job.conf:1) is "0m"; it must be a size of 1m and more such as 512m or 2g"#
        ]],
    );
    check_error(
        &["--executor-memory=99999999999p"],
        None,
        expect![[
            r#"--executor-memory is "99999999999p"; it must be a size of 1m and more such as 512m or 2g"#
        ]],
    );
    check_error(
        &["--executor-memory="],
        None,
        expect![[
            r#"--executor-memory is ""; it must be a size of 1m and more such as 512m or 2g"#
        ]],
    );
}

#[test]
fn cores_are_threads_where_the_master_does_not_say_how_many() {
    let threads = |line: &[&str]| options(line, None).threads;
    assert_eq!(threads(&["--total-executor-cores", "3"]), 3);
    assert_eq!(threads(&["--executor-cores=2"]), 2);
    let both = [
        "--executor-cores=2",
        "--total-executor-cores=4",
        "--master=local[*]",
    ];
    assert_eq!(threads(&both), 4);
    expect!["--executor-cores has no effect beside --total-executor-cores"]
        .assert_eq(&warnings(&both));
    let file = Some("spark.cores.max 5\nspark.executor.cores=5");
    assert_eq!(options(&[], file).threads, 5);
    assert_eq!(options(&["--total-executor-cores=2"], file).threads, 2);
    let explicit = ["--master", "local[2]", "--total-executor-cores", "4"];
    assert_eq!(threads(&explicit), 2);
    expect!["--total-executor-cores has no effect beside --master local[2]; it counts where that is local[*], or is not given"].assert_eq(&warnings(&explicit));
    assert_eq!(warnings(&["--master=local[4]", "--executor-cores=4"]), "");
    check_error(
        &["--executor-cores", "0"],
        None,
        expect![[r#"--executor-cores is "0"; it must be a number of threads, 1 to 1024"#]],
    );
    check_error(
        &[],
        Some("spark.cores.max many"),
        expect![[
            r#"spark.cores.max (job.conf:1) is "many"; it must be a number of threads, 1 to 1024"#
        ]],
    );
}

#[test]
fn a_local_job_has_no_cluster_to_be_deployed_on() {
    check_error(
        &["--deploy-mode=cluster"],
        None,
        expect![
            "--deploy-mode cluster: a local job runs in this process, so its mode is client; a cluster is --master arroyo://HOST:PORT, and a job that outlives the terminal is one of systemd's or Docker's"
        ],
    );
    check_error(
        &["--deploy-mode", "remote"],
        None,
        expect![[r#"--deploy-mode is "remote"; it must be client or cluster"#]],
    );
    check_error(
        &[],
        Some("spark.submit.deployMode cluster"),
        expect![
            "spark.submit.deployMode (job.conf:1) cluster: a local job runs in this process, so its mode is client; a cluster is --master arroyo://HOST:PORT, and a job that outlives the terminal is one of systemd's or Docker's"
        ],
    );
    let cluster = ["--deploy-mode=cluster", "--master=arroyo://host"];
    assert_eq!(options(&cluster, None).deploy_mode, DeployMode::Cluster);
}

#[test]
fn files_are_tables_of_their_names() {
    let files = |value: &str| {
        let files = options(&["--files", value], None).files.into_iter();
        let shown = files.map(|file| format!("{}={}", file.table, file.path.display()));
        shown.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(
        files("a.csv, data/Us-Sectors.2026.parquet,,x.y.json#Names,"),
        "a=a.csv us_sectors=data/Us-Sectors.2026.parquet names=x.y.json"
    );
    assert_eq!(
        files("file:///d/2020.csv,local:/d/b.csv"),
        "_2020=/d/2020.csv b=/d/b.csv"
    );
    assert_eq!(options(&[], Some("spark.files a.csv")).files.len(), 1);
    check_error(
        &["--files", "s3://bucket/a.csv"],
        None,
        expect![
            "--files: s3://bucket/a.csv is not on this machine; a file is a path, or file:/// and one"
        ],
    );
    check_error(
        &["--files", "x/a.csv,y/a.json"],
        None,
        expect![
            "--files: x/a.csv and y/a.json would both be table a; name one otherwise: y/a.json#NAME"
        ],
    );
    check_error(
        &["--files", "a.csv#"],
        None,
        expect![[
            r#"--files: "a.csv#" names no file that could be a table; such as sectors.csv, or sectors.2026.csv#sectors"#
        ]],
    );
}

#[test]
fn a_job_is_run_asked_about_or_stopped() {
    let action = |words: &[&str]| parsed(words, None).map(|(options, _)| options.action);
    let status = ["stockpulse-ingest", "--status", "ohlc"];
    assert_eq!(action(&status), Ok(Action::Status("ohlc".to_owned())));
    let kill = ["stockpulse-ingest", "--kill=ohlc", "sql/ohlc.sql"];
    assert_eq!(action(&kill), Ok(Action::Kill("ohlc".to_owned())));
    check_line(
        &["stockpulse-ingest"],
        expect!["the SQL file is missing, such as sql/ohlc.sql"],
    );
    check_line(
        &["stockpulse-ingest", "--status=a", "--kill=b"],
        expect!["--status and --kill exclude each other"],
    );
    assert!(options(&["--supervise"], None).supervise);
    assert!(options(&[], Some("spark.driver.supervise true")).supervise);
}

#[test]
fn the_defaults_of_spark_are_read_where_they_are_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let (home, conf) = (dir.path().join("home"), dir.path().join("conf"));
    std::fs::create_dir_all(home.join("conf")).unwrap();
    std::fs::create_dir(&conf).unwrap();
    std::fs::write(
        home.join("conf/spark-defaults.conf"),
        "spark.app.name home\nspark.cores.max 3\n",
    )
    .unwrap();
    let job = dir.path().join("job.conf");
    std::fs::write(&job, "spark.app.name file\n").unwrap();
    let environment = |name: &str| (name == "SPARK_HOME").then(|| home.display().to_string());
    let read = |line: &[&str], environment: &dyn Fn(&str) -> Option<String>| {
        let words = [&["stockpulse-ingest", "job.sql"], line].concat();
        let args = IngestArgs::try_parse_from(words).unwrap();
        let files = read_properties_files(&args, environment)?;
        let (options, _) = IngestOptions::resolve(args, &files, environment, CPUS)?;
        Ok::<_, UsageError>((options.name, options.threads))
    };
    let of = |name: &str, threads| Ok((name.to_owned(), threads));
    let defaults = ["--load-spark-defaults"];
    assert_eq!(read(&[], &environment), of("job", CPUS));
    assert_eq!(read(&defaults, &environment), of("home", 3));
    let both = [
        "--load-spark-defaults",
        "--properties-file",
        job.to_str().unwrap(),
    ];
    assert_eq!(read(&both, &environment), of("file", 3));
    let with_conf = [&both[..], &["-c", "spark.app.name=conf"]].concat();
    assert_eq!(read(&with_conf, &environment), of("conf", 3));
    let of_conf_dir = |name: &str| match name {
        "SPARK_CONF_DIR" => Some(conf.display().to_string()),
        _ => environment(name),
    };
    let missing = read(&defaults, &of_conf_dir).unwrap_err().0;
    assert!(
        missing.contains("conf/spark-defaults.conf cannot be read"),
        "{missing}"
    );
    let nowhere = read(&defaults, &no_environment).unwrap_err().0;
    assert!(nowhere.contains("SPARK_HOME"), "{nowhere}");
}
