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
        expect![[r#"
            job.sql:2:127: 'sink.commit_mode' cannot be this
              2 | WITH (connector = 'kafka', type = 'sink', bootstrap_servers = 'a:1', topic = 'candles', format = 'json', 'sink.commit_mode' = 'exactly', 'sink.key_feild' = 'symbol', 'value.subject' = 'x')
                |                                                                                                                               ^^^^^^^^^
              help: it is one of 'at_least_once', 'exactly_once'
            job.sql:2:138: unknown option 'sink.key_feild'
              2 | WITH (connector = 'kafka', type = 'sink', bootstrap_servers = 'a:1', topic = 'candles', format = 'json', 'sink.commit_mode' = 'exactly', 'sink.key_feild' = 'symbol', 'value.subject' = 'x')
                |                                                                                                                                          ^^^^^^^^^^^^^^^^
              help: did you mean "sink.key_field"?
            job.sql:2:167: the local engine does not run the option 'value.subject'
              2 | WITH (connector = 'kafka', type = 'sink', bootstrap_servers = 'a:1', topic = 'candles', format = 'json', 'sink.commit_mode' = 'exactly', 'sink.key_feild' = 'symbol', 'value.subject' = 'x')
                |                                                                                                                                                                       ^^^^^^^^^^^^^^^"#]],
    );
    check_faults(
        &topic(", 'source.offset' = 'latest'"),
        expect![[r#"
        job.sql:2:106: unknown option 'source.offset'
          2 | WITH (connector = 'kafka', type = 'sink', bootstrap_servers = 'a:1', topic = 'candles', format = 'json', 'source.offset' = 'latest')
            |                                                                                                          ^^^^^^^^^^^^^^^
          help: options of a Kafka sink are connector, type, bootstrap_servers, topic, format, sink.commit_mode, sink.key_field, sink.timestamp_field, json.timestamp_format, json.decimal_encoding, client_configs, auth.type, auth.mechanism, auth.protocol, auth.username, auth.password"#]],
    );
    check_faults(
        &topic(", 'sink.key_field' = 'symbl', 'sink.timestamp_field' = 'price'"),
        expect![[r#"
            job.sql:2:125: the table has no column "symbl"
              2 | WITH (connector = 'kafka', type = 'sink', bootstrap_servers = 'a:1', topic = 'candles', format = 'json', 'sink.key_field' = 'symbl', 'sink.timestamp_field' = 'price')
                |                                                                                                                             ^^^^^^^
              help: did you mean "symbol"?
            job.sql:2:159: "price" is DOUBLE, which cannot be a message's timestamp
              2 | WITH (connector = 'kafka', type = 'sink', bootstrap_servers = 'a:1', topic = 'candles', format = 'json', 'sink.key_field' = 'symbl', 'sink.timestamp_field' = 'price')
                |                                                                                                                                                               ^^^^^^^
              help: it is a TIMESTAMP; without the option it is the row's event time"#]],
    );
    check_faults(
        &topic(", 'sink.key_field' = 'tags'"),
        expect![[r#"
        job.sql:2:125: "tags" is TEXT[], which cannot be a message's key
          2 | WITH (connector = 'kafka', type = 'sink', bootstrap_servers = 'a:1', topic = 'candles', format = 'json', 'sink.key_field' = 'tags')
            |                                                                                                                             ^^^^^^
          help: it is a column of one value: text, a number, BOOLEAN, DATE or TIMESTAMP"#]],
    );
    check_faults(
        &topic("").replace("'json'", "'avro'"),
        expect![[r#"
        job.sql:2:98: the local engine writes JSON only into topics
          2 | WITH (connector = 'kafka', type = 'sink', bootstrap_servers = 'a:1', topic = 'candles', format = 'avro')
            |                                                                                                  ^^^^^^
          help: it is 'json'"#]],
    );
    check_faults(
        &topic("").replace("tags TEXT[]", "PRIMARY KEY (symbol)"),
        expect![[r#"
            job.sql:1:71: PRIMARY KEY: a topic keeps every message; 'sink.key_field' is the column that messages are keyed by
              1 | CREATE TABLE s (symbol TEXT, at TIMESTAMP, price DOUBLE, PRIMARY KEY (symbol))
                |                                                                       ^^^^^^"#]],
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
