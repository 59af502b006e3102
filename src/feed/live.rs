//! How a session with a venue goes, for all venues: connect, subscribe, read, notice what is silent or missing.
//! What lasts over sessions, ids and interruptions, is in the ledger.

use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tracing::{info, warn};

use super::complaints::Complaints;
use super::ledger::{Ledger, Name};
use super::loss::{FeedError, Loss, LossReason};
use super::outlet::Outlet;
use super::renewal::{Renewal, Turn};
use super::ticks::{self, Tick};
use super::timing::Timing;
use super::tls::Trust;
use super::venue::{Heard, Said, Trade, Venue};
use super::websocket::Connection;
use super::{Content, Feed, Frame, Gap, WhenFull};
use crate::metrics::feed::FeedMetrics;

/// Symbols are named in a log line up to this many.
const SHOWN_SYMBOLS: usize = 5;

/// The feed of a venue.
pub struct Live<V> {
    venue: V,
    ledger: Ledger,
    trust: Trust,
    timing: Timing,
    now_ms: fn() -> i64,
    /// When an open session was last heard, while there is none; milliseconds since 1970 UTC.
    away_since_ms: Option<i64>,
    complaints: Complaints,
}

/// Whether the session goes on as it is.
enum Next {
    Read,
    Renew,
    /// Nobody takes frames any more.
    End,
}

impl<V: Venue> Live<V> {
    /// `now_ms` is the wall clock, milliseconds since 1970 UTC.
    pub(super) fn new(
        venue: V,
        symbols: &[String],
        trust: Trust,
        timing: Timing,
        now_ms: fn() -> i64,
    ) -> Live<V> {
        let name = |symbol: &String| Name {
            ours: symbol.as_str().into(),
            venues: venue.venues_name(symbol),
        };
        let names = symbols.iter().map(name).collect();
        Live {
            ledger: Ledger::new(venue.name(), names, Instant::now()),
            venue,
            trust,
            timing,
            now_ms,
            away_since_ms: None,
            complaints: Complaints::default(),
        }
    }

    async fn session(&mut self, outlet: &Outlet) -> Result<(), FeedError> {
        let mut connection = match self.opening()?.await {
            Ok(connection) => connection,
            Err(FeedError::Lost(loss)) => {
                self.ledger.interrupted(loss.reason.label());
                return Err(self.venue.refused(loss));
            }
            Err(other) => return Err(other),
        };
        let opened = Instant::now();
        let _connected = Connected::new(outlet.metrics());
        self.begin(outlet).await;
        let ended = self.read(&mut connection, opened, outlet).await;
        let last_heard = connection.last_heard();
        let silent_ms = i64::try_from(last_heard.elapsed().as_millis()).unwrap_or(i64::MAX);
        self.away_since_ms = Some((self.now_ms)().saturating_sub(silent_ms));
        match ended {
            Err(FeedError::Lost(loss)) => {
                let lived = last_heard.saturating_duration_since(opened);
                let loss = self.venue.lost(Loss { lived, ..loss });
                self.ledger.interrupted(loss.reason.label());
                Err(loss.into())
            }
            other => other,
        }
    }

    /// A new connection, subscribed.
    fn opening(&mut self) -> Result<super::renewal::Opening, FeedError> {
        let wanted = self.ledger.wanted();
        if wanted.is_empty() {
            let message = "it has none of the symbols; correct SYMBOL_LIST or --symbols";
            return Err(FeedError::Refused(message.to_string()));
        }
        let idle = self.timing.idle.unwrap_or(self.venue.idle_timeout());
        let (url, hello) = (self.venue.url(&wanted), self.venue.subscribe(&wanted));
        let trust = Arc::clone(&self.trust);
        Ok(Box::pin(Connection::open(
            url,
            trust,
            self.timing,
            idle,
            hello,
        )))
    }

    async fn begin(&mut self, outlet: &Outlet) {
        self.ledger.subscribed(Instant::now());
        let symbols = self.ledger.wanted().len();
        info!(
            feed = self.venue.name(),
            symbols, "Connected and subscribed."
        );
        let away_since_ms = self.away_since_ms.take();
        if let (false, Some(from_ms)) = (self.venue.has_ids(), away_since_ms) {
            for gap in self.ledger.gaps_without_ids(from_ms, (self.now_ms)()) {
                outlet.gap(gap).await;
            }
        }
    }

