//! Partition directories by columns and by each row's time, and files of a size: what DataFusion reads back.

use super::*;

/// Rows with a time each, in minutes after midnight, and what their symbols are.
fn timed(rows_of: &[(i64, Option<&str>)]) -> SinkRows {
    let times = rows_of.iter().map(|(minute, _)| MIDNIGHT + minute * MINUTE);
    let times = TimestampNanosecondArray::from_iter_values(times);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(
            rows_of
                .iter()
                .map(|(_, symbol)| *symbol)
                .collect::<StringViewArray>(),
        ),
        Arc::new(times.clone()),
        Arc::new(Float64Array::from_value(1.5, rows_of.len())),
        Arc::new(Int64Array::from_iter_values(0..rows_of.len() as i64)),
    ];
    let nullable = schema()
        .fields()
        .iter()
        .map(|f| f.as_ref().clone().with_nullable(true))
        .collect::<Vec<_>>();
    SinkRows {
        times: RowTimes::Each(times),
        rows: RecordBatch::try_new(Arc::new(Schema::new(nullable)), columns).unwrap(),
    }
}

fn by_symbol(table: &Table) -> ParquetOptions {
    ParquetOptions {
        partition_columns: vec![0],
        ..table.options()
    }
}

fn write(table: &Table, options: ParquetOptions, rows: Vec<SinkRows>) -> Vec<FileEntry> {
    let mut sink = ParquetSink::open(options, schema()).unwrap();
    let files = sink.stage(Epoch(1), rows).unwrap();
    sink.publish(&files).unwrap();
    assert_eq!(table.staged(), Vec::<String>::new());
    files
}

/// As a person at datafusion-cli does: partition columns are found by the names of the folders.
async fn query(table: &Table, sql: &str) -> String {
    let context = SessionContext::new();
    let path = table.path();
    let create = format!(
        "CREATE EXTERNAL TABLE t STORED AS PARQUET LOCATION '{}/'",
        path.display()
    );
    context.sql(&create).await.unwrap().collect().await.unwrap();
    let batches = context.sql(sql).await.unwrap().collect().await.unwrap();
    format!("{}\n", pretty_format_batches(&batches).unwrap())
}

