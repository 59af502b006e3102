//! What a person can do about an error of the disk.

use std::io;

/// The advice at the end of an error message.
pub fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "give this user the right to write there, or choose another path"
        }
        io::ErrorKind::StorageFull => "make room on the disk and start again",
        io::ErrorKind::QuotaExceeded => "the user's disk quota is used up; raise it or make room",
        io::ErrorKind::ReadOnlyFilesystem => {
            "the file system is read-only; mount it writable, or choose another path"
        }
        io::ErrorKind::CrossesDevices => {
            "both must be on one file system; mount the folder above them, not the table's own"
        }
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
            "a file stands where a directory is needed; move it away, or choose another path"
        }
        io::ErrorKind::NotFound => "something removed it while the job was running; start again",
        _ => "check the disk and start again",
    }
}
