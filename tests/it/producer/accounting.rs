//! Every venue, misbehaving in every way: what the server sent is in the topic, once and in order, and what it
//! did not send is told as missing. Over TCP and over TLS.

use std::collections::BTreeMap;

use super::live::{config, feeds, start, timing};
use crate::support::speech::{Speech, Told};
use crate::support::venue::{Act, Authority, FakeVenue, Session};

/// Sessions of a venue, and what should come of them.
struct Script {
    speech: Speech,
    next: [u64; 2],
    sessions: Vec<Session>,
    acts: Vec<Act>,
    /// In the order in which the topic should have them.
    sent: Vec<Told>,
    lost: Vec<Told>,
}

impl Script {
    fn new(speech: Speech) -> Script {
        Script {
            speech,
            next: [1_000, 5_000],
            sessions: Vec::new(),
            acts: Vec::new(),
            sent: Vec::new(),
            lost: Vec::new(),
        }
        .begin()
    }

    /// Coinbase repeats the latest trade of each product whenever it is subscribed.
    fn begin(mut self) -> Script {
        if self.speech == Speech::Coinbase {
            for symbol in 0..2 {
                let told = Told { symbol, id: self.next[symbol] - 1 };
                self.acts.push(Act::Say(self.speech.last_match(told)));
            }
        }
        self
    }

    fn make(&mut self, symbol: usize) -> Told {
        self.next[symbol] += 1;
        Told { symbol, id: self.next[symbol] - 1 }
    }

    fn trades(mut self, each: usize) -> Script {
        for number in 0..each * 2 {
            let told = self.make(number % 2);
            self.acts.push(Act::Say(self.speech.trade(told)));
            self.sent.push(told);
        }
        self
    }

    /// Trades that are made while nobody is told; without ids nobody will know how many.
    fn missed(mut self, each: usize) -> Script {
        if self.speech.has_ids() {
            for number in 0..each * 2 {
                let told = self.make(number % 2);
                self.lost.push(told);
            }
        }
        self
    }

    /// A trade that cannot be read.
    fn broken_trade(mut self) -> Script {
        if self.speech.has_ids() {
            let told = self.make(0);
            let text = self.speech.trade(told).replace(".000000000000000010", "x");
            self.acts.push(Act::Say(text));
            self.lost.push(told);
        }
        self
    }

    fn repeated(mut self, trades: usize) -> Script {
        if self.speech.has_ids() {
            let again = self.sent[self.sent.len() - trades..].iter();
            let say = again.map(|told| Act::Say(self.speech.trade(*told)));
            self.acts.extend(say.collect::<Vec<_>>());
        }
        self
    }

    /// Trades out of order: 3, 1, 2.
    fn mixed_up(mut self) -> Script {
        let [first, second, third] = [0; 3].map(|symbol| self.make(symbol));
        for told in [third, first, second] {
            self.acts.push(Act::Say(self.speech.trade(told)));
            self.sent.push(told);
        }
        self
    }

    fn act(mut self, act: Act) -> Script {
        self.acts.push(act);
        self
    }

    fn end_session(mut self) -> Script {
        self.sessions.push(Session::Serve(std::mem::take(&mut self.acts)));
        self.begin()
    }

    fn refused(mut self, status: u16) -> Script {
        self.sessions.push(Session::Refuse(status, (status == 429).then_some(0)));
        self
    }
}

