//! `connector = 'kafka', type = 'sink'`.

use expect_test::expect;

use super::*;

fn topic(options: &str) -> String {
    format!(
        "CREATE TABLE s (symbol TEXT, at TIMESTAMP, price DOUBLE, tags TEXT[])\nWITH (connector = 'kafka', type = 'sink', \
         bootstrap_servers = 'a:1', topic = 'candles', format = 'json'{options})"
    )
}

fn options(options: &str) -> KafkaSinkOptions {
    let Connector::KafkaSink(options) = table(&topic(options)).connector else {
        panic!()
    };
    options
}

#[test]
fn options_of_a_topic_that_is_written() {
    let plain = options("");
    assert_eq!(plain.commit_mode, CommitMode::AtLeastOnce);
    assert_eq!((plain.key(), plain.time()), (None, None));
    assert_eq!(plain.place(), "kafka topic candles");
    assert_eq!(plain.kafka.brokers, "a:1");
    let all = options(
        ", 'sink.commit_mode' = 'exactly_once', 'sink.key_field' = 'symbol', 'sink.timestamp_field' = 'at', \
         'json.timestamp_format' = 'unix_millis', 'json.decimal_encoding' = 'string', client_configs = 'linger.ms=7'",
    );
    assert_eq!(all.commit_mode, CommitMode::ExactlyOnce);
    assert_eq!((all.key(), all.time()), (Some("symbol"), Some("at")));
    assert_eq!(all.timestamps, TimestampFormat::UnixMillis);
    assert_eq!(all.decimals, DecimalEncoding::String);
    let given: Vec<(&str, &str)> = all.kafka.iter().collect();
    assert_eq!(given, [("linger.ms", "7")]);
}

#[test]
fn what_a_topic_cannot_be_written_with() {
    check_faults(
        &topic(
            ", 'sink.commit_mode' = 'exactly', 'sink.key_feild' = 'symbol', 'value.subject' = 'x'",
        ),
        expect![[r#""#]],
    );
    check_faults(&topic(", 'source.offset' = 'latest'"), expect![[r#""#]]);
    check_faults(
        &topic(", 'sink.key_field' = 'symbl', 'sink.timestamp_field' = 'price'"),
        expect![[r#""#]],
    );
    check_faults(&topic(", 'sink.key_field' = 'tags'"), expect![[r#""#]]);
    check_faults(&topic("").replace("'json'", "'avro'"), expect![[r#""#]]);
    check_faults(
        &topic("").replace("tags TEXT[]", "PRIMARY KEY (symbol)"),
        expect![[r#""#]],
    );
}

#[test]
fn a_login_is_shown_nowhere() {
    let sasl = ", 'auth.type' = 'sasl', 'auth.mechanism' = 'PLAIN', 'auth.protocol' = 'SASL_SSL', \
         'auth.username' = 'hunter1', 'auth.password' = 'hunter2', client_configs = 'sasl.x=hunter3'";
    let file = parse(&topic(sasl)).unwrap();
    let shown = format!("{file:?} {}", file.statements[0].canonical());
    assert!(!shown.contains("hunter"), "{shown}");
    let options = options(sasl);
    let named: Vec<(&str, &str)> = options.kafka.iter().collect();
    assert!(named.contains(&("sasl.password", "hunter2")));
}
