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

CREATE TABLE minutes (
    symbol TEXT,
    start TIMESTAMP,
    close DOUBLE
) WITH (
    connector = 'filesystem',
    type = 'sink',
    path = 'data/ohlc',
    format = 'parquet',
    'partitioning.time_pattern' = 'date=%Y-%m-%d',
    'rolling_policy.interval' = interval '1 second'
);

CREATE TABLE fives (
    symbol TEXT,
    start TIMESTAMP,
    close DOUBLE
) WITH (
    connector = 'filesystem',
    type = 'sink',
    path = 'data/ohlc_5m',
    format = 'parquet',
    'partitioning.time_pattern' = 'date=%Y-%m-%d',
    'rolling_policy.interval' = interval '1 second'
);

CREATE VIEW ticks AS
SELECT tick.s AS symbol, tick.p AS price, CAST(to_timestamp_millis(tick.t) AS TIMESTAMP) AS _timestamp
FROM (SELECT unnest(data) AS tick FROM raw_ticks);

INSERT INTO minutes
SELECT symbol, window.start, close FROM (
    SELECT symbol, tumble(interval '1 minute') AS window, last_value(price) AS close
    FROM ticks GROUP BY symbol, window
);

INSERT INTO fives
SELECT symbol, window.start, close FROM (
    SELECT symbol, tumble(interval '5 minutes') AS window, last_value(price) AS close
    FROM ticks GROUP BY symbol, window
);
