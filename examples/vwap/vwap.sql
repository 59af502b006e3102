-- Turnover and the volume-weighted average price of each minute.
-- Engines: local and Arroyo.
--
-- nullif() keeps a window of nothing but price updates (volume 0) from dividing by zero: its vwap is null.
--
--   stockpulse-ingest examples/vwap/vwap.sql

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

CREATE TABLE vwap (
    symbol TEXT,
    window_start TIMESTAMP,
    window_end TIMESTAMP,
    volume DOUBLE,
    turnover DOUBLE,
    vwap DOUBLE
) WITH (
    connector = 'filesystem',
    type = 'sink',
    path = '{{ DATA_DIR | data }}/vwap',
    format = 'parquet',
    'partitioning.time_pattern' = 'date=%Y-%m-%d',
    'rolling_policy.interval' = interval '{{ COMMIT_INTERVAL | 1 second }}'
);

INSERT INTO vwap
SELECT symbol, window.start, window.end, volume, turnover, turnover / nullif(volume, 0)
FROM (
    SELECT
        symbol,
        tumble(interval '1 minute') AS window,
        sum(volume) AS volume,
        sum(price * volume) AS turnover
    FROM ticks
    GROUP BY symbol, window
);
