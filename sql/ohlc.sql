-- Accepted as it stands by the planner of Arroyo (0.16-dev, August 2026): one form of the 1-minute candle job that both
-- engines can run. Variables ({{ … }}) are resolved before. The fallback 86400000 (1970-01-02) keeps the expression
-- NOT NULL for frames without a tick, as Arroyo demands, and holds no watermark back.
CREATE TABLE raw_ticks (
    type TEXT,
    data STRUCT<s TEXT, p DOUBLE, t BIGINT, v DOUBLE>[],
    event_time TIMESTAMP NOT NULL GENERATED ALWAYS AS (CAST(CAST(coalesce(data[1]['t'], 86400000) AS TIMESTAMP(3)) AS TIMESTAMP)),
    WATERMARK FOR event_time AS (CAST(CAST(coalesce(data[1]['t'], 86400000) AS TIMESTAMP(3)) AS TIMESTAMP) - INTERVAL '1 minute')
) WITH (
    connector = 'kafka',
    type = 'source',
    bootstrap_servers = 'localhost:9092',
    topic = 'raw_ticks',
    format = 'json',
    bad_data = 'drop',
    'source.offset' = 'earliest'
);

CREATE TABLE ohlc (
    symbol TEXT, window_start TIMESTAMP, window_end TIMESTAMP,
    open DOUBLE, high DOUBLE, low DOUBLE, close DOUBLE, volume DOUBLE, trades BIGINT
) WITH (
    connector = 'filesystem',
    type = 'sink',
    path = '{{ CANDLES_PATH | data/ohlc }}',
    format = 'parquet',
    'partitioning.time_pattern' = 'date=%Y-%m-%d',
    'rolling_policy.interval' = interval '1 second'
);

CREATE VIEW ticks AS
SELECT tick.s AS symbol, tick.p AS price, tick.v AS volume,
       CAST(to_timestamp_millis(tick.t) AS TIMESTAMP) AS _timestamp
FROM (SELECT unnest(data) AS tick FROM raw_ticks)
WHERE tick.s IS NOT NULL AND tick.p IS NOT NULL AND tick.t IS NOT NULL;

INSERT INTO ohlc
SELECT symbol, window.start, window.end, open, high, low, close, volume, trades
FROM (
    SELECT symbol, tumble(interval '1 minute') AS window,
           first_value(price ORDER BY _timestamp) AS open,
           max(price) AS high, min(price) AS low,
           last_value(price ORDER BY _timestamp) AS close,
           sum(volume) AS volume, count(*) AS trades
    FROM ticks
    GROUP BY symbol, window
);
