//! `stockpulse test`: the cases of the command line, several at a time, a line each in their order.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use super::check::{Failed, How, Passed, check};
use super::find::cases;
use crate::config::testing::{RegimeChoice, TestArgs};
use crate::model::Exit;

/// Cases under way for each CPU: a run often waits for the disk.
const CASES_PER_CPU: usize = 2;

/// What is tested, and how.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Folders at and below which cases are looked for.
    pub folders: Vec<PathBuf>,
    /// Only cases whose path has this in it.
    pub filter: Option<String>,
    /// Only the plain regime.
    pub plain_only: bool,
    /// Write the expected files anew.
    pub update: bool,
}

/// How many cases there were.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// Cases that were run.
    pub cases: usize,
    /// Those that failed.
    pub failed: usize,
}

/// Runs `stockpulse test`; the report goes to standard output.
///
/// Ends with 0 when every case is ok, 1 when one failed, 2 when there is none.
pub fn run(args: &TestArgs) -> ExitCode {
    let options = Options {
        folders: args.dirs.clone(),
        filter: args.filter.clone(),
        plain_only: args.regime == RegimeChoice::Plain,
        update: args.update,
    };
    match test(&options, &mut std::io::stdout()) {
        Ok(outcome) if outcome.failed == 0 => Exit::Done.into(),
        Ok(_) => Exit::Failed.into(),
        Err(message) => {
            eprintln!("error: {message}");
            Exit::Usage.into()
        }
    }
}

/// Tests the cases and writes the report to `report`.
///
/// # Errors
/// There is no case to test.
pub fn test(options: &Options, report: &mut dyn Write) -> Result<Outcome, String> {
    let mut folders = cases(&options.folders)?;
    if let Some(filter) = &options.filter {
        folders.retain(|folder| folder.display().to_string().contains(filter));
        if folders.is_empty() {
            return Err(format!("no case has {filter:?} in its path"));
        }
    }
    let how = How {
        plain_only: options.plain_only,
        update: options.update,
    };
    let mut failed = 0;
    let mut update_helps = false;
    each(&folders, how, &mut |folder, took, result| {
        if let Err(fault) = result {
            failed += 1;
            update_helps |= fault.update_helps;
        }
        // Deliberately: whoever closes the report still gets the exit code.
        let _ = write!(report, "{}", line(folder, took, result));
    });
    let total = folders.len();
    let plural = if total == 1 { "" } else { "s" };
    let _ = match failed {
        0 => writeln!(report, "{total} case{plural} ok"),
        failed => writeln!(report, "{failed} of {total} case{plural} failed"),
    };
    if update_helps {
        let dirs = options.folders.iter();
        let dirs: Vec<String> = dirs.map(|dir| dir.display().to_string()).collect();
        let _ = writeln!(
            report,
            "if what was found (+) is right, write it down: stockpulse test {} --update",
            dirs.join(" ")
        );
    }
    Ok(Outcome {
        cases: total,
        failed,
    })
}

type Checked = Result<Passed, Failed>;

/// Checks the cases, and says how each went, in their order.
fn each(folders: &[PathBuf], how: How, on_checked: &mut dyn FnMut(&Path, Duration, &Checked)) {
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let workers = (cpus * CASES_PER_CPU).min(folders.len());
    let next = AtomicUsize::new(0);
    let (sender, checked) = mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..workers {
            let (sender, next) = (sender.clone(), &next);
            scope.spawn(move || {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(folder) = folders.get(at) else {
                        return;
                    };
                    let begun = Instant::now();
                    let result = check(folder, how);
                    // The receiver outlives the workers.
                    let _ = sender.send((at, begun.elapsed(), result));
                }
            });
        }
        drop(sender);
        let mut waiting = BTreeMap::new();
        let mut due = 0;
        for (at, took, result) in checked {
            waiting.insert(at, (took, result));
            while let Some((took, result)) = waiting.remove(&due) {
                on_checked(&folders[due], took, &result);
                due += 1;
            }
        }
    });
}

fn line(folder: &Path, took: Duration, result: &Checked) -> String {
    let name = folder.display();
    match result {
        Ok(passed) => {
            let plural = if passed.regimes == 1 { "" } else { "s" };
            let wrote = passed.wrote.iter();
            let wrote = wrote.map(|path| format!("     wrote {}\n", path.display()));
            format!(
                "ok   {name} ({} regime{plural}, {} ms)\n{}",
                passed.regimes,
                took.as_millis(),
                wrote.collect::<String>()
            )
        }
        Err(failed) => {
            let text = failed.text.lines().map(|line| format!("     {line}\n"));
            format!("FAIL {name}\n{}", text.collect::<String>())
        }
    }
}
