//! Every venue, misbehaving in every way: what the server sent is in the topic, once and in order, and what it
//! did not send is told as missing. Over TCP and over TLS.

use std::path::PathBuf;

use futures::StreamExt;

use super::delivery;
use super::live::{config, feeds, start_with, timing};
use crate::support::broker::TestBroker;
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
    /// Sent just before a reset, which takes with it what was not read yet: in the topic or told as missing.
    uncertain: Vec<Told>,
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
            uncertain: Vec::new(),
            lost: Vec::new(),
        }
        .begin()
    }

    /// Coinbase repeats the latest trade of each product whenever it is subscribed.
    fn begin(mut self) -> Script {
        if self.speech == Speech::Coinbase {
            for symbol in 0..2 {
                let told = Told {
                    symbol,
                    id: self.next[symbol] - 1,
                };
                self.acts.push(Act::Say(self.speech.last_match(told)));
            }
        }
        self
    }

    fn make(&mut self, symbol: usize) -> Told {
        self.next[symbol] += 1;
        Told {
            symbol,
            id: self.next[symbol] - 1,
        }
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

    fn reset(mut self, trades: usize) -> Script {
        if !self.speech.has_ids() {
            return self.act(Act::Drop);
        }
        self.uncertain = self.sent[self.sent.len() - trades..].to_vec();
        self.act(Act::Reset)
    }

    fn act(mut self, act: Act) -> Script {
        self.acts.push(act);
        self
    }

    fn end_session(mut self) -> Script {
        self.sessions
            .push(Session::Serve(std::mem::take(&mut self.acts)));
        self.begin()
    }

    fn refused(mut self, status: u16) -> Script {
        self.sessions
            .push(Session::Refuse(status, (status == 429).then_some(0)));
        self
    }
}

/// Every way to misbehave, with the reason that the reconnect should be counted under.
fn scenarios(speech: Speech) -> Vec<(&'static str, Option<&'static str>, Script)> {
    let script = || Script::new(speech).trades(4);
    let ended_by = |act: Act| script().act(act).end_session().missed(2).trades(4);
    let mut scenarios = vec![
        ("drop", Some("broken"), ended_by(Act::Drop)),
        (
            "reset",
            Some("broken"),
            ended_by(Act::Drop)
                .trades(4)
                .reset(16)
                .end_session()
                .missed(2)
                .trades(4),
        ),
        ("half_close", Some("broken"), ended_by(Act::HalfClose)),
        ("stall", Some("idle"), ended_by(Act::Stall)),
        (
            "garbage",
            Some("protocol"),
            ended_by(Act::Raw(vec![0xff; 64])),
        ),
        (
            "masked",
            Some("protocol"),
            ended_by(Act::Raw(vec![0x81, 0x82, 1, 2, 3, 4, 5, 6])),
        ),
        ("huge", Some("protocol"), ended_by(Act::Huge)),
        ("wrong_utf8", Some("protocol"), ended_by(Act::WrongUtf8)),
        (
            "throttled",
            Some("throttled"),
            script()
                .act(Act::Drop)
                .end_session()
                .refused(429)
                .missed(1)
                .trades(4),
        ),
        (
            "nonsense",
            None,
            [
                "",
                "not json",
                "[1]",
                "null",
                r#"{"type":"news","e":"kline","channel":"book"}"#,
                "{}",
            ]
            .into_iter()
            .fold(script(), |script, text| {
                script.act(Act::Say(text.to_string()))
            })
            .trades(4),
        ),
        ("broken_trade", None, script().broken_trade().trades(4)),
        (
            "repeated",
            None,
            script().repeated(5).trades(2).repeated(3).trades(2),
        ),
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
            script()
                .act(Act::Drop)
                .end_session()
                .refused(500)
                .refused(503)
                .missed(2)
                .trades(4),
        ),
        (
            "one_after_the_other",
            Some("closed"),
            (0..6).fold(script(), |script, round| {
                let act = if round % 2 == 0 {
                    Act::Close(1012)
                } else {
                    Act::Drop
                };
                script.act(act).end_session().missed(1).trades(2)
            }),
        ),
    ];
    for code in [1000, 1001, 1008, 1011, 4000] {
        scenarios.push(("close", Some("closed"), ended_by(Act::Close(code))));
    }
    scenarios
}

/// Each scenario has a server, a producer and a broker of its own, and most of its time is waiting.
const AT_ONCE: usize = 6;

