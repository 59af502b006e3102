//! What a live feed knows of its symbols over all its sessions: which ids came, what is missing and why, and
//! who has been silent for how long. Pure but for the moments that it is handed.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::gap::{Gap, GapKind, RENUMBERED, SKIPPED};
use super::ids::{Hole, Ids, Taken};

/// The longest pause between two subscriptions of a silent symbol is this many times the first.
const SILENCE_DOUBLINGS_MAX: u32 = 6;

/// A symbol as the user and the topic name it, and as the venue does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) ours: Arc<str>,
    pub(super) venues: String,
}

/// The symbols of one feed.
#[derive(Debug)]
pub(super) struct Ledger {
    feed: &'static str,
    symbols: Vec<Symbol>,
    by_venue_name: HashMap<String, usize>,
}

#[derive(Debug)]
struct Symbol {
    name: Name,
    ids: Ids,
    latest_ms: Option<i64>,
    /// When it ticked last, or was subscribed first.
    ticked: Instant,
    /// Subscribed again so many times since.
    asked_again: u32,
    /// Why there may be a gap before its next tick.
    interrupted: Option<&'static str>,
    refused: bool,
}

/// What a tick is, and what is to be recorded beside it.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) symbol: Arc<str>,
    pub(super) is_new: bool,
    pub(super) record: Option<Gap>,
}

impl Ledger {
    pub(super) fn new(feed: &'static str, names: Vec<Name>, now: Instant) -> Ledger {
        let by_venue_name = (names.iter().enumerate())
            .map(|(at, name)| (name.venues.clone(), at))
            .collect();
        let symbol = |name| Symbol {
            name,
            ids: Ids::default(),
            latest_ms: None,
            ticked: now,
            asked_again: 0,
            interrupted: None,
            refused: false,
        };
        Ledger {
            feed,
            symbols: names.into_iter().map(symbol).collect(),
            by_venue_name,
        }
    }

    /// The venue's names of the symbols that it has not refused.
    pub(super) fn wanted(&self) -> Vec<&str> {
        let wanted = self.symbols.iter().filter(|symbol| !symbol.refused);
        wanted.map(|symbol| symbol.name.venues.as_str()).collect()
    }

    /// Takes in a tick; `None`: nobody asked for that symbol.
    pub(super) fn take(
        &mut self,
        venues_name: &str,
        id: Option<u64>,
        event_ms: i64,
        now: Instant,
    ) -> Option<Entry> {
        let feed = self.feed;
        let symbol = self.symbol(venues_name)?;
        symbol.ticked = now;
        symbol.asked_again = 0;
        let before = symbol.latest_ms;
        let taken = match id {
            Some(id) => {
                let reason = symbol.interrupted.take().unwrap_or(SKIPPED);
                symbol.ids.take(id, event_ms, reason, now)
            }
            None => Taken::New,
        };
        symbol.latest_ms = Some(before.map_or(event_ms, |before| before.max(event_ms)));
        let record = |kind, from, reason, missing: Option<u64>| Gap {
            kind,
            feed,
            symbol: Arc::clone(&symbol.name.ours),
            from,
            to: Some(event_ms),
            reason,
            missing,
            first_id: id.filter(|_| missing.is_some()),
            last_id: id.filter(|_| missing.is_some()),
        };
        let record = match taken {
            Taken::New | Taken::Duplicate => None,
            Taken::Recovered(reason) => {
                Some(record(GapKind::Recovered, Some(event_ms), reason, Some(1)))
            }
            Taken::Renumbered => Some(record(GapKind::Gap, before, RENUMBERED, None)),
        };
        Some(Entry {
            symbol: Arc::clone(&symbol.name.ours),
            is_new: taken != Taken::Duplicate,
            record,
        })
    }

    /// The venue says which trade was its latest. Nothing is missing before the first one that came.
    pub(super) fn mentioned(&mut self, venues_name: &str, id: u64, event_ms: i64, now: Instant) {
        if let Some(symbol) = self.symbol(venues_name) {
            let reason = symbol.interrupted.unwrap_or(SKIPPED);
            symbol.ids.mentioned(id, event_ms, reason, now);
        }
    }

    /// Takes in the latest trade before the subscription, which begins the count and is no tick of ours;
    /// false: it is a tick like any other, since the count has begun.
    pub(super) fn begin_with(
        &mut self,
        venues_name: &str,
        id: u64,
        event_ms: i64,
        now: Instant,
    ) -> bool {
        match self.symbol(venues_name) {
            Some(symbol) if !symbol.ids.has_begun() => {
                symbol.ids.take(id, event_ms, SKIPPED, now);
                symbol.latest_ms = Some(event_ms);
                true
            }
            _ => false,
        }
    }

    /// The venue will not have a symbol; `None`: nobody asked for it, or it is known.
    pub(super) fn refuse(&mut self, venues_name: &str) -> Option<Arc<str>> {
        let symbol = self.symbol(venues_name)?;
        (!std::mem::replace(&mut symbol.refused, true)).then(|| Arc::clone(&symbol.name.ours))
    }

    /// A session has begun: silence is counted from now on.
    pub(super) fn subscribed(&mut self, now: Instant) {
        for symbol in &mut self.symbols {
            symbol.ticked = now;
            symbol.asked_again = 0;
        }
    }

