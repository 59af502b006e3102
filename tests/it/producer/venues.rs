//! What is particular to a venue: how it is asked, what it refuses, and its habits.

use std::sync::Arc;
use std::time::{Duration, Instant};

use stockpulse::config::producer::{LiveConfig, VenueConfig};
use stockpulse::feed::Timing;
use stockpulse::model::Exit;
use tokio::sync::Notify;

use super::live::{TOKEN, config, feeds, start, timing};
use crate::support::speech::{Speech, Told};
use crate::support::venue::{Act, Authority, FakeVenue, Session};

fn say(speech: Speech, symbol: usize, ids: std::ops::Range<u64>) -> Vec<Act> {
    ids.map(|id| Act::Say(speech.trade(Told { symbol, id })))
        .collect()
}

fn ticks(speech: Speech, symbol: usize, ids: impl IntoIterator<Item = u64>) -> Vec<String> {
    ids.into_iter()
        .map(|id| speech.tick(Told { symbol, id }))
        .collect()
}

#[tokio::test]
async fn each_venue_is_asked_in_its_own_words() {
    let expected = [
        (
            "/?token=hunter2",
            vec![
                r#"{"symbol":"BINANCE:BTCUSDT","type":"subscribe"}"#,
                r#"{"symbol":"AAPL","type":"subscribe"}"#,
            ],
        ),
        ("/stream?streams=btcusdt@trade/ethusdt@trade", vec![]),
        (
            "/",
            vec![
                r#"{"channels":["matches","heartbeat"],"product_ids":["BTC-USD","ETH-USD"],"type":"subscribe"}"#,
            ],
        ),
        (
            "/v2",
            vec![
                r#"{"method":"subscribe","params":{"channel":"trade","snapshot":false,"symbol":["BTC/USD","ETH/USD"]},"req_id":1}"#,
            ],
        ),
    ];
    for (speech, (path, subscribed)) in Speech::ALL.into_iter().zip(expected) {
        let mut server = FakeVenue::start(speech, vec![]).await;
        let running = start(feeds(vec![config(speech, &server.url(), None)], &timing()));
        let seen = server.seen().await;
        assert_eq!(
            (seen.path.as_str(), seen.subscribed),
            (path, subscribed.iter().map(ToString::to_string).collect())
        );
        running.stop().await;
    }
}

