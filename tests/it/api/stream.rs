//! `/api/v1/stream`: candles as they happen, over a table that gets files and a job that only answers.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use stockpulse::config::api::{ApiOptions, JobUrl};

use super::table::{FakeJob, Table};
use super::{ask, get, with_server};

const PATIENCE: Duration = Duration::from_secs(10);

fn flat(price: f64) -> [f64; 4] {
    [price; 4]
}

#[derive(Debug, Clone, PartialEq)]
struct Event {
    name: String,
    id: Option<String>,
    data: Value,
}

/// A client of the stream.
struct Client {
    lines: BufReader<TcpStream>,
}

impl Client {
    fn connect(address: SocketAddr, query: &str, last_id: Option<&str>) -> Client {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let last = last_id.map_or(String::new(), |id| format!("Last-Event-ID: {id}\r\n"));
        write!(
            stream,
            "GET /api/v1/stream?{query} HTTP/1.1\r\nHost: {address}\r\n{last}\r\n"
        )
        .unwrap();
        let mut client = Client {
            lines: BufReader::new(stream),
        };
        let head = client.line();
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        client
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        assert_ne!(
            self.lines.read_line(&mut line).unwrap(),
            0,
            "the stream ended"
        );
        line.trim_end().to_string()
    }

    /// The next event, whatever it is; what frames the chunks is skipped.
    fn event(&mut self) -> Event {
        let mut event = Event {
            name: String::new(),
            id: None,
            data: Value::Null,
        };
        loop {
            let line = self.line();
            if let Some(name) = line.strip_prefix("event: ") {
                event.name = name.to_string();
            } else if let Some(id) = line.strip_prefix("id: ") {
                event.id = Some(id.to_string());
            } else if let Some(data) = line.strip_prefix("data: ") {
                event.data = serde_json::from_str(data).unwrap();
            } else if line.is_empty() && !event.name.is_empty() {
                return event;
            }
        }
    }

    /// The next event that fulfils a condition.
    fn until(&mut self, condition: impl Fn(&Event) -> bool) -> Event {
        let started = Instant::now();
        let mut seen = Vec::new();
        while started.elapsed() < PATIENCE {
            let event = self.event();
            if condition(&event) {
                return event;
            }
            seen.push(event);
        }
        panic!("did not come; {seen:#?}");
    }

    fn closed(&mut self) -> (String, f64) {
        let event = self.until(|event| event.data["closed"] == true);
        assert!(event.id.is_some());
        let start = event.data["window_start"].as_str().unwrap();
        (start.to_string(), event.data["close"].as_f64().unwrap())
    }
}

fn of_job(table: &Table, url: &str) -> ApiOptions {
    ApiOptions {
        job_url: JobUrl::At(url.to_string()),
        job_token: Some("open-sesame".to_string().into()),
        ..table.options()
    }
}

