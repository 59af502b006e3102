CREATE TABLE raw_ticks (
    type TEXT,
    data JSON,
    first_time TIMESTAMP GENERATED ALWAYS AS (CAST(to_timestamp_millis(json_get_int(json_get_json(data, 0), 't')) AS TIMESTAMP))
) WITH (
    connector = 'kafka',
    type = 'source',
    bootstrap_servers = 'localhost:9092',
    topic = 'raw_ticks',
    format = 'json',
    bad_data = 'drop'
);

CREATE TABLE messages (symbol TEXT, window_start TIMESTAMP, messages BIGINT, ticks BIGINT, last_document TEXT) WITH (
    connector = 'filesystem',
    type = 'sink',
    path = 'data/messages',
    format = 'parquet'
);

CREATE VIEW documents AS
SELECT json_get_str(json_get_json(data, 0), 's') AS symbol, json_length(data) AS ticks, data, first_time AS _timestamp
FROM raw_ticks
WHERE type = 'trade';

INSERT INTO messages
SELECT symbol, window.start, messages, ticks, last_document
FROM (
    SELECT
        symbol,
        tumble(interval '1 minute') AS window,
        count(*) AS messages,
        sum(ticks) AS ticks,
        last_value(data) AS last_document
    FROM documents
    GROUP BY symbol, window
);
