CREATE TABLE prices (
    symbol TEXT,
    price DOUBLE
) WITH (
    connector = 'kafka',
    type = 'source',
    bootstrap_servers = 'localhost:9092',
    topic = 'raw_ticks',
    format = 'json',
    bad_data = 'drop'
);

CREATE TABLE closes (
    symbol TEXT,
    start TIMESTAMP,
    price DOUBLE,
    ticks BIGINT
) WITH (
    connector = 'filesystem',
    type = 'sink',
    path = 'data/ohlc',
    format = 'parquet',
    'partitioning.time_pattern' = 'date=%Y-%m-%d',
    'rolling_policy.interval' = interval '1 second'
);

INSERT INTO closes
SELECT symbol, window.start, price, ticks FROM (
    SELECT symbol, tumble(interval '1 minute') AS window, last_value(price) AS price, count(*) AS ticks
    FROM prices
    GROUP BY symbol, window
);
