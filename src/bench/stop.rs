//! Ctrl-C and TERM: every wait of a bench looks here, so that it ends as an error does and takes down what it
//! started.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};

use super::error::BenchError;
use crate::model::Exit;

/// How soon a wait notices.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Whether the bench is to end.
#[derive(Clone, Default)]
pub(super) struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Set by the first INT or TERM; a second one ends the process at once.
    pub(super) fn on_signals() -> std::io::Result<Stop> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (mut interrupted, mut terminated) = {
            let _entered = runtime.enter();
            (
                signal(SignalKind::interrupt())?,
                signal(SignalKind::terminate())?,
            )
        };
        let stop = Stop::default();
        let told = stop.clone();
        let listen = move || {
            runtime.block_on(async move {
                loop {
                    tokio::select! {
                        _ = interrupted.recv() => {}
                        _ = terminated.recv() => {}
                    }
                    if told.0.swap(true, Ordering::Relaxed) {
                        std::process::exit(i32::from(Exit::Failed.code()));
                    }
                    eprintln!("stopping; once more stops at once");
                }
            });
        };
        std::thread::Builder::new()
            .name("signals".to_owned())
            .spawn(listen)?;
        Ok(stop)
    }

    /// Sets it.
    pub(super) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it is set.
    pub(super) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// An error once it is set.
    pub(super) fn check(&self) -> Result<(), BenchError> {
        match self.is_set() {
            true => Err(BenchError::Stopped),
            false => Ok(()),
        }
    }

    /// Waits, unless it is set.
    pub(super) fn sleep(&self, time: Duration) -> Result<(), BenchError> {
        let since = Instant::now();
        loop {
            self.check()?;
            let left = time.saturating_sub(since.elapsed());
            if left.is_zero() {
                return Ok(());
            }
            std::thread::sleep(left.min(LOOK_EVERY));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_wait_outlives_it() {
        let stop = Stop::default();
        stop.sleep(Duration::ZERO).unwrap();
        stop.set();
        let hour = Duration::from_secs(3_600);
        assert!(matches!(stop.sleep(hour), Err(BenchError::Stopped)));
    }
}
