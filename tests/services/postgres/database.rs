//! A server, a database of a test's own in it, and a plain client.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio_postgres::{NoTls, SimpleQueryMessage};

use crate::market::Candles;
use crate::support::broker::PATIENCE;

/// What the job logs in with.
pub const PASSWORD: &str = "ticks-secret";
const ADMIN_PASSWORD: &str = "postgres-secret";

/// A value of the environment that `.ci/postgres env` prints.
pub fn told(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| {
        panic!("{name} is not set: .ci/postgres start, then env $(.ci/postgres env) cargo test --test services")
    })
}

/// A database, which goes with the test.
pub struct Database {
    /// `127.0.0.1:port`
    pub address: String,
    pub name: String,
}

impl Database {
    /// In the server that the environment names.
    pub fn new() -> Database {
        Database::at(&told("STOCKPULSE_TEST_POSTGRES"))
    }

    /// In another one.
    pub fn at(address: &str) -> Database {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let database = Database {
            address: address.to_owned(),
            name: format!("test_{}_{number}", std::process::id()),
        };
        let name = &database.name;
        database.as_admin("postgres", &format!("CREATE DATABASE {name} OWNER ticks"));
        database.as_admin(name, "ALTER SCHEMA public OWNER TO ticks");
        database
    }

    /// With a login in it, as the job gets it.
    pub fn url(&self) -> String {
        format!("postgres://ticks:{PASSWORD}@{}/{}", self.address, self.name)
    }

    /// Runs statements as the database's owner; rows as text, columns with | between.
    pub fn run(&self, sql: &str) -> Vec<String> {
        self.try_run(sql).unwrap()
    }

    pub fn try_run(&self, sql: &str) -> Result<Vec<String>, tokio_postgres::Error> {
        query(&self.address, "ticks", PASSWORD, &self.name, sql)
    }

    pub fn as_admin(&self, database: &str, sql: &str) {
        query(&self.address, "postgres", ADMIN_PASSWORD, database, sql).unwrap();
    }

    /// The one value of a query.
    pub fn value(&self, sql: &str) -> String {
        let rows = self.run(sql);
        assert_eq!(rows.len(), 1, "{rows:?}");
        rows[0].clone()
    }

    /// Waits until a query has this value.
    pub fn wait_for(&self, sql: &str, enough: impl Fn(&str) -> bool) {
        let begun = Instant::now();
        loop {
            let value = self
                .try_run(sql)
                .ok()
                .and_then(|rows| rows.first().cloned());
            match value {
                Some(value) if enough(&value) => return,
                value => assert!(begun.elapsed() < PATIENCE, "{sql}: {value:?}"),
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// What is in the table of the example, but for what only closes the windows before.
    pub fn candles(&self) -> Candles {
        self.try_candles().unwrap()
    }

    pub fn try_candles(&self) -> Result<Candles, tokio_postgres::Error> {
        let rows = self.try_run(
            "SELECT symbol, (extract(epoch FROM window_start) * 1000)::bigint, \
             open_price, high_price, low_price, close_price FROM ohlc_candles \
             WHERE window_end = window_start + interval '1 minute' AND symbol <> 'last'",
        )?;
        let candle = |row: &String| {
            let values: Vec<&str> = row.split('|').collect();
            let number = |at: usize| values[at].parse::<f64>().unwrap();
            let key = (values[0].to_owned(), values[1].parse().unwrap());
            (key, [number(2), number(3), number(4), number(5)])
        };
        let candles: Candles = rows.iter().map(candle).collect();
        assert_eq!(candles.len(), rows.len(), "a key came twice");
        Ok(candles)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let sql = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        // Best effort: a server of the test's own may be gone.
        if !std::thread::panicking() {
            let _ = query(&self.address, "postgres", ADMIN_PASSWORD, "postgres", &sql);
        }
    }
}

fn query(
    address: &str,
    user: &str,
    password: &str,
    database: &str,
    sql: &str,
) -> Result<Vec<String>, tokio_postgres::Error> {
    let (host, port) = address.split_once(':').unwrap();
    let mut config = tokio_postgres::Config::new();
    (config.host(host).port(port.parse().unwrap()))
        .user(user)
        .password(password)
        .dbname(database)
        .connect_timeout(Duration::from_secs(10));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    // A server that stands still must not hold a test up that has failed.
    let asked = async {
        let (client, connection) = config.connect(NoTls).await?;
        let connection = tokio::spawn(connection);
        let messages = client.simple_query(sql).await;
        drop(client);
        let _ = connection.await;
        let row = |message: SimpleQueryMessage| match message {
            SimpleQueryMessage::Row(row) => {
                let values = (0..row.len()).map(|at| row.get(at).unwrap_or("NULL"));
                Some(values.collect::<Vec<_>>().join("|"))
            }
            _ => None,
        };
        Ok(messages?.into_iter().filter_map(row).collect())
    };
    let asked = async { tokio::time::timeout(PATIENCE, asked).await };
    runtime.block_on(asked).expect("an answer of the server")
}

/// A server of the test's own, to be ended and started again.
pub struct Server {
    folder: TempDir,
    pub address: String,
}

impl Server {
    pub fn start() -> Server {
        let folder = tempfile::tempdir().unwrap();
        let address = command(folder.path(), "start");
        Server {
            address: address.trim().to_owned(),
            folder,
        }
    }

    /// `crash`, `again`, `freeze`, `thaw`.
    pub fn does(&self, what: &str) {
        command(self.folder.path(), what);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Best effort: a test that failed has said why.
        let _ = script(self.folder.path(), "stop").status();
    }
}

fn command(folder: &Path, what: &str) -> String {
    let output = script(folder, what).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), ".ci/postgres {what}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

fn script(folder: &Path, what: &str) -> Command {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(".ci/postgres");
    let mut command = Command::new(path);
    command.arg(what).env("STOCKPULSE_POSTGRES_DIR", folder);
    command
}
