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
        &delta(
            "a TEXT",
            "path = 's3://bucket/x', 'partitioning.time_pattern' = 'date=%F', 'storage.region' = 'x', 'table' = 'y'",
        ),
        expect![[r#""#]],
    );
    check_faults(
        &delta(
            "a TEXT, \"b c\" TEXT, A TEXT, \"A\" TEXT, t TIME, u BIGINT UNSIGNED, l SMALLINT UNSIGNED[], w TIMESTAMP",
            "path = 'x', 'partitioning.fields' = [w, missing]",
        ),
        expect![[r#""#]],
    );
    check_faults(
        "CREATE TABLE s (a TEXT, PRIMARY KEY (a)) WITH (connector = 'delta', type = 'source', path = 'x', format = 'parquet')",
        expect![[r#""#]],
    );
    check_faults(
        "CREATE TABLE s (a TEXT, PRIMARY KEY (a)) WITH (connector = 'delta', type = 'sink', path = 'x', format = 'json')",
        expect![[r#""#]],
    );
    check_faults(
        "CREATE TABLE s (a TEXT, PRIMARY KEY (a)) WITH (connector = 'delta', type = 'sink', path = 'x', format = 'parquet')",
        expect![[r#""#]],
    );
}
