//! The HTTP API, in this process and as the real binary, over loopback.

mod candles;
mod limits;
mod sql;
mod stream;
mod table;
mod udf;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};

use futures::FutureExt;
use serde_json::{Value, json};
use stockpulse::api;
use stockpulse::config::api::ApiOptions;
use tokio::sync::oneshot;

const TOKEN: &str = "c0ffee-very-secret";

/// What the server answered: its status, the head in lower case, the body without its chunks.
struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

fn ask(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Answer {
    let mut stream = TcpStream::connect(address).unwrap();
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    if !body.is_empty() || method == "POST" {
        head += &format!("Content-Length: {}\r\n", body.len());
    }
    // A server that refuses may not read to the end.
    let _ = write!(stream, "{head}\r\n").and_then(|()| stream.write_all(body));
    let mut answer = Vec::new();
    let mut part = [0; 65536];
    while let Ok(read @ 1..) = stream.read(&mut part) {
        answer.extend_from_slice(&part[..read]);
    }
    let end = answer
        .windows(4)
        .position(|bytes| bytes == b"\r\n\r\n")
        .unwrap();
    let head = String::from_utf8(answer[..end].to_vec()).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let head = head.to_lowercase();
    let body = match head.contains("transfer-encoding: chunked") {
        true => unchunked(&answer[end + 4..]),
        false => answer[end + 4..].to_vec(),
    };
    Answer { status, head, body }
}

fn unchunked(mut bytes: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let end = bytes.windows(2).position(|bytes| bytes == b"\r\n").unwrap();
        let size = std::str::from_utf8(&bytes[..end]).unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        if size == 0 {
            return body;
        }
        body.extend_from_slice(&bytes[end + 2..end + 2 + size]);
        bytes = &bytes[end + 2 + size + 2..];
    }
}

/// Status code, the head in lower case, and the body.
fn request(address: SocketAddr, method: &str, path: &str) -> (u16, String, String) {
    let Answer { status, head, body } = ask(address, method, path, &[], b"");
    (status, head, String::from_utf8(body).unwrap())
}

fn get(address: SocketAddr, path: &str) -> (u16, Value) {
    let (status, head, body) = request(address, "GET", path);
    assert!(head.contains("content-type: application/json"), "{head}");
    (status, serde_json::from_str(&body).unwrap())
}

/// Serves in this process while `client` runs, then stops and waits for the end.
fn with_server(options: ApiOptions, client: impl FnOnce(SocketAddr) + Send + 'static) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let listener = api::bind(&options, "--port").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let server = tokio::spawn(api::serve(options, listener, stopped.map(|_| ()).boxed()));
        tokio::task::spawn_blocking(move || client(address))
            .await
            .unwrap();
        stop.send(()).unwrap();
        // It returns when it no longer listens; the port may be another test's by now, so nobody asks there.
        server.await.unwrap().unwrap();
    });
}

fn any_port() -> ApiOptions {
    ApiOptions {
        port: 0,
        ..ApiOptions::default()
    }
}

/// The real binary, in a folder and an environment of its own; killed if a test fails.
struct Binary(Child);

impl Binary {
    fn start(folder: &Path, args: &[&str], environment: &[(&str, &str)]) -> Binary {
        let child = Command::new(env!("CARGO_BIN_EXE_stockpulse-api"))
            .args(args)
            .current_dir(folder)
            .env_clear()
            .envs(environment.iter().copied())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Binary(child)
    }

    /// Waits for the line that says where it listens.
    fn address(&mut self) -> (SocketAddr, BufReader<ChildStderr>) {
        let mut log = BufReader::new(self.0.stderr.take().unwrap());
        let mut line = String::new();
        loop {
            line.clear();
            assert_ne!(log.read_line(&mut line).unwrap(), 0, "ended too early");
            if let Some((_, url)) = line.split_once("listens on http://") {
                return (url.trim().trim_end_matches('/').parse().unwrap(), log);
            }
        }
    }

    fn signal(&self, name: &str) {
        let pid = self.0.id().to_string();
        let status = Command::new("kill").args(["-s", name, &pid]).status();
        assert!(status.unwrap().success());
    }
}

