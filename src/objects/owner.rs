//! Whose turn it is: each start takes the next number, which no other start ever has, and which is part of every key
//! that it stages under. So no two processes ever write one key, however late one of them wakes up.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use bytes::Bytes;

use super::{Objects, StoreError};

/// Starts that take numbers at one moment, at the most.
const TRIES: usize = 5;
const START: &str = "start-";
const ENDING: &str = ".json";

/// The number of a start. Later ones are higher.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Owner(pub u64);

impl Owner {
    /// Takes the next number below `prefix`, durably; and makes sure that the store keeps two from taking one.
    ///
    /// # Errors
    /// [`StoreError::Refused`]: the store overwrites what is only to be put if it is new. See [`StoreError`].
    pub fn claim(objects: &Objects, prefix: &str) -> Result<Owner, StoreError> {
        let mut found = highest(objects, prefix)?;
        let body = about();
        for _ in 0..TRIES {
            let owner = Owner(found + 1);
            let key = owner.key(prefix);
            match objects.put_new(&key, body.clone()) {
                Ok(()) => {}
                // Its answer may have been lost on the way.
                Err(StoreError::Exists(_)) if objects.get(&key)? == Some(body.clone()) => {}
                Err(StoreError::Exists(_)) => {
                    found = highest(objects, prefix)?.max(owner.0);
                    continue;
                }
                Err(error) => return Err(error),
            }
            match objects.put_new(&key, body.clone()) {
                Err(StoreError::Exists(_)) => return Ok(owner),
                Ok(()) => {}
                Err(error) => return Err(error),
            }
            // A later start removes the numbers of earlier ones.
            found = highest(objects, prefix)?;
            if found <= owner.0 {
                return Err(StoreError::Refused(format!(
                    "{} was put a second time although it was only to be put if it is new (If-None-Match): on a store that ignores conditions two processes could write the same object, so nothing is written there",
                    objects.shown(&key)
                )));
            }
        }
        Err(StoreError::Away(format!(
            "others take numbers below {} all the while",
            objects.shown(prefix)
        )))
    }

    /// Removes what earlier starts have left of themselves below `prefix`, but not this one's, by which the next is
    /// known.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn forget_earlier(self, objects: &Objects, prefix: &str) -> Result<(), StoreError> {
        for (owner, key) in starts(objects, prefix)? {
            if owner < self {
                objects.delete(&key)?;
            }
        }
        Ok(())
    }

    /// The folder of what it stages.
    pub fn folder(self) -> String {
        format!("{:09}", self.0)
    }

    /// Whose folder this is.
    pub fn of_folder(name: &str) -> Option<Owner> {
        let owner = Owner(name.parse().ok()?);
        (owner.folder() == name).then_some(owner)
    }

    fn key(self, prefix: &str) -> String {
        format!("{prefix}/{START}{:09}{ENDING}", self.0)
    }
}

fn highest(objects: &Objects, prefix: &str) -> Result<u64, StoreError> {
    let starts = starts(objects, prefix)?;
    Ok(starts.iter().map(|(owner, _)| owner.0).max().unwrap_or(0))
}

fn starts(objects: &Objects, prefix: &str) -> Result<Vec<(Owner, String)>, StoreError> {
    let listed = objects.list(prefix, Some(&format!("{prefix}/{START}")))?;
    let start = |key: String| {
        let name = key.strip_prefix(prefix)?.strip_prefix('/')?;
        let number = name.strip_prefix(START)?.strip_suffix(ENDING)?;
        Some((Owner::of_folder(number)?, key))
    };
    Ok(listed
        .into_iter()
        .filter_map(|object| start(object.key))
        .collect())
}

/// Who starts, for people; and unlike any other start's.
fn about() -> Bytes {
    static STARTS: AtomicU64 = AtomicU64::new(0);
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let at = chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host: String = (host.trim().chars())
        .filter(|letter| letter.is_ascii_alphanumeric() || "-._".contains(*letter))
        .collect();
    let text = format!(
        "{{\"host\":\"{host}\",\"pid\":{},\"version\":\"{}\",\"at\":\"{at}\",\"nonce\":\"{:x}-{}\"}}\n",
        std::process::id(),
        env!("CARGO_PKG_VERSION"),
        since.map_or(0, |since| since.as_nanos()),
        STARTS.fetch_add(1, Ordering::Relaxed),
    );
    Bytes::from(text)
}
