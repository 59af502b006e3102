-- Five-minute candles on an object store: S3, what speaks S3, Google Cloud Storage, Azure.
-- Engines: local and Arroyo.
--
-- To edit: the path. It is s3://bucket/candles_5m, gs://bucket/candles_5m, az://container/candles_5m, or for a server of
-- your own s3::http://127.0.0.1:9000/bucket/candles_5m. Who you are comes from the environment, or from the machine's role:
--
--   export AWS_ACCESS_KEY_ID=… AWS_SECRET_ACCESS_KEY=… STORE_PATH=s3://my-bucket/market
--   stockpulse-ingest examples/object_store/object_store.sql
--
-- Checkpoints are beside the table, in s3://my-bucket/market/_checkpoints/candles_5m, so that another machine can go on.

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

CREATE TABLE candles_5m (
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
    path = '{{ STORE_PATH | s3://my-bucket/market }}/candles_5m',
    'storage.region' = '{{ STORE_REGION | us-east-1 }}',
    format = 'parquet',
    'partitioning.time_pattern' = 'date=%Y-%m-%d',
    'rolling_policy.interval' = interval '{{ COMMIT_INTERVAL | 1 second }}'
);

INSERT INTO candles_5m
SELECT symbol, window.start, window.end, open, high, low, close, volume, trades
FROM (
    SELECT
        symbol,
        tumble(interval '5 minutes') AS window,
        first_value(price ORDER BY _timestamp) AS open,
        max(price) AS high,
        min(price) AS low,
        last_value(price ORDER BY _timestamp) AS close,
        sum(volume) AS volume,
        count(*) AS trades
    FROM ticks
    GROUP BY symbol, window
);
