//! Where log lines go and which are shown; the same for every binary.

use std::io::{IsTerminal, Write, stderr};
use std::sync::atomic::{AtomicBool, Ordering};

use tracing::warn;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt;

/// Which log lines are shown: directives as `tracing` has them, `info` or `stockpulse=debug,warn`.
/// It beats [`RUST_LOG`].
pub const STOCKPULSE_LOG: &str = "STOCKPULSE_LOG";
/// The same, by the name that other Rust programs use.
pub const RUST_LOG: &str = "RUST_LOG";
/// Any value switches colours off, as <https://no-color.org> has it.
const NO_COLOR: &str = "NO_COLOR";
/// Beats every choice: at TRACE this target prints the request line, and a feed's token is in it.
const NEVER_TRACED: &str = "tungstenite::handshake::client=debug";

/// Sends log lines to standard error, one line each, in colour on a terminal.
///
/// Shown are INFO and above, with `verbose` also StockPulse's own DEBUG; `STOCKPULSE_LOG`, else
/// `RUST_LOG`, beats both. Directives that cannot be read change nothing but for a warning.
/// A second call in the same process changes nothing.
pub fn init_logging(verbose: bool) {
    init_logging_at(default_directives(verbose));
}

/// As [`init_logging`], with `default` where neither variable is set: for a program whose terminal is its own.
pub fn init_logging_at(default: &str) {
    let chosen = [STOCKPULSE_LOG, RUST_LOG]
        .into_iter()
        .filter_map(|name| Some((name, std::env::var(name).ok()?)))
        .find(|(_, directives)| !directives.trim().is_empty());
    let (filter, complaint) = match &chosen {
        None => (EnvFilter::new(default), None),
        Some((name, directives)) => match EnvFilter::try_new(directives) {
            Ok(filter) => (filter, None),
            Err(error) => (
                EnvFilter::new(default),
                Some(format!("{name} cannot be read ({error}); using {default}")),
            ),
        },
    };
    let filter = filter.add_directive(
        NEVER_TRACED
            .parse()
            .expect("a directive that a test parses too"),
    );
    let colour = stderr().is_terminal() && std::env::var_os(NO_COLOR).is_none();
    let installed = tracing_subscriber::fmt()
        .compact()
        .with_env_filter(filter)
        .with_writer(|| AboveStatusLine)
        // A reader of the log that went away must not take the job with it.
        .log_internal_errors(false)
        .with_ansi(colour)
        .finish()
        .try_init();
    if let (Ok(()), Some(complaint)) = (installed, complaint) {
        warn!("{complaint}");
    }
}

/// A status line is on the terminal, without an end of line.
static STATUS_LINE: AtomicBool = AtomicBool::new(false);
/// Back to the line's beginning, and all of it away.
const CLEAR: &str = "\r\x1b[2K";

/// Draws a status line on standard error, which must be a terminal, over the one before; log lines go above
/// it. A line that is too long is cut by the terminal.
pub fn status_line(text: &str) {
    STATUS_LINE.store(true, Ordering::Relaxed);
    // A terminal that is gone is no reason to stop.
    let _ = write!(stderr().lock(), "{CLEAR}\x1b[?7l{text}\x1b[?7h");
}

/// Ends the status line, if there is one; it stays on the terminal.
pub fn end_status_line() {
    if STATUS_LINE.swap(false, Ordering::Relaxed) {
        let _ = writeln!(stderr());
    }
}

/// Standard error, where a status line makes room for what is written.
struct AboveStatusLine;

impl Write for AboveStatusLine {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let mut out = stderr().lock();
        if STATUS_LINE.swap(false, Ordering::Relaxed) {
            out.write_all(CLEAR.as_bytes())?;
        }
        out.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        stderr().flush()
    }
}

fn default_directives(verbose: bool) -> &'static str {
    // What Delta Lake's crates have to say of every step comes back as an error, or is nobody's business.
    if verbose {
        "info,stockpulse=debug,delta_kernel=off"
    } else {
        "info,delta_kernel=off"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_directives_can_be_read() {
        assert!(
            NEVER_TRACED
                .parse::<tracing_subscriber::filter::Directive>()
                .is_ok()
        );
        for verbose in [false, true] {
            assert!(EnvFilter::try_new(default_directives(verbose)).is_ok());
        }
    }
}
