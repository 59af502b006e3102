//! Rows in PostgreSQL: `.ci/postgres` says where it is. Each test has a database of its own.

mod candles;
mod database;
mod foreign;
mod outage;
mod refused;
mod rows;
mod tls;

use crate::support::broker::TestBroker;
use crate::support::shipped::{Folder, Run};
use database::Database;

/// The example, which is the job of these tests.
const EXAMPLE: &str = include_str!("../../../examples/postgres/postgres.sql");
/// Where its source ends.
const SINK: &str = "CREATE TABLE ohlc_candles";

/// A folder with the example as its job.
fn folder() -> Folder {
    folder_with(EXAMPLE)
}

/// A folder with another job over the example's ticks.
fn folder_of(sinks: &str) -> Folder {
    let (source, _) = EXAMPLE.split_once(SINK).unwrap();
    folder_with(&format!("{source}{sinks}"))
}

fn folder_with(sql: &str) -> Folder {
    let folder = Folder::new();
    folder.file("ohlc.sql", sql);
    folder
}

/// The folder's job, into the database, with many small epochs and a commit in each.
fn job(folder: &Folder, broker: &TestBroker, database: &Database, arguments: &[&str]) -> Run {
    job_at(folder, broker, &database.url(), arguments)
}

fn job_at(folder: &Folder, broker: &TestBroker, url: &str, arguments: &[&str]) -> Run {
    folder
        .ingest(broker, &["--master", "local[2]"])
        .conf("spark.sql.streaming.checkpointLocation", "checkpoint")
        .conf("spark.stockpulse.trigger", "50 milliseconds")
        .conf("spark.stockpulse.maxOffsetsPerTrigger", "200")
        .arguments(arguments)
        .env("COMMIT_INTERVAL", "1 milliseconds")
        .env("POSTGRES_URL", url)
}
