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

CREATE TABLE sectors (
    symbol TEXT NOT NULL,
    sector TEXT,
    weight DOUBLE
) WITH (
    connector = 'filesystem',
    type = 'source',
    path = 'tests/cases/watchlist/sectors.csv',
    format = 'csv'
);

CREATE TABLE ohlc (
    symbol TEXT,
    window_start TIMESTAMP,
    close DOUBLE,
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
SELECT symbol, window.start, close, trades
FROM (
    SELECT
        symbol,
        tumble(interval '1 minute') AS window,
        last_value(price) AS close,
        count(*) AS trades
    FROM ticks
    WHERE symbol IN (SELECT symbol FROM sectors WHERE sector = 'large')
      AND symbol NOT IN (SELECT symbol FROM sectors WHERE weight < 1)
      AND price > (SELECT min(weight) FROM sectors)
    GROUP BY symbol, window
);
