//! What is asked of a store, request by request, and who may hear of it.

use std::fmt;

use super::StoreError;

/// One request. A process can be stopped before each and after it, and the answer to each can be lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request<'a> {
    /// An object appears whole, or replaces the one of that key.
    Put(&'a str),
    /// An object appears whole, if none of that key is there.
    PutNew(&'a str),
    /// An object appears that is another's copy, or replaces the one of that key.
    Copy {
        /// From this key.
        from: &'a str,
        /// To this one.
        to: &'a str,
    },
    /// Whether an object is there, and how large.
    Head(&'a str),
    /// What an object holds.
    Get(&'a str),
    /// Which objects are there, of those whose keys begin so.
    List(&'a str),
    /// An object disappears.
    Delete(&'a str),
}

impl Request<'_> {
    /// What it asks for.
    pub fn key(&self) -> &str {
        match *self {
            Request::Put(key)
            | Request::PutNew(key)
            | Request::Copy { to: key, .. }
            | Request::Head(key)
            | Request::Get(key)
            | Request::List(key)
            | Request::Delete(key) => key,
        }
    }

    /// Whether it may change what is there.
    pub fn changes(&self) -> bool {
        !matches!(self, Request::Head(_) | Request::Get(_) | Request::List(_))
    }

    /// What it does, a word or two.
    pub fn name(&self) -> &'static str {
        match self {
            Request::Put(_) => "put",
            Request::PutNew(_) => "put new",
            Request::Copy { .. } => "copy to",
            Request::Head(_) => "look at",
            Request::Get(_) => "get",
            Request::List(_) => "list",
            Request::Delete(_) => "remove",
        }
    }
}

impl fmt::Display for Request<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name(), self.key())
    }
}

/// Hears of every request; called by one thread at a time of a job's commit.
pub trait Watch: Send + Sync {
    /// Before a request.
    ///
    /// # Errors
    /// It is not sent, and fails with this.
    fn before(&self, request: &Request<'_>) -> Result<(), StoreError>;

    /// After a request that was done.
    ///
    /// # Errors
    /// It was done, and fails with this: its answer was lost.
    fn after(&self, request: &Request<'_>) -> Result<(), StoreError>;
}
