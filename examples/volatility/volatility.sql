-- How restless a symbol was in each five minutes: the standard deviation of its prices, its range in basis
-- points, and Parkinson's volatility, which is made of high and low.
-- Engines: local and Arroyo.
--
-- HAVING leaves out windows of fewer than three ticks, which say nothing.
--
--   stockpulse-ingest examples/volatility/volatility.sql

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

CREATE TABLE volatility (
    symbol TEXT,
    window_start TIMESTAMP,
    window_end TIMESTAMP,
    deviation DOUBLE,
    range_bp DOUBLE,
    parkinson DOUBLE,
    ticks BIGINT
) WITH (
    connector = 'filesystem',
    type = 'sink',
    path = '{{ DATA_DIR | data }}/volatility',
    format = 'parquet',
    'partitioning.time_pattern' = 'date=%Y-%m-%d',
    'rolling_policy.interval' = interval '{{ COMMIT_INTERVAL | 1 second }}'
);

INSERT INTO volatility
SELECT
    symbol,
    window.start,
    window.end,
    deviation,
    (high - low) / low * 10000,
    ln(high / low) / sqrt(4 * ln(2)),
    ticks
FROM (
    SELECT
        symbol,
        tumble(interval '5 minutes') AS window,
        stddev(price) AS deviation,
        max(price) AS high,
        min(price) AS low,
        count(*) AS ticks
    FROM ticks
    GROUP BY symbol, window
    HAVING count(*) >= 3
);
