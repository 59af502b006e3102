CREATE TABLE raw_ticks (
    data STRUCT<s TEXT, p DOUBLE, t BIGINT, v DOUBLE>[],
    message_offset BIGINT METADATA FROM 'offset_id',
    message_partition INT METADATA FROM 'partition',
    message_topic TEXT METADATA FROM 'topic',
    message_ms BIGINT METADATA FROM 'timestamp',
    message_key BYTEA METADATA FROM 'key'
) WITH (
    connector = 'kafka',
    type = 'source',
    bootstrap_servers = 'localhost:9092',
    topic = 'raw_ticks',
    format = 'json',
    bad_data = 'drop'
);

CREATE TABLE archive (
    symbol TEXT,
    price DOUBLE,
    event_ms BIGINT,
    of_partition INT,
    of_offset BIGINT,
    of_topic TEXT,
    kafka_ms BIGINT,
    has_key BOOLEAN
) WITH (
    connector = 'filesystem',
    type = 'sink',
    path = '{{ CANDLES_PATH | data/ohlc }}',
    format = 'parquet',
    'partitioning.time_pattern' = 'date=%Y-%m-%d',
    'rolling_policy.interval' = interval '{{ COMMIT_INTERVAL | 1 second }}'
);

INSERT INTO archive
SELECT tick.s, tick.p, tick.t, message_partition, message_offset, message_topic, message_ms, message_key IS NOT NULL
FROM (
    SELECT unnest(data) AS tick, message_partition, message_offset, message_topic, message_ms, message_key
    FROM raw_ticks
)
WHERE tick.p > 1;
