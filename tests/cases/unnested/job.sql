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

CREATE TABLE realised (
    symbol TEXT,
    window_start TIMESTAMP,
    variance DOUBLE,
    ticks BIGINT
) WITH (
    connector = 'filesystem',
    type = 'sink',
    path = '{{ CANDLES_PATH | data/ohlc }}',
    format = 'parquet'
);

INSERT INTO realised
SELECT symbol, start, sum(power(100 * ln(price / before), 2)), count(*)
FROM (
    SELECT
        symbol,
        window.start AS start,
        unnest(prices) AS price,
        unnest(array_prepend(prices[1], array_pop_back(prices))) AS before
    FROM (
        SELECT symbol, tumble(interval '5 minutes') AS window, array_agg(price ORDER BY _timestamp) AS prices
        FROM ticks
        GROUP BY symbol, window
    )
)
GROUP BY symbol, start;
