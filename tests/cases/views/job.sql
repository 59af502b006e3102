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
    bootstrap_servers = 'localhost:9092',
    topic = 'raw_ticks',
    format = 'json',
    bad_data = 'drop'
);

CREATE TABLE highs (
    symbol TEXT,
    start TIMESTAMP,
    high DOUBLE,
    trades BIGINT
) WITH (
    connector = 'filesystem',
    type = 'sink',
    path = 'data/ohlc',
    format = 'parquet',
    'partitioning.time_pattern' = 'date=%Y-%m-%d',
    'rolling_policy.interval' = interval '1 second'
);

CREATE VIEW elements AS
SELECT unnest(data) AS tick FROM raw_ticks;

CREATE VIEW ticks AS
SELECT tick['s'] AS symbol, tick['p'] AS price, CAST(to_timestamp_millis(tick['t']) AS TIMESTAMP) AS _timestamp
FROM elements;

CREATE VIEW coins AS
SELECT symbol AS coin, price FROM ticks WHERE symbol <> 'XRP';

CREATE VIEW candles AS
SELECT coin, tumble(interval '1 minute') AS w, max(price) AS high, count(*) AS trades
FROM coins
GROUP BY coin, w;

INSERT INTO highs SELECT coin, w.start, high, trades FROM candles WHERE trades > 1;
