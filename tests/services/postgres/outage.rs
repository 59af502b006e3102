//! A server that goes, comes back, stands still, or whose answer is lost: nothing is lost and nothing comes twice.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use super::database::{Database, Server};
use super::{folder, folder_of, job, job_at};
use crate::market::{Market, PARTITIONS};
use crate::support::broker::TestBroker;

/// For how long a server is away, seconds, unless told otherwise.
const OUTAGE_SECONDS: u64 = 3;
/// How often the server is ended.
const CRASHES: usize = 3;

fn outage() -> Duration {
    let told = std::env::var("STOCKPULSE_TEST_OUTAGE_SECONDS").ok();
    Duration::from_secs(told.map_or(OUTAGE_SECONDS, |seconds| seconds.parse().unwrap()))
}

const COUNT: &str = "SELECT count(*) FROM ohlc_candles";

#[test]
fn a_server_that_is_killed_again_and_again_is_waited_for() {
    let (market, server, folder) = (Market::recorded(3000), Server::start(), folder());
    let database = Database::at(&server.address);
    let broker = TestBroker::start(PARTITIONS);
    let appender = broker.appender();
    let share = market.len().div_ceil(CRASHES + 1);
    let run = job(&folder, &broker, &database, &["--create-tables"]).start();
    market.append(&appender, 0..share);
    let mut seen = 0;
    for part in 1..=CRASHES {
        database.wait_for(COUNT, |count| count.parse::<u64>().unwrap() > seen);
        server.does("crash");
        // Rows for a server that is not there.
        market.append(
            &appender,
            part * share..market.len().min((part + 1) * share),
        );
        run.wait_for("cannot");
        server.does("again");
        seen = database.value(COUNT).parse().unwrap();
    }
    let all = market.candles().len().to_string();
    database.wait_for(COUNT, |count| count == all);
    run.signal("TERM");
    let ended = run.end();
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    assert_eq!(database.candles(), market.candles());
}

/// Nothing answers and nothing is refused: silence has a limit, and what was begun is not there twice.
#[test]
fn a_server_that_stands_still_is_waited_for_and_the_job_can_be_stopped_meanwhile() {
    let (market, server, folder) = (Market::recorded(2000), Server::start(), folder());
    let database = Database::at(&server.address);
    let broker = TestBroker::start(PARTITIONS);
    let appender = broker.appender();
    market.append(&appender, 0..500);
    let run = job(&folder, &broker, &database, &["--create-tables"]).start();
    database.wait_for(COUNT, |count| count != "0");
    server.does("freeze");
    market.append(&appender, 500..market.len());
    run.wait_for("no answer for");
    std::thread::sleep(outage());
    run.signal("TERM");
    let ended = run.end();
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    assert!(ended.said.contains("ohlc_candles"), "{}", ended.said);
    server.does("thaw");
    let ended = job(&folder, &broker, &database, &["--available-now"]).end();
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    assert_eq!(database.candles(), market.candles());
}

/// What is cut on the way to a server, and when.
#[derive(Clone, Copy, PartialEq)]
enum Cut {
    /// The COMMIT never arrives.
    Request,
    /// The server has done it, and the answer is lost.
    Answer,
}

