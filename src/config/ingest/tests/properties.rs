//! Spark's properties and Kafka source options: what they mean here, and what is said of those that mean nothing.

use expect_test::expect_file;

use super::*;
use crate::config::ingest::reference;

fn warnings(pairs: &[&str]) -> String {
    let line: Vec<&str> = pairs.iter().flat_map(|pair| ["--conf", pair]).collect();
    resolve(&line, None).expect("options").1.join("\n")
}

fn conf(pair: &str) -> IngestOptions {
    options(&["--conf", pair], None)
}

fn check_conf(pair: &str, expected: Expect) {
    check_error(&["--conf", pair], None, expected);
}

/// `UPDATE_EXPECT=1` writes the tables anew.
#[test]
fn the_tables_of_the_page_are_what_the_code_does() {
    const BEGIN: &str = "<!-- from here on written by a test, from the code -->\n";
    let file = expect_file!["../../../../docs/SPARK.md"];
    let page = file.data();
    let (text, _) = page.split_once(BEGIN).expect("the mark of the tables");
    file.assert_eq(&format!("{text}{BEGIN}\n{}", reference::tables()));
}

#[test]
fn reading_starts_at_times_as_in_spark() {
    let all = conf("spark.stockpulse.startingTimestamp=1700000000000");
    assert_eq!(
        all.starting_offsets,
        Some(StartingOffsets::Since {
            time_ms: 1_700_000_000_000,
            absent: Absent::Refuse
        })
    );
    let each = options(
        &[
            "--conf",
            "spark.stockpulse.startingOffsetsByTimestamp={\"raw_ticks\":{\"0\":5,\"1\":6}}",
            "--conf",
            "spark.stockpulse.startingOffsetsByTimestampStrategy=LATEST",
        ],
        None,
    );
    assert_eq!(
        each.starting_offsets,
        Some(StartingOffsets::SinceEach {
            times_ms: BTreeMap::from([("raw_ticks".to_owned(), BTreeMap::from([(0, 5), (1, 6)]))]),
            absent: Absent::Latest
        })
    );
    expect![[r#"
        spark.stockpulse.startingOffsetsByTimestamp (--conf) has no effect beside spark.stockpulse.startingTimestamp
        spark.stockpulse.startingOffsets (--conf) has no effect beside spark.stockpulse.startingTimestamp"#]].assert_eq(&warnings(&[
        "spark.stockpulse.startingTimestamp=5",
        "spark.stockpulse.startingOffsetsByTimestamp={}",
        "spark.stockpulse.startingOffsets=latest",
    ]));
    expect!["spark.stockpulse.startingOffsetsByTimestampStrategy (--conf) has no effect without spark.stockpulse.startingTimestamp or spark.stockpulse.startingOffsetsByTimestamp"].assert_eq(&warnings(&[
        "spark.stockpulse.startingOffsetsByTimestampStrategy=error",
    ]));
    check_conf(
        "spark.stockpulse.startingTimestamp=yesterday",
        expect![[
            r#"spark.stockpulse.startingTimestamp (--conf) is "yesterday"; it must be milliseconds since 1970 such as 1700000000000"#
        ]],
    );
    check_conf(
        "spark.stockpulse.startingTimestamp=-1",
        expect![[
            r#"spark.stockpulse.startingTimestamp (--conf) is "-1"; it must be milliseconds since 1970 such as 1700000000000"#
        ]],
    );
    check_conf(
        "spark.stockpulse.startingOffsetsByTimestamp={\"t\":{\"0\":-2}}",
        expect![[
            r#"spark.stockpulse.startingOffsetsByTimestamp (--conf) is "{"t":{"0":-2}}"; it must be milliseconds since 1970 by topic and partition such as {"raw_ticks":{"0":1700000000000}}"#
        ]],
    );
    check_conf(
        "spark.stockpulse.startingOffsetsByTimestampStrategy=earliest",
        expect![[
            r#"spark.stockpulse.startingOffsetsByTimestampStrategy (--conf) is "earliest"; it must be error or latest"#
        ]],
    );
}

