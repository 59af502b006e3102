-- Candles of a minute into a Kafka topic, as JSON, keyed by symbol.
-- Engines: local and Arroyo.
--
-- Whoever reads the topic with isolation.level=read_committed sees each candle once, whatever is killed or away. A
-- candle's timestamp in Kafka is the last moment of its minute: where the topic deletes by age (retention.ms), that counts.
--
--   stockpulse-ingest examples/candles_topic/candles_topic.sql \
--     --conf spark.sql.streaming.checkpointLocation=data/_checkpoints/candles_topic

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

CREATE TABLE candles (
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
    connector = 'kafka',
    type = 'sink',
    bootstrap_servers = '{{ KAFKA_BROKER | localhost:9092 }}',
    topic = '{{ CANDLES_TOPIC | candles }}',
    format = 'json',
    'sink.commit_mode' = 'exactly_once',
    'sink.key_field' = 'symbol'
);

INSERT INTO candles
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