/// A port before a server that cuts every second COMMIT that marks an epoch.
fn cutting_port(server: &str, cut: Cut, left: Arc<AtomicI64>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let server = server.to_owned();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let (mut client, mut server) = (client.unwrap(), TcpStream::connect(&server).unwrap());
            let (mut from_server, mut to_client) =
                (server.try_clone().unwrap(), client.try_clone().unwrap());
            let left = Arc::clone(&left);
            let lost = Arc::new(std::sync::atomic::AtomicBool::new(false));
            let losing = Arc::clone(&lost);
            std::thread::spawn(move || {
                let mut piece = [0; 16384];
                while let Ok(length @ 1..) = from_server.read(&mut piece) {
                    if losing.load(Ordering::Relaxed)
                        || to_client.write_all(&piece[..length]).is_err()
                    {
                        break;
                    }
                }
                let _ = to_client.shutdown(Shutdown::Both);
            });
            std::thread::spawn(move || {
                let mut piece = [0; 65536];
                let mut marks = false;
                while let Ok(length @ 1..) = client.read(&mut piece) {
                    let text = String::from_utf8_lossy(&piece[..length]);
                    marks |= text.contains("SET epoch =");
                    let is_commit = marks && text.contains("COMMIT\0");
                    if is_commit {
                        marks = false;
                        if left.fetch_sub(1, Ordering::Relaxed) > 0 {
                            if cut == Cut::Answer {
                                lost.store(true, Ordering::Relaxed);
                                server.write_all(&piece[..length]).unwrap();
                                // Its answer is not passed on, and ends the connection.
                                return;
                            }
                            break;
                        }
                    }
                    if server.write_all(&piece[..length]).is_err() {
                        break;
                    }
                }
                let _ = server.shutdown(Shutdown::Both);
            });
        }
    });
    address
}

/// Without a key a row that is sent twice is there twice: so the marker alone must prevent it.
#[test]
fn an_answer_to_a_commit_that_is_lost_makes_no_row_come_twice() {
    for cut in [Cut::Answer, Cut::Request] {
        let (market, database) = (Market::recorded(1000), Database::new());
        let folder = folder_of(
            "CREATE TABLE archive (symbol TEXT, price DOUBLE, at TIMESTAMP)
             WITH (connector = 'postgres', type = 'sink', url = '{{ POSTGRES_URL }}');
             INSERT INTO archive SELECT symbol, price, _timestamp FROM ticks;",
        );
        let left = Arc::new(AtomicI64::new(4));
        let port = cutting_port(&database.address, cut, Arc::clone(&left));
        let url = format!(
            "postgres://ticks:ticks-secret@{port}/{}?sslmode=disable",
            database.name
        );
        let ended = job_at(
            &folder,
            &market.in_topic(),
            &url,
            &["--create-tables", "--available-now"],
        )
        .end();
        assert_eq!(ended.code, Some(0), "{}", ended.said);
        assert!(
            left.load(Ordering::Relaxed) < 0,
            "{} left",
            left.load(Ordering::Relaxed)
        );
        let ticks: usize = (market.messages.iter())
            .map(|(_, message)| {
                let frame: serde_json::Value = serde_json::from_slice(message).unwrap();
                frame["data"].as_array().unwrap().len()
            })
            .sum();
        assert_eq!(
            database.value("SELECT count(*) FROM archive"),
            ticks.to_string()
        );
    }
}

/// Two jobs, each of some symbols, into one table: they wait for each other's locks and lose nothing.
#[test]
fn two_jobs_write_into_one_table() {
    let (market, database) = (Market::recorded(1500), Database::new());
    let broker = market.in_topic();
    let of = |condition: &str| {
        let sql = super::EXAMPLE.replace("WHERE tick.s IS NOT NULL", &format!("WHERE {condition}"));
        assert_ne!(sql, super::EXAMPLE);
        super::folder_with(&sql)
    };
    let (one, other) = (of("tick.s < 'S2'"), of("tick.s >= 'S1'"));
    let first = job(
        &one,
        &broker,
        &database,
        &["--available-now", "--create-tables", "--name", "one"],
    )
    .start();
    let second = job(
        &other,
        &broker,
        &database,
        &["--available-now", "--create-tables", "--name", "other"],
    )
    .start();
    for ended in [first.end(), second.end()] {
        assert_eq!(ended.code, Some(0), "{}", ended.said);
    }
    assert_eq!(database.candles(), market.candles());
    let jobs = "SELECT string_agg(job, ' ' ORDER BY job) FROM stockpulse_epochs WHERE epoch > 0";
    assert_eq!(database.value(jobs), "one other");
}