impl Drop for Binary {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn ping_and_status() {
    with_server(any_port(), |address| {
        assert_eq!(
            get(address, "/api/v1/ping"),
            (200, json!({"status": "StockPulse API is live"}))
        );
        let (status, body) = get(address, "/api/v1/status");
        assert_eq!(status, 200);
        // These two stay as they are; others may be added.
        assert_eq!(
            body["monitored_symbols"],
            json!(["BINANCE:ETHUSDT", "BINANCE:BTCUSDT"])
        );
        assert_eq!(body["kafka_broker"], "localhost:9092");
        let (status, _, body) = request(address, "HEAD", "/api/v1/ping");
        assert_eq!((status, body.as_str()), (200, ""));
    });
}

#[test]
fn refusals_are_json() {
    with_server(any_port(), |address| {
        for path in [
            "/index.html",
            "/api/v1/pong",
            "/api/v1/ping/",
            "/%22%3Cscript%3E?x=y",
        ] {
            let (status, body) = get(address, path);
            assert_eq!(status, 404, "{path}");
            assert!(
                body["error"].as_str().unwrap().contains("/api/v1/ping"),
                "{body}"
            );
        }
        let (status, head, body) = request(address, "POST", "/api/v1/status");
        assert_eq!(status, 405);
        assert!(head.contains("allow: get,head"), "{head}");
        let body: Value = serde_json::from_str(&body).unwrap();
        assert!(body["error"].as_str().unwrap().contains("POST"), "{body}");
    });
}

#[test]
fn a_busy_port_is_an_error_that_names_port_and_flag() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let folder = tempfile::tempdir().unwrap();
    let mut binary = Binary::start(folder.path(), &["--port", &port], &[]);
    let mut error = String::new();
    let mut stderr = binary.0.stderr.take().unwrap();
    stderr.read_to_string(&mut error).unwrap();
    assert_eq!(binary.0.wait().unwrap().code(), Some(1), "{error}");
    for part in [
        "error: ",
        port.as_str(),
        "--port",
        "API_PORT",
        "another program",
    ] {
        assert!(error.contains(part), "no {part} in: {error}");
    }
}

#[test]
fn the_binary_takes_its_environment_and_never_shows_the_token() {
    let folder = tempfile::tempdir().unwrap();
    let dotenv = format!("FINNHUB_TOKEN={TOKEN}\nKAFKA_BROKER=from-dotenv:1\nSYMBOL_LIST=X\n");
    std::fs::write(folder.path().join(".env"), dotenv).unwrap();
    let environment = [
        ("SYMBOL_LIST", " A:B , C,, "),
        ("API_PORT", "0"),
        ("API_HOST", ""),
        ("RUST_LOG", "trace"),
    ];
    let mut binary = Binary::start(folder.path(), &[], &environment);
    let (address, mut log) = binary.address();
    assert!(address.ip().is_loopback());

    let (status, body) = get(address, "/api/v1/status");
    assert_eq!(status, 200);
    assert_eq!(body["monitored_symbols"], json!(["A:B", "C"]));
    assert_eq!(body["kafka_broker"], "from-dotenv:1");
    let (_, body) = get(address, "/FINNHUB_TOKEN");
    assert!(!body.to_string().contains(TOKEN));

    binary.signal("TERM");
    assert_eq!(binary.0.wait().unwrap().code(), Some(0));
    let mut rest = String::new();
    log.read_to_string(&mut rest).unwrap();
    assert!(
        rest.contains("has stopped") && !rest.contains(TOKEN),
        "{rest}"
    );
}

#[test]
fn signals_end_it_also_with_idle_and_half_sent_requests() {
    let folder = tempfile::tempdir().unwrap();
    for signal in ["INT", "TERM"] {
        let mut binary = Binary::start(folder.path(), &["--port", "0"], &[]);
        let (address, _log) = binary.address();
        let mut idle = TcpStream::connect(address).unwrap();
        idle.write_all(b"GET /api/v1/ping HTTP/1.1\r\nHost: x\r\n\r\n")
            .unwrap();
        idle.read_exact(&mut [0; 15]).unwrap();
        let mut half_sent = TcpStream::connect(address).unwrap();
        if signal == "TERM" {
            half_sent.write_all(b"GET /api/v1/pi").unwrap();
        }
        get(address, "/api/v1/ping");
        binary.signal(signal);
        assert_eq!(binary.0.wait().unwrap().code(), Some(0), "SIG{signal}");
    }
}

#[test]
fn a_wrong_command_line_is_usage() {
    let folder = tempfile::tempdir().unwrap();
    for args in [["--port", "http"], ["--prot", "1"]] {
        let mut binary = Binary::start(folder.path(), &args, &[]);
        assert_eq!(binary.0.wait().unwrap().code(), Some(2));
    }
}

#[test]
fn a_folder_that_is_named_from_the_working_directory_is_read() {
    let table = table::Table::new();
    let place = table.path();
    for at in 0..20 {
        let start = format!("2026-08-01T00:{at:02}:00Z");
        table.publish(
            &format!("date=2026-08-01/{at}.parquet"),
            &[("A", &start, [1.0; 4])],
        );
    }
    let beside = place.with_file_name("beside");
    std::fs::create_dir(&beside).unwrap();
    for (working_directory, path) in [(place.parent().unwrap(), "ohlc"), (&*beside, "../ohlc")] {
        let environment = [("CANDLES_PATH", path), ("API_PORT", "0")];
        let mut binary = Binary::start(working_directory, &[], &environment);
        let (address, _log) = binary.address();
        let (_, symbols) = get(address, "/api/v1/symbols");
        assert_eq!(symbols[0]["candles"], 20, "{path}: {symbols}");
        let (_, candles) = get(address, "/api/v1/candles?symbol=A");
        assert_eq!(candles.as_array().unwrap().len(), 20, "{path}: {candles}");
    }
}
