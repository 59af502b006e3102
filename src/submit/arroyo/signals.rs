//! SIGINT and SIGTERM while a pipeline is submitted or followed: the first asks to stop, the second ends the process.

use std::sync::{Arc, Mutex};

use tokio::sync::watch;

use crate::model::Exit;
use crate::submit::signals;

/// Whether a signal came. Clones share it.
#[derive(Clone)]
pub(super) struct Signals {
    came: watch::Receiver<bool>,
    /// What is said when the process ends at once.
    farewell: Arc<Mutex<String>>,
}

impl Signals {
    /// Listens from now on, as a task of the runtime that this is called in.
    pub fn listen() -> std::io::Result<Signals> {
        let mut signals = signals::Signals::listen()?;
        let (sender, came) = watch::channel(false);
        let farewell = Arc::new(Mutex::new(
            "stopped at once; no pipeline was touched".to_owned(),
        ));
        let said = Arc::clone(&farewell);
        tokio::spawn(async move {
            loop {
                signals.next().await;
                if sender.send_replace(true) {
                    let farewell = said.lock().map(|said| said.clone()).unwrap_or_default();
                    eprintln!("{farewell}");
                    std::process::exit(i32::from(Exit::Failed.code()));
                }
            }
        });
        Ok(Signals { came, farewell })
    }

    /// What a second signal says from now on.
    pub fn say_at_once(&self, farewell: String) {
        if let Ok(mut said) = self.farewell.lock() {
            *said = farewell;
        }
    }

    pub fn came(&self) -> bool {
        *self.came.borrow()
    }

    /// Waits for the first signal.
    pub async fn first(&self) {
        let mut came = self.came.clone();
        if came.wait_for(|came| *came).await.is_err() {
            // Nobody listens any more: there will be none.
            std::future::pending::<()>().await;
        }
    }
}
