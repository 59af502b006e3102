-- Turnover and ticks by sector and minute: the ticks joined with a table of symbols.
-- Engines: local only, since a CSV table to join with is the local engine's own.
--
-- sectors.csv is read whole when the job starts; edit it and start again. LEFT JOIN keeps the ticks of symbols that
-- it does not have, under 'other'; JOIN would leave them out.
--
--   stockpulse-ingest examples/sectors/sectors.sql

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

CREATE TABLE sectors (
    symbol TEXT NOT NULL,
    sector TEXT
) WITH (
    connector = 'filesystem',
    type = 'source',
    path = '{{ SECTORS | examples/sectors/sectors.csv }}',
    format = 'csv'
);

CREATE TABLE sectors_1m (
    sector TEXT,
    window_start TIMESTAMP,
    window_end TIMESTAMP,
    symbols BIGINT,
    turnover DOUBLE,
    trades BIGINT
) WITH (
    connector = 'filesystem',
    type = 'sink',
    path = '{{ DATA_DIR | data }}/sectors_1m',
    format = 'parquet',
    'partitioning.time_pattern' = 'date=%Y-%m-%d'
);

INSERT INTO sectors_1m
SELECT sector, window.start, window.end, symbols, turnover, trades
FROM (
    SELECT
        coalesce(sectors.sector, 'other') AS sector,
        tumble(interval '1 minute') AS window,
        count(DISTINCT ticks.symbol) AS symbols,
        sum(price * volume) AS turnover,
        count(*) AS trades
    FROM ticks LEFT JOIN sectors ON ticks.symbol = sectors.symbol
    GROUP BY 1, window
);
