//! The finnhub feed against a server on loopback that drops, closes and refuses.

use stockpulse::config::secret::Secret;
use stockpulse::feed::Feed;
use stockpulse::feed::finnhub::Finnhub;
use stockpulse::metrics::producer::ProducerMetrics;
use stockpulse::model::Exit;
use stockpulse::producer;
use tokio::sync::watch;

use super::{delivery, quick, run, until};
use crate::support::broker::TestBroker;
use crate::support::finnhub::{FakeFinnhub, Seen, Session};

const TOKEN: &str = "hunter2";

fn symbols() -> Vec<String> {
    vec!["BINANCE:ETHUSDT".to_string(), "BINANCE:BTCUSDT".to_string()]
}

fn feed(server: &FakeFinnhub) -> Finnhub {
    Finnhub::new(&server.url(), Secret::new(TOKEN), symbols())
}

fn frames(numbers: std::ops::Range<u32>) -> Vec<String> {
    numbers
        .map(|number| {
            format!(r#"{{"data":[{{"c":null,"p":{number},"s":"BINANCE:BTCUSDT","t":1,"v":2}}],"type":"trade"}}"#)
        })
        .collect()
}

#[tokio::test]
async fn a_lost_connection_is_made_and_subscribed_again() {
    let broker = TestBroker::start(1);
    let sessions = vec![
        Session::Drop(frames(0..3)),
        Session::Refuse(503),
        Session::Close(frames(3..5)),
        Session::Drop(vec![]),
        Session::Hold([vec![r#"{"type":"ping"}"#.to_string()], frames(5..9)].concat()),
    ];
    let mut server = FakeFinnhub::start(sessions, 2).await;
    let metrics = ProducerMetrics::default();
    let (stop, stopping) = watch::channel(false);
    let (feed, config, counting): (Box<dyn Feed>, _, _) =
        (Box::new(feed(&server)), delivery(&broker), metrics.clone());
    let running = tokio::spawn(async move {
        producer::run(vec![feed], &config, &quick(), &counting, stopping).await
    });
    let expected = Seen {
        path: format!("/?token={TOKEN}"),
        subscribed: symbols()
            .iter()
            .map(|symbol| format!(r#"{{"symbol":"{symbol}","type":"subscribe"}}"#))
            .collect(),
    };
    for _ in 0..4 {
        assert_eq!(server.seen().await, expected);
    }
    until(|| metrics.counts().ticks_delivered == 9).await;
    stop.send(true).unwrap();
    running.await.unwrap().unwrap();

    let payloads: Vec<String> = broker
        .read_all()
        .into_iter()
        .map(|message| String::from_utf8(message.payload).unwrap())
        .collect();
    assert_eq!(payloads, frames(0..9));
    let counts = metrics.counts();
    assert_eq!((counts.reconnects, counts.frames_ping), (4, 1));
}

#[tokio::test]
async fn a_refused_token_ends_it_with_what_to_check() {
    let broker = TestBroker::start(1);
    for status in [401, 403] {
        let server = FakeFinnhub::start(vec![Session::Refuse(status)], 2).await;
        let metrics = ProducerMetrics::default();
        let ended = run(feed(&server), &delivery(&broker), &metrics)
            .await
            .unwrap_err();
        assert_eq!(ended.exit(), Exit::Usage);
        let text = ended.to_string();
        assert!(
            text.contains("FINNHUB_TOKEN") && text.contains(&status.to_string()),
            "{text}"
        );
        assert!(!text.contains(TOKEN), "{text}");
    }
}
