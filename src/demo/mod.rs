//! The whole pipeline in one process.

use std::process::ExitCode;

use crate::config::demo::DemoArgs;
use crate::model::Exit;

/// Runs the demo until Ctrl-C, SIGTERM or `args.run_for`.
pub fn run(args: &DemoArgs) -> ExitCode {
    let _ = args;
    eprintln!("error: the demo is not part of this build yet");
    Exit::Failed.into()
}
