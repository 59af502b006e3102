//! `.env` of the working directory. It never overrides the real environment; a missing one is fine.

use std::path::Path;

/// Loads `.env` of the working directory, if there is one.
///
/// # Errors
/// A line that cannot be read, or a file that cannot: the message names the line, never its value.
pub fn load_dotenv() -> Result<(), String> {
    match dotenvy::from_path(Path::new(".env")) {
        Ok(()) => Ok(()),
        Err(dotenvy::Error::Io(error)) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(dotenvy::Error::LineParse(_, at)) => Err(format!(
            ".env: a line cannot be read as NAME=value (position {at} of that line); correct or remove it"
        )),
        Err(error) => Err(format!(".env cannot be read: {error}")),
    }
}
