-- The market's breadth in each minute: how many symbols rose and fell, and the volume on either side.
-- Engines: local and Arroyo.
--
-- A second aggregation, over the candles of one window: the window has to be in its GROUP BY.
--
--   stockpulse-ingest examples/breadth/breadth.sql

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

CREATE TABLE breadth (
    window_start TIMESTAMP,
    window_end TIMESTAMP,
    rising BIGINT,
    falling BIGINT,
    unchanged BIGINT,
    rising_volume DOUBLE,
    falling_volume DOUBLE
) WITH (
    connector = 'filesystem',
    type = 'sink',
    path = '{{ DATA_DIR | data }}/breadth',
    format = 'parquet',
    'partitioning.time_pattern' = 'date=%Y-%m-%d',
    'rolling_policy.interval' = interval '{{ COMMIT_INTERVAL | 1 second }}'
);

INSERT INTO breadth
SELECT window.start, window.end, rising, falling, unchanged, rising_volume, falling_volume
FROM (
    SELECT
        window,
        count(*) FILTER (WHERE close > open) AS rising,
        count(*) FILTER (WHERE close < open) AS falling,
        count(*) FILTER (WHERE close = open) AS unchanged,
        coalesce(sum(volume) FILTER (WHERE close > open), 0) AS rising_volume,
        coalesce(sum(volume) FILTER (WHERE close < open), 0) AS falling_volume
    FROM candles
    GROUP BY window
);
