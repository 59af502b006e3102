//! A friendly word between starts of one job on an object store: `lock.json` says who runs it, again every ten seconds.
//!
//! Deliberately nothing depends on it: it keeps a second start from taking a running job's place by mistake. That no
//! two of them commit is the chain's doing.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::CheckpointError;
use crate::objects::Objects;

/// How often it is said again; who has said nothing new for more than twice as long is gone.
const SAY_EVERY: Duration = Duration::from_secs(10);

/// What `lock.json` holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Said {
    host: String,
    /// Of the system's start, where it has one: after another one its processes are others.
    boot: String,
    pid: u32,
    /// How often it was said.
    count: u64,
}

/// Who runs the job, as far as is said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Present {
    /// Nobody, or a process of this machine that is gone.
    Nobody,
    /// A process of this machine.
    Here(u32),
    /// A process of another machine, which may be gone: if it is not, it will say something else soon.
    Elsewhere {
        /// The machine and the process, for people.
        who: String,
        /// What it said.
        said: Bytes,
    },
}

/// Who runs the job whose checkpoints are below `prefix`.
///
/// # Errors
/// As [`ChainStore::open`](super::ChainStore::open).
pub fn present(objects: &Objects, prefix: &str) -> Result<Present, CheckpointError> {
    let Some(said) = objects.get(&key(prefix))? else {
        return Ok(Present::Nobody);
    };
    let Ok(other) = serde_json::from_slice::<Said>(&said) else {
        return Ok(Present::Nobody);
    };
    let own = Said::of_this_process(0);
    let who = format!("process {} of {}", other.pid, other.host);
    Ok(match (other.host == own.host, other.boot == own.boot) {
        (true, true) if other.pid == own.pid => Present::Nobody,
        (true, true) if is_alive(other.pid) => Present::Here(other.pid),
        (true, _) => Present::Nobody,
        (false, _) => Present::Elsewhere { who, said },
    })
}

/// Says that this process runs the job, until it goes.
#[derive(Debug)]
pub struct Presence {
    end: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Presence {
    /// Says it now, and from now on. What cannot be said is logged, and the job goes on.
    pub fn begin(objects: Objects, prefix: &str) -> Presence {
        let key = key(prefix);
        let (end, ended) = channel();
        say(&objects, &key, 1);
        let thread = std::thread::Builder::new()
            .name("stockpulse-presence".to_owned())
            .spawn(move || {
                let mut count = 1;
                while ended.recv_timeout(SAY_EVERY) == Err(RecvTimeoutError::Timeout) {
                    count += 1;
                    say(&objects, &key, count);
                }
                let last = Said::of_this_process(count).document();
                // Another start may have said that it runs the job, and then it does.
                if let Ok(Some(said)) = objects.get(&key)
                    && said == last
                {
                    let _ = objects.delete(&key);
                }
            });
        if let Err(error) = &thread {
            tracing::warn!("it cannot be said that this process runs the job: {error}");
        }
        Presence {
            end: Some(end),
            thread: thread.ok(),
        }
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            // It says what is wrong by itself.
            let _ = thread.join();
        }
    }
}

fn say(objects: &Objects, key: &str, count: u64) {
    if let Err(error) = objects.put(key, Said::of_this_process(count).document()) {
        tracing::debug!("it cannot be said that this process runs the job: {error}");
    }
}

impl Said {
    fn of_this_process(count: u64) -> Said {
        let system = |name: &str| {
            let text = std::fs::read_to_string(format!("/proc/sys/kernel/{name}"));
            text.map_or_else(|_| "unknown".to_owned(), |text| text.trim().to_owned())
        };
        Said {
            host: system("hostname"),
            boot: system("random/boot_id"),
            pid: std::process::id(),
            count,
        }
    }

    fn document(&self) -> Bytes {
        let text = serde_json::to_string(self).expect("text and numbers");
        Bytes::from(text + "\n")
    }
}

/// Where the system does not tell, it is taken for alive.
fn is_alive(pid: u32) -> bool {
    let processes = std::path::Path::new("/proc");
    !processes.join("self").exists() || processes.join(pid.to_string()).exists()
}

fn key(prefix: &str) -> String {
    format!("{prefix}/lock.json")
}
