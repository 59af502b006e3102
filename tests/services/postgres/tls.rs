//! TLS as libpq's `sslmode` has it: the server's certificate is for `localhost`, signed by an authority of its own.

use super::database::{Database, Server, told};
use super::{folder, job_at};
use crate::market::Market;
use crate::support::broker::TestBroker;

/// How a run over the example ended.
fn run(broker: &TestBroker, database: &Database, host: &str, query: &str) -> (Option<i32>, String) {
    let (_, port) = database.address.split_once(':').unwrap();
    let url = format!(
        "postgres://ticks:ticks-secret@{host}:{port}/{}?{query}",
        database.name
    );
    let folder = folder();
    let ended = job_at(
        &folder,
        broker,
        &url,
        &["--create-tables", "--available-now"],
    )
    .end();
    assert!(!ended.said.contains("ticks-secret"), "{}", ended.said);
    (ended.code, ended.said)
}

#[test]
fn a_server_is_verified_as_sslmode_says() {
    let market = Market::recorded(100);
    let broker = market.in_topic();
    let ca = told("STOCKPULSE_TEST_POSTGRES_CA");
    let other = told("STOCKPULSE_TEST_POSTGRES_OTHER_CA");
    for (host, query) in [
        ("localhost", format!("sslmode=verify-full&sslrootcert={ca}")),
        ("127.0.0.1", format!("sslmode=verify-ca&sslrootcert={ca}")),
        // As libpq: with an authority it is looked at.
        ("127.0.0.1", format!("sslmode=require&sslrootcert={ca}")),
        ("127.0.0.1", "sslmode=require".to_owned()),
        ("127.0.0.1", "sslmode=prefer".to_owned()),
        ("127.0.0.1", "sslmode=disable".to_owned()),
    ] {
        let database = Database::new();
        let (code, said) = run(&broker, &database, host, &query);
        assert_eq!(code, Some(0), "{query}: {said}");
        assert_eq!(database.candles(), market.candles(), "{query}");
    }
    let database = Database::new();
    for (host, query, reason) in [
        (
            "localhost",
            format!("sslmode=verify-full&sslrootcert={other}"),
            "signed by nobody who is trusted",
        ),
        (
            "127.0.0.1",
            format!("sslmode=verify-ca&sslrootcert={other}"),
            "sslrootcert=FILE",
        ),
        (
            "127.0.0.1",
            format!("sslmode=require&sslrootcert={other}"),
            "signed by nobody who is trusted",
        ),
        (
            "localhost",
            "sslmode=verify-full".to_owned(),
            "signed by nobody who is trusted",
        ),
        (
            "127.0.0.1",
            format!("sslmode=verify-full&sslrootcert={ca}"),
            "is for another name than the URL's host",
        ),
    ] {
        let (code, said) = run(&broker, &database, host, &query);
        assert_eq!(code, Some(7), "{query}: {said}");
        assert!(said.contains(reason), "{query}: {said}");
    }
    let (code, said) = run(
        &broker,
        &database,
        "localhost",
        "sslmode=verify-full&sslrootcert=no/such.pem",
    );
    assert_eq!(code, Some(2), "{said}");
    assert!(
        said.contains("sslrootcert: no/such.pem: cannot be read as PEM"),
        "{said}"
    );
    assert_eq!(
        database.value("SELECT to_regclass('ohlc_candles') IS NULL"),
        "t"
    );
}

/// That the connections above were encrypted, and those without were not, is the server's to say.
#[test]
fn a_server_that_takes_only_encrypted_connections_or_offers_none_is_met_as_sslmode_says() {
    let market = Market::recorded(100);
    let broker = market.in_topic();
    let server = Server::start();
    let database = Database::at(&server.address);
    database.as_admin("postgres", "ALTER SYSTEM SET ssl = off; ");
    database.as_admin("postgres", "SELECT pg_reload_conf()");
    database.wait_for("SHOW ssl", |value| value == "off");
    let (code, said) = run(&broker, &database, "127.0.0.1", "sslmode=require");
    assert_eq!(code, Some(7), "{said}");
    assert!(said.contains("the server offers no TLS"), "{said}");
    let (code, said) = run(&broker, &database, "127.0.0.1", "sslmode=prefer");
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(database.candles(), market.candles());
}
