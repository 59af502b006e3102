//! What the windows that are open would come to if they closed now, for whoever asks. While nobody asks nothing is
//! computed.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;

use crate::model::Watermark;

/// Who has asked is still there for so long; then it has to ask again.
const ASKED_FOR: Duration = Duration::from_secs(3);

/// The rows of open windows. A clone is the same.
#[derive(Debug, Clone, Default)]
pub struct OpenRows(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    asked_at: Mutex<Option<Instant>>,
    shown: Mutex<Option<Arc<Shown>>>,
}

/// What was computed last.
#[derive(Debug, Clone)]
pub struct Shown {
    /// When, by the steady clock.
    pub at: Instant,
    /// Windows that end at or before this were closed.
    pub watermark: Watermark,
    /// Per INSERT that has windows.
    pub outputs: Vec<OpenOutput>,
}

/// The rows of one INSERT, as its sink would get them.
#[derive(Debug, Clone)]
pub struct OpenOutput {
    /// The sink's table.
    pub table: String,
    /// A batch a window, in the order of the windows.
    pub rows: Vec<RecordBatch>,
}

impl OpenRows {
    /// Says that somebody wants them, now and for three seconds.
    pub fn ask(&self) {
        *lock(&self.0.asked_at) = Some(Instant::now());
    }

    /// What was computed last; `None`: nothing yet, or nobody had asked.
    pub fn shown(&self) -> Option<Arc<Shown>> {
        lock(&self.0.shown).clone()
    }

    /// Whether somebody wants them.
    pub(super) fn are_wanted(&self) -> bool {
        lock(&self.0.asked_at).is_some_and(|at| at.elapsed() < ASKED_FOR)
    }

    pub(super) fn show(&self, shown: Shown) {
        *lock(&self.0.shown) = Some(Arc::new(shown));
    }

    /// Takes back what was shown, and with it the memory.
    pub(super) fn clear(&self) {
        *lock(&self.0.shown) = None;
    }
}

/// A panic elsewhere leaves nothing half written here.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
