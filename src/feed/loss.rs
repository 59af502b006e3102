//! Why a feed stopped, sorted by what the producer does about it.

use std::fmt;
use std::time::Duration;

/// Why a feed stopped.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// The connection is gone or was not made: try again after a while.
    #[error("{0}")]
    Lost(Loss),
    /// The feed will not have us as we are configured: trying again changes nothing.
    #[error("{0}")]
    Refused(String),
    /// What the feed reads is damaged or cannot be read.
    #[error("{0}")]
    Failed(String),
}

/// A connection that is gone, or was not made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss {
    /// What kind of loss.
    pub reason: LossReason,
    /// What happened, for a person.
    pub message: String,
    /// The HTTP status of the answer, if that was it.
    pub status: Option<u16>,
    /// The server wants this wait before the next attempt.
    pub retry_after: Option<Duration>,
    /// Trying again soon makes it worse.
    pub wait_long: bool,
    /// From the opening of the connection until it was last heard; 0 if it was not opened.
    pub lived: Duration,
}

impl Loss {
    /// A loss after which the next attempt comes soon.
    pub fn new(reason: LossReason, message: impl Into<String>) -> Loss {
        Loss {
            reason,
            message: message.into(),
            status: None,
            retry_after: None,
            wait_long: false,
            lived: Duration::ZERO,
        }
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<Loss> for FeedError {
    fn from(loss: Loss) -> FeedError {
        FeedError::Lost(loss)
    }
}

/// The kinds of losses: labels of the metric, and reasons of gaps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LossReason {
    /// No connection: name, route, port, TLS.
    Unreachable,
    /// The server answered the handshake with an error.
    Refused,
    /// The server answered that we come too often.
    Throttled,
    /// The server does not serve where we are.
    Blocked,
    /// The server said goodbye.
    Closed,
    /// The connection broke off.
    Broken,
    /// Nothing was heard for too long.
    Idle,
    /// Something was heard, but no tick of any symbol for too long.
    Silent,
    /// What came is not the protocol: broken frames, wrong UTF-8, too long.
    Protocol,
    /// Another program uses the same token, and each throws the other out.
    Kicked,
}

impl LossReason {
    /// Every kind.
    pub const ALL: [LossReason; 10] = [
        LossReason::Unreachable,
        LossReason::Refused,
        LossReason::Throttled,
        LossReason::Blocked,
        LossReason::Closed,
        LossReason::Broken,
        LossReason::Idle,
        LossReason::Silent,
        LossReason::Protocol,
        LossReason::Kicked,
    ];

    /// Its word in metrics, logs and gap records.
    pub fn label(self) -> &'static str {
        match self {
            LossReason::Unreachable => "unreachable",
            LossReason::Refused => "refused",
            LossReason::Throttled => "throttled",
            LossReason::Blocked => "blocked",
            LossReason::Closed => "closed",
            LossReason::Broken => "broken",
            LossReason::Idle => "idle",
            LossReason::Silent => "silent",
            LossReason::Protocol => "protocol",
            LossReason::Kicked => "kicked",
        }
    }
}
