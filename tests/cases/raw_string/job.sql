CREATE TABLE lines (
    value TEXT
) WITH (
    connector = 'kafka',
    type = 'source',
    bootstrap_servers = 'localhost:9092',
    topic = 'raw_ticks',
    format = 'raw_string',
    bad_data = 'drop'
);

CREATE TABLE lengths (
    start TIMESTAMP,
    frames BIGINT,
    characters BIGINT,
    longest TEXT
) WITH (
    connector = 'filesystem',
    type = 'sink',
    path = 'data/ohlc',
    format = 'parquet',
    'partitioning.time_pattern' = 'date=%Y-%m-%d',
    'rolling_policy.interval' = interval '1 second'
);

INSERT INTO lengths
SELECT window.start, frames, characters, longest FROM (
    SELECT
        tumble(interval '1 minute') AS window,
        count(*) AS frames,
        sum(character_length(value)) AS characters,
        last_value(value ORDER BY character_length(value)) AS longest
    FROM lines
    GROUP BY window
);