    async fn read(
        &mut self,
        connection: &mut Connection,
        opened: Instant,
        outlet: &Outlet,
    ) -> Result<(), FeedError> {
        let mut look = interval(self.timing.look);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let after = self.timing.renew.or(self.venue.renew_after());
        let mut renewal = Renewal::new(opened, after, self.timing.overlap);
        loop {
            tokio::select! {
                heard = connection.next() => {
                    let message = match heard {
                        Ok(message) => message,
                        Err(loss) => {
                            // A new connection that is there already takes over.
                            *connection = renewal.take_open().ok_or(loss)?;
                            continue;
                        }
                    };
                    match self.take(&message, connection, outlet).await? {
                        Next::Read => {}
                        Next::Renew => renewal.hurry(),
                        Next::End => return Ok(()),
                    }
                }
                _ = look.tick() => self.look(connection, outlet).await?,
                turn = renewal.turn() => match turn {
                    Turn::Open => renewal.open(self.opening()?),
                    Turn::Failed(error) => {
                        let reason = error.to_string();
                        warn!(feed = self.venue.name(), reason,
                            "A new connection could not be made before the old one is cut; it is tried again.");
                    }
                    Turn::Swap(new) => {
                        *connection = *new;
                        info!(feed = self.venue.name(), "A new connection took the place of the old one.");
                    }
                },
            }
        }
    }

    async fn take(
        &mut self,
        message: &Bytes,
        connection: &mut Connection,
        outlet: &Outlet,
    ) -> Result<Next, FeedError> {
        let (metrics, received) = (outlet.metrics(), Instant::now());
        metrics.heard((self.now_ms)());
        let said = self.venue.hear(message);
        if !matches!(said, Said::Frame(_)) {
            metrics.all().frame_received();
        }
        let goes_on = match said {
            Said::Trades(trades) => self.take_trades(&trades, received, outlet).await,
            Said::Frame(heard) => self.take_frame(heard, received, outlet).await,
            Said::Alive => {
                metrics.all().frame_ping();
                true
            }
            Said::LatestTrade(symbol, id, said_ms) => {
                metrics.all().frame_ping();
                self.ledger.mentioned(&symbol, id, said_ms, received);
                true
            }
            Said::SymbolRefused { symbol, why, all } => {
                return self.refuse(&symbol, why, all, connection, outlet).await;
            }
            Said::Leaving => return Ok(Next::Renew),
            complaint => {
                self.complaints.log(self.venue.name(), &complaint, metrics);
                true
            }
        };
        Ok(if goes_on { Next::Read } else { Next::End })
    }

