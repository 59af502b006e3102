CREATE TABLE frames (
    data STRUCT<s TEXT, p DOUBLE, t BIGINT, v DOUBLE>[],
    place BIGINT METADATA FROM 'offset_id'
) WITH (
    connector = 'kafka',
    type = 'source',
    bootstrap_servers = 'localhost:9092',
    topic = 'raw_ticks',
    format = 'json'
);

CREATE TABLE dear (
    symbol TEXT,
    price DOUBLE,
    place BIGINT
) WITH (
    connector = 'stdout',
    format = 'json'
);

INSERT INTO dear
SELECT tick['s'], tick['p'], place FROM (SELECT unnest(data) AS tick, place FROM frames)
WHERE tick['p'] > 50;