    /// The session is over, for this reason.
    pub(super) fn interrupted(&mut self, reason: &'static str) {
        for symbol in &mut self.symbols {
            symbol.interrupted = Some(symbol.interrupted.unwrap_or(reason));
        }
    }

    /// Without ids all that is known is when the feed was away.
    pub(super) fn gaps_without_ids(&mut self, from_ms: i64, to_ms: i64) -> Vec<Gap> {
        let feed = self.feed;
        let gap = |symbol: &mut Symbol| {
            Some(Gap {
                kind: GapKind::Gap,
                feed,
                symbol: Arc::clone(&symbol.name.ours),
                from: Some(from_ms),
                to: Some(to_ms),
                reason: symbol.interrupted.take()?,
                missing: None,
                first_id: None,
                last_id: None,
            })
        };
        self.symbols.iter_mut().filter_map(gap).collect()
    }

    /// What has been missing since `until` or longer and was not told yet.
    pub(super) fn due_gaps(&mut self, until: Instant) -> Vec<Gap> {
        let feed = self.feed;
        let mut due = Vec::new();
        for symbol in &mut self.symbols {
            for Hole {
                first,
                last,
                from_ms,
                to_ms,
                reason,
                ..
            } in symbol.ids.due(until)
            {
                due.push(Gap {
                    kind: GapKind::Gap,
                    feed,
                    symbol: Arc::clone(&symbol.name.ours),
                    from: Some(from_ms),
                    to: Some(to_ms),
                    reason,
                    missing: Some(last - first + 1),
                    first_id: Some(first),
                    last_id: Some(last),
                });
            }
        }
        due
    }

    /// Symbols to subscribe again: without a tick for `limit`, then twice that, and so on.
    pub(super) fn ask_again(&mut self, now: Instant, limit: Duration) -> Vec<Name> {
        let mut names = Vec::new();
        for symbol in self.symbols.iter_mut().filter(|symbol| !symbol.refused) {
            let doublings = symbol.asked_again.min(SILENCE_DOUBLINGS_MAX);
            let due = limit.saturating_mul(2_u32.saturating_pow(doublings));
            if now.duration_since(symbol.ticked) >= due {
                symbol.asked_again += 1;
                names.push(symbol.name.clone());
            }
        }
        names
    }

    /// Symbols that have been silent for long enough to be asked for again.
    pub(super) fn silent(&self) -> usize {
        let silent = self.symbols.iter().filter(|symbol| symbol.asked_again > 0);
        silent.filter(|symbol| !symbol.refused).count()
    }

    /// Whether no symbol has ticked for `limit`.
    pub(super) fn all_silent(&self, now: Instant, limit: Duration) -> bool {
        let mut wanted = self.symbols.iter().filter(|symbol| !symbol.refused);
        wanted.all(|symbol| now.duration_since(symbol.ticked) >= limit)
    }

    fn symbol(&mut self, venues_name: &str) -> Option<&mut Symbol> {
        let at = *self.by_venue_name.get(venues_name)?;
        self.symbols.get_mut(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger(now: Instant) -> Ledger {
        let name = |venues: &str| Name {
            ours: format!("X:{venues}").into(),
            venues: venues.to_string(),
        };
        Ledger::new("x", vec![name("A"), name("B")], now)
    }

    #[test]
    fn an_outage_is_the_reason_of_the_next_gap_only() {
        let now = Instant::now();
        let mut ledger = ledger(now);
        for id in [1, 2] {
            assert!(ledger.take("A", Some(id), id as i64, now).unwrap().is_new);
        }
        ledger.interrupted("closed");
        ledger.interrupted("unreachable");
        for id in [5, 7] {
            ledger.take("A", Some(id), id as i64, now);
        }
        let told: Vec<_> = (ledger.due_gaps(now).into_iter())
            .map(|gap| {
                (
                    gap.symbol.to_string(),
                    gap.from,
                    gap.to,
                    gap.reason,
                    gap.missing,
                )
            })
            .collect();
        let gap = |from, to, reason, missing| {
            (
                "X:A".to_string(),
                Some(from),
                Some(to),
                reason,
                Some(missing),
            )
        };
        assert_eq!(told, [gap(2, 5, "closed", 2), gap(5, 7, "skipped", 1)]);
        assert!(ledger.take("C", Some(1), 1, now).is_none());
    }

    #[test]
    fn silence_doubles_and_a_tick_ends_it() {
        let (start, limit) = (Instant::now(), Duration::from_secs(10));
        let mut ledger = ledger(start);
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(ledger.ask_again(at(9), limit), []);
        ledger.take("B", None, 1, at(9));
        assert_eq!(ledger.ask_again(at(10), limit).len(), 1);
        assert_eq!(
            (ledger.silent(), ledger.all_silent(at(10), limit)),
            (1, false)
        );
        assert_eq!(ledger.ask_again(at(15), limit), []);
        assert_eq!(ledger.ask_again(at(20), limit).len(), 2);
        assert!(ledger.all_silent(at(20), limit));
        ledger.take("A", None, 1, at(21));
        assert_eq!(
            (ledger.silent(), ledger.all_silent(at(22), limit)),
            (1, false)
        );
        assert_eq!(ledger.refuse("B").as_deref(), Some("X:B"));
        assert_eq!((ledger.refuse("B"), ledger.silent()), (None, 0));
        assert_eq!(ledger.wanted(), ["A"]);
    }
}