#[test]
fn the_running_candle_comes_every_second_and_closes_when_it_is_published() {
    let table = Table::new();
    table.publish(
        "date=2026-08-01/1.parquet",
        &[("A", "2026-08-01T10:00:00Z", flat(1.0))],
    );
    let job = FakeJob::start();
    job.open(("A", "2026-08-01T10:01:00Z", [1.0, 3.0, 0.5, 2.0]));
    with_server(of_job(&table, &job.url), move |address| {
        assert_eq!(get(address, "/api/v1/status").1["job"], "idle");
        assert_eq!(job.asked.load(Ordering::SeqCst), 0, "nobody listens");
        let mut client = Client::connect(address, "symbol=A", None);
        assert_eq!(
            client.event(),
            Event {
                name: "job".into(),
                id: None,
                data: json!({"job": "connected", "message": null})
            }
        );
        assert_eq!(
            client.event(),
            Event {
                name: "candle".into(),
                id: None,
                data: json!({"symbol": "A", "window_start": "2026-08-01T10:01:00Z", "window_end": "2026-08-01T10:02:00Z",
                    "open": 1.0, "high": 3.0, "low": 0.5, "close": 2.0, "volume": 0.25, "trades": 1, "closed": false})
            }
        );
        // Unchanged, it still comes.
        let mut last = Instant::now();
        for _ in 0..3 {
            let event = client.until(|event| event.name == "candle");
            assert_eq!(event.data["close"], 2.0);
            assert!(
                last.elapsed() < Duration::from_millis(1500),
                "{:?}",
                last.elapsed()
            );
            last = Instant::now();
        }
        job.open(("A", "2026-08-01T10:01:00Z", [1.0, 5.0, 0.5, 5.0]));
        client.until(|event| event.data["close"] == 5.0);
        assert_eq!(get(address, "/api/v1/status").1["job"], "connected");
        assert!(
            job.said().contains("authorization: Bearer open-sesame"),
            "{}",
            job.said()
        );
        assert!(
            job.said().starts_with("GET /api/v1/open?newest="),
            "{}",
            job.said()
        );

        table.publish(
            "date=2026-08-01/2.parquet",
            &[("A", "2026-08-01T10:01:00Z", flat(6.0))],
        );
        assert_eq!(client.closed(), ("2026-08-01T10:01:00Z".into(), 6.0));
        // The job still has it open for a moment; a listener does not see that.
        job.open(("A", "2026-08-01T10:02:00Z", flat(7.0)));
        let next = client.until(|event| event.data["closed"] == false);
        assert_eq!(next.data["window_start"], "2026-08-01T10:02:00Z");

        drop(client);
        let started = Instant::now();
        while get(address, "/api/v1/status").1["stream_listeners"] != 0 {
            assert!(
                started.elapsed() < PATIENCE,
                "the listener is still counted"
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        std::thread::sleep(Duration::from_millis(600));
        let asked = job.asked.load(Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(1200));
        assert_eq!(
            job.asked.load(Ordering::SeqCst),
            asked,
            "nobody listens any more"
        );
    });
}

#[test]
fn who_comes_back_gets_what_was_missed() {
    let table = Table::new();
    let minutes: Vec<String> = (0..4)
        .map(|at| format!("2026-08-01T10:0{at}:00Z"))
        .collect();
    for (at, start) in minutes.iter().enumerate() {
        table.publish(
            &format!("date=2026-08-01/{at}.parquet"),
            &[("A", start, flat(at as f64)), ("B", start, flat(9.0))],
        );
    }
    with_server(table.options(), move |address| {
        let id = super::table::nanos(&minutes[1]) / 1_000_000;
        let mut client = Client::connect(address, "symbol=A", Some(&id.to_string()));
        assert_eq!(client.closed(), (minutes[2].clone(), 2.0));
        assert_eq!(client.closed(), (minutes[3].clone(), 3.0));
        assert_eq!(client.until(|event| event.name == "job").data["job"], "off");
        table.publish(
            "date=2026-08-01/9.parquet",
            &[("A", "2026-08-01T10:04:00Z", flat(4.0))],
        );
        assert_eq!(client.closed(), ("2026-08-01T10:04:00Z".into(), 4.0));

        // Two minutes are one candle; the second of them is not over.
        let mut client = Client::connect(address, "symbol=A&resolution=2m", Some("0"));
        assert_eq!(client.closed(), (minutes[0].clone(), 1.0));
        assert_eq!(client.closed(), (minutes[2].clone(), 3.0));
        let open = client.until(|event| event.name == "candle");
        assert_eq!(
            (&open.data["closed"], &open.data["close"]),
            (&json!(false), &json!(4.0))
        );
        table.publish(
            "date=2026-08-01/A.parquet",
            &[("B", "2026-08-01T10:05:00Z", flat(9.0))],
        );
        assert_eq!(client.closed(), ("2026-08-01T10:04:00Z".into(), 4.0));

        for (query, header, said) in [
            ("symbol=A", Some("x"), "Last-Event-ID"),
            ("symbol=A&resolution=90s", None, "resolution"),
            ("symbol=", None, "symbol"),
        ] {
            let headers: Vec<_> = header.map(|id| ("Last-Event-ID", id)).into_iter().collect();
            let answer = ask(
                address,
                "GET",
                &format!("/api/v1/stream?{query}"),
                &headers,
                b"",
            );
            let body = String::from_utf8(answer.body).unwrap();
            assert!(
                answer.status == 400 && body.contains(said),
                "{query}: {body}"
            );
        }
    });
}

#[test]
fn a_job_that_is_away_is_said_and_only_stored_candles_are_served() {
    let table = Table::new();
    table.publish(
        "date=2026-08-01/1.parquet",
        &[("A", "2026-08-01T10:00:00Z", flat(1.0))],
    );
    // A port that nobody listens on.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", free.local_addr().unwrap());
    drop(free);
    with_server(of_job(&table, &url), move |address| {
        let mut client = Client::connect(address, "symbol=A", None);
        let told = client.until(|event| event.name == "job");
        assert_eq!(
            told.data,
            json!({"job": "unreachable", "message": "the job cannot be reached"})
        );
        table.publish(
            "date=2026-08-01/2.parquet",
            &[("A", "2026-08-01T10:01:00Z", flat(2.0))],
        );
        assert_eq!(client.closed(), ("2026-08-01T10:01:00Z".into(), 2.0));
    });
}

#[test]
fn a_table_that_is_replaced_is_said() {
    let table = Table::new();
    table.publish(
        "date=2026-08-01/1.parquet",
        &[("A", "2026-08-01T10:00:00Z", flat(1.0))],
    );
    with_server(table.options(), move |address| {
        let mut client = Client::connect(address, "symbol=A", None);
        client.until(|event| event.name == "job");
        let aside = table.path().with_file_name("old");
        std::fs::rename(table.path(), aside).unwrap();
        table.publish(
            "date=2026-08-01/1.parquet",
            &[("A", "2026-08-01T10:00:00Z", flat(5.0))],
        );
        client.until(|event| event.name == "reset");
        table.publish(
            "date=2026-08-01/2.parquet",
            &[("A", "2026-08-01T10:01:00Z", flat(6.0))],
        );
        assert_eq!(client.closed(), ("2026-08-01T10:01:00Z".into(), 6.0));
    });
}

#[test]
fn the_server_stops_with_listeners() {
    let table = Table::new();
    table.publish(
        "date=2026-08-01/1.parquet",
        &[("A", "2026-08-01T10:00:00Z", flat(1.0))],
    );
    let started = Instant::now();
    with_server(table.options(), move |address| {
        let client = Client::connect(address, "symbol=A", None);
        // It outlives the client side of the test.
        std::mem::forget(client);
        drop(table);
    });
    assert!(
        started.elapsed() < Duration::from_millis(2500),
        "it waited for a stream: {:?}",
        started.elapsed()
    );
}
