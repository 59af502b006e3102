//! `connector = 'delta'`: what is taken, and what a Delta table cannot be.

use expect_test::expect;

use super::*;

fn delta(columns: &str, options: &str) -> String {
    format!(
        "CREATE TABLE s ({columns})\nWITH (connector = 'delta', type = 'sink', format = 'parquet',\n{options})"
    )
}

#[test]
fn options_of_a_delta_table_are_a_folders() {
    let text = delta(
        "a TEXT, t TIMESTAMP, d DATE, l BIGINT[], j JSON, n STRUCT<x DECIMAL(10, 2)>",
        "path = 'file:///data/candles', 'partitioning.fields' = [d], 'parquet.compression' = 'snappy',\n\
         'rolling_policy.interval' = interval '1 minute', 'rolling_policy.file_size' = '128MB', 'filename.prefix' = 'x'",
    );
    let table = table(&text);
    let Connector::DeltaSink(options) = &table.connector else {
        panic!()
    };
    expect![[r#"delta file:///data/candles; delta sink path="/data/candles" fields=d"#]].assert_eq(
        &format!("{}; {}", options.place(), table.connector.canonical()),
    );
    assert_eq!(options.files.compression, Some(ParquetCompression::Snappy));
    let mut relative = parse(&delta("a TEXT", "path = 'data/x'")).unwrap();
    relative.set_compression(ParquetCompression::Gzip);
    let Connector::DeltaSink(options) = &relative.table("s").unwrap().connector else {
        panic!()
    };
    assert_eq!(options.place(), "delta data/x");
    assert_eq!(options.files.compression, Some(ParquetCompression::Gzip));
}

#[test]
fn what_a_delta_table_is_not_is_refused() {
    check_faults(
        &delta("a TEXT", "path = 's3://bucket/x', 'storage.region' = 'x'"),
        expect![[r#"
            job.sql:2:1: the local engine writes Delta tables to the local file system only
              2 | WITH (connector = 'delta', type = 'sink', format = 'parquet',
                | ^^^^
              help: file:///data/ohlc, or a relative path such as data/ohlc; a table of plain files may be on an object store: connector = 'filesystem'"#]],
    );
    check_faults(
        &delta(
            "a TEXT",
            "path = 'x', 'partitioning.time_pattern' = 'date=%F', 'storage.region' = 'x', 'table' = 'y'",
        ),
        expect![[r#"
            job.sql:3:13: the local engine does not run the option 'partitioning.time_pattern'
              3 | path = 'x', 'partitioning.time_pattern' = 'date=%F', 'storage.region' = 'x', 'table' = 'y')
                |             ^^^^^^^^^^^^^^^^^^^^^^^^^^^
              help: it makes folders that a Delta table knows nothing of, so no reader could leave any out: SELECT a DATE column as well, and give 'partitioning.fields' = [that column]
            job.sql:3:54: option 'storage.region' means nothing without a path on an object store, such as 's3://bucket/ohlc'
              3 | path = 'x', 'partitioning.time_pattern' = 'date=%F', 'storage.region' = 'x', 'table' = 'y')
                |                                                      ^^^^^^^^^^^^^^^^
            job.sql:3:78: unknown option 'table'
              3 | path = 'x', 'partitioning.time_pattern' = 'date=%F', 'storage.region' = 'x', 'table' = 'y')
                |                                                                              ^^^^^^^
              help: options of a delta sink are connector, type, path, format, parquet.compression, parquet.row_group_size, partitioning.fields, rolling_policy.file_size, rolling_policy.interval, rolling_policy.inactivity_interval, filename.prefix"#]],
    );
    check_faults(
        &delta(
            "a TEXT, \"b c\" TEXT, A TEXT, t TIME, u BIGINT UNSIGNED, l SMALLINT UNSIGNED[], w TIMESTAMP",
            "path = 'x', 'partitioning.fields' = [w, missing]",
        ),
        expect![[r#"
            job.sql:1:25: a column of a Delta table cannot have ' ' in its name
              1 | CREATE TABLE s (a TEXT, "b c" TEXT, A TEXT, t TIME, u BIGINT UNSIGNED, l SMALLINT UNSIGNED[], w TIMESTAMP)
                |                         ^^^^^^^^^^
            job.sql:1:37: "A" and "a" are one column to readers of Delta tables
              1 | CREATE TABLE s (a TEXT, "b c" TEXT, A TEXT, t TIME, u BIGINT UNSIGNED, l SMALLINT UNSIGNED[], w TIMESTAMP)
                |                                     ^^^^^^
            job.sql:1:45: a Delta table has no TIME
              1 | CREATE TABLE s (a TEXT, "b c" TEXT, A TEXT, t TIME, u BIGINT UNSIGNED, l SMALLINT UNSIGNED[], w TIMESTAMP)
                |                                             ^^^^^^
              help: keep it as TEXT, or as a TIMESTAMP
            job.sql:1:53: a Delta table has no unsigned numbers
              1 | CREATE TABLE s (a TEXT, "b c" TEXT, A TEXT, t TIME, u BIGINT UNSIGNED, l SMALLINT UNSIGNED[], w TIMESTAMP)
                |                                                     ^^^^^^^^^^^^^^^^^
              help: declare it as DECIMAL(20, 0)
            job.sql:1:72: a Delta table has no unsigned numbers
              1 | CREATE TABLE s (a TEXT, "b c" TEXT, A TEXT, t TIME, u BIGINT UNSIGNED, l SMALLINT UNSIGNED[], w TIMESTAMP)
                |                                                                        ^^^^^^^^^^^^^^^^^^^^^
              help: declare it as the next wider one with a sign
            job.sql:3:38: "w" is TIMESTAMP: a folder for each instant
              3 | path = 'x', 'partitioning.fields' = [w, missing])
                |                                      ^
              help: SELECT its day as a DATE column as well, and partition by that
            job.sql:3:41: the table has no column "missing"
              3 | path = 'x', 'partitioning.fields' = [w, missing])
                |                                         ^^^^^^^"#]],
    );
    check_faults(
        "CREATE TABLE s (a TEXT, PRIMARY KEY (a)) WITH (connector = 'delta', type = 'source', path = 'x', format = 'parquet')",
        expect![[r#"
            job.sql:1:76: 'type' cannot be this
              1 | CREATE TABLE s (a TEXT, PRIMARY KEY (a)) WITH (connector = 'delta', type = 'source', path = 'x', format = 'parquet')
                |                                                                            ^^^^^^^^
              help: it is one of 'sink'"#]],
    );
    check_faults(
        "CREATE TABLE s (a TEXT, PRIMARY KEY (a)) WITH (connector = 'delta', type = 'sink', path = 'x', format = 'json')",
        expect![[r#"
            job.sql:1:105: the local engine does not write JSON files
              1 | CREATE TABLE s (a TEXT, PRIMARY KEY (a)) WITH (connector = 'delta', type = 'sink', path = 'x', format = 'json')
                |                                                                                                         ^^^^^^
              help: it is 'parquet'"#]],
    );
    check_faults(
        "CREATE TABLE s (a TEXT, PRIMARY KEY (a)) WITH (connector = 'delta', type = 'sink', path = 'x', format = 'parquet')",
        expect![[r#"
            job.sql:1:38: PRIMARY KEY: a Delta table is appended to: each row is written once, and none is replaced
              1 | CREATE TABLE s (a TEXT, PRIMARY KEY (a)) WITH (connector = 'delta', type = 'sink', path = 'x', format = 'parquet')
                |                                      ^"#]],
    );
}