    /// False: nobody takes frames any more.
    async fn take_trades(
        &mut self,
        trades: &[Trade<'_>],
        received: Instant,
        outlet: &Outlet,
    ) -> bool {
        let metrics = outlet.metrics();
        let mut groups: Vec<(Arc<str>, Vec<Tick<'_>>)> = Vec::new();
        for trade in trades {
            let Trade {
                symbol,
                price,
                size,
                event_ms,
                id,
                repeated,
            } = trade;
            if *repeated && self.ledger.begin_with(symbol, *id, *event_ms, received) {
                continue;
            }
            let Some(entry) = self.ledger.take(symbol, Some(*id), *event_ms, received) else {
                metrics.all().frame_other();
                continue;
            };
            if let Some(record) = entry.record
                && !outlet.gap(record).await
            {
                return false;
            }
            if !entry.is_new {
                metrics.duplicate();
                continue;
            }
            let tick = Tick {
                price,
                size,
                event_ms: *event_ms,
                id: *id,
            };
            match groups
                .iter_mut()
                .find(|(symbol, _)| *symbol == entry.symbol)
            {
                Some((_, ticks)) => ticks.push(tick),
                None => groups.push((entry.symbol, vec![tick])),
            }
        }
        for (symbol, ticks) in groups {
            let content = content(symbol, &ticks);
            metrics.ticks_received(u64::from(content.ticks));
            metrics.exchange_lag_ms((self.now_ms)().saturating_sub(content.event_ms.1));
            let payload = ticks::frame(&content.symbol, &ticks);
            let frame = Frame {
                payload,
                received,
                content: Some(content),
            };
            if !outlet.frame(frame).await {
                return false;
            }
        }
        true
    }

    async fn take_frame(&mut self, heard: Heard<'_>, received: Instant, outlet: &Outlet) -> bool {
        let metrics = outlet.metrics();
        metrics.price_updates(heard.price_updates);
        for (symbol, event_ms) in &heard.ticks {
            self.ledger.take(symbol, None, *event_ms, received);
        }
        metrics.ticks_received(heard.ticks.len() as u64);
        if let Some(latest_ms) = heard.ticks.iter().map(|(_, event_ms)| *event_ms).max() {
            metrics.exchange_lag_ms((self.now_ms)().saturating_sub(latest_ms));
        } else if heard.price_updates > 0 {
            metrics.all().frame_received();
            return true;
        }
        let frame = Frame {
            payload: heard.payload,
            received,
            content: None,
        };
        outlet.frame(frame).await
    }

    /// The others are subscribed anew if they were refused along with it.
    async fn refuse(
        &mut self,
        symbol: &str,
        why: String,
        all: bool,
        connection: &mut Connection,
        outlet: &Outlet,
    ) -> Result<Next, FeedError> {
        outlet.metrics().all().frame_error();
        let Some(ours) = self.ledger.refuse(symbol) else {
            return Ok(Next::Read);
        };
        if !outlet.symbol_refused(ours, why.clone()).await {
            return Ok(Next::End);
        }
        let wanted = self.ledger.wanted();
        if wanted.is_empty() {
            return Err(FeedError::Refused(format!(
                "it has none of the symbols ({why}); correct SYMBOL_LIST or --symbols"
            )));
        }
        if all {
            for text in self.venue.subscribe(&wanted) {
                connection.send(text).await?;
            }
        }
        Ok(Next::Read)
    }

    /// What is missing for good is handed on, who is silent is subscribed again.
    async fn look(
        &mut self,
        connection: &mut Connection,
        outlet: &Outlet,
    ) -> Result<(), FeedError> {
        let (now, limit) = (Instant::now(), self.timing.symbol_idle);
        if let Some(until) = now.checked_sub(self.timing.patience) {
            for gap in self.ledger.due_gaps(until) {
                outlet.gap(gap).await;
            }
        }
        let twice = limit.saturating_mul(2);
        if self.venue.never_closes() && self.ledger.all_silent(now, twice) {
            let message = format!("no symbol ticked for {twice:?}");
            return Err(Loss::new(LossReason::Silent, message).into());
        }
        let names = self.ledger.ask_again(now, limit);
        outlet.metrics().symbols_silent(self.ledger.silent());
        if names.is_empty() {
            return Ok(());
        }
        let shown: Vec<&str> = names
            .iter()
            .take(SHOWN_SYMBOLS)
            .map(|name| &*name.ours)
            .collect();
        warn!(
            feed = self.venue.name(),
            symbols = names.len(),
            first = shown.join(", "),
            "Symbols are silent and are subscribed again; their market rests, or there are no such symbols."
        );
        outlet.metrics().subscribed_again(names.len());
        let names: Vec<&str> = names.iter().map(|name| name.venues.as_str()).collect();
        for text in self.venue.subscribe_again(&names) {
            connection.send(text).await?;
        }
        Ok(())
    }
}

impl<V: Venue> Feed for Live<V> {
    fn name(&self) -> &'static str {
        self.venue.name()
    }

    fn when_full(&self) -> WhenFull {
        WhenFull::Drop
    }

    fn run<'a>(&'a mut self, outlet: &'a Outlet) -> BoxFuture<'a, Result<(), FeedError>> {
        Box::pin(self.session(outlet))
    }

    fn open_gaps(&mut self) -> Vec<Gap> {
        let mut gaps = self.ledger.due_gaps(Instant::now());
        if let (false, Some(from_ms)) = (self.venue.has_ids(), self.away_since_ms.take()) {
            gaps.extend(self.ledger.gaps_without_ids(from_ms, (self.now_ms)()));
        }
        gaps
    }
}

fn content(symbol: Arc<str>, ticks: &[Tick<'_>]) -> Content {
    let (times, ids) = (
        || ticks.iter().map(|tick| tick.event_ms),
        || ticks.iter().map(|tick| tick.id),
    );
    Content {
        symbol,
        ticks: u32::try_from(ticks.len()).unwrap_or(u32::MAX),
        event_ms: (
            times().min().unwrap_or_default(),
            times().max().unwrap_or_default(),
        ),
        ids: ids().min().zip(ids().max()),
    }
}

/// The metric says connected as long as this lives.
struct Connected<'a>(&'a FeedMetrics);

impl Connected<'_> {
    fn new(metrics: &FeedMetrics) -> Connected<'_> {
        metrics.connected(true);
        Connected(metrics)
    }
}

impl Drop for Connected<'_> {
    fn drop(&mut self) {
        self.0.connected(false);
    }
}
