//! What the producer shows of itself: health, readiness and metrics on a port, and `--check`.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStderr};

use super::binary::{Ended, NOBODY, Run};
use crate::support::broker::TestBroker;
use crate::support::speech::{Speech, Told};
use crate::support::venue::{Act, FakeVenue, Session};

fn trades(speech: Speech) -> Vec<Session> {
    let say = |symbol| Act::Say(speech.trade(Told { symbol, id: 7 }));
    vec![Session::Serve(vec![say(0), say(1)])]
}

pub(super) fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// A producer that serves its health, until it is dropped.
pub(super) struct Serving {
    pub(super) child: Child,
    pub(super) address: String,
    log: BufReader<ChildStderr>,
}

impl Serving {
    pub(super) fn start(run: &mut Run) -> Serving {
        let mut child = run.start().into_child();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let mut said = String::new();
        let address = loop {
            let mut line = String::new();
            assert!(log.read_line(&mut line).unwrap() > 0, "{said}");
            if let Some((_, rest)) = line.split_once("address=") {
                break rest.trim().to_string();
            }
            said += &line;
        };
        Serving {
            child,
            address,
            log,
        }
    }
}

impl Serving {
    /// Waits until it says this.
    pub(super) fn wait_for(&mut self, text: &str) {
        let mut line = String::new();
        while !line.contains(text) {
            line.clear();
            assert!(self.log.read_line(&mut line).unwrap() > 0, "it ended");
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // Fails when it has ended, which is what we want.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The default: no token, no feed named, the symbols' own exchange.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_token_the_default_symbols_come_from_binance_and_health_says_so() {
    let broker = TestBroker::start(2);
    let server = FakeVenue::start(Speech::Binance, trades(Speech::Binance)).await;
    let mut run = Run::new(&["--port", "0", "--gap-topic", "none"])
        .env("BINANCE_URL", &server.url())
        .env("KAFKA_BROKER", &broker.bootstrap)
        .env("KAFKA_TOPIC", &broker.topic);
    tokio::task::spawn_blocking(move || {
        let serving = Serving::start(&mut run);
        let stored = broker.read_until(|stored| stored.len() == 2);
        let mut keys: Vec<_> = stored.into_iter().filter_map(|stored| stored.key).collect();
        keys.sort();
        assert_eq!(keys, ["BINANCE:BTCUSDT", "BINANCE:ETHUSDT"]);
        let ask = |path| get(&serving.address, path);
        assert!(ask("/healthz").starts_with("HTTP/1.1 200"));
        let ready = ask("/readyz");
        assert!(
            ready.starts_with("HTTP/1.1 200") && ready.ends_with("ready\n"),
            "{ready}"
        );
        assert!(ask("/").starts_with("HTTP/1.1 404"));
        let metrics = ask("/metrics");
        for line in [
            r#"stockpulse_producer_connected{feed="binance"} 1"#,
            r#"stockpulse_producer_ticks_received_total{feed="binance"} 2"#,
            r#"stockpulse_producer_exchange_lag_seconds_count{feed="binance"} 2"#,
            "stockpulse_producer_kafka_reachable 1",
            "stockpulse_producer_queue_messages 0",
            "stockpulse_producer_messages_accepted_total 2",
        ] {
            assert!(
                metrics.contains(&format!("\n{line}\n")),
                "{line}: {metrics}"
            );
        }
        assert!(metrics.contains("application/openmetrics-text") && metrics.ends_with("# EOF\n"));
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_alive_and_not_ready_while_a_feed_is_away() {
    let broker = TestBroker::start(1);
    let sessions = vec![Session::Refuse(503, None); 50];
    let server = FakeVenue::start(Speech::Kraken, sessions).await;
    let mut run = Run::new(&["--port", "0", "--symbols", "KRAKEN:BTC/USD"])
        .env("KRAKEN_URL", &server.url())
        .env("KAFKA_BROKER", &broker.bootstrap)
        .env("KAFKA_TOPIC", &broker.topic);
    tokio::task::spawn_blocking(move || {
        let serving = Serving::start(&mut run);
        assert!(get(&serving.address, "/healthz").starts_with("HTTP/1.1 200"));
        let mut ready = get(&serving.address, "/readyz");
        // Before the broker has answered that is a reason too.
        while ready.contains("Kafka is not reached") || !ready.contains("kraken") {
            ready = get(&serving.address, "/readyz");
        }
        assert!(ready.starts_with("HTTP/1.1 503"), "{ready}");
        assert!(
            ready.ends_with("\r\n\r\nfeed kraken is not connected\n"),
            "{ready}"
        );
    })
    .await
    .unwrap();
}

#[test]
fn a_port_that_is_taken_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let ended = Run::new(&["--feed", "simulated", "--port", &port]).end();
    assert_eq!(ended.code, Some(1), "{}", ended.said);
    assert!(
        ended.said.contains("PRODUCER_PORT") && ended.said.contains(&port),
        "{}",
        ended.said
    );
}

async fn check(run: Run) -> Ended {
    tokio::task::spawn_blocking(move || run.end())
        .await
        .unwrap()
}

fn check_of(arguments: &[&str], broker: &TestBroker) -> Run {
    Run::new(&[&["--check", "--check-wait", "2"], arguments].concat())
        .env("KAFKA_BROKER", &broker.bootstrap)
        .env("KAFKA_TOPIC", &broker.topic)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_finds_what_is_there_and_sends_nothing() {
    let broker = TestBroker::start(1);
    let server = FakeVenue::start(Speech::Kraken, trades(Speech::Kraken)).await;
    let run = check_of(
        &[
            "--symbols",
            "KRAKEN:BTC/USD,KRAKEN:ETH/USD",
            "--gap-topic",
            "none",
        ],
        &broker,
    )
    .env("KRAKEN_URL", &server.url());
    let ended = check(run).await;
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    for said in [
        "ok    kafka",
        "ok    kraken    ticks come",
        "KRAKEN:BTC/USD: a tick after",
        "KRAKEN:ETH/USD: a tick after",
    ] {
        assert!(ended.said.contains(said), "{said}: {}", ended.said);
    }
    assert_eq!(broker.read_all(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_says_what_is_wrong_in_plain_words() {
    let broker = TestBroker::start(1);
    let refusing = FakeVenue::start(Speech::Finnhub, vec![Session::Refuse(401, None); 9]).await;
    let token = check_of(&[], &broker)
        .env("FINNHUB_TOKEN", "hunter2")
        .env("FINNHUB_URL", &refusing.url());
    let answer = r#"{"error":"Currency pair not supported FOO/BAR","method":"subscribe","req_id":1,"success":false,"symbol":"FOO/BAR"}"#;
    let say = Act::Say(Speech::Kraken.trade(Told { symbol: 0, id: 7 }));
    let kraken = Session::Answer(vec![answer.to_string()], vec![say]);
    let kraken = FakeVenue::start(Speech::Kraken, vec![kraken]).await;
    let symbols = ["--symbols", "KRAKEN:BTC/USD,KRAKEN:FOO/BAR,KRAKEN:ETH/USD"];
    let symbol = check_of(&symbols, &broker).env("KRAKEN_URL", &kraken.url());
    let away = check_of(&["--kafka-wait", "1"], &broker)
        .env("KAFKA_BROKER", NOBODY)
        .env("BINANCE_URL", "ws://127.0.0.1:1");
    let cases: [(Run, i32, &[&str]); 3] = [
        (
            token,
            2,
            &["ok    kafka", "FAIL  finnhub", "401", "FINNHUB_TOKEN"],
        ),
        (
            symbol,
            2,
            &[
                "FAIL  kraken    KRAKEN:FOO/BAR: Currency pair not supported",
                "ok    kraken    KRAKEN:BTC/USD: a tick",
                "warn  kraken    KRAKEN:ETH/USD: no tick for 2s",
            ],
        ),
        (
            away,
            4,
            &[
                "FAIL  kafka     Kafka at 127.0.0.1:1 could not be reached",
                "FAIL  binance",
            ],
        ),
    ];
    for (run, code, expected) in cases {
        let ended = check(run).await;
        assert_eq!(ended.code, Some(code), "{}", ended.said);
        for said in expected {
            assert!(ended.said.contains(said), "{said}: {}", ended.said);
        }
        assert!(!ended.said.contains("hunter2"), "{}", ended.said);
    }
}
