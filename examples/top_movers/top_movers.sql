-- The three symbols that moved most in each minute.
-- Engines: local and Arroyo.
--
-- A window function ranks the candles of one window: the window has to be in its PARTITION BY. The symbol
-- decides between two that moved alike.
--
--   stockpulse-ingest examples/top_movers/top_movers.sql

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

CREATE VIEW candles AS
SELECT
    symbol,
    tumble(interval '1 minute') AS window,
    first_value(price ORDER BY _timestamp) AS open,
    last_value(price ORDER BY _timestamp) AS close,
    sum(volume) AS volume
FROM ticks
GROUP BY symbol, window;

CREATE TABLE top_movers (
    window_start TIMESTAMP,
    window_end TIMESTAMP,
    place BIGINT,
    symbol TEXT,
    change_percent DOUBLE
) WITH (
    connector = 'filesystem',
    type = 'sink',
    path = '{{ DATA_DIR | data }}/top_movers',
    format = 'parquet',
    'partitioning.time_pattern' = 'date=%Y-%m-%d',
    'rolling_policy.interval' = interval '{{ COMMIT_INTERVAL | 1 second }}'
);

INSERT INTO top_movers
SELECT window_start, window_end, place, symbol, change_percent
FROM (
    SELECT
        window.start AS window_start,
        window.end AS window_end,
        symbol,
        (close - open) / open * 100 AS change_percent,
        ROW_NUMBER() OVER (PARTITION BY window ORDER BY abs(close - open) / open DESC, symbol) AS place
    FROM candles
)
WHERE place <= 3;