/// Every way to misbehave, with the reason that the reconnect should be counted under.
fn scenarios(speech: Speech) -> Vec<(&'static str, Option<&'static str>, Script)> {
    let script = || Script::new(speech).trades(4);
    let ended_by = |act: Act| script().act(act).end_session().missed(2).trades(4);
    let reset = if speech.has_ids() { Act::Reset } else { Act::Drop };
    let mut scenarios = vec![
        ("drop", Some("broken"), ended_by(Act::Drop)),
        ("reset", Some("broken"), ended_by(reset)),
        ("half_close", Some("broken"), ended_by(Act::HalfClose)),
        ("stall", Some("idle"), ended_by(Act::Stall)),
        ("garbage", Some("protocol"), ended_by(Act::Raw(vec![0xff; 64]))),
        ("masked", Some("protocol"), ended_by(Act::Raw(vec![0x81, 0x82, 1, 2, 3, 4, 5, 6]))),
        ("huge", Some("protocol"), ended_by(Act::Huge)),
        ("wrong_utf8", Some("protocol"), ended_by(Act::WrongUtf8)),
        ("throttled", Some("throttled"), script().act(Act::Drop).end_session().refused(429).missed(1).trades(4)),
        (
            "nonsense",
            None,
            ["", "not json", "[1]", "null", r#"{"type":"news","e":"kline","channel":"book"}"#, "{}"]
                .into_iter()
                .fold(script(), |script, text| script.act(Act::Say(text.to_string())))
                .trades(4),
        ),
        ("broken_trade", None, script().broken_trade().trades(4)),
        ("repeated", None, script().repeated(5).trades(2).repeated(3).trades(2)),
        (
            "repeated_after_a_reconnect",
            Some("broken"),
            script().act(Act::Drop).end_session().repeated(6).trades(4),
        ),
        ("mixed_up", None, script().mixed_up().trades(2)),
        ("skipped", None, script().missed(3).trades(4)),
        (
            "refused_for_a_while",
            Some("refused"),
            script().act(Act::Drop).end_session().refused(500).refused(503).missed(2).trades(4),
        ),
        (
            "one_after_the_other",
            Some("closed"),
            (0..6).fold(script(), |script, round| {
                let act = if round % 2 == 0 { Act::Close(1012) } else { Act::Drop };
                script.act(act).end_session().missed(1).trades(2)
            }),
        ),
    ];
    for code in [1000, 1001, 1008, 1011, 4000] {
        scenarios.push(("close", Some("closed"), ended_by(Act::Close(code))));
    }
    scenarios
}

async fn check(speech: Speech, authority: Option<&Authority>) {
    let folder = tempfile::tempdir().unwrap();
    let ca_file = authority.map(|authority| {
        let path = folder.path().join("ca.pem");
        authority.write(&path);
        path
    });
    for (name, reason, script) in scenarios(speech) {
        let name = format!("{speech:?}, {name}, {}", if authority.is_some() { "TLS" } else { "TCP" });
        let Script { mut sessions, acts, sent, lost, .. } = script;
        sessions.push(Session::Serve(acts));
        let server = FakeVenue::start_with(speech, sessions, authority).await;
        let running = start(feeds(vec![config(speech, &server.url(), ca_file.clone())], &timing()));
        let (ticks, missing) = (sent.len() as u64, lost.len() as u64);
        running
            .until(|counts| {
                counts.ticks_delivered >= ticks
                    && counts.trades_missing.saturating_sub(counts.trades_recovered) >= missing
            })
            .await;
        let stopped = running.stop().await;

        let mut expected: BTreeMap<usize, Vec<String>> = BTreeMap::new();
        for told in &sent {
            expected.entry(told.symbol).or_default().push(speech.tick(*told));
        }
        for (symbol, ticks) in expected {
            let symbol_name = speech.symbols()[symbol];
            assert_eq!(stopped.of(symbol_name), ticks, "{name}");
            let lost = lost.iter().filter(|told| told.symbol == symbol);
            let lost: Vec<u64> = lost.map(|told| told.id).collect();
            assert_eq!(stopped.missing(symbol_name), lost, "{name}: {:?}", stopped.gaps);
        }
        // The account: what was made is in the topic or counted as lost, and nothing else is there.
        let counts = stopped.counts;
        assert_eq!(stopped.topic.len(), sent.len(), "{name}");
        assert_eq!(counts.ticks_received, ticks, "{name}: {counts:?}");
        assert_eq!(
            counts.ticks_delivered + counts.trades_missing - counts.trades_recovered,
            ticks + missing,
            "{name}: {counts:?}"
        );
        assert_eq!((counts.ticks_dropped, counts.ticks_failed), (0, 0), "{name}");
        if let Some(reason) = reason {
            let feed = format!("{speech:?}").to_lowercase();
            let metric = format!(
                r#"stockpulse_producer_reconnects_total{{feed="{feed}",reason="{reason}"}}"#
            );
            assert!(stopped.metric(&metric) > 0, "{name}: {}", stopped.text);
            if !speech.has_ids() {
                let told = stopped.gaps.iter().filter(|gap| gap["missing"].is_null());
                assert!(told.count() >= 2, "{name}: {:?}", stopped.gaps);
            }
        }
    }
}

#[tokio::test]
async fn finnhub_loses_nothing_untold() {
    check(Speech::Finnhub, None).await;
}

#[tokio::test]
async fn binance_loses_nothing_untold() {
    check(Speech::Binance, None).await;
}

#[tokio::test]
async fn coinbase_loses_nothing_untold() {
    check(Speech::Coinbase, None).await;
}

#[tokio::test]
async fn kraken_loses_nothing_untold() {
    check(Speech::Kraken, None).await;
}

#[tokio::test]
async fn nor_does_any_over_tls() {
    let authority = Authority::new();
    for speech in Speech::ALL {
        check(speech, Some(&authority)).await;
    }
}