#[tokio::test]
async fn columns_are_directories_below_that_of_the_time() {
    let table = Table::new();
    let symbols = [
        Some("BINANCE:BTCUSDT"),
        Some("A/B\\C"),
        Some("50% of x=y"),
        Some("käse? #1"),
        None,
        Some("BINANCE:BTCUSDT"),
        Some(".."),
    ];
    let minutes = [-1, 0, 0, 0, 0, 0, 0];
    let rows: Vec<_> = minutes.into_iter().zip(symbols).collect();
    write(&table, by_symbol(&table), vec![timed(&rows)]);
    expect![[r#"
        date=2019-09-30/symbol=BINANCE:BTCUSDT/ohlc-0000000001-000.parquet
        date=2019-10-01/symbol=../ohlc-0000000001-001.parquet
        date=2019-10-01/symbol=50%25 of x%3Dy/ohlc-0000000001-002.parquet
        date=2019-10-01/symbol=A%2FB%5CC/ohlc-0000000001-003.parquet
        date=2019-10-01/symbol=BINANCE:BTCUSDT/ohlc-0000000001-004.parquet
        date=2019-10-01/symbol=__HIVE_DEFAULT_PARTITION__/ohlc-0000000001-005.parquet
        date=2019-10-01/symbol=käse%3F %231/ohlc-0000000001-006.parquet
    "#]]
    .assert_eq(&(table.published().join("\n") + "\n"));
    let all = "SELECT symbol, date, trades FROM t ORDER BY symbol, trades";
    expect![[r#"
        +----------------------------+------------+--------+
        | symbol                     | date       | trades |
        +----------------------------+------------+--------+
        | ..                         | 2019-10-01 | 6      |
        | 50% of x=y                 | 2019-10-01 | 2      |
        | A/B\C                      | 2019-10-01 | 1      |
        | BINANCE:BTCUSDT            | 2019-09-30 | 0      |
        | BINANCE:BTCUSDT            | 2019-10-01 | 5      |
        | __HIVE_DEFAULT_PARTITION__ | 2019-10-01 | 4      |
        | käse? #1                   | 2019-10-01 | 3      |
        +----------------------------+------------+--------+
    "#]]
    .assert_eq(&query(&table, all).await);
    for symbol in symbols.into_iter().flatten() {
        let found = query(
            &table,
            &format!("SELECT count(*) > 0 AS found FROM t WHERE symbol = '{symbol}'"),
        )
        .await;
        assert!(found.contains("true"), "{symbol}: {found}");
    }
    let one = "SELECT * FROM t WHERE symbol = 'BINANCE:BTCUSDT' ORDER BY window_start";
    expect![[r#"
        +---------------------+-------+--------+------------+-----------------+
        | window_start        | close | trades | date       | symbol          |
        +---------------------+-------+--------+------------+-----------------+
        | 2019-09-30T23:59:00 | 1.5   | 0      | 2019-09-30 | BINANCE:BTCUSDT |
        | 2019-10-01T00:00:00 | 1.5   | 5      | 2019-10-01 | BINANCE:BTCUSDT |
        +---------------------+-------+--------+------------+-----------------+
    "#]]
    .assert_eq(&query(&table, one).await);
}

#[tokio::test]
async fn rows_of_one_batch_go_to_the_days_they_are_of() {
    let table = Table::new();
    let many: Vec<_> = (0..3000)
        .map(|minute| (minute * 7 % 4320, Some("A")))
        .collect();
    let options = ParquetOptions {
        time_pattern: Some("day=%Y-%m-%d/hour=%H".to_owned()),
        ..table.options()
    };
    let files = write(&table, options, vec![timed(&many), timed(&many[..1])]);
    assert_eq!(files.len(), 72);
    let wrong = "SELECT count(*) AS rows, count(DISTINCT window_start) AS times, \
         count(*) FILTER (WHERE to_char(window_start, '%Y-%m-%d %H') <> day || ' ' || hour) AS wrong FROM t";
    expect![[r#"
        +------+-------+-------+
        | rows | times | wrong |
        +------+-------+-------+
        | 3001 | 3000  | 0     |
        +------+-------+-------+
    "#]]
    .assert_eq(&query(&table, wrong).await);
}

#[test]
fn rows_that_belong_nowhere_are_an_error() {
    let table = Table::new();
    let error = |options: ParquetOptions, rows: SinkRows| {
        let mut sink = ParquetSink::open(options, schema()).unwrap();
        match sink.stage(Epoch(1), vec![rows]) {
            Err(SinkError::Options(message)) => message,
            other => panic!("{other:?}"),
        }
    };
    let mut untimed = timed(&[(0, Some("A")), (1, Some("A"))]);
    untimed.times = RowTimes::Each(TimestampNanosecondArray::from(vec![Some(0), None]));
    assert!(error(table.options(), untimed.clone()).contains("no event time"));
    let options = ParquetOptions {
        time_pattern: None,
        ..table.options()
    };
    drop(write(&table, options, vec![untimed]));
    let long = "x".repeat(300);
    assert!(error(by_symbol(&table), timed(&[(0, Some(&long))])).contains("\"symbol\" is longer"));
    let names: Vec<String> = (0..10_001).map(|number| number.to_string()).collect();
    let many: Vec<_> = names.iter().map(|name| (0, Some(name.as_str()))).collect();
    assert!(
        error(by_symbol(&table), timed(&many)).contains("more than 10000 partition directories")
    );
}

#[tokio::test]
async fn a_file_that_is_large_enough_is_closed() {
    let table = Table::new();
    let limit = 100_000;
    let options = ParquetOptions {
        file_bytes: Some(limit),
        compression: Compression::Uncompressed,
        ..table.options()
    };
    let symbols = vec!["BINANCE:BTCUSDT"; 1000];
    let windows = (0..100).map(|minute| rows(minute, &symbols)).collect();
    let files = write(&table, options, windows);
    assert_eq!(files.iter().map(|file| file.rows).sum::<u64>(), 100_000);
    let (last, full) = files.split_last().unwrap();
    assert!(full.len() > 5, "{} files", full.len());
    for file in full {
        assert!(
            (limit / 2..limit * 2).contains(&file.bytes),
            "{} bytes",
            file.bytes
        );
    }
    assert!(
        last.bytes <= limit * 2
            && last
                .published
                .ends_with(&format!("-{:03}.parquet", full.len()))
    );
    expect![[r#"
        +--------+---------+
        | rows   | windows |
        +--------+---------+
        | 100000 | 100     |
        +--------+---------+
    "#]]
    .assert_eq(
        &query(
            &table,
            "SELECT count(*) AS rows, count(DISTINCT window_start) AS windows FROM t",
        )
        .await,
    );
}
