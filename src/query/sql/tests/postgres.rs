//! `connector = 'postgres'`: what is accepted, what is refused and how, and that no password is shown.

use super::*;
use crate::config::postgres::SslMode;

fn with(columns: &str, options: &str) -> String {
    format!(
        "CREATE TABLE Candles ({columns})\nWITH (connector = 'postgres', type = 'sink',\n{options})"
    )
}

fn options(text: &str) -> PostgresSinkOptions {
    match table(text).connector {
        Connector::PostgresSink(options) => options,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_not_said_is_as_the_table_is_called() {
    let text = with(
        "a TEXT PRIMARY KEY, b DOUBLE",
        "url = 'postgres://u:hunter2@db/m'",
    );
    let plain = options(&text);
    assert_eq!(plain.place(), "postgres://db:5432/m/public.candles");
    assert!(plain.url.password.as_ref().unwrap().is(b"hunter2"));
    assert_eq!((plain.rolling_interval, plain.create_table), (None, false));
    let key: Vec<String> = table(&text)
        .primary_key
        .into_iter()
        .map(|key| key.value)
        .collect();
    assert_eq!(key, ["a"]);

    let all = options(&with(
        "a TEXT, b TIMESTAMP, PRIMARY KEY (b, a)",
        "url = 'postgresql://u:hunter2@db:1/?sslmode=verify-full', username = 'me', password = 'hunter3',
         'table' = 'My Candles', schema = 'other', 'rolling_policy.interval' = interval '5 seconds',
         'rolling_policy.inactivity_interval' = interval '1 second'",
    ));
    assert_eq!(all.place(), "postgres://db:1/me/other.My Candles");
    assert_eq!(all.url.ssl_mode, SslMode::VerifyFull);
    assert!(all.url.password.as_ref().unwrap().is(b"hunter3"));
    assert_eq!(all.rolling_interval.unwrap().as_secs(), 5);
    let canonical = Connector::PostgresSink(all.clone()).canonical();
    assert_eq!(
        canonical,
        "postgres sink postgres://db:1/me/other.My Candles"
    );
    for shown in [format!("{all:?}"), format!("{plain:?}"), canonical] {
        assert!(!shown.contains("hunter"), "{shown}");
    }
}

#[test]
fn what_is_said_beside_the_sql_is_taken_where_it_says_nothing() {
    let own = with("a TEXT", "url = 'postgres://u:own@db/m'");
    let none = with("a TEXT", "url = 'postgres://u@db/m'");
    let password = Secret::new("from outside");
    for (text, expected) in [(own, b"own".as_slice()), (none, b"from outside")] {
        let mut file = parse(&text).unwrap();
        file.set_postgres(Some(&password), true);
        let Statement::CreateTable(table) = &file.statements[0] else {
            panic!("no table");
        };
        let Connector::PostgresSink(options) = &table.connector else {
            panic!("no sink");
        };
        assert!(options.create_table && options.url.password.as_ref().unwrap().is(expected));
    }
}

/// What is said of `text`, which must have all of `parts` and no password.
fn check_refused(text: &str, parts: &[&str]) {
    let faults = parse(text).map(|_| ()).unwrap_err().to_string();
    for part in parts {
        assert!(faults.contains(part), "{part}: {faults}");
    }
    assert!(!faults.contains("hunter2"), "{faults}");
}

#[test]
fn a_wrong_option_is_told_without_the_login() {
    check_refused(
        &with(
            "a TEXT",
            "url = 'postgres://me:hunter2@db/m?ssl_mode=require'",
        ),
        &[
            "job.sql:3:7: option 'url' cannot be read",
            "url = ***",
            "did you mean sslmode?",
        ],
    );
    check_refused(
        &with(
            "a TEXT",
            "url = 'postgres://db/m', pasword = 'hunter2', format = 'json'",
        ),
        &[
            "nobody is named to log in as",
            "postgres://USER@HOST/DATABASE, or the option 'username'",
            "unknown option 'pasword'",
            "did you mean \"password\"?",
            "the local engine does not run the option 'format'",
        ],
    );
    check_refused(
        &with("a TEXT", "username = 'me'"),
        &["option 'url' is missing"],
    );
    check_refused(
        &with("a TEXT", "url = 'postgres://me@db', schema = ''"),
        &["the name is empty"],
    );
    check_refused(
        "CREATE TABLE c (a TEXT) WITH (connector = 'postgres', type = 'source', url = 'postgres://me:hunter2@db')",
        &["'type' cannot be this", "it is one of 'sink'"],
    );
}

#[test]
fn a_column_that_no_table_can_have_is_refused_with_its_place() {
    check_refused(
        &with(
            "a STRUCT<b TEXT>, c TEXT[][], d TEXT[]",
            "url = 'postgres://me@db'",
        ),
        &[
            "job.sql:1:23: column \"a\" is",
            "column \"c\" is TEXT[][], which no column of PostgreSQL can be",
            "give each of its fields a column of its own",
        ],
    );
    check_refused(
        &with("a TEXT, PRIMARY KEY (a, b, a)", "url = 'postgres://me@db'"),
        &[
            "the table has no column \"b\"",
            "PRIMARY KEY names \"a\" twice",
        ],
    );
}

/// A text that cannot be read at all is shown by the line, but for what may be a login.
#[test]
fn a_login_is_shown_in_no_excerpt_and_on_no_page() {
    let text = with("a TEXT", "url = 'postgres://me:hunter2@db', type = 'sink'");
    let faults = parse(&text).unwrap_err().to_string();
    assert!(
        faults.contains("given twice") && !faults.contains("hunter2"),
        "{faults}"
    );
    let file = parse(&with("a TEXT", "url = 'postgres://me:hunter2@db'")).unwrap();
    let shown = file.source.shown();
    assert!(
        shown.contains("***") && !shown.contains("hunter2"),
        "{shown}"
    );
    let broken =
        "CREATE TABLE c (a TEXT) WITH (\nurl = 'postgres://me:hunter2@db, connector = 'postgres')";
    let faults = parse(broken).unwrap_err().to_string();
    assert!(!faults.contains("hunter2"), "{faults}");
}
