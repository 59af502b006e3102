-- Five-minute candles from the ticks.
-- Engines: local and Arroyo.
--
-- To edit: the width in tumble(), the columns of the table and of both SELECTs.
--
--   stockpulse-ingest examples/five_minutes/five_minutes.sql

CREATE TABLE raw_ticks (
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

CREATE VIEW ticks AS
SELECT
    tick.s AS symbol,
    tick.p AS price,
    tick.v AS volume,
    CAST(to_timestamp_millis(tick.t) AS TIMESTAMP) AS _timestamp
FROM (SELECT unnest(data) AS tick FROM raw_ticks)
WHERE tick.s IS NOT NULL AND tick.p IS NOT NULL AND tick.t IS NOT NULL;

CREATE TABLE candles_5m (
    symbol TEXT,
    window_start TIMESTAMP,
    window_end TIMESTAMP,
    open DOUBLE,
    high DOUBLE,
    low DOUBLE,
    close DOUBLE,
    volume DOUBLE,
    trades BIGINT
) WITH (
    connector = 'filesystem',
    type = 'sink',
    path = '{{ DATA_DIR | data }}/candles_5m',
    format = 'parquet',
    'partitioning.time_pattern' = 'date=%Y-%m-%d',
    'rolling_policy.interval' = interval '{{ COMMIT_INTERVAL | 1 second }}'
);

INSERT INTO candles_5m
SELECT symbol, window.start, window.end, open, high, low, close, volume, trades
FROM (
    SELECT
        symbol,
        tumble(interval '5 minutes') AS window,
        first_value(price ORDER BY _timestamp) AS open,
        max(price) AS high,
        min(price) AS low,
        last_value(price ORDER BY _timestamp) AS close,
        sum(volume) AS volume,
        count(*) AS trades
    FROM ticks
    GROUP BY symbol, window
);
