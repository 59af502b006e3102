-- Every tick as a row, with the place in Kafka that it came from: an archive to query or to compute from anew.
-- Engines: local and Arroyo.
--
-- No window: rows leave as they come, each once, in the order of the topic. A file is closed by a commit, so the
-- interval says how many files there are; a day's folder holds the ticks of that day (UTC) by their event time.
--
--   stockpulse-ingest examples/archive/archive.sql

CREATE TABLE raw_ticks (
    message_partition INT METADATA FROM 'partition',
    message_offset BIGINT METADATA FROM 'offset_id',
    data STRUCT<s TEXT, p DOUBLE, t BIGINT, v DOUBLE>[],
    event_time TIMESTAMP NOT NULL GENERATED ALWAYS AS (
        CAST(CAST(coalesce(data[1]['t'], 86400000) AS TIMESTAMP(3)) AS TIMESTAMP)
    ),
    WATERMARK FOR event_time AS (
        CAST(CAST(coalesce(data[1]['t'], 86400000) AS TIMESTAMP(3)) AS TIMESTAMP) - INTERVAL '1 minute'
    )
) WITH (
    connector = 'kafka',
    type = 'source',
    bootstrap_servers = '{{ KAFKA_BROKER | localhost:9092 }}',
    topic = '{{ KAFKA_TOPIC | raw_ticks }}',
    format = 'json',
    bad_data = 'drop',
    'source.offset' = 'earliest'
);

CREATE TABLE archive (
    symbol TEXT,
    event_time TIMESTAMP,
    price DOUBLE,
    volume DOUBLE,
    kafka_partition INT,
    kafka_offset BIGINT
) WITH (
    connector = 'filesystem',
    type = 'sink',
    path = '{{ DATA_DIR | data }}/archive',
    format = 'parquet',
    'partitioning.time_pattern' = 'date=%Y-%m-%d',
    'rolling_policy.interval' = interval '{{ COMMIT_INTERVAL | 1 minute }}'
);

INSERT INTO archive
SELECT tick.s, _timestamp, tick.p, tick.v, message_partition, message_offset
FROM (
    SELECT tick, CAST(to_timestamp_millis(tick.t) AS TIMESTAMP) AS _timestamp, message_partition, message_offset
    FROM (SELECT unnest(data) AS tick, message_partition, message_offset FROM raw_ticks)
)
WHERE tick.s IS NOT NULL AND tick.t IS NOT NULL;
