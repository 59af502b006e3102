//! `/api/v1/stream`: one symbol's candles as they happen, as server-sent events.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures::{StreamExt, stream};
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast::error::RecvError;
use tracing::warn;

use super::candles::resolution;
use super::live::{JobState, Listener, Now, Shown, Update, View};
use super::params::{Params, symbol};
use super::refusal::Refusal;
use super::routes::App;
use super::symbols::utc;
use crate::candles::{Candle, CandlesError, Fill, Resolution, Series, candles};
use crate::model::NANOS_PER_MILLI;

/// A running candle that has not changed is sent again after this.
const REPEAT: Duration = Duration::from_millis(900);
/// Candles that are sent to who comes back; who has missed more reads them elsewhere.
const REPLAYED_MAX: usize = 1000;
/// How long a listener waits until the table can be read.
const BEGIN_LIMIT: Duration = Duration::from_secs(20);
/// How long a client waits before it connects again.
const RETRY: Duration = Duration::from_secs(2);
/// A comment is sent when nothing else was for so long.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// The header of who comes back: the id of the last closed candle it has.
const LAST_EVENT_ID: &str = "last-event-id";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StreamParams {
    symbol: String,
    resolution: Option<String>,
}

#[derive(Serialize)]
struct CandleEvent<'a> {
    symbol: &'a str,
    window_start: String,
    window_end: String,
    open: f64,
    high: f64,
    low: f64,
    close: f64,
    volume: Option<f64>,
    trades: Option<i64>,
    closed: bool,
}

#[derive(Serialize, PartialEq, Clone)]
struct JobEvent {
    job: &'static str,
    message: Option<String>,
}

#[derive(Serialize)]
struct ResetEvent {
    reason: &'static str,
}

pub(super) async fn stream(
    State(app): State<App>,
    headers: HeaderMap,
    Params(params): Params<StreamParams>,
) -> Result<impl IntoResponse, Refusal> {
    let symbol = symbol(&params.symbol)?;
    let resolution = resolution(params.resolution.as_deref())?;
    let last = last_closed(&headers)?;
    let stopping = || Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "the server stops");
    let mut listener = app.live.listen().ok_or_else(stopping)?;
    let now = tokio::time::timeout(BEGIN_LIMIT, listener.now()).await;
    let now = now.map_err(|_| {
        Refusal::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "the candles cannot be read; the log of the API says why",
        )
    })?;
    let now = now.ok_or_else(stopping)?;
    let resolution = check(&app, resolution).await?;
    let mut listening = Listening {
        app,
        listener,
        view: View::new(&symbol, resolution, now.frontier),
        symbol,
        resolution,
        waiting: VecDeque::new(),
        sent: Vec::new(),
        sent_at: None,
        job: None,
    };
    let begun = listening.begin(&now, last).await;
    begun.map_err(|error| Refusal::of_table(&error, &listening.app.store))?;
    let events = stream::unfold(listening, |mut listening| async move {
        let event = listening.next().await?;
        Some((event, listening))
    });
    let hello = stream::iter([Event::default().retry(RETRY)]);
    let events = hello.chain(events).map(Ok::<Event, Infallible>);
    let events = Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE));
    // A proxy before it is not to collect them.
    Ok(([("x-accel-buffering", "no")], events))
}

/// The start of the last closed candle that the client has, nanoseconds since 1970 UTC.
fn last_closed(headers: &HeaderMap) -> Result<Option<i64>, Refusal> {
    let Some(id) = headers.get(LAST_EVENT_ID).filter(|id| !id.is_empty()) else {
        return Ok(None);
    };
    let id = id
        .to_str()
        .ok()
        .and_then(|id| id.trim().parse::<i64>().ok());
    match id.and_then(|id| id.checked_mul(NANOS_PER_MILLI)) {
        Some(start) => Ok(Some(start)),
        None => Err(Refusal::bad(
            "Last-Event-ID is no id of this stream: send the last one you got, or none",
        )),
    }
}

/// The resolution, if stored candles add up to it; none: as stored.
async fn check(app: &App, resolution: Option<Resolution>) -> Result<Option<Resolution>, Refusal> {
    let Some(asked) = resolution else {
        return Ok(None);
    };
    let shape = match app.store.shape().await {
        Ok(shape) => shape,
        Err(CandlesError::NoFiles(_)) => return Ok(Some(asked)),
        Err(error) => return Err(Refusal::of_table(&error, &app.store)),
    };
    let stored = shape.resolution;
    match asked == stored {
        true => Ok(None),
        false if !shape.overlaps && asked.is_multiple_of(stored) => Ok(Some(asked)),
        false => Err(Refusal::bad(format!(
            "resolution {asked} does not follow from the stored candles, which last {stored}"
        ))),
    }
}

