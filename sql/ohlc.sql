-- One-minute candles of every symbol: the whole definition of the job.
-- Engines: local and Arroyo.
--   stockpulse-ingest sql/ohlc.sql
--
-- Edit it and run it again; nothing about candles is in the program. What is usually changed:
--   the width of a candle     (4) tumble(interval '1 minute')
--   more columns              (4) an aggregate, and the same column in (2), in the same place:
--                             avg(price), stddev(price), sum(price * volume) / sum(volume) (the vwap),
--                             count(DISTINCT price), approx_percentile_cont(0.5) WITHIN GROUP (ORDER BY price)
--   which ticks count         (3) the WHERE
--   which candles are kept    (4) HAVING after the GROUP BY
--   how late ticks may come   (1) the WATERMARK
-- An added column or another WHERE goes on in the same table. Another width or key, or a column less, gives another
-- table: write it to another CANDLES_PATH, or let --rebuild compute this one again.
--
-- {{ NAME | default }} is taken from --conf spark.stockpulse.var.NAME=…, else from the environment, else
-- from .env, else it is the default. The dialect is Arroyo's, whose planner takes this file too.

-- (1) What is read: the Kafka topic, a JSON object a message, as Finnhub sends it:
--     {"type":"trade","data":[{"s":"BINANCE:BTCUSDT","p":7296.89,"t":1575526691134,"v":0.011467}]}
--     s is the symbol, p the price, t the time in milliseconds since 1970 (UTC), v the volume.
CREATE TABLE raw_ticks (
    type TEXT,
    data STRUCT<s TEXT, p DOUBLE, t BIGINT, v DOUBLE>[],
    -- The event time of a message is the time of its first tick. (A message without ticks gets 1970-01-02,
    -- which holds nothing back: a watermark never returns.)
    event_time TIMESTAMP NOT NULL GENERATED ALWAYS AS (
        CAST(CAST(coalesce(data[1]['t'], 86400000) AS TIMESTAMP(3)) AS TIMESTAMP)
    ),
    -- Ticks are waited for this long after a later one was seen. A candle is written when the watermark of
    -- every partition has passed its end; a tick that comes later still is late: counted, not added.
    WATERMARK FOR event_time AS (
        CAST(CAST(coalesce(data[1]['t'], 86400000) AS TIMESTAMP(3)) AS TIMESTAMP) - INTERVAL '1 minute'
    )
) WITH (
    connector = 'kafka',
    type = 'source',
    bootstrap_servers = '{{ KAFKA_BROKER | localhost:9092 }}',
    topic = '{{ KAFKA_TOPIC | raw_ticks }}',
    format = 'json',
    -- A message that is not of this shape is counted and left out; 'fail' would stop the job.
    bad_data = 'drop',
    'source.offset' = 'earliest'
);

-- (2) What is written: Parquet files, a directory for each day (UTC) of the candles' end:
--     data/ohlc/date=2026-08-01/….parquet
CREATE TABLE ohlc (
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
    path = '{{ CANDLES_PATH | data/ohlc }}',
    format = 'parquet',
    'partitioning.time_pattern' = 'date=%Y-%m-%d',
    -- Closed candles are collected for at least this long before a file is written.
    'rolling_policy.interval' = interval '{{ COMMIT_INTERVAL | 1 second }}'
);

-- (3) Every tick of a message becomes a row with its own event time: _timestamp is what windows go by.
CREATE VIEW ticks AS
SELECT
    tick.s AS symbol,
    tick.p AS price,
    tick.v AS volume,
    CAST(to_timestamp_millis(tick.t) AS TIMESTAMP) AS _timestamp
FROM (SELECT unnest(data) AS tick FROM raw_ticks)
WHERE tick.s IS NOT NULL AND tick.p IS NOT NULL AND tick.t IS NOT NULL;

-- (4) The candles. The inner SELECT makes one row for each symbol and window; the outer one puts the
--     columns into the order of (2). Ticks of the same millisecond are in the order of the topic.
INSERT INTO ohlc
SELECT symbol, window.start, window.end, open, high, low, close, volume, trades
FROM (
    SELECT
        symbol,
        tumble(interval '1 minute') AS window,
        first_value(price ORDER BY _timestamp) AS open,
        max(price) AS high,
        min(price) AS low,
        last_value(price ORDER BY _timestamp) AS close,
        sum(volume) AS volume,
        count(*) AS trades
    FROM ticks
    GROUP BY symbol, window
);
