//! Why a frame, or one element of it, did not become a row; and the accounting identity.

use serde::{Deserialize, Serialize};

/// Why a frame or a tick was refused. The set is small and fixed: it is a metric label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RejectReason {
    /// No payload, or only white space.
    Empty,
    /// Not UTF-8 or not JSON, truncated JSON included.
    Malformed,
    /// JSON, but not an object.
    NotAnObject,
    /// A declared field holds a value of another type.
    WrongType,
    /// A value that the query needs (`IS NOT NULL`, event time) is missing or null.
    Null,
    /// Event time further in the future of Kafka's timestamp than `maxFutureSkew`.
    Future,
    /// Event time outside of the years that nanoseconds can express (1677 to 2262).
    OutOfRange,
}

impl RejectReason {
    /// Every reason, in the order of the metric's label values.
    pub const ALL: [RejectReason; 7] = [
        RejectReason::Empty,
        RejectReason::Malformed,
        RejectReason::NotAnObject,
        RejectReason::WrongType,
        RejectReason::Null,
        RejectReason::Future,
        RejectReason::OutOfRange,
    ];

    /// The metric label value.
    pub fn label(self) -> &'static str {
        match self {
            RejectReason::Empty => "empty",
            RejectReason::Malformed => "malformed",
            RejectReason::NotAnObject => "not_an_object",
            RejectReason::WrongType => "wrong_type",
            RejectReason::Null => "null",
            RejectReason::Future => "future",
            RejectReason::OutOfRange => "out_of_range",
        }
    }
}

/// One refused frame, or one refused element of a frame whose other elements were kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reject {
    /// Why.
    pub reason: RejectReason,
    /// Position in the frame's array, from 0; `None`: the whole frame.
    pub element: Option<u32>,
    /// What was found where, for a person: `data[2].p: expected a number, found a string`.
    pub detail: String,
}

/// Ticks by what became of them, since the job's first epoch.
///
/// Invariant: `read == in_windows + filtered + late + rejected()`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Ticks read; a frame that could not be decoded counts as one.
    pub read: u64,
    /// Ticks that were aggregated into a window.
    pub in_windows: u64,
    /// Ticks that the SQL's conditions left out.
    pub filtered: u64,
    /// Ticks whose window had closed.
    pub late: u64,
    /// Refused ticks and frames, by reason.
    pub rejected: std::collections::BTreeMap<RejectReason, u64>,
}

impl Counts {
    /// Adds one refusal.
    pub fn reject(&mut self, reason: RejectReason, ticks: u64) {
        if ticks > 0 {
            *self.rejected.entry(reason).or_default() += ticks;
        }
    }

    /// Refused ticks and frames of every reason.
    pub fn rejected(&self) -> u64 {
        self.rejected.values().sum()
    }

    /// Adds another count to this one.
    pub fn add(&mut self, other: &Counts) {
        self.read += other.read;
        self.in_windows += other.in_windows;
        self.filtered += other.filtered;
        self.late += other.late;
        for (&reason, &ticks) in &other.rejected {
            self.reject(reason, ticks);
        }
    }

    /// Those above 0 by name; refusals by their reason's label.
    pub fn by_name(&self) -> std::collections::BTreeMap<&'static str, u64> {
        let fates = [
            ("read", self.read),
            ("in_windows", self.in_windows),
            ("filtered", self.filtered),
            ("late", self.late),
        ];
        let rejected = self.rejected.iter();
        let rejected = rejected.map(|(reason, &ticks)| (reason.label(), ticks));
        fates
            .into_iter()
            .chain(rejected)
            .filter(|(_, ticks)| *ticks > 0)
            .collect()
    }

    /// Whether every tick read is accounted for.
    pub fn balanced(&self) -> bool {
        self.read == self.in_windows + self.filtered + self.late + self.rejected()
    }
}