/// One client's stream.
struct Listening {
    app: App,
    listener: Listener,
    view: View,
    symbol: String,
    resolution: Option<Resolution>,
    waiting: VecDeque<Event>,
    /// Running candles as they were sent last, and when.
    sent: Vec<Shown>,
    sent_at: Option<Instant>,
    job: Option<JobEvent>,
}

impl Listening {
    /// What is there already: closed candles after `last`, and the parts of the one that is not closed.
    async fn begin(&mut self, now: &Now, last: Option<i64>) -> Result<(), CandlesError> {
        if let Some(last) = last {
            let missed = self.stored(last.saturating_add(1), self.resolution).await?;
            if missed.len() > REPLAYED_MAX {
                self.reset("more candles were missed than a stream sends again");
            } else {
                let closed = missed.into_iter();
                for candle in closed.filter(|candle| Some(candle.end) <= now.frontier) {
                    self.send(&Shown {
                        candle,
                        closed: true,
                    });
                }
            }
        }
        if let Some(from) = self.view.begins() {
            let parts = self.stored(from, None).await?;
            let closed = self.view.published(&parts, None);
            closed.iter().for_each(|shown| self.send(shown));
        }
        self.job(&now.job);
        Ok(())
    }

    async fn stored(
        &self,
        from: i64,
        resolution: Option<Resolution>,
    ) -> Result<Vec<Candle>, CandlesError> {
        let mut scan = (self.app.store)
            .series(&Series {
                symbol: self.symbol.clone(),
                from: Some(from),
                to: None,
                resolution,
                limit: Some(REPLAYED_MAX + 1),
                fill: Fill::None,
            })
            .await?;
        let mut found = Vec::new();
        while let Some(batch) = scan.batches.next().await {
            found.extend(candles(&batch?, self.app.store.path())?);
        }
        Ok(found)
    }

    /// The next event; none when the server stops.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                return Some(event);
            }
            match self.listener.updates.recv().await {
                Ok(Update::Closed(candles, frontier)) => {
                    let closed = self.view.published(&candles, frontier);
                    closed.iter().for_each(|shown| self.send(shown));
                }
                Ok(Update::Job(state)) => self.job(&state),
                Ok(Update::Replaced) => self.begin_anew("the table was changed").await,
                Err(RecvError::Lagged(_)) => {
                    self.begin_anew("this stream was read too slowly").await;
                }
                Err(RecvError::Closed) => return None,
            }
        }
    }

    async fn begin_anew(&mut self, reason: &'static str) {
        self.listener.updates = self.listener.updates.resubscribe();
        self.reset(reason);
        let Some(now) = self.listener.now().await else {
            return;
        };
        self.view = View::new(&self.symbol, self.resolution, now.frontier);
        if let Err(error) = self.begin(&now, None).await {
            warn!("a stream goes on without stored candles: {error}");
        }
    }

    fn reset(&mut self, reason: &'static str) {
        self.waiting
            .push_back(event("reset", &ResetEvent { reason }));
        self.sent.clear();
    }

    fn job(&mut self, state: &JobState) {
        let (told, open) = match state {
            JobState::Off => ("off", None),
            JobState::Connected(open) => ("connected", open.candles.get(&self.symbol)),
            JobState::Unreachable(_) => ("unreachable", None),
        };
        let told = JobEvent {
            job: told,
            message: match state {
                JobState::Unreachable(why) => Some(why.clone()),
                _ => None,
            },
        };
        if self.job.as_ref() != Some(&told) {
            self.waiting.push_back(event("job", &told));
            self.job = Some(told);
        }
        self.view.opened(open.map_or(&[], Vec::as_slice));
        let running = self.view.running();
        let is_due = self.sent_at.is_none_or(|at| at.elapsed() >= REPEAT);
        if running != self.sent || is_due {
            running.iter().for_each(|shown| self.send(shown));
            self.sent = running;
            self.sent_at = Some(Instant::now());
        }
    }

    fn send(&mut self, Shown { candle, closed }: &Shown) {
        let sent = event(
            "candle",
            &CandleEvent {
                symbol: &candle.symbol,
                window_start: utc(candle.start),
                window_end: utc(candle.end),
                open: candle.open,
                high: candle.high,
                low: candle.low,
                close: candle.close,
                volume: candle.volume,
                trades: candle.trades,
                closed: *closed,
            },
        );
        // Only a closed candle has an id: who comes back gets what follows it.
        self.waiting.push_back(match closed {
            true => sent.id(candle.start.div_euclid(NANOS_PER_MILLI).to_string()),
            false => sent,
        });
    }
}

fn event(name: &str, data: &impl Serialize) -> Event {
    let data = serde_json::to_string(data).expect("texts and numbers are JSON");
    Event::default().event(name).data(data)
}
