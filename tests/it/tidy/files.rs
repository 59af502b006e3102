//! The repository's text files.

use std::fs;
use std::path::Path;

/// A text file of the repository, by its path below the root.
pub struct File {
    pub path: String,
    pub text: String,
}

pub fn read(path: &str) -> String {
    let full = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(full).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The text files below a folder with one of these extensions, in order; none if there is no folder.
pub fn files(folder: &str, extensions: &[&str]) -> Vec<File> {
    let mut found = Vec::new();
    for (path, is_folder) in entries(folder) {
        if is_folder {
            found.extend(files(&path, extensions));
        } else if extensions.contains(&extension(&path)) {
            let text = read(&path);
            found.push(File { path, text });
        }
    }
    found
}

/// The text files of the repository's root; the lock file and what git ignores are not looked at.
pub fn top_level_files() -> Vec<File> {
    (entries("").into_iter())
        .filter(|(path, is_folder)| !is_folder && path != "Cargo.lock" && path != ".env")
        .filter(|(path, _)| !path.ends_with(".swp"))
        .filter_map(|(path, _)| {
            let full = Path::new(env!("CARGO_MANIFEST_DIR")).join(&path);
            let text = fs::read_to_string(full).ok()?;
            Some(File { path, text })
        })
        .collect()
}

pub fn extension(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.rsplit_once('.').map_or("", |(_, extension)| extension)
}

/// Paths in a folder and whether each is a folder, in order.
pub fn entries(folder: &str) -> Vec<(String, bool)> {
    let full = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let Ok(entries) = fs::read_dir(full) else {
        return Vec::new();
    };
    let mut found: Vec<(String, bool)> = entries
        .map(|entry| {
            let entry = entry.expect("an entry of a folder of the repository");
            let name = entry.file_name().into_string().expect("names are UTF-8");
            let path = Path::new(folder)
                .join(name)
                .to_str()
                .expect("UTF-8")
                .to_string();
            (path, entry.path().is_dir())
        })
        .collect();
    found.sort();
    found
}
