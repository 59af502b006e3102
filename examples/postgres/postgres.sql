-- One-minute candles into a table of PostgreSQL: a candle's row takes the place of the one with its key.
-- Engines: local only, since Arroyo has no connector for PostgreSQL.
--
-- To edit: the server and the table (url, schema, 'table'), the width in tumble(), the columns. The password is the
-- environment's PGPASSWORD, or stands in the URL. The table must be there, or --create-tables makes it as it is
-- declared here.
--
--   export PGPASSWORD=…
--   stockpulse-ingest --create-tables --conf spark.sql.streaming.checkpointLocation=data/_checkpoints/postgres \
--       examples/postgres/postgres.sql
--   psql -h localhost -U ticks market -c 'SELECT * FROM ohlc_candles ORDER BY window_start DESC LIMIT 5'

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

CREATE TABLE ohlc_candles (
    symbol TEXT,
    window_start TIMESTAMP,
    window_end TIMESTAMP,
    open_price DOUBLE,
    high_price DOUBLE,
    low_price DOUBLE,
    close_price DOUBLE,
    PRIMARY KEY (symbol, window_start)
) WITH (
    connector = 'postgres',
    type = 'sink',
    url = '{{ POSTGRES_URL | postgres://ticks@localhost:5432/market }}',
    -- Closed candles are collected for at least this long before they are written.
    'rolling_policy.interval' = interval '{{ COMMIT_INTERVAL | 1 second }}'
);

INSERT INTO ohlc_candles
SELECT symbol, window.start, window.end, open_price, high_price, low_price, close_price
FROM (
    SELECT
        symbol,
        tumble(interval '1 minute') AS window,
        first_value(price ORDER BY _timestamp) AS open_price,
        max(price) AS high_price,
        min(price) AS low_price,
        last_value(price ORDER BY _timestamp) AS close_price
    FROM ticks
    GROUP BY symbol, window
);
