//! Where cases are: every folder at or below those of the command line that holds ticks or a `case.json`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::case::CASE_FILE;
use super::ticks::TICKS_FILES;

/// The cases at and below `folders`, sorted by path.
///
/// # Errors
/// A folder that cannot be read, or has no case at or below it; the text says what a case looks like.
pub fn cases(folders: &[PathBuf]) -> Result<Vec<PathBuf>, String> {
    let mut found = BTreeSet::new();
    for folder in folders {
        let before = found.len();
        let mut known = false;
        let mut left = vec![folder.clone()];
        while let Some(folder) = left.pop() {
            let (is_case, below) = look(&folder)
                .map_err(|error| format!("{} cannot be read: {error}", folder.display()))?;
            left.extend(below);
            if is_case {
                known |= !found.insert(folder);
            }
        }
        if found.len() == before && !known {
            return Err(format!(
                "no case in {} or below it: a case is a folder with a SQL file (job.sql), ticks ({}) and the expected rows (expected.TABLE.csv, which --update writes), or with a {CASE_FILE} that says where they are",
                folder.display(),
                TICKS_FILES.join(", ")
            ));
        }
    }
    Ok(found.into_iter().collect())
}

/// Whether the folder is a case, and the folders in it. Hidden folders and links to folders are passed over.
fn look(folder: &Path) -> std::io::Result<(bool, Vec<PathBuf>)> {
    let (mut is_case, mut below) = (false, Vec::new());
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if entry.file_type()?.is_dir() {
            if !name.starts_with('.') {
                below.push(entry.path());
            }
        } else {
            is_case |= name == CASE_FILE || TICKS_FILES.contains(&name.as_ref());
        }
    }
    Ok((is_case, below))
}
