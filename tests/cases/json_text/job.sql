CREATE TABLE raw_ticks (
    value TEXT
) WITH (
    connector = 'kafka',
    type = 'source',
    bootstrap_servers = 'localhost:9092',
    topic = 'raw_ticks',
    format = 'raw_string'
);

CREATE VIEW ticks AS
SELECT
    extract_json_string(tick, '$.s') AS symbol,
    CAST(json_get(tick, 'p') AS DOUBLE) AS price,
    json_get_float(tick, 'v') AS volume,
    CAST(to_timestamp_millis(json_get_int(tick, 't')) AS TIMESTAMP) AS _timestamp
FROM (SELECT unnest(extract_json(value, '$.data[*]')) AS tick FROM raw_ticks)
WHERE extract_json_string(tick, '$.s') IS NOT NULL;

CREATE TABLE ohlc (
    symbol TEXT,
    window_start TIMESTAMP,
    high DOUBLE,
    volume DOUBLE,
    trades BIGINT
) WITH (
    connector = 'filesystem',
    type = 'sink',
    path = '{{ CANDLES_PATH | data/ohlc }}',
    format = 'parquet',
    'partitioning.time_pattern' = 'date=%Y-%m-%d',
    'rolling_policy.interval' = interval '{{ COMMIT_INTERVAL | 1 second }}'
);

INSERT INTO ohlc
SELECT symbol, window.start, high, volume, trades
FROM (
    SELECT symbol, tumble(interval '1 minute') AS window, max(price) AS high, sum(volume) AS volume, count(*) AS trades
    FROM ticks
    GROUP BY symbol, window
);
