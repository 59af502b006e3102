//! `connector = 'postgres'`: what is accepted, what is refused and how, and that no password is shown.

use expect_test::expect;

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
    for shown in [format!("{all:?}"), format!("{plain:?}"), all.canonical()] {
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

#[test]
fn a_wrong_option_is_told_without_the_login() {
    check_faults(
        &with(
            "a TEXT",
            "url = 'postgres://me:hunter2@db/m?ssl_mode=require'",
        ),
        expect![[r#""#]],
    );
    check_faults(
        &with(
            "a TEXT",
            "url = 'postgres://db/m', pasword = 'hunter2', format = 'json'",
        ),
        expect![[r#""#]],
    );
    check_faults(&with("a TEXT", "username = 'me'"), expect![[r#""#]]);
    check_faults(
        &with("a TEXT", "url = 'postgres://me@db', schema = ''"),
        expect![[r#""#]],
    );
    check_faults(
        "CREATE TABLE c (a TEXT) WITH (connector = 'postgres', type = 'source', url = 'postgres://me:hunter2@db')",
        expect![[r#""#]],
    );
}

#[test]
fn a_column_that_no_table_can_have_is_refused_with_its_place() {
    check_faults(
        &with(
            "a STRUCT<b TEXT>, c TEXT[][], d TEXT[]",
            "url = 'postgres://me@db'",
        ),
        expect![[r#""#]],
    );
    check_faults(
        &with("a TEXT, PRIMARY KEY (a, b, a)", "url = 'postgres://me@db'"),
        expect![[r#""#]],
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
        shown.contains("url = ***") && !shown.contains("hunter2"),
        "{shown}"
    );
    let broken =
        "CREATE TABLE c (a TEXT) WITH (\nurl = 'postgres://me:hunter2@db, connector = 'postgres')";
    let faults = parse(broken).unwrap_err().to_string();
    assert!(!faults.contains("hunter2"), "{faults}");
}
