//! A connection is replaced by a new one before the venue cuts it: the new one is opened while the old one is
//! still read, the old one is read a little longer, and what both bring is dropped by its trade id. So no trade is
//! missed, and the order stays.

use std::time::Duration;

use futures::future::BoxFuture;
use tokio::time::{Instant, sleep_until};

use super::loss::FeedError;
use super::websocket::Connection;

/// After a new connection could not be made, it is tried again after this long.
const RETRY: Duration = Duration::from_secs(60);
/// Longer than any connection lives.
const NEVER: Duration = Duration::from_secs(400 * 86_400);

/// A new connection being made.
pub(super) type Opening = BoxFuture<'static, Result<Connection, FeedError>>;

/// How far the replacement of a connection is.
pub(super) struct Renewal {
    after: Option<Duration>,
    overlap: Duration,
    state: State,
}

enum State {
    Due(Instant),
    Opening(Opening),
    Overlapping(Box<Connection>, Instant),
}

/// What is to be done.
pub(super) enum Turn {
    /// A new connection is to be opened.
    Open,
    /// It could not be made; the old one goes on.
    Failed(FeedError),
    /// The new one takes the old one's place.
    Swap(Box<Connection>),
}

impl Renewal {
    /// For a connection that was opened at `opened` and is to be replaced `after` that.
    pub(super) fn new(opened: Instant, after: Option<Duration>, overlap: Duration) -> Renewal {
        Renewal {
            after,
            overlap,
            state: State::Due(opened + after.unwrap_or(NEVER)),
        }
    }

    /// Waits for what is to be done next. Nothing is lost if the future is dropped.
    pub(super) async fn turn(&mut self) -> Turn {
        loop {
            match &mut self.state {
                State::Due(at) => {
                    sleep_until(*at).await;
                    return Turn::Open;
                }
                State::Opening(opening) => match opening.await {
                    Ok(connection) => {
                        let until = Instant::now() + self.overlap;
                        self.state = State::Overlapping(Box::new(connection), until);
                    }
                    Err(error) => {
                        self.state = State::Due(Instant::now() + RETRY);
                        return Turn::Failed(error);
                    }
                },
                State::Overlapping(_, until) => {
                    sleep_until(*until).await;
                    if let Some(connection) = self.take_open() {
                        return Turn::Swap(Box::new(connection));
                    }
                }
            }
        }
    }

    /// A new connection is under way.
    pub(super) fn open(&mut self, opening: Opening) {
        self.state = State::Opening(opening);
    }

    /// The old one will not last.
    pub(super) fn hurry(&mut self) {
        if let State::Due(at) = &mut self.state {
            *at = Instant::now();
        }
    }

    /// The new connection, if it is there; the next replacement is counted from now.
    pub(super) fn take_open(&mut self) -> Option<Connection> {
        let next = State::Due(Instant::now() + self.after.unwrap_or(NEVER));
        match std::mem::replace(&mut self.state, next) {
            State::Overlapping(connection, _) => Some(*connection),
            other => {
                self.state = other;
                None
            }
        }
    }
}
