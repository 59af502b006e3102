-- Candles of a minute in a Delta Lake table, a folder for each day.
-- Engines: local only, since Arroyo makes the folders of a partitioned table without telling the table of them.
--
-- Each commit is one version of the table, with all of its candles or none of them, each candle once. The day is a column,
-- which readers leave folders out by.
--
--   stockpulse-ingest examples/delta/delta.sql
--   python -c 'from deltalake import DeltaTable; print(DeltaTable("data/candles_delta").to_pandas())'

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

CREATE TABLE candles_delta (
    symbol TEXT,
    window_start TIMESTAMP,
    window_end TIMESTAMP,
    open DOUBLE,
    high DOUBLE,
    low DOUBLE,
    close DOUBLE,
    volume DOUBLE,
    trades BIGINT,
    day DATE
) WITH (
    connector = 'delta',
    type = 'sink',
    path = '{{ DATA_DIR | data }}/candles_delta',
    format = 'parquet',
    'partitioning.fields' = [day],
    -- A version of the table each minute at the most: readers read the log of all of them since its last checkpoint.
    'rolling_policy.interval' = interval '{{ COMMIT_INTERVAL | 1 minute }}'
);

INSERT INTO candles_delta
SELECT symbol, window.start, window.end, open, high, low, close, volume, trades, CAST(window.start AS DATE) AS day
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
