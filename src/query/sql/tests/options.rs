//! `WITH (…)`: options, and that secrets stay secret.

use expect_test::expect;

use super::*;

#[test]
fn options_of_a_source() {
    check_faults(
        &source_with("'source.ofset' = 'latest'"),
        expect![[r#"
        job.sql:3:1: unknown option 'source.ofset'
          3 | 'source.ofset' = 'latest')
            | ^^^^^^^^^^^^^^
          help: did you mean "source.offset"?"#]],
    );
    check_faults(
        &source_with("'json.unstructured' = 'true', framing = 'newline'"),
        expect![[r#"
            job.sql:3:1: the local engine does not run the option 'json.unstructured'
              3 | 'json.unstructured' = 'true', framing = 'newline')
                | ^^^^^^^^^^^^^^^^^^^
            job.sql:3:31: the local engine does not run the option 'framing'
              3 | 'json.unstructured' = 'true', framing = 'newline')
                |                               ^^^^^^^"#]],
    );
    check_faults(
        &source_with("topic = 'u'"),
        expect![[r#"
            job.sql:3:1: option 'topic' is given twice
              3 | topic = 'u')
                | ^^^^^"#]],
    );
    check_faults(
        &source_with("source.offset = 'latest'"),
        expect![[r#"
        job.sql:3:7: expected = after an option's name, found .
          3 | source.offset = 'latest')
            |       ^
          help: a name with a dot is quoted: 'source.…' = …"#]],
    );
    check_faults(
        &source_with("bad_data = drop"),
        expect![[r#"
        job.sql:3:12: option 'bad_data' must be a 'string'
          3 | bad_data = drop)
            |            ^^^^"#]],
    );
    let table = table(&source_with(
        "idle_micros = 0, 'source.read_mode' = 'read_committed', 'source.group_id' = 'g'",
    ));
    let Connector::KafkaSource(options) = table.connector else {
        panic!()
    };
    assert_eq!(options.idle, None);
    assert_eq!(options.read_mode, ReadMode::Committed);
    assert_eq!(options.group_id.as_deref(), Some("g"));
}

#[test]
fn options_of_a_sink() {
    check_faults(
        &sink_with("path = 's3://bucket'"),
        expect![[r#"
        job.sql:3:8: this is no place for a table
          3 | path = 's3://bucket')
            |        ^^^^^^^^^^^^^
          help: s3://bucket is a whole bucket; staged files need a place beside the table: give it a path, as in s3://bucket/ohlc"#]],
    );
    check_faults(
        &sink_with("path = 'file://x', 'partitioning.fields' = [a, 'b']"),
        expect![[r#"
            job.sql:3:8: a file URL has three slashes before an absolute path
              3 | path = 'file://x', 'partitioning.fields' = [a, 'b'])
                |        ^^^^^^^^^^
              help: file:///data/ohlc, or a relative path without file://"#]],
    );
    check_faults(
        &sink_with("path = '/'"),
        expect![[r#"
        job.sql:3:8: the path is the root of the file system
          3 | path = '/')
            |        ^^^
          help: give the table a folder of its own"#]],
    );
    check_faults(
        &sink_with("path = 'x', 'partitioning.time_pattern' = '%Q'"),
        expect![[r#"
            job.sql:3:43: the pattern has a % that means nothing
              3 | path = 'x', 'partitioning.time_pattern' = '%Q')
                |                                           ^^^^
              help: a strftime pattern such as 'date=%Y-%m-%d'"#]],
    );
    check_faults(
        &sink_with("path = 'x', 'partitioning.time_pattern' = '../%Y'"),
        expect![[r#"
            job.sql:3:43: the pattern does not give the name of a directory
              3 | path = 'x', 'partitioning.time_pattern' = '../%Y')
                |                                           ^^^^^^^
              help: a strftime pattern such as 'date=%Y-%m-%d'"#]],
    );
    check_faults(
        &sink_with("path = 'x', 'rolling_policy.interval' = interval '1 month'"),
        expect![[r#"
            job.sql:3:41: option 'rolling_policy.interval' must be an interval without months, such as interval '1 second'
              3 | path = 'x', 'rolling_policy.interval' = interval '1 month')
                |                                         ^^^^^^^^^^^^^^^^^^"#]],
    );
    check_faults(
        &sink_with("path = 'x', 'filename.prefix' = '_x'"),
        expect![[r#"
            job.sql:3:33: this cannot begin the name of a file that readers see
              3 | path = 'x', 'filename.prefix' = '_x')
                |                                 ^^^^
              help: letters, digits, - _ and . after a first letter or digit"#]],
    );
    let table = table(&sink_with(
        "path = 'file:///data/ohlc/', 'parquet.compression' = 'lz4_raw', 'parquet.row_group_size' = '8MB', \
         'rolling_policy.interval' = interval '1' minute, 'filename.prefix' = 'candles'",
    ));
    expect![[r#"
        FilesystemSink(
            FilesystemSinkOptions {
                path: "/data/ohlc",
                store: None,
                compression: Some(
                    Lz4,
                ),
                row_group_bytes: Some(
                    8388608,
                ),
                time_pattern: None,
                partition_fields: [],
                rolling_bytes: None,
                rolling_interval: Some(
                    60s,
                ),
                rolling_inactivity: None,
                filename_prefix: Some(
                    "candles",
                ),
            },
        )
    "#]]
    .assert_debug_eq(&table.connector);
}

/// A sink with these columns and options.
fn columns_by(columns: &str, options: &str) -> String {
    sink_with(&format!("path = 'x', {options}")).replacen("a TEXT", columns, 1)
}

#[test]
fn columns_that_are_directories() {
    let fields = |columns: &str, options: &str| {
        let table = table(&columns_by(columns, options));
        let Connector::FilesystemSink(options) = &table.connector else {
            panic!()
        };
        format!(
            "{:?} {}",
            options.partition_names(),
            table.connector.canonical()
        )
    };
    for written in ["[a, 'b']", "'a,b'", "'a, b'", "[a, b,]"] {
        expect![[
            r#"["a", "b"] filesystem sink path="x" format=Parquet time_pattern=None fields=a,b"#
        ]]
        .assert_eq(&fields(
            "a TEXT, b BIGINT, c DOUBLE",
            &format!("'partitioning.fields' = {written}"),
        ));
    }
    expect![[
        r#"["a"] filesystem sink path="x" format=Parquet time_pattern=Some("date=%Y") fields=a"#
    ]]
    .assert_eq(&fields(
        "a TEXT, c DOUBLE",
        "'partitioning.fields' = a, 'partitioning.time_pattern' = 'date=%Y'",
    ));
    check_faults(
        &columns_by(
            "symbol TEXT, c DOUBLE",
            "'partitioning.fields' = ['symbol', symbol]",
        ),
        expect![[r#"
            job.sql:3:48: option 'partitioning.fields' names "symbol" twice
              3 | path = 'x', 'partitioning.fields' = ['symbol', symbol])
                |                                                ^^^^^^"#]],
    );
    check_faults(
        &columns_by(
            "symbol TEXT, c DOUBLE",
            "'partitioning.fields' = [symbl, c]",
        ),
        expect![[r#"
            job.sql:3:38: the table has no column "symbl"
              3 | path = 'x', 'partitioning.fields' = [symbl, c])
                |                                      ^^^^^
              help: did you mean "symbol"?
            job.sql:3:45: "c" is DOUBLE, which cannot name a directory
              3 | path = 'x', 'partitioning.fields' = [symbl, c])
                |                                             ^
              help: it is text, a whole number, BOOLEAN, DATE, TIMESTAMP or DECIMAL"#]],
    );
    check_faults(
        &columns_by(
            "a TEXT, s STRUCT<x INT>, l INT[], j JSON, b BYTEA",
            "'partitioning.fields' = [s, l, j, b]",
        ),
        expect![[r#"
            job.sql:3:38: "s" is Struct("x": Int32), which cannot name a directory
              3 | path = 'x', 'partitioning.fields' = [s, l, j, b])
                |                                      ^
              help: it is text, a whole number, BOOLEAN, DATE, TIMESTAMP or DECIMAL
            job.sql:3:41: "l" is INT[], which cannot name a directory
              3 | path = 'x', 'partitioning.fields' = [s, l, j, b])
                |                                         ^
              help: it is text, a whole number, BOOLEAN, DATE, TIMESTAMP or DECIMAL
            job.sql:3:44: "j" is JSON, which cannot name a directory
              3 | path = 'x', 'partitioning.fields' = [s, l, j, b])
                |                                            ^
              help: it is text, a whole number, BOOLEAN, DATE, TIMESTAMP or DECIMAL
            job.sql:3:47: "b" is BYTEA, which cannot name a directory
              3 | path = 'x', 'partitioning.fields' = [s, l, j, b])
                |                                               ^
              help: it is text, a whole number, BOOLEAN, DATE, TIMESTAMP or DECIMAL"#]],
    );
    check_faults(
        &columns_by("a TEXT, b DATE", "'partitioning.fields' = [a, b]"),
        expect![[r#"
            job.sql:3:41: no column would be left for the files
              3 | path = 'x', 'partitioning.fields' = [a, b])
                |                                         ^"#]],
    );
    check_faults(
        &columns_by("a TEXT", "'partitioning.fields' = []"),
        expect![[r#"
            job.sql:3:37: option 'partitioning.fields' names no column
              3 | path = 'x', 'partitioning.fields' = [])
                |                                     ^^"#]],
    );
    check_faults(
        &columns_by("a TEXT", "'partitioning.fields' = 12"),
        expect![[r#"
            job.sql:3:37: option 'partitioning.fields' must be a list of columns such as [a, b]
              3 | path = 'x', 'partitioning.fields' = 12)
                |                                     ^^"#]],
    );
    check_faults(
        &columns_by(
            "date DATE, a TEXT",
            "'partitioning.time_pattern' = 'date=%Y-%m-%d'",
        ),
        expect![[r#"
            job.sql:1:17: "date" is a directory of 'partitioning.time_pattern' as well
              1 | CREATE TABLE s (date DATE, a TEXT)
                |                 ^^^^^^^^^
              help: readers take a name for one of both; give one of them another"#]],
    );
}

#[test]
fn when_a_file_is_closed() {
    let table = table(&sink_with(
        "path = 'x', 'rolling_policy.file_size' = '128MB', 'rolling_policy.interval' = interval '10 minutes', \
         'rolling_policy.inactivity_interval' = interval '30 seconds'",
    ));
    let Connector::FilesystemSink(options) = table.connector else {
        panic!()
    };
    expect!["Some(134217728) Some(600s) Some(30s)"].assert_eq(&format!(
        "{:?} {:?} {:?}",
        options.rolling_bytes, options.rolling_interval, options.rolling_inactivity
    ));
    check_faults(
        &sink_with(
            "path = 'x', 'rolling_policy.file_size' = 0, 'filename.suffix' = 'x', 'filename.strategy' = 'uuid'",
        ),
        expect![[r#"
            job.sql:3:42: option 'rolling_policy.file_size' must be a size above 0 such as '128MB' (B, KB, MB, GB)
              3 | path = 'x', 'rolling_policy.file_size' = 0, 'filename.suffix' = 'x', 'filename.strategy' = 'uuid')
                |                                          ^
            job.sql:3:45: the local engine does not run the option 'filename.suffix'
              3 | path = 'x', 'rolling_policy.file_size' = 0, 'filename.suffix' = 'x', 'filename.strategy' = 'uuid')
                |                                             ^^^^^^^^^^^^^^^^^
              help: a table is its files that end in .parquet, for every reader
            job.sql:3:70: the local engine does not run the option 'filename.strategy'
              3 | path = 'x', 'rolling_policy.file_size' = 0, 'filename.suffix' = 'x', 'filename.strategy' = 'uuid')
                |                                                                      ^^^^^^^^^^^^^^^^^^^
              help: names are made of the job, the epoch and a number, so that a restart writes the same files"#]],
    );
}

#[test]
fn options_of_standard_output() {
    let stdout =
        |options: &str| format!("CREATE TABLE s (a TEXT)\nWITH (connector = 'stdout'{options})");
    let connector = |options| format!("{:?}", table(&stdout(options)).connector);
    expect!["StdoutSink(StdoutSinkOptions { timestamps: Rfc3339, decimals: Number })"]
        .assert_eq(&connector(", format = 'json'"));
    expect!["StdoutSink(StdoutSinkOptions { timestamps: UnixMillis, decimals: String })"].assert_eq(&connector(
        ", type = 'sink', format = 'json', 'json.timestamp_format' = 'unix_millis', 'json.decimal_encoding' = 'string'",
    ));
    check_faults(
        &stdout(""),
        expect![[r#"
        job.sql:2:1: option 'format' is missing
          2 | WITH (connector = 'stdout')
            | ^^^^"#]],
    );
    check_faults(
        &stdout(", type = 'source', format = 'avro', 'json.unstructured' = 'true', path = 'x'"),
        expect![[r#"
            job.sql:2:36: 'type' cannot be this
              2 | WITH (connector = 'stdout', type = 'source', format = 'avro', 'json.unstructured' = 'true', path = 'x')
                |                                    ^^^^^^^^
              help: it is one of 'sink'
            job.sql:2:55: the local engine prints JSON only
              2 | WITH (connector = 'stdout', type = 'source', format = 'avro', 'json.unstructured' = 'true', path = 'x')
                |                                                       ^^^^^^
              help: it is 'json'
            job.sql:2:63: the local engine does not run the option 'json.unstructured'
              2 | WITH (connector = 'stdout', type = 'source', format = 'avro', 'json.unstructured' = 'true', path = 'x')
                |                                                               ^^^^^^^^^^^^^^^^^^^
            job.sql:2:93: unknown option 'path'
              2 | WITH (connector = 'stdout', type = 'source', format = 'avro', 'json.unstructured' = 'true', path = 'x')
                |                                                                                             ^^^^
              help: options of a stdout sink are connector, type, format, json.timestamp_format, json.decimal_encoding"#]],
    );
    check_faults(
        "CREATE TABLE s (a TEXT, b TEXT GENERATED ALWAYS AS (a), WATERMARK FOR a) WITH (connector = 'stdout', format = 'json')",
        expect![[r#"
            job.sql:1:25: a sink's columns are neither GENERATED nor METADATA
              1 | CREATE TABLE s (a TEXT, b TEXT GENERATED ALWAYS AS (a), WATERMARK FOR a) WITH (connector = 'stdout', format = 'json')
                |                         ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
            job.sql:1:57: a sink has no watermark
              1 | CREATE TABLE s (a TEXT, b TEXT GENERATED ALWAYS AS (a), WATERMARK FOR a) WITH (connector = 'stdout', format = 'json')
                |                                                         ^^^^^^^^^^^^^^^
            job.sql:1:71: the watermark's column "a" is no TIMESTAMP
              1 | CREATE TABLE s (a TEXT, b TEXT GENERATED ALWAYS AS (a), WATERMARK FOR a) WITH (connector = 'stdout', format = 'json')
                |                                                                       ^"#]],
    );
}

#[test]
fn secrets_are_shown_nowhere() {
    let sasl = "'auth.type' = 'sasl', 'auth.mechanism' = 'PLAIN', 'auth.protocol' = 'SASL_SSL', \
         'auth.username' = 'hunter1', 'auth.password' = 'hunter2', client_configs = 'sasl.x=hunter3,y = z'";
    let file = parse(&source_with(sasl)).unwrap();
    let shown = format!("{file:?} {}", file.statements[0].canonical());
    assert!(!shown.contains("hunter"), "{shown}");
    let Statement::CreateTable(TableDef {
        connector: Connector::KafkaSource(options),
        ..
    }) = &file.statements[0]
    else {
        panic!()
    };
    let properties: Vec<String> = options
        .kafka_properties()
        .iter()
        .map(|(name, value)| format!("{name}={}", value.reveal()))
        .collect();
    expect![[r#"
        sasl.x=hunter3
        y=z
        security.protocol=SASL_SSL
        sasl.mechanism=PLAIN
        sasl.username=hunter1
        sasl.password=hunter2
        isolation.level=read_uncommitted"#]]
    .assert_eq(&properties.join("\n"));
    for wrong in [
        "'auth.type' = 'sasl', 'auth.password' = 'hunter2' 'hunter3', x = 1",
        "'auth.password' 'hunter2'",
        "'auth.password' = 'hunter2', 'auth.type' = 'sassl'",
        "client_configs = 'hunter2', 'auth.passwort' = 'hunter2'",
        "'auth.password' = 'hunter2",
        "'auth.type' = 'sasl', 'auth.password' = hunter2, 'auth.username' = 5",
        "client_configs = E'hunter2'",
        "auth.password = 'hunter2'",
    ] {
        let error = parse(&source_with(wrong)).unwrap_err().to_string();
        assert!(!error.contains("hunter"), "{wrong}: {error}");
    }
    let error = parse(&source_with(
        "'auth.password' = 'hunter2', 'auth.tipe' = 'sasl'",
    ));
    expect![[r#"
        job.sql:3:1: option 'auth.password' means nothing without 'auth.type' = 'sasl'
          3 | 'auth.password' = ***, 'auth.tipe' = ***)
            | ^^^^^^^^^^^^^^^
        job.sql:3:30: unknown option 'auth.tipe'
          3 | 'auth.password' = ***, 'auth.tipe' = ***)
            |                        ^^^^^^^^^^^
          help: did you mean "auth.type"?"#]]
    .assert_eq(&error.unwrap_err().to_string());
}

#[test]
fn a_sink_on_an_object_store() {
    let described = |options: &str| {
        let table = table(&sink_with(options));
        let Connector::FilesystemSink(options) = &table.connector else {
            panic!()
        };
        let store = options.store.as_ref().unwrap();
        assert!(!format!("{store:?}").contains("hunter2"));
        format!("{} | {}", store.address, table.connector.canonical())
    };
    expect![[r#"s3://bucket/p/ohlc | filesystem sink path="s3://bucket/p/ohlc" format=Parquet time_pattern=None"#]]
        .assert_eq(&described(
            "path = 's3a://bucket/p/ohlc/', 'storage.aws_region' = 'eu-central-1', 'storage.secret_access_key' = 'hunter2'",
        ));
    expect![[r#"s3::http://127.0.0.1:9000/bucket/ohlc | filesystem sink path="s3::http://127.0.0.1:9000/bucket/ohlc" format=Parquet time_pattern=None"#]]
        .assert_eq(&described("path = 's3::http://127.0.0.1:9000/bucket/ohlc'"));
    check_faults(
        &sink_with(
            "path = 's3://bucket/x', 'storage.account_key' = 'hunter2', 'storage.bucket' = 'b'",
        ),
        expect![[r#"
            job.sql:3:49: option 'storage.account_key' cannot be used here
              3 | path = 's3://bucket/x', 'storage.account_key' = ***, 'storage.bucket' = ***)
                |                                                 ^^^
              help: an S3 store has no such option
            job.sql:3:79: option 'storage.bucket' cannot be used here
              3 | path = 's3://bucket/x', 'storage.account_key' = ***, 'storage.bucket' = ***)
                |                                                                         ^^^
              help: the path's URL says which one"#]],
    );
    check_faults(
        &sink_with("path = 'x', 'storage.region' = 'r'"),
        expect![[r#"
            job.sql:3:13: option 'storage.region' means nothing without a path on an object store, such as 's3://bucket/ohlc'
              3 | path = 'x', 'storage.region' = 'r')
                |             ^^^^^^^^^^^^^^^^"#]],
    );
    check_faults(
        &sink_with("path = 's3://AKIA:hunter2@bucket/x'"),
        expect![[r#"
            job.sql:3:8: this is no place for a table
              3 | path = ***)
                |        ^^^
              help: the URL holds a login, which belongs into 'storage.' options or the environment; it is written as s3://bucket/ohlc, s3::http://host:9000/bucket/ohlc, gs://bucket/ohlc, az://container/ohlc, abfss://container@account.dfs.core.windows.net/ohlc or https://account.blob.core.windows.net/container/ohlc"#]],
    );
}