#[tokio::test]
async fn several_feeds_go_into_one_topic() {
    let (mut servers, mut configs) = (Vec::new(), Vec::new());
    for speech in Speech::ALL {
        let server = FakeVenue::start(speech, vec![Session::Serve(say(speech, 1, 10..15))]).await;
        configs.push(config(speech, &server.url(), None));
        servers.push(server);
    }
    let running = start(feeds(configs, &timing()));
    running.until(|counts| counts.ticks_delivered == 20).await;
    let stopped = running.stop().await;
    for speech in Speech::ALL {
        assert_eq!(stopped.of(speech.symbols()[1]), ticks(speech, 1, 10..15));
        let feed = format!("{speech:?}").to_lowercase();
        let metric = format!(r#"stockpulse_producer_ticks_received_total{{feed="{feed}"}}"#);
        assert_eq!(stopped.metric(&metric), 5, "{}", stopped.text);
    }
}

/// With Binance's second address all is well; with none left the way out is named.
#[tokio::test]
async fn binance_in_a_country_that_it_does_not_serve() {
    let speech = Speech::Binance;
    let blocked = FakeVenue::start(speech, vec![Session::Refuse(451, None); 9]).await;
    let open = FakeVenue::start(speech, vec![Session::Serve(say(speech, 0, 1..4))]).await;
    let urls = |urls: &[&FakeVenue]| LiveConfig {
        venue: VenueConfig::Binance {
            urls: urls.iter().map(|server| server.url()).collect(),
        },
        ..config(speech, "", None)
    };
    let running = start(feeds(vec![urls(&[&blocked, &open])], &timing()));
    running.until(|counts| counts.ticks_delivered == 3).await;
    let stopped = running.stop().await;
    let metric = r#"stockpulse_producer_reconnects_total{feed="binance",reason="blocked"}"#;
    assert_eq!(stopped.metric(metric), 1, "{}", stopped.text);

    let error = start(feeds(vec![urls(&[&blocked, &blocked])], &timing()))
        .end()
        .await;
    assert_eq!(error.exit(), Exit::Usage);
    let text = error.to_string();
    assert!(
        text.contains("451") && text.contains("COINBASE:BTC-USD") && text.contains("KRAKEN:"),
        "{text}"
    );
}

/// Its connections are replaced before they are cut after a day, and when it says that it is about to go:
/// nothing is missed, and what both connections bring is there once.
#[tokio::test]
async fn binance_is_read_over_a_new_connection_before_the_old_one_is_cut() {
    let speech = Speech::Binance;
    let again = |ids: std::ops::Range<u64>| {
        [
            say(speech, 0, ids),
            vec![Act::Wait(Arc::new(Notify::new()))],
        ]
        .concat()
    };
    let leaving =
        Act::Say(r#"{"stream":"","data":{"e":"serverShutdown","E":1770123456789}}"#.to_string());
    for (renew, first) in [
        (Some(Duration::from_millis(100)), say(speech, 0, 1..6)),
        (None, [say(speech, 0, 1..6), vec![leaving]].concat()),
    ] {
        let sessions = vec![
            Session::Serve([first, vec![Act::Wait(Arc::new(Notify::new()))]].concat()),
            Session::Serve(again(4..9)),
            Session::Serve(again(8..12)),
        ];
        let server = FakeVenue::start(speech, sessions).await;
        let timing = Timing {
            renew,
            idle: Some(Duration::from_secs(30)),
            ..timing()
        };
        let running = start(feeds(vec![config(speech, &server.url(), None)], &timing));
        let last = if renew.is_some() { 12 } else { 9 };
        running
            .until(|counts| counts.ticks_delivered == last - 1)
            .await;
        let stopped = running.stop().await;
        assert_eq!(stopped.of("BINANCE:BTCUSDT"), ticks(speech, 0, 1..last));
        assert_eq!((stopped.counts.reconnects, stopped.counts.gaps), (0, 0));
        assert!(stopped.counts.duplicates >= 2, "{:?}", stopped.counts);
    }
}

#[tokio::test]
async fn a_symbol_that_the_venue_does_not_have_is_named_and_the_others_go_on() {
    let answers = [
        (
            Speech::Coinbase,
            r#"{"type":"error","message":"Failed to subscribe","reason":"BTC-USD is not a valid product"}"#,
        ),
        (
            Speech::Kraken,
            r#"{"error":"Currency pair not supported BTC/USD","method":"subscribe","req_id":1,"success":false,"symbol":"BTC/USD","time_in":"2023-09-25T09:04:31.742599Z","time_out":"2023-09-25T09:04:31.742648Z"}"#,
        ),
    ];
    for (speech, answer) in answers {
        // Coinbase subscribes none of the products then, and is asked again for the rest.
        let again = if speech == Speech::Coinbase {
            vec![Act::Await]
        } else {
            vec![]
        };
        let acts = [again, say(speech, 1, 1..4)].concat();
        let server = FakeVenue::start(
            speech,
            vec![Session::Answer(vec![answer.to_string()], acts)],
        )
        .await;
        let running = start(feeds(vec![config(speech, &server.url(), None)], &timing()));
        running.until(|counts| counts.ticks_delivered == 3).await;
        let stopped = running.stop().await;
        let feed = format!("{speech:?}").to_lowercase();
        let metric = format!(r#"stockpulse_producer_symbols_refused_total{{feed="{feed}"}}"#);
        assert_eq!(stopped.metric(&metric), 1, "{}", stopped.text);
        if speech == Speech::Coinbase {
            let said = server.said.lock().unwrap().clone();
            assert!(
                said.last()
                    .unwrap()
                    .contains(r#""product_ids":["ETH-USD"]"#),
                "{said:?}"
            );
        }

        let both = [answer.to_string(), answer.replace("BTC", "ETH")];
        let server = FakeVenue::start(speech, vec![Session::Answer(both.to_vec(), vec![])]).await;
        let error = start(feeds(vec![config(speech, &server.url(), None)], &timing()))
            .end()
            .await;
        assert_eq!(error.exit(), Exit::Usage);
        assert!(error.to_string().contains("none of the symbols"), "{error}");
    }
}

/// A heartbeat names the latest trade: one that never came is told, though none comes after it.
#[tokio::test]
async fn coinbase_tells_what_was_never_sent_by_its_heartbeat() {
    let speech = Speech::Coinbase;
    let heartbeat = r#"{"type":"heartbeat","sequence":90,"last_trade_id":5,"product_id":"BTC-USD","time":"2025-06-15T15:06:40.100000Z"}"#;
    let acts = [say(speech, 0, 1..4), vec![Act::Say(heartbeat.to_string())]].concat();
    let server = FakeVenue::start(speech, vec![Session::Serve(acts)]).await;
    let running = start(feeds(vec![config(speech, &server.url(), None)], &timing()));
    running.until(|counts| counts.trades_missing == 2).await;
    let stopped = running.stop().await;
    assert_eq!(stopped.missing("COINBASE:BTC-USD"), [4, 5]);
}

/// What comes after it was told as missing is a tick, and the record is taken back.
#[tokio::test]
async fn a_trade_that_comes_very_late_is_recovered() {
    let (speech, told) = (Speech::Kraken, Arc::new(Notify::new()));
    let acts = [
        say(speech, 0, 1..2),
        say(speech, 0, 4..5),
        vec![Act::Wait(Arc::clone(&told))],
        say(speech, 0, 3..4),
    ];
    let server = FakeVenue::start(speech, vec![Session::Serve(acts.concat())]).await;
    let timing = Timing {
        idle: Some(Duration::from_secs(30)),
        ..timing()
    };
    let running = start(feeds(vec![config(speech, &server.url(), None)], &timing));
    running.until(|counts| counts.trades_missing == 2).await;
    told.notify_one();
    running.until(|counts| counts.ticks_delivered == 3).await;
    let stopped = running.stop().await;
    assert_eq!(stopped.of("KRAKEN:BTC/USD"), ticks(speech, 0, [1, 4, 3]));
    assert_eq!(stopped.missing("KRAKEN:BTC/USD"), [2]);
    assert_eq!(stopped.counts.trades_recovered, 1);
}

#[tokio::test]
async fn a_silent_symbol_is_subscribed_again_and_a_silent_venue_is_left() {
    for speech in Speech::ALL {
        let server = FakeVenue::start(speech, vec![Session::Serve(say(speech, 0, 1..2))]).await;
        let timing = Timing {
            symbol_idle: Duration::from_millis(150),
            ..timing()
        };
        let running = start(feeds(vec![config(speech, &server.url(), None)], &timing));
        let again = || {
            let said = server.said.lock().unwrap();
            let name = speech.name(1).to_lowercase();
            let asked = said
                .iter()
                .filter(|text| text.to_lowercase().contains("subscribe"));
            asked
                .filter(|text| text.to_lowercase().contains(&name))
                .count()
        };
        // Once at the start, but for Binance, whose address does it, and then again.
        let before = usize::from(speech != Speech::Binance);
        super::until(|| again() > before).await;
        if speech != Speech::Finnhub {
            running.until(|counts| counts.reconnects > 0).await;
        }
        let stopped = running.stop().await;
        let feed = format!("{speech:?}").to_lowercase();
        let silent =
            format!(r#"stockpulse_producer_reconnects_total{{feed="{feed}",reason="silent"}}"#);
        assert_eq!(
            stopped.metric(&silent) > 0,
            speech != Speech::Finnhub,
            "{}",
            stopped.text
        );
    }
}

#[tokio::test]
async fn a_refused_token_ends_it_with_what_to_check() {
    for status in [401, 403] {
        let speech = Speech::Finnhub;
        let server = FakeVenue::start(speech, vec![Session::Refuse(status, None)]).await;
        let error = start(feeds(vec![config(speech, &server.url(), None)], &timing()))
            .end()
            .await;
        assert_eq!(error.exit(), Exit::Usage);
        let text = error.to_string();
        assert!(
            text.contains("FINNHUB_TOKEN") && text.contains(&status.to_string()),
            "{text}"
        );
        assert!(!text.contains(TOKEN), "{text}");
    }
}

#[tokio::test]
async fn finnhubs_price_updates_are_no_ticks() {
    let frame = r#"{"data":[{"c":null,"p":1.10,"s":"AAPL","t":1,"v":0},{"c":["1"],"p":1.20,"s":"AAPL","t":2,"v":5}],"type":"trade"}"#;
    let update = r#"{"data":[{"c":null,"p":1.10,"s":"AAPL","t":1,"v":0.0}],"type":"trade"}"#;
    let acts = [frame, update, frame]
        .map(|text| Act::Say(text.to_string()))
        .to_vec();
    let server = FakeVenue::start(Speech::Finnhub, vec![Session::Serve(acts)]).await;
    let running = start(feeds(
        vec![config(Speech::Finnhub, &server.url(), None)],
        &timing(),
    ));
    running.until(|counts| counts.ticks_delivered == 2).await;
    let stopped = running.stop().await;
    let kept = r#"{"data":[{"c":["1"],"p":1.20,"s":"AAPL","t":2,"v":5}],"type":"trade"}"#;
    assert_eq!(stopped.of("AAPL"), [kept, kept]);
    let metric = r#"stockpulse_producer_price_updates_total{feed="finnhub"}"#;
    assert_eq!(stopped.metric(metric), 3, "{}", stopped.text);
}

/// Two programs with one token throw each other out; that is no network's fault, and said.
#[tokio::test]
async fn finnhub_kicks_in_turns() {
    let speech = Speech::Finnhub;
    let kicked = |id| Session::Serve([say(speech, 0, id..id + 1), vec![Act::Close(1000)]].concat());
    let sessions = vec![
        kicked(1),
        kicked(2),
        kicked(3),
        Session::Serve(say(speech, 0, 4..5)),
    ];
    let server = FakeVenue::start(speech, sessions).await;
    let running = start(feeds(vec![config(speech, &server.url(), None)], &timing()));
    running.until(|counts| counts.ticks_delivered == 4).await;
    let stopped = running.stop().await;
    let by = |reason: &str| {
        stopped.metric(&format!(
            r#"stockpulse_producer_reconnects_total{{feed="finnhub",reason="{reason}"}}"#
        ))
    };
    assert_eq!((by("closed"), by("kicked")), (2, 1), "{}", stopped.text);
    let gap = &stopped.gaps[0];
    assert_eq!(
        (&gap["type"], &gap["reason"]),
        (&"gap".into(), &"closed".into())
    );
    assert!(
        gap["from"].as_i64().unwrap() <= gap["to"].as_i64().unwrap(),
        "{gap}"
    );
}

/// A server that names a wait gets it.
#[tokio::test]
async fn a_throttled_feed_waits_as_long_as_it_is_told() {
    let speech = Speech::Finnhub;
    let sessions = vec![
        Session::Refuse(429, Some(1)),
        Session::Serve(say(speech, 0, 1..2)),
    ];
    let server = FakeVenue::start(speech, sessions).await;
    let started = Instant::now();
    let running = start(feeds(vec![config(speech, &server.url(), None)], &timing()));
    running.until(|counts| counts.ticks_delivered == 1).await;
    assert!(started.elapsed() >= Duration::from_secs(1));
    running.stop().await;
}

/// A certificate of nobody we trust is no connection, and the way out is a flag.
#[tokio::test]
async fn a_stranger_is_not_trusted() {
    let (speech, authority) = (Speech::Kraken, Authority::new());
    let server = FakeVenue::start_with(speech, vec![], Some(&authority)).await;
    let running = start(feeds(vec![config(speech, &server.url(), None)], &timing()));
    running.until(|counts| counts.reconnects >= 2).await;
    let stopped = running.stop().await;
    assert_eq!(stopped.counts.frames_received, 0);
    let metric = r#"stockpulse_producer_reconnects_total{feed="kraken",reason="unreachable"}"#;
    assert!(stopped.metric(metric) >= 2, "{}", stopped.text);
}