#[test]
fn a_codec_is_for_tables_that_name_none() {
    let codec = |name: &str| conf(&format!("spark.sql.parquet.compression.codec={name}")).codec;
    assert_eq!(codec("none"), Some(Codec::Uncompressed));
    assert_eq!(codec("SNAPPY"), Some(Codec::Snappy));
    assert_eq!(codec("lz4_raw"), Some(Codec::Lz4));
    assert_eq!(
        conf("spark.stockpulse.compression=gzip").codec,
        Some(Codec::Gzip)
    );
    check_conf(
        "spark.sql.parquet.compression.codec=brotli",
        expect![[
            r#"spark.sql.parquet.compression.codec (--conf) is "brotli"; it must be zstd, snappy, gzip, lz4, lz4_raw, uncompressed or none"#
        ]],
    );
}

#[test]
fn times_are_utc() {
    for utc in ["UTC", "Etc/UTC", "Z", "+00:00"] {
        assert_eq!(
            warnings(&[&format!("spark.sql.session.timeZone={utc}")]),
            ""
        );
    }
    check_conf(
        "spark.sql.session.timeZone=America/New_York",
        expect![[
            r#"spark.sql.session.timeZone (--conf) is "America/New_York"; it must be UTC: windows, folders and times are UTC; what is shown to people is converted where it is read"#
        ]],
    );
}

#[test]
fn a_property_has_the_name_that_spark_gives_it_beside_ours() {
    let ours = conf("spark.stockpulse.checkpointLocation=/data/check");
    assert_eq!(
        ours.checkpoint_location,
        Some(Place::Folder(PathBuf::from("/data/check")))
    );
    let both = options(
        &[
            "--conf",
            "spark.stockpulse.checkpointLocation=/a",
            "--conf",
            "spark.sql.streaming.checkpointLocation=/b",
        ],
        None,
    );
    assert_eq!(
        both.checkpoint_location,
        Some(Place::Folder(PathBuf::from("/b")))
    );
}

#[test]
fn what_spark_knows_and_we_do_not_need_is_said_with_what_to_do() {
    expect![[r#"
        kafka.bootstrap.servers (--conf) has no effect here; did you mean spark.kafka.bootstrap.servers?
        spark.driver.extraJavaOptions (--conf) has no effect here: there is no JVM
        spark.jars.packages (--conf) has no effect here: Kafka and Parquet are built in, nothing is downloaded
        spark.kryoserializer.buffer.max (--conf) has no effect here: rows are columns in memory (Arrow), nothing is serialised
        spark.serializer (--conf) has no effect here: rows are columns in memory (Arrow), nothing is serialised
        spark.sql.parquet.mergeSchema (--conf) has no effect here: a table's options are in the SQL: 'parquet.compression', 'parquet.row_group_size'
        spark.sql.shuffle.partitions (--conf) has no effect here: nothing is shuffled: threads are --master local[N], and a thread reads whole partitions of the topic
        spark.stockpulse.minPartitions (--conf) has no effect here: a thread reads whole partitions: give the topic as many as there are threads
        spark.what (--conf) has no effect here
        startingOffsets (--conf) has no effect here; did you mean spark.stockpulse.startingOffsets?"#]].assert_eq(&warnings(&[
        "spark.stockpulse.minPartitions=8",
        "spark.sql.shuffle.partitions=200",
        "spark.serializer=org.apache.spark.serializer.KryoSerializer",
        "spark.kryoserializer.buffer.max=1g",
        "spark.driver.extraJavaOptions=-Xss4m",
        "spark.sql.parquet.mergeSchema=true",
        "spark.jars.packages=a:b:1",
        "spark.what=1",
        "startingOffsets=latest",
        "kafka.bootstrap.servers=a:1",
    ]));
}

#[test]
fn what_would_be_wrong_to_pass_over_is_refused() {
    check_conf(
        "spark.stockpulse.endingOffsets=latest",
        expect![
            "spark.stockpulse.endingOffsets (--conf) is not for StockPulse: --available-now ends with what the topic holds at the start"
        ],
    );
    check_conf(
        "spark.stockpulse.subscribe=raw_ticks",
        expect![
            "spark.stockpulse.subscribe (--conf) is not for StockPulse: the topic is in the SQL: topic = '…'"
        ],
    );
    check_conf(
        "spark.stockpulse.kafka.sasl.password=hunter2",
        expect![
            "spark.stockpulse.kafka.sasl.password (--conf) is not for StockPulse: a librdkafka property is spark.kafka.NAME"
        ],
    );
}
