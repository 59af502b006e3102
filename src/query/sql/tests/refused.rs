//! What is refused, where and how.

use expect_test::expect;

use super::*;

#[test]
fn places_after_a_variable_are_those_of_the_file() {
    let lookup = |_: &str| Some("a long value\nof two lines".to_owned());
    let text = "SELECT '{{ A }}' AS x, '{{ B }}' y z";
    let error = SqlFile::parse("job.sql", text, &lookup).unwrap_err();
    expect![[r#"
        job.sql:1:36: expected the end of the statement (;), found z
          1 | SELECT '{{ A }}' AS x, '{{ B }}' y z
            |                                    ^"#]]
    .assert_eq(&error.to_string());
}

#[test]
fn a_fault_inside_of_a_value_is_at_its_variable() {
    let lookup = |_: &str| Some("1 1".to_owned());
    let error = SqlFile::parse("job.sql", "SELECT\n  {{ A }}", &lookup).unwrap_err();
    expect![[r#"
        job.sql:2:3: expected the end of the statement (;), found 1
          2 |   {{ A }}
            |   ^^^^^^^"#]]
    .assert_eq(&error.to_string());
}

#[test]
fn faults_of_variables() {
    check_faults(
        "SELECT '{{ TOPIC }}',\n '{{ 1x }}', '{{ open'",
        expect![[r#"
            job.sql:1:9: the variable TOPIC has no value
              1 | SELECT '{{ TOPIC }}',
                |         ^^^^^^^^^^^
              help: give it with --conf spark.stockpulse.var.TOPIC=…, in the environment or in .env, or write a default: {{ TOPIC | … }}
            job.sql:2:3: "1x" is not a variable's name
              2 |  '{{ 1x }}', '{{ open'
                |   ^^^^^^^^
              help: a name is letters, digits and _, and does not begin with a digit
            job.sql:2:15: a variable is not closed
              2 |  '{{ 1x }}', '{{ open'
                |               ^^
              help: write {{ NAME }} or {{ NAME | default }} on one line"#]],
    );
}

#[test]
fn only_what_a_job_is_made_of_is_accepted() {
    check_faults(
        "DELETE FROM t",
        expect![[r#"
        job.sql:1:1: DELETE is not accepted here
          1 | DELETE FROM t
            | ^^^^^^
          help: a job is made of CREATE TABLE … WITH (…), CREATE VIEW … AS SELECT …, INSERT INTO … SELECT … and SELECT …"#]],
    );
    check_faults(
        "CREATE FUNCTION f() RETURNS INT",
        expect![[r#"
        job.sql:1:8: CREATE FUNCTION is not accepted
          1 | CREATE FUNCTION f() RETURNS INT
            |        ^^^^^^^^
          help: a job is made of CREATE TABLE … WITH (…), CREATE VIEW … AS SELECT …, INSERT INTO … SELECT … and SELECT …"#]],
    );
    check_faults(
        "CREATE TEMPORARY TABLE t (a INT)",
        expect![[r#"
        job.sql:1:8: CREATE TEMPORARY is not accepted
          1 | CREATE TEMPORARY TABLE t (a INT)
            |        ^^^^^^^^^
          help: a job is made of CREATE TABLE … WITH (…), CREATE VIEW … AS SELECT …, INSERT INTO … SELECT … and SELECT …"#]],
    );
    check_faults(
        "INSERT INTO t VALUES (1)",
        expect![[r#"
        job.sql:1:15: INSERT … VALUES is not accepted
          1 | INSERT INTO t VALUES (1)
            |               ^^^^^^
          help: a job inserts what a SELECT gives: INSERT INTO … SELECT …"#]],
    );
    check_faults(
        "CREATE VIEW v (a) AS SELECT 1",
        expect![[r#"
        job.sql:1:15: expected AS, found (
          1 | CREATE VIEW v (a) AS SELECT 1
            |               ^
          help: name the view's columns in its SELECT: SELECT expression AS name"#]],
    );
    check_faults(
        "CREATE TABLE t (a INT)",
        expect![[r#"
        job.sql:1:23: expected WITH (connector = …), found the end of the statement
          1 | CREATE TABLE t (a INT)
            |                       ^
          help: the local engine does not run tables in memory; a name for a query is CREATE VIEW name AS …"#]],
    );
    check_faults(
        "CREATE TABLE t AS SELECT 1",
        expect![[r#"
        job.sql:1:16: expected (, found AS
          1 | CREATE TABLE t AS SELECT 1
            |                ^^
          help: CREATE TABLE name (column type, …) WITH (connector = …, …)"#]],
    );
    check_faults(
        "-- nothing\n;",
        expect!["job.sql:1:1: the file has no statement"],
    );
    check_faults("", expect!["job.sql:1:1: the file has no statement"]);
}

#[test]
fn a_fault_in_each_statement_is_found() {
    check_faults(
        "SELECT FROM WHERE;\n\nCREATE VIEW a.b AS SELECT 1;\nSELECT (1;\nSELECT 1 1",
        expect![[r#"
            job.sql:3:13: a name has no schema or catalog here
              3 | CREATE VIEW a.b AS SELECT 1;
                |             ^
              help: write the last part only; a dot inside a name needs "quotes"
            job.sql:4:10: expected ), found the end of the statement
              4 | SELECT (1;
                |          ^
            job.sql:5:10: expected the end of the statement (;), found 1
              5 | SELECT 1 1
                |          ^"#]],
    );
}

#[test]
fn every_fault_of_a_table_is_found() {
    check_faults(
        "CREATE TABLE ticks (\n  symbol STRNG,\n  price DOUBLE,\n  price INT,\n  data STRUCT<a INTT, b TEXT>[],\n  \
         o INT METADATA FROM 'offset_id',\n  k TEXT METADATA FROM 'ky',\n  WATERMARK FOR evnt\n) WITH (\n  \
         connector = 'kafka',\n  type = 'source',\n  bootstrap_server = 'localhost:9092',\n  topic = '',\n  \
         format = 'avro',\n  'source.offset' = 'first',\n  idle_micros = 'x'\n);",
        expect![[r#"
            job.sql:2:10: unknown type STRNG
              2 |   symbol STRNG,
                |          ^^^^^
              help: did you mean "STRING"?
            job.sql:4:3: the table has two columns "price"
              4 |   price INT,
                |   ^^^^^
            job.sql:5:17: unknown type INTT
              5 |   data STRUCT<a INTT, b TEXT>[],
                |                 ^^^^
              help: did you mean "INT"?
            job.sql:6:3: metadata 'offset_id' is BIGINT
              6 |   o INT METADATA FROM 'offset_id',
                |   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
            job.sql:7:24: unknown metadata 'ky'
              7 |   k TEXT METADATA FROM 'ky',
                |                        ^^^^
              help: did you mean "key"?
            job.sql:9:3: option 'bootstrap_servers' is missing
              9 | ) WITH (
                |   ^^^^
              help: is it what 'bootstrap_server' was meant to be?
            job.sql:12:3: unknown option 'bootstrap_server'
              12 |   bootstrap_server = 'localhost:9092',
                 |   ^^^^^^^^^^^^^^^^
              help: did you mean "bootstrap_servers"?
            job.sql:13:11: option 'topic' is empty
              13 |   topic = '',
                 |           ^^
            job.sql:14:12: the local engine does not run the format 'avro' for Kafka sources
              14 |   format = 'avro',
                 |            ^^^^^^
              help: it is 'json' or 'raw_string'
            job.sql:15:21: 'source.offset' cannot be this
              15 |   'source.offset' = 'first',
                 |                     ^^^^^^^
              help: it is one of 'earliest', 'latest', 'group'
            job.sql:16:17: option 'idle_micros' must be a whole number
              16 |   idle_micros = 'x'
                 |                 ^^^"#]],
    );
}

#[test]
fn faults_of_types_and_columns() {
    check_faults(
        &source("a TIMESTAMP(4), b DECIMAL(50, 2), c STRUCT<>, d STRUCT<a INT NOT NULL>"),
        expect![[r#"
            job.sql:1:19: TIMESTAMP(4) is not supported
              1 | CREATE TABLE s (a TIMESTAMP(4), b DECIMAL(50, 2), c STRUCT<>, d STRUCT<a INT NOT NULL>) WITH (connector = 'kafka', type = 'source', bootstrap_servers = 'b:1', topic = 't', format = 'json')
                |                   ^^^^^^^^^
              help: 0 (seconds), 3 (milliseconds), 6 (microseconds) and 9 (nanoseconds) are
            job.sql:1:35: DECIMAL(50, 2) is not possible
              1 | CREATE TABLE s (a TIMESTAMP(4), b DECIMAL(50, 2), c STRUCT<>, d STRUCT<a INT NOT NULL>) WITH (connector = 'kafka', type = 'source', bootstrap_servers = 'b:1', topic = 't', format = 'json')
                |                                   ^^^^^^^
              help: DECIMAL(digits, of these after the point): 1 to 38 digits
            job.sql:1:59: expected <, found <>
              1 | CREATE TABLE s (a TIMESTAMP(4), b DECIMAL(50, 2), c STRUCT<>, d STRUCT<a INT NOT NULL>) WITH (connector = 'kafka', type = 'source', bootstrap_servers = 'b:1', topic = 't', format = 'json')
                |                                                           ^^
            job.sql:1:78: expected , or >, found NOT
              1 | CREATE TABLE s (a TIMESTAMP(4), b DECIMAL(50, 2), c STRUCT<>, d STRUCT<a INT NOT NULL>) WITH (connector = 'kafka', type = 'source', bootstrap_servers = 'b:1', topic = 't', format = 'json')
                |                                                                              ^^^
              help: the fields of a STRUCT are always nullable"#]],
    );
    check_faults(
        &source("a ARRAY<INT>>, b"),
        expect![[r#"
        job.sql:1:28: a > too many
          1 | CREATE TABLE s (a ARRAY<INT>>, b) WITH (connector = 'kafka', type = 'source', bootstrap_servers = 'b:1', topic = 't', format = 'json')
            |                            ^^
        job.sql:1:33: expected the type of column "b", found )
          1 | CREATE TABLE s (a ARRAY<INT>>, b) WITH (connector = 'kafka', type = 'source', bootstrap_servers = 'b:1', topic = 't', format = 'json')
            |                                 ^"#]],
    );
    check_faults(
        &source("a INT DEFAULT 1, watermark TEXT, PRIMARY KEY (a)"),
        expect![[r#"
            job.sql:1:23: expected , or ) after a column, found DEFAULT
              1 | CREATE TABLE s (a INT DEFAULT 1, watermark TEXT, PRIMARY KEY (a)) WITH (connector = 'kafka', type = 'source', bootstrap_servers = 'b:1', topic = 't', format = 'json')
                |                       ^^^^^^^
              help: a type may be followed by NOT NULL, PRIMARY KEY, GENERATED ALWAYS AS (…) or METADATA FROM '…'
            job.sql:1:44: expected FOR, found TEXT
              1 | CREATE TABLE s (a INT DEFAULT 1, watermark TEXT, PRIMARY KEY (a)) WITH (connector = 'kafka', type = 'source', bootstrap_servers = 'b:1', topic = 't', format = 'json')
                |                                            ^^^^
              help: a column of that name needs "quotes"; the clause is WATERMARK FOR column [AS expression]"#]],
    );
    check_faults(
        &source("a TIMESTAMP WITH TIME ZONE, b STRUCT<x INT, x INT>"),
        expect![[r#"
            job.sql:1:29: expected the end of the type, found WITH
              1 | CREATE TABLE s (a TIMESTAMP WITH TIME ZONE, b STRUCT<x INT, x INT>) WITH (connector = 'kafka', type = 'source', bootstrap_servers = 'b:1', topic = 't', format = 'json')
                |                             ^^^^
              help: a TIMESTAMP has no time zone; it is UTC
            job.sql:1:61: the struct has two fields "x"
              1 | CREATE TABLE s (a TIMESTAMP WITH TIME ZONE, b STRUCT<x INT, x INT>) WITH (connector = 'kafka', type = 'source', bootstrap_servers = 'b:1', topic = 't', format = 'json')
                |                                                             ^"#]],
    );
    check_faults(
        &source("a INT, WATERMARK FOR a, WATERMARK FOR a"),
        expect![[r#"
            job.sql:1:41: a table has one WATERMARK FOR only
              1 | CREATE TABLE s (a INT, WATERMARK FOR a, WATERMARK FOR a) WITH (connector = 'kafka', type = 'source', bootstrap_servers = 'b:1', topic = 't', format = 'json')
                |                                         ^^^^^^^^^^^^^^^"#]],
    );
    check_faults(
        &source("a INT GENERATED ALWAYS AS (1 +)"),
        expect![[r#"
        job.sql:1:47: expected an expression, found )
          1 | CREATE TABLE s (a INT GENERATED ALWAYS AS (1 +)) WITH (connector = 'kafka', type = 'source', bootstrap_servers = 'b:1', topic = 't', format = 'json')
            |                                               ^"#]],
    );
}

#[test]
fn connectors_that_are_not_run_say_so() {
    let with = |options: &str| format!("CREATE TABLE s (a TEXT)\nWITH ({options})");
    check_faults(
        &with("connector = 'redis'"),
        expect![[r#"
            job.sql:2:19: the local engine does not run the connector 'redis'
              2 | WITH (connector = 'redis')
                |                   ^^^^^^^
              help: it reads 'kafka' topics and 'filesystem' tables, and writes 'filesystem', 'kafka', 'postgres', 'delta' and 'stdout' sinks"#]],
    );
    check_faults(
        &with("connector = 'kafca', type = 'source'"),
        expect![[r#"
        job.sql:2:19: unknown connector 'kafca'
          2 | WITH (connector = 'kafca', type = 'source')
            |                   ^^^^^^^
          help: did you mean "kafka"?"#]],
    );
    check_faults(
        &with("type = 'source'"),
        expect![[r#"
        job.sql:2:1: option 'connector' is missing
          2 | WITH (type = 'source')
            | ^^^^"#]],
    );
    check_faults(
        &with("connector = 'kafka'"),
        expect![[r#"
        job.sql:2:1: option 'type' is missing
          2 | WITH (connector = 'kafka')
            | ^^^^
          help: type = 'source' or type = 'sink'"#]],
    );
    check_faults(
        &with("connector = 'kafka', type = 'sink'"),
        expect![[r#"
            job.sql:2:1: option 'bootstrap_servers' is missing
              2 | WITH (connector = 'kafka', type = 'sink')
                | ^^^^
            job.sql:2:1: option 'topic' is missing
              2 | WITH (connector = 'kafka', type = 'sink')
                | ^^^^
            job.sql:2:1: option 'format' is missing
              2 | WITH (connector = 'kafka', type = 'sink')
                | ^^^^"#]],
    );
}

#[test]
fn names_are_taken_once() {
    check_faults(
        "CREATE VIEW a AS SELECT 1;\nCREATE VIEW A AS SELECT 2",
        expect![[r#"
            job.sql:2:13: there is already a table or view "a"
              2 | CREATE VIEW A AS SELECT 2
                |             ^"#]],
    );
}
