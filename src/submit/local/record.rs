//! The list of the local jobs that run: a small file each, in a folder of the user's own.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};

/// What a file of the list ends with.
const EXTENSION: &str = "job";

/// A local job, as others find it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The job's name.
    pub name: String,
    /// Its process; of a job that waits to be started again, that of its supervisor.
    pub pid: u32,
    /// When that process began, in the kernel's ticks since the machine did: a number that comes again is another
    /// process. `None`: the system does not say.
    pub born: Option<u64>,
    /// When it was started, milliseconds since 1970 UTC.
    pub started_ms: i64,
    /// The SQL file.
    pub sql: PathBuf,
    /// Where its checkpoints are; `None`: it only shows rows.
    pub checkpoint: Option<PathBuf>,
    /// Where its page is, such as `127.0.0.1:8086`; `None`: it has none.
    pub page: Option<String>,
    /// Whether it waits to be started again.
    pub waits: bool,
}

impl Record {
    /// Whether its process lives.
    pub fn is_alive(&self) -> bool {
        match self.born {
            Some(_) => born(self.pid) == self.born,
            None => signal(self.pid, "0").is_ok(),
        }
    }
}

/// An entry of the list, for as long as this lives.
#[derive(Debug)]
pub struct Listed {
    /// `None`: it could not be entered.
    path: Option<PathBuf>,
}

impl Listed {
    /// Enters a job. A job runs as well without: who asks for it then does not find it.
    pub fn enter(record: &Record) -> Listed {
        match write(record) {
            Ok(path) => Listed { path: Some(path) },
            Err(error) => {
                tracing::warn!("the job is not listed for --status and --kill: {error}");
                Listed { path: None }
            }
        }
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            // One that stays is known by its process, which is gone.
            let _ = fs::remove_file(path);
        }
    }
}

fn write(record: &Record) -> io::Result<PathBuf> {
    let folder = folder()?;
    for (path, other) in read(&folder)? {
        if other.name == record.name && !other.is_alive() {
            // Another one may be as quick.
            let _ = fs::remove_file(path);
        }
    }
    let path = folder.join(format!("{}-{}.{EXTENSION}", record.name, record.pid));
    let half = folder.join(format!("{}-{}.tmp", record.name, record.pid));
    fs::write(&half, serde_json::to_vec(record)?)?;
    fs::rename(&half, &path)?;
    Ok(path)
}

/// All that are listed, by name and process, also those whose process is gone.
pub fn all() -> io::Result<Vec<Record>> {
    let mut records: Vec<Record> = (read(&folder()?)?.into_iter())
        .map(|(_, record)| record)
        .collect();
    records.sort_by(|a, b| (&a.name, a.pid).cmp(&(&b.name, b.pid)));
    Ok(records)
}

fn read(folder: &Path) -> io::Result<Vec<(PathBuf, Record)>> {
    let mut records = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_none_or(|e| e != EXTENSION) {
            continue;
        }
        // One that cannot be read was removed a moment ago, or is none of ours.
        let record = fs::read(&path).ok();
        let record = record.and_then(|text| serde_json::from_slice(&text).ok());
        records.extend(record.map(|record| (path, record)));
    }
    Ok(records)
}

/// `XDG_RUNTIME_DIR/stockpulse`, else one of this user in the folder for temporary files; nobody else may look into it
/// or write there.
fn folder() -> io::Result<PathBuf> {
    let user = user()?;
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let folder = match runtime.filter(|folder| folder.is_dir()) {
        Some(folder) => folder.join("stockpulse"),
        None => std::env::temp_dir().join(format!("stockpulse-{user}")),
    };
    match fs::DirBuilder::new().mode(0o700).create(&folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let found = fs::symlink_metadata(&folder)?;
    let is_ours = found.is_dir() && found.uid() == user && found.permissions().mode() & 0o077 == 0;
    match is_ours {
        true => Ok(folder),
        false => Err(io::Error::other(format!(
            "{} is not a folder of this user only (rwx------)",
            folder.display()
        ))),
    }
}

/// The user's number.
fn user() -> io::Result<u32> {
    let home = || std::env::var_os("HOME").ok_or_else(|| io::Error::other("HOME is not set"));
    let own = fs::metadata("/proc/self").or_else(|_| fs::metadata(home()?));
    Ok(own?.uid())
}

/// When a process began, where the system says so; `None` also when there is no such process.
pub fn born(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name, in brackets, and may hold anything; the time is the 22nd.
    let (_, behind) = stat.rsplit_once(')')?;
    let mut fields = behind.split_whitespace();
    let state = fields.next()?;
    // One that has ended and was not waited for is gone for us.
    (state != "Z").then(|| fields.nth(18)?.parse().ok())?
}

/// Sends a signal, such as `TERM`. By the shell: the standard library cannot without `unsafe` code.
///
/// # Errors
/// There is no such process, or it is another user's.
pub fn signal(pid: u32, name: &str) -> io::Result<()> {
    let sent = Command::new("sh")
        .args(["-c", "kill -s \"$0\" \"$1\"", name, &pid.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()?;
    match sent.success() {
        true => Ok(()),
        false => Err(io::Error::other(format!(
            "process {pid} is gone, or another user's"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_lives_and_one_that_began_at_another_time_does_not() {
        let mut record = Record {
            name: "a".to_owned(),
            pid: std::process::id(),
            born: born(std::process::id()),
            started_ms: 0,
            sql: PathBuf::new(),
            checkpoint: None,
            page: None,
            waits: false,
        };
        assert!(record.born.is_some());
        assert!(record.is_alive());
        record.born = record.born.map(|born| born + 1);
        assert!(!record.is_alive());
        record.born = None;
        assert!(record.is_alive());
        record.pid = u32::MAX >> 1;
        assert!(!record.is_alive());
    }
}
