//! What is accepted, and what is made of it.

use expect_test::expect;

use super::*;

#[test]
fn the_main_job_is_accepted() {
    let file = SqlFile::parse("sql/ohlc.sql", OHLC, &no_variable).expect("accepted");
    let summary: Vec<String> = file
        .statements
        .iter()
        .map(|statement| format!("{}: {}\n", statement.label(), statement.canonical()))
        .collect();
    expect![[r#"
        table raw_ticks: create table raw_ticks ( type text , data struct < s text , p double , t bigint , v double > [ ] , event_time timestamp not null generated always as ( cast ( cast ( coalesce ( data [ 1 ] [ 't' ] , 86400000 ) as timestamp ( 3 ) ) as timestamp ) ) , watermark for event_time as ( cast ( cast ( coalesce ( data [ 1 ] [ 't' ] , 86400000 ) as timestamp ( 3 ) ) as timestamp ) - interval '1 minute' ) ) with ( kafka source topic="raw_ticks" format=Json read_mode=read_uncommitted )
        table ohlc: create table ohlc ( symbol text , window_start timestamp , window_end timestamp , open double , high double , low double , close double , volume double , trades bigint ) with ( filesystem sink path="data/ohlc" format=Parquet time_pattern=Some("date=%Y-%m-%d") )
        view ticks: create view ticks as select tick . s as symbol , tick . p as price , tick . v as volume , cast ( to_timestamp_millis ( tick . t ) as timestamp ) as _timestamp from ( select unnest ( data ) as tick from raw_ticks ) where tick . s is not null and tick . p is not null and tick . t is not null
        insert into ohlc: insert into ohlc select symbol , window . start , window . end , open , high , low , close , volume , trades from ( select symbol , tumble ( interval '1 minute' ) as window , first_value ( price order by _timestamp ) as open , max ( price ) as high , min ( price ) as low , last_value ( price order by _timestamp ) as close , sum ( volume ) as volume , count ( * ) as trades from ticks group by symbol , window )
    "#]].assert_eq(&summary.join(""));
    expect![[r#"
        {
            "CANDLES_PATH",
            "COMMIT_INTERVAL",
            "KAFKA_BROKER",
            "KAFKA_TOPIC",
        }
    "#]]
    .assert_debug_eq(&file.variables);
    let [
        Statement::CreateTable(ticks),
        Statement::CreateTable(candles),
        ..,
    ] = file.statements.as_slice()
    else {
        panic!("two tables first");
    };
    expect![[r#"
        (
            KafkaSource(
                KafkaSourceOptions {
                    bootstrap_servers: "localhost:9092",
                    topic: "raw_ticks",
                    format: Json,
                    bad_data: Drop,
                    source_offset: Some(
                        Earliest,
                    ),
                    group_id: None,
                    read_mode: Uncommitted,
                    client_configs: [],
                    sasl: None,
                    idle: Some(
                        300s,
                    ),
                },
            ),
            FilesystemSink(
                FilesystemSinkOptions {
                    path: "data/ohlc",
                    store: None,
                    compression: None,
                    row_group_bytes: None,
                    time_pattern: Some(
                        "date=%Y-%m-%d",
                    ),
                    partition_fields: [],
                    rolling_bytes: None,
                    rolling_interval: Some(
                        1s,
                    ),
                    rolling_inactivity: None,
                    filename_prefix: None,
                },
            ),
        )
    "#]]
    .assert_debug_eq(&(&ticks.connector, &candles.connector));
    expect![[r#"
        Field { "type": nullable Utf8View }
        Field { "data": nullable List(Struct("s": Utf8View, "p": Float64, "t": Int64, "v": Float64)) }
        Field { "event_time": Timestamp(ns) } = CAST(CAST(coalesce(data[1]['t'], 86400000) AS TIMESTAMP(3)) AS TIMESTAMP)
        watermark for event_time as (CAST(CAST(coalesce(data[1]['t'], 86400000) AS TIMESTAMP(3)) AS TIMESTAMP) - INTERVAL '1 minute')
    "#]].assert_eq(&columns_of(ticks));
    expect![[r#"
        Field { "symbol": nullable Utf8View }
        Field { "window_start": nullable Timestamp(ns) }
        Field { "window_end": nullable Timestamp(ns) }
        Field { "open": nullable Float64 }
        Field { "high": nullable Float64 }
        Field { "low": nullable Float64 }
        Field { "close": nullable Float64 }
        Field { "volume": nullable Float64 }
        Field { "trades": nullable Int64 }
    "#]]
    .assert_eq(&columns_of(candles));
}

#[test]
fn arroyos_form_of_it_is_accepted() {
    const ACCEPTED: &str = include_str!("accepted.sql");
    let file = SqlFile::parse("accepted.sql", ACCEPTED, &no_variable).expect("accepted");
    let ours = SqlFile::parse("sql/ohlc.sql", OHLC, &no_variable).expect("accepted");
    let canonical = |file: &SqlFile| -> Vec<String> {
        let texts = file.statements.iter().map(Statement::canonical);
        texts
            .map(|text| text.replace("\"/data/", "\"data/"))
            .collect()
    };
    assert_eq!(canonical(&file), canonical(&ours));
}

fn columns_of(table: &TableDef) -> String {
    let columns = table.columns.iter().map(|column| {
        let kind = match &column.kind {
            ColumnKind::Physical => String::new(),
            ColumnKind::Generated(expr) => format!(" = {expr}"),
            ColumnKind::Metadata(key) => format!(" from {key}"),
        };
        format!("{}{kind}\n", column.field())
    });
    let watermark = table.watermark.iter().map(|watermark| {
        let expr = watermark.expr.as_ref().map(ToString::to_string);
        format!(
            "watermark for {} as {}\n",
            watermark.column,
            expr.unwrap_or_default()
        )
    });
    columns.chain(watermark).collect()
}

#[test]
fn types() {
    check_type("TEXT", expect!["Utf8View"]);
    check_type("VARCHAR(12)", expect!["Utf8View"]);
    check_type("BIGINT", expect!["Int64"]);
    check_type("int unsigned", expect!["UInt32"]);
    check_type("DOUBLE PRECISION", expect!["Float64"]);
    check_type("REAL", expect!["Float32"]);
    check_type("TIMESTAMP", expect!["Timestamp(ns)"]);
    check_type("TIMESTAMP(3)", expect!["Timestamp(ms)"]);
    check_type("DECIMAL(12, 4)", expect!["Decimal128(12, 4)"]);
    check_type("NUMERIC", expect!["Decimal128(38, 10)"]);
    check_type("DATE", expect!["Date32"]);
    check_type("BYTEA", expect!["Binary"]);
    check_type("BIGINT[][]", expect!["List(List(Int64))"]);
    check_type("ARRAY<ARRAY<INT>>", expect!["List(List(Int32))"]);
    check_type(
        "STRUCT<T BIGINT, t BIGINT, \"odd name\" TEXT>",
        expect![[r#"Struct("T": Int64, "t": Int64, "odd name": Utf8View)"#]],
    );
    check_type(
        "STRUCT<a STRUCT<b ARRAY<STRUCT<c INT>>>>[]",
        expect![[r#"List(Struct("a": Struct("b": List(Struct("c": Int32)))))"#]],
    );
}

#[test]
fn json_text_is_marked() {
    let column = &table(&source("c JSON NOT NULL")).columns[0];
    expect![[r#"
        Field {
            name: "c",
            data_type: Utf8View,
            metadata: {
                "ARROW:extension:name": "arrow.json",
            },
        }
    "#]]
    .assert_debug_eq(&column.field());
}

#[test]
fn columns() {
    let text = source(
        "\"Odd one\" TEXT, t TIMESTAMP NOT NULL, o BIGINT METADATA FROM 'offset_id', \
         g DOUBLE GENERATED ALWAYS AS (1 + length(\"Odd one\")) STORED, WATERMARK FOR t",
    );
    expect![[r#"
        Field { "Odd one": nullable Utf8View }
        Field { "t": Timestamp(ns) }
        Field { "o": nullable Int64 } from offset_id
        Field { "g": nullable Float64 } = 1 + length("Odd one")
        watermark for t as 
    "#]]
    .assert_eq(&columns_of(&table(&text)));
}

#[test]
fn statements_keep_their_places() {
    let file = parse("\n-- first\n  SELECT 1;;\n\tSELECT\n 2 -- end\n;").unwrap();
    let spans: Vec<Span> = file.statements.iter().map(Statement::span).collect();
    expect![[r#"
        [
            Span(Location(3,3)..Location(3,11)),
            Span(Location(4,2)..Location(5,3)),
        ]
    "#]]
    .assert_debug_eq(&spans);
}

#[test]
fn variables() {
    let lookup = |name: &str| match name {
        "QUOTE" => Some("it's".to_owned()),
        "LINES" => Some("a\nb".to_owned()),
        "N" => Some("41".to_owned()),
        _ => None,
    };
    let text = "SELECT '{{ QUOTE }}', {{N}} + 1, '{{ NONE | it''s | b }}', '{{ LINES }}', '{{ X | }}' -- {{ NO }}\n\
                /* {{ NO /* {{ */ }} */ , \"{{ QUOTE }}\"";
    let file = SqlFile::parse("job.sql", text, &lookup).unwrap();
    expect![[r#"
        select 'it''s' , 41 + 1 , 'it''''s | b' , 'a
        b' , '' , "it's""#]]
    .assert_eq(file.statements[0].canonical());
    expect![[r#"
        {
            "LINES",
            "N",
            "NONE",
            "QUOTE",
            "X",
        }
    "#]]
    .assert_debug_eq(&file.variables);
}

#[test]
fn canonical_text_forgets_layout_and_keeps_meaning() {
    let of = |text: &str| parse(text).unwrap().statements[0].canonical().to_owned();
    let first = of("SELECT Sum(x) AS \"y\", 'It''s' -- note\nFROM t");
    assert_eq!(first, of("select  SUM ( X ) as y, 'It''s' from /* */ T ;"));
    expect!["select sum ( x ) as y , 'It''s' from t"].assert_eq(&first);
    assert_ne!(first, of("SELECT Sum(x) AS \"Y\", 'It''s' FROM t"));
    assert_ne!(of("SELECT \"current_date\""), of("SELECT current_date"));
    assert_eq!(
        of(&sink_with("path = 'x', 'parquet.compression' = 'snappy'")),
        of(&sink_with("'filename.prefix' = 'p', path = 'file:///x'")).replace("/x", "x")
    );
    assert_ne!(of(&sink_with("path = 'x'")), of(&sink_with("path = 'y'")));
}
