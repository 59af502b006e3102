CREATE TABLE raw_ticks (
    type TEXT,
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
    bootstrap_servers = 'localhost:9092',
    topic = 'raw_ticks',
    format = 'json',
    bad_data = 'drop'
);

CREATE TABLE highs (
    symbol TEXT,
    start TIMESTAMP,
    high DOUBLE,
    spread DOUBLE
) WITH (
    connector = 'filesystem',
    type = 'sink',
    path = 'data/ohlc',
    format = 'parquet',
    'partitioning.time_pattern' = 'date=%Y-%m-%d',
    'rolling_policy.interval' = interval '1 second'
);

INSERT INTO highs
WITH
    ticks AS (
        SELECT tick.s AS symbol, tick.p AS price, CAST(to_timestamp_millis(tick.t) AS TIMESTAMP) AS _timestamp
        FROM (SELECT unnest(data) AS tick FROM raw_ticks)
    ),
    candles AS (
        SELECT symbol, tumble(interval '1 minute') AS window, max(price) AS high, min(price) AS low
        FROM ticks
        GROUP BY symbol, window
    )
SELECT symbol, window.start, high, high - low FROM candles;
