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
    expect![[r#""#]].assert_eq(&warnings(&[
        "spark.stockpulse.startingTimestamp=5",
        "spark.stockpulse.startingOffsetsByTimestamp={}",
        "spark.stockpulse.startingOffsets=latest",
    ]));
    expect![[r#""#]].assert_eq(&warnings(&[
        "spark.stockpulse.startingOffsetsByTimestampStrategy=error",
    ]));
    check_conf(
        "spark.stockpulse.startingTimestamp=yesterday",
        expect![[r#""#]],
    );
    check_conf("spark.stockpulse.startingTimestamp=-1", expect![[r#""#]]);
    check_conf(
        "spark.stockpulse.startingOffsetsByTimestamp={\"t\":{\"0\":-2}}",
        expect![[r#""#]],
    );
    check_conf(
        "spark.stockpulse.startingOffsetsByTimestampStrategy=earliest",
        expect![[r#""#]],
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
        expect![[r#""#]],
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
        expect![[r#""#]],
    );
}

#[test]
fn a_property_has_the_name_that_spark_gives_it_beside_ours() {
    let ours = conf("spark.stockpulse.checkpointLocation=/data/check");
    assert_eq!(ours.checkpoint_location, Some(PathBuf::from("/data/check")));
    let both = options(
        &[
            "--conf",
            "spark.stockpulse.checkpointLocation=/a",
            "--conf",
            "spark.sql.streaming.checkpointLocation=/b",
        ],
        None,
    );
    assert_eq!(both.checkpoint_location, Some(PathBuf::from("/b")));
}

#[test]
fn what_spark_knows_and_we_do_not_need_is_said_with_what_to_do() {
    expect![[r#""#]].assert_eq(&warnings(&[
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
    check_conf("spark.stockpulse.endingOffsets=latest", expect![[r#""#]]);
    check_conf("spark.stockpulse.subscribe=raw_ticks", expect![[r#""#]]);
    check_conf(
        "spark.stockpulse.kafka.sasl.password=hunter2",
        expect![[r#""#]],
    );
}
