//! `--supervise`: the job is a process of its own, which is started again when it failed.

use std::process::{ExitCode, ExitStatus};
use std::time::{Duration, Instant};

use tokio::process::Command;
use tracing::{info, warn};

use super::signals::Signals;
use super::{local, refuse};
use crate::config::ingest::IngestOptions;
use crate::model::Exit;

/// Marks the process that is the job.
const MARK: &str = "STOCKPULSE_SUPERVISED";
/// The pause before the first new start; each failure doubles it.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// It does not become longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// A job that ran for so long was well: the pauses begin anew.
const WELL_AFTER: Duration = Duration::from_secs(60);
/// How a job ends for good: it is done, or the same line can only fail again.
const FINAL: [Exit; 5] = [
    Exit::Done,
    Exit::Usage,
    Exit::SqlRefused,
    Exit::Mismatch,
    Exit::DataLoss,
];

/// Whether this process is the job of a supervisor.
pub fn is_supervised() -> bool {
    std::env::var_os(MARK).is_some()
}

/// Runs this command line in a process of its own until it ends for good, or a signal stops it; ends as it did.
pub fn supervise(options: &IngestOptions) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let watched = runtime.and_then(|runtime| runtime.block_on(watch(options)));
    watched.unwrap_or_else(|error| {
        refuse(
            Exit::Failed,
            &format!("the job cannot be supervised: {error}"),
        )
    })
}

async fn watch(options: &IngestOptions) -> std::io::Result<ExitCode> {
    let mut signals = Signals::listen()?;
    // Of the path, not of the file: a job that is started again after an upgrade is the new one.
    let program = std::env::current_exe()?;
    let mut pause = FIRST_PAUSE;
    loop {
        let began = Instant::now();
        let mut job = Command::new(&program)
            .args(std::env::args_os().skip(1))
            .env(MARK, "1")
            // A terminal's Ctrl-C reaches the supervisor only, who passes it on: twice would stop without a last commit.
            .process_group(0)
            .spawn()?;
        let mut is_stopped = false;
        let status = loop {
            tokio::select! {
                status = job.wait() => break status?,
                name = signals.next() => {
                    is_stopped = true;
                    // It has ended by itself when it has no number any more.
                    if let Some(pid) = job.id()
                        && let Err(error) = local::signal(pid, name)
                    {
                        warn!("the signal did not reach the job: {error}");
                    }
                }
            }
        };
        let code = code_of(status);
        if is_stopped || FINAL.iter().any(|exit| exit.code() == code) {
            return Ok(ExitCode::from(code));
        }
        if began.elapsed() >= WELL_AFTER {
            pause = FIRST_PAUSE;
        }
        warn!("the job failed ({status}); it is started again in {pause:?}");
        let _listed = local::enter(options, None, None, true);
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = signals.next() => {
                info!("stopped before the job was started again");
                return Ok(ExitCode::from(code));
            }
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// The exit code; of a job that a signal ended, that of any other failure.
fn code_of(status: ExitStatus) -> u8 {
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    code.unwrap_or(Exit::Failed.code())
}
