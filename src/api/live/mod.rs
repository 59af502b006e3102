//! What happens now: candles that are published and candles that are still open, for all listeners at once.
//!
//! One task looks at the table's folder and asks the job, twice a second, while anybody listens; otherwise
//! neither is touched. Who listens gets it through a bounded channel: one that is too slow is told to begin anew.

mod job;
mod view;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{broadcast, watch};
use tokio::task::AbortHandle;
use tokio::time::MissedTickBehavior;
use tracing::warn;

use crate::candles::{Candle, Follower, News, Store};
use crate::config::api::ApiOptions;
use job::Job;
pub(super) use job::JobState;
pub(super) use view::{Shown, View};

/// How often the folder is looked at and the job is asked.
const EVERY: Duration = Duration::from_millis(500);
/// Updates that wait for a listener at the most.
const WAITING_MAX: usize = 64;

/// News for every listener.
#[derive(Debug, Clone)]
pub(super) enum Update {
    /// Candles were published; all windows up to the frontier are closed.
    Closed(Arc<[Candle]>, Option<i64>),
    /// What the job's open windows hold, or why that is not known.
    Job(Arc<JobState>),
    /// The table is another one, or too much is new: read it again.
    Replaced,
}

/// What a listener begins with.
#[derive(Debug, Clone)]
pub(super) struct Now {
    /// Whether what follows is complete from here on.
    is_followed: bool,
    /// The end of the latest window that is published.
    pub(super) frontier: Option<i64>,
    /// The job, when it was last asked.
    pub(super) job: Arc<JobState>,
}

/// The task that looks, and its listeners.
pub(super) struct Live {
    updates: Arc<Mutex<Option<broadcast::Sender<Update>>>>,
    listeners: Arc<watch::Sender<usize>>,
    now: watch::Receiver<Now>,
    task: AbortHandle,
}

/// One listener; while it lives, the task looks.
pub(super) struct Listener {
    pub(super) updates: broadcast::Receiver<Update>,
    now: watch::Receiver<Now>,
    listeners: Arc<watch::Sender<usize>>,
}

impl Live {
    /// Starts the task, which sleeps until the first listener comes.
    pub(super) fn start(store: Arc<Store>, options: &ApiOptions) -> Live {
        let job = Job::new(options);
        let (updates, _) = broadcast::channel(WAITING_MAX);
        let (listeners, counted) = watch::channel(0);
        let (tell, now) = watch::channel(Now {
            is_followed: false,
            frontier: None,
            job: Arc::new(JobState::Off),
        });
        let task = tokio::spawn(look(store, job, counted, updates.clone(), tell));
        Live {
            updates: Arc::new(Mutex::new(Some(updates))),
            listeners: Arc::new(listeners),
            now,
            task: task.abort_handle(),
        }
    }

    /// A new listener; none after [`Live::stop`].
    pub(super) fn listen(&self) -> Option<Listener> {
        let updates = self.updates.lock().unwrap_or_else(PoisonError::into_inner);
        let updates = updates.as_ref()?.subscribe();
        self.listeners.send_modify(|count| *count += 1);
        Some(Listener {
            updates,
            now: self.now.clone(),
            listeners: Arc::clone(&self.listeners),
        })
    }

    /// How many listen.
    pub(super) fn listeners(&self) -> usize {
        *self.listeners.borrow()
    }

    /// What was last known of the job; none while nobody listens.
    pub(super) fn job(&self) -> Option<Arc<JobState>> {
        let now = self.now.borrow();
        now.is_followed.then(|| Arc::clone(&now.job))
    }

    /// Ends every stream.
    pub(super) fn stop(&self) {
        self.task.abort();
        let mut updates = self.updates.lock().unwrap_or_else(PoisonError::into_inner);
        *updates = None;
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Listener {
    /// How things stand, once every later change reaches this listener; none if the server stops.
    pub(super) async fn now(&mut self) -> Option<Now> {
        let now = self.now.wait_for(|now| now.is_followed).await.ok()?;
        Some(now.clone())
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.listeners.send_modify(|count| *count -= 1);
    }
}

async fn look(
    store: Arc<Store>,
    job: Job,
    mut listeners: watch::Receiver<usize>,
    updates: broadcast::Sender<Update>,
    now: watch::Sender<Now>,
) {
    while listeners.wait_for(|count| *count > 0).await.is_ok() {
        let mut follower = Follower::new(Arc::clone(&store));
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut trouble = String::new();
        loop {
            if *listeners.borrow() == 0 {
                // In this order: who comes now either is seen here, or waits for a first look.
                now.send_modify(|now| now.is_followed = false);
                if *listeners.borrow() == 0 {
                    break;
                }
            }
            ticks.tick().await;
            let (news, state) = tokio::join!(follower.look(), job.ask());
            let state = Arc::new(state);
            let is_followed = news.is_ok();
            let update = match news {
                Ok(News::Nothing) => None,
                Ok(News::Candles(candles)) => {
                    Some(Update::Closed(candles.into(), follower.frontier()))
                }
                Ok(News::Replaced) => Some(Update::Replaced),
                Err(error) => {
                    warn_once(&mut trouble, &error.to_string(), store.path());
                    None
                }
            };
            now.send_modify(|now| {
                now.is_followed |= is_followed;
                now.frontier = follower.frontier();
                now.job = Arc::clone(&state);
            });
            // An error means that the last listener has just gone.
            if let Some(update) = update {
                let _ = updates.send(update);
            }
            let _ = updates.send(Update::Job(state));
        }
    }
}

/// A folder that stays unreadable is said once.
fn warn_once(said: &mut String, error: &str, path: &Path) {
    if said != error {
        warn!("new candles in {} are not seen: {error}", path.display());
        *said = error.to_string();
    }
}
