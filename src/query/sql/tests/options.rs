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
        &sink_with("path = 's3://bucket/x'"),
        expect![[r#"
        job.sql:3:8: the local engine writes to the local file system only
          3 | path = 's3://bucket/x')
            |        ^^^^^^^^^^^^^^^
          help: file:///data/ohlc, or a relative path such as data/ohlc"#]],
    );
    check_faults(
        &sink_with("path = 'file://x', 'partitioning.fields' = [a, 'b']"),
        expect![[r#"
            job.sql:3:8: a file URL has three slashes before an absolute path
              3 | path = 'file://x', 'partitioning.fields' = [a, 'b'])
                |        ^^^^^^^^^^
              help: file:///data/ohlc, or a relative path without file://
            job.sql:3:20: the local engine does not run the option 'partitioning.fields'
              3 | path = 'file://x', 'partitioning.fields' = [a, 'b'])
                |                    ^^^^^^^^^^^^^^^^^^^^^"#]],
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
                compression: Lz4,
                row_group_bytes: Some(
                    8388608,
                ),
                time_pattern: None,
                rolling_interval: Some(
                    60s,
                ),
                filename_prefix: Some(
                    "candles",
                ),
            },
        )
    "#]]
    .assert_debug_eq(&table.connector);
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
