//! `stockpulse demo` as the README has it: addresses, a status line, candles, a clean end.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;

use tempfile::TempDir;

use crate::job::harness::{listing, read_rows};
use crate::support::shipped::{Run, STOCKPULSE, Started};
use crate::support::speech::{Speech, Told};
use crate::support::venue::{Act, FakeVenue, Session};

fn demo(folder: &Path, arguments: &[&str]) -> Run {
    Run::new(STOCKPULSE, folder)
        .arguments(&["demo", "--data-dir", "tmp"])
        .arguments(arguments)
}

/// What follows `label` on its line, up to a blank.
fn after<'a>(said: &'a str, label: &str) -> &'a str {
    let line = said
        .lines()
        .find_map(|line| line.trim_start().strip_prefix(label))
        .unwrap_or_else(|| panic!("no \"{label}\": {said}"));
    line.split_whitespace().next().unwrap()
}

fn get(url: &str) -> String {
    let (host, path) = url
        .strip_prefix("http://")
        .and_then(|rest| rest.split_once('/'))
        .unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    write!(
        stream,
        "GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// Waits for the first candles.
fn wait_for_candles(run: &Started, table: &Path) {
    run.wait_for("candles written");
    let started = std::time::Instant::now();
    while !table.exists() || listing(table).is_empty() {
        assert!(
            started.elapsed() < crate::support::broker::PATIENCE,
            "no candles came"
        );
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

#[test]
fn the_demo_shows_where_things_are_writes_candles_and_ends_in_time() {
    let folder = TempDir::new().unwrap();
    let run = demo(folder.path(), &["--for", "6s", "--api-port", "0"]).start();
    let said = run.wait_for("Ctrl-C stops it.");
    assert_eq!(after(&said, "candles"), "tmp/ohlc/");
    let broker = after(&said, "Kafka");
    let status = get(after(&said, "API"));
    assert!(
        status.starts_with("HTTP/1.1 200") && status.contains(broker),
        "{status}"
    );
    let page = get(after(&said, "chart"));
    assert!(
        page.starts_with("HTTP/1.1 200") && page.contains("<title>StockPulse</title>"),
        "{page}"
    );
    assert!(said.contains("datafusion-cli -c"), "{said}");
    let ended = run.end();
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    for shown in [
        "ticks/s",
        "watermark",
        "windows open",
        "candles written",
        "Stopped after a last commit",
    ] {
        assert!(ended.said.contains(shown), "no \"{shown}\": {}", ended.said);
    }
    let table = folder.path().join("tmp/ohlc");
    let rows = read_rows(&table, "SELECT symbol, window_start FROM t");
    // An hour of ten symbols, but for the minutes that are open.
    assert!(rows.len() > 400, "{} candles: {}", rows.len(), ended.said);
    let read = Run::new(STOCKPULSE, folder.path())
        .arguments(&["read", "tmp/ohlc", "--format", "ndjson"])
        .end();
    assert_eq!(
        (read.code, read.said.lines().count()),
        (Some(0), rows.len())
    );
}

/// The real market without a token: the default symbols come from Binance.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_demo_goes_live_without_a_token() {
    let told = |id| Act::Say(Speech::Binance.trade(Told { symbol: 0, id }));
    let sessions = vec![Session::Serve((1..=7).map(told).collect())];
    let mut server = FakeVenue::start(Speech::Binance, sessions).await;
    let folder = TempDir::new().unwrap();
    let run = demo(folder.path(), &["--feed", "live", "--api-port", "0"]);
    let run = run.env("BINANCE_URL", &server.url()).start();
    let seen = server.seen().await;
    assert_eq!(seen.path, "/stream?streams=ethusdt@trade/btcusdt@trade");
    let said = tokio::task::spawn_blocking(move || {
        run.wait_for(" 7 ticks ");
        run.signal("TERM");
        run.end()
    });
    let ended = said.await.unwrap();
    assert_eq!(ended.code, Some(0), "{}", ended.said);
}

#[test]
fn ctrl_c_and_sigterm_end_the_demo_with_0_and_the_next_one_starts_anew() {
    let folder = TempDir::new().unwrap();
    let table = folder.path().join("tmp/ohlc");
    for signal in ["INT", "TERM"] {
        let run = demo(folder.path(), &["--api-port", "0"]).start();
        wait_for_candles(&run, &table);
        run.signal(signal);
        let ended = run.end();
        assert_eq!(ended.code, Some(0), "{}", ended.said);
        assert!(
            ended.said.contains("Stopped after a last commit"),
            "{}",
            ended.said
        );
        let files = listing(&table);
        assert!(files.iter().all(|file| file.ends_with(".parquet")));
    }
}

#[test]
fn a_busy_port_is_named_with_its_option() {
    let folder = TempDir::new().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    for option in ["--api-port", "--kafka-port"] {
        let mut arguments = vec![option, &port];
        if option != "--api-port" {
            arguments.extend(["--api-port", "0"]);
        }
        let ended = demo(folder.path(), &arguments).end();
        assert_eq!(ended.code, Some(1), "{}", ended.said);
        for named in [port.as_str(), "error:", option] {
            assert!(ended.said.contains(named), "no \"{named}\": {}", ended.said);
        }
        assert!(listing(folder.path()).is_empty());
    }
}

#[test]
fn a_folder_with_other_files_is_left_alone() {
    let folder = TempDir::new().unwrap();
    std::fs::create_dir(folder.path().join("tmp")).unwrap();
    std::fs::write(folder.path().join("tmp/mine.txt"), "mine").unwrap();
    let ended = demo(folder.path(), &["--api-port", "0"]).end();
    assert_eq!(ended.code, Some(5), "{}", ended.said);
    assert!(ended.said.contains("--data-dir"), "{}", ended.said);
    assert_eq!(listing(folder.path()), ["tmp/mine.txt"]);
}
