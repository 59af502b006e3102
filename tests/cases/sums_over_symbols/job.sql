CREATE TABLE frames (
    data STRUCT<s TEXT, p DOUBLE, t BIGINT, v DOUBLE>[]
) WITH (
    connector = 'kafka',
    type = 'source',
    bootstrap_servers = 'localhost:9092',
    topic = 'raw_ticks',
    format = 'json',
    bad_data = 'drop'
);

CREATE TABLE breadth (
    start TIMESTAMP,
    symbols BIGINT,
    turnover DOUBLE,
    volume DOUBLE,
    highest DOUBLE
) WITH (
    connector = 'filesystem',
    type = 'sink',
    path = '{{ BREADTH_PATH }}',
    format = 'parquet',
    'rolling_policy.interval' = interval '1 hour'
);

CREATE VIEW ticks AS
SELECT tick.s AS symbol, tick.p AS price, tick.v AS volume, CAST(to_timestamp_millis(tick.t) AS TIMESTAMP) AS _timestamp
FROM (SELECT unnest(data) AS tick FROM frames);

INSERT INTO breadth
SELECT window.start, symbols, turnover, volume, highest FROM (
    SELECT
        tumble(interval '1 minute') AS window,
        count(DISTINCT symbol) AS symbols,
        sum(price * volume) AS turnover,
        sum(volume) AS volume,
        max(price) AS highest
    FROM ticks
    GROUP BY window
);
