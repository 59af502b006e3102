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
    sector TEXT,
    weight DOUBLE
) WITH (
    connector = 'filesystem',
    type = 'source',
    path = 'tests/cases/static_outer_join/sectors.csv',
    format = 'csv'
);

CREATE TABLE by_sector (
    sector TEXT,
    window_start TIMESTAMP,
    symbols BIGINT,
    trades BIGINT,
    heaviest DOUBLE
) WITH (
    connector = 'filesystem',
    type = 'sink',
    path = '{{ CANDLES_PATH | data/ohlc }}',
    format = 'parquet',
    'partitioning.time_pattern' = 'date=%Y-%m-%d',
    'rolling_policy.interval' = interval '{{ COMMIT_INTERVAL | 1 second }}'
);

INSERT INTO by_sector
SELECT c.sector, c.window.start, c.symbols, c.trades, w.heaviest
FROM (
    SELECT
        coalesce(s.sector, 'none') AS sector,
        tumble(interval '1 minute') AS window,
        count(DISTINCT t.symbol) AS symbols,
        count(*) AS trades
    FROM ticks t LEFT JOIN sectors s ON t.symbol = s.symbol AND t.volume > 0.2
    GROUP BY 1, window
) c
LEFT JOIN (SELECT sector, max(weight) AS heaviest FROM sectors GROUP BY sector) w ON c.sector = w.sector;