async fn check(speech: Speech, authority: Option<&Authority>) {
    let folder = tempfile::tempdir().unwrap();
    let ca_file = authority.map(|authority| {
        let path = folder.path().join("ca.pem");
        authority.write(&path);
        path
    });
    let check = |(name, reason, script)| {
        let ca_file = ca_file.clone();
        async move {
            let over = if authority.is_some() { "TLS" } else { "TCP" };
            let name = format!("{speech:?}, {name}, {over}");
            let speech_reason = (speech, reason);
            check_one(&name, speech_reason, script, authority, ca_file).await;
        }
    };
    let scenarios = futures::stream::iter(scenarios(speech).into_iter().map(check));
    scenarios
        .buffer_unordered(AT_ONCE)
        .collect::<Vec<()>>()
        .await;
}

async fn check_one(
    name: &str,
    (speech, reason): (Speech, Option<&str>),
    script: Script,
    authority: Option<&Authority>,
    ca_file: Option<PathBuf>,
) {
    let Script {
        mut sessions,
        acts,
        sent,
        uncertain,
        lost,
        ..
    } = script;
    sessions.push(Session::Serve(acts));
    let broker = tokio::task::spawn_blocking(|| TestBroker::start(2))
        .await
        .unwrap();
    let server = FakeVenue::start_with(speech, sessions, authority).await;
    let delivery = delivery(&broker);
    let feeds = feeds(vec![config(speech, &server.url(), ca_file)], &timing());
    let running = start_with(feeds, broker, delivery);
    let (ticks, missing) = (sent.len() as u64, lost.len() as u64);
    running
        .until(|counts| {
            let told = counts
                .trades_missing
                .saturating_sub(counts.trades_recovered);
            counts.ticks_delivered == counts.ticks_received
                && counts.ticks_delivered + told >= ticks + missing
        })
        .await;
    let stopped = running.stop().await;

    let gone = |told: &&Told| {
        let stored = stopped.of(speech.symbols()[told.symbol]);
        uncertain.contains(told) && !stored.contains(&speech.tick(**told).as_str())
    };
    let gone: Vec<Told> = sent.iter().filter(gone).copied().collect();
    for symbol in 0..2 {
        let of_symbol = |told: &&Told| told.symbol == symbol;
        let arrived = sent
            .iter()
            .filter(of_symbol)
            .filter(|told| !gone.contains(told));
        let ticks: Vec<String> = arrived.map(|told| speech.tick(*told)).collect();
        let symbol_name = speech.symbols()[symbol];
        assert_eq!(stopped.of(symbol_name), ticks, "{name}");
        let mut lost: Vec<u64> = lost
            .iter()
            .chain(&gone)
            .filter(of_symbol)
            .map(|told| told.id)
            .collect();
        lost.sort_unstable();
        assert_eq!(
            stopped.missing(symbol_name),
            lost,
            "{name}: {:?}",
            stopped.gaps
        );
    }
    // The account: what was made is in the topic or counted as lost, and nothing else is there.
    let counts = stopped.counts;
    assert_eq!(stopped.topic.len(), sent.len() - gone.len(), "{name}");
    assert_eq!(
        counts.ticks_received,
        ticks - gone.len() as u64,
        "{name}: {counts:?}"
    );
    assert_eq!(
        counts.ticks_delivered + counts.trades_missing - counts.trades_recovered,
        ticks + missing,
        "{name}: {counts:?}"
    );
    assert_eq!(
        (counts.ticks_dropped, counts.ticks_failed),
        (0, 0),
        "{name}"
    );
    if let Some(reason) = reason {
        let feed = format!("{speech:?}").to_lowercase();
        let metric =
            format!(r#"stockpulse_producer_reconnects_total{{feed="{feed}",reason="{reason}"}}"#);
        assert!(stopped.metric(&metric) > 0, "{name}: {}", stopped.text);
        if !speech.has_ids() {
            let told = stopped.gaps.iter().filter(|gap| gap["missing"].is_null());
            assert!(told.count() >= 2, "{name}: {:?}", stopped.gaps);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn finnhub_loses_nothing_untold() {
    check(Speech::Finnhub, None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn binance_loses_nothing_untold() {
    check(Speech::Binance, None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn coinbase_loses_nothing_untold() {
    check(Speech::Coinbase, None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kraken_loses_nothing_untold() {
    check(Speech::Kraken, None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_does_any_over_tls() {
    let authority = Authority::new();
    for speech in Speech::ALL {
        check(speech, Some(&authority)).await;
    }
}
