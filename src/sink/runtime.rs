//! The one runtime of all sinks that talk to a server. To the job a sink is plain functions that block; their
//! clients are asynchronous, and some of them work on between two calls.

use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::{Builder, Handle};

use super::SinkError;

/// Sinks wait for the network; what computes there is TLS and HTTP.
const THREADS: usize = 2;

/// The way to the runtime; copies are the same one. It is made for the first sink that needs it, and lasts as
/// long as the process: nothing that a client still has to do at its end is cut off by another sink's.
#[derive(Debug, Clone)]
pub struct Runtime(Handle);

impl Runtime {
    /// The process's runtime. TLS has a provider from then on, as clients that bring none of their own expect.
    ///
    /// # Errors
    /// [`SinkError::NotWritable`] if the machine gives no more threads.
    pub fn of_process() -> Result<Runtime, SinkError> {
        static MADE: Mutex<Option<tokio::runtime::Runtime>> = Mutex::new(None);
        let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(runtime) = made.as_ref() {
            return Ok(Runtime(runtime.handle().clone()));
        }
        // Another crate's choice, or a feed's, is as good as ours.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let runtime = Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("stockpulse-sinks")
            .enable_all()
            .build()
            .map_err(|error| {
                SinkError::NotWritable(format!("threads for the sinks cannot be started: {error}"))
            })?;
        let handle = runtime.handle().clone();
        *made = Some(runtime);
        Ok(Runtime(handle))
    }

    /// Waits for `work`. Not from within a task of any runtime.
    pub fn wait<F: Future>(&self, work: F) -> F::Output {
        self.0.block_on(work)
    }

    /// Waits for `work`, `limit` at the most; `None`: it took longer, and was dropped where it stood.
    pub fn wait_for<F: Future>(&self, limit: Duration, work: F) -> Option<F::Output> {
        let limited = async { tokio::time::timeout(limit, work).await };
        self.0.block_on(limited).ok()
    }

    /// For a client that starts tasks of its own.
    pub fn handle(&self) -> &Handle {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_sinks_have_one_runtime_and_waiting_has_a_limit() {
        let (one, other) = (
            Runtime::of_process().unwrap(),
            Runtime::of_process().unwrap(),
        );
        assert_eq!(one.handle().id(), other.handle().id());
        let answer = other.handle().spawn(async { 7 });
        assert_eq!(one.wait(answer).unwrap(), 7);
        let never = std::future::pending::<()>();
        assert_eq!(one.wait_for(Duration::from_millis(1), never), None);
        assert!(rustls::crypto::CryptoProvider::get_default().is_some());
    }
}
