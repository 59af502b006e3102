//! A case under every regime, against its expected files.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::case::{CASE_FILE, Case};
use super::diff::{self, Cells};
use super::regime::{Regime, Regimes};
use super::rows::{Rows, file_name};
use super::run::{Counted, Found, Runnable};
use crate::query::sql::Diagnostics;

/// What the SQL's refusal must say, where it must be refused.
const REFUSAL_FILE: &str = "expected.refusal.txt";
/// What a run must count; compared where it is there.
const COUNTED_FILE: &str = "expected.json";

/// How a case is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct How {
    /// Only the plain regime.
    pub plain_only: bool,
    /// Write the expected files anew.
    pub update: bool,
}

/// A case that gives what it must.
#[derive(Debug, Default)]
pub struct Passed {
    /// Under how many regimes it was run.
    pub regimes: usize,
    /// Expected files that were written.
    pub wrote: Vec<PathBuf>,
}

/// A case that does not.
#[derive(Debug)]
pub struct Failed {
    /// What differs, for a person.
    pub text: String,
    /// Writing the expected files anew would make it pass.
    pub update_helps: bool,
}

impl From<String> for Failed {
    fn from(text: String) -> Failed {
        Failed {
            text,
            update_helps: false,
        }
    }
}

/// Checks the case in `folder`.
///
/// # Errors
/// What is wrong with the case, or differs from what it expects.
pub fn check(folder: &Path, how: How) -> Result<Passed, Failed> {
    let case = Case::read(folder)?;
    let runnable = match Runnable::new(&case) {
        Ok(runnable) => runnable,
        Err(faults) => return refused(folder, faults, how),
    };
    if folder.join(REFUSAL_FILE).exists() {
        let text = format!("the SQL is accepted, but {REFUSAL_FILE} says that it is refused");
        return Err(text.into());
    }
    if let [name, ..] = case.unused_vars(runnable.variables())[..] {
        let text = format!("{CASE_FILE}: vars: the SQL has no {{{{ {name} }}}}");
        return Err(text.into());
    }
    let plain = runnable.run(&Regime::plain(&case))?;
    if !how.update {
        expected(folder, &plain)?;
    }
    let regimes = match how.plain_only {
        true => 1,
        false => 1 + everywhere(&case, &runnable, &plain)?,
    };
    strangers(folder, &plain)?;
    let wrote = match how.update {
        true => update(folder, &plain)?,
        false => Vec::new(),
    };
    Ok(Passed { regimes, wrote })
}

/// A refusal is what some cases expect.
fn refused(folder: &Path, mut faults: Diagnostics, how: How) -> Result<Passed, Failed> {
    name_the_place_of_values(&mut faults);
    let path = folder.join(REFUSAL_FILE);
    if !path.exists() {
        return Err(format!("error: {faults}").into());
    }
    // The file's name only, so that the text is the same wherever the tests are started.
    for fault in &mut faults.0 {
        let name = Path::new(&fault.path).file_name();
        fault.path = name.unwrap_or_default().to_string_lossy().into_owned();
    }
    let found = format!("{faults}\n");
    let expected = read(&path)?;
    let mut passed = Passed {
        regimes: 1,
        ..Passed::default()
    };
    match diff::texts(&expected, &found) {
        None => {}
        Some(_) if how.update => {
            write(&path, &found)?;
            passed.wrote.push(path);
        }
        Some(difference) => {
            return Err(Failed {
                text: format!("{REFUSAL_FILE}: another refusal\n{difference}"),
                update_helps: true,
            });
        }
    }
    Ok(passed)
}

/// A job takes the values of variables from its command line and the environment, a case does not.
fn name_the_place_of_values(faults: &mut Diagnostics) {
    for fault in &mut faults.0 {
        let name = fault.message.strip_prefix("the variable ");
        if let Some(name) = name.and_then(|rest| rest.strip_suffix(" has no value")) {
            fault.help = Some(format!(
                "give it in {CASE_FILE}: {{\"vars\": {{\"{name}\": \"…\"}}}}, or write a default: {{{{ {name} | … }}}}"
            ));
        }
    }
}

/// Compares a plain run with the expected files.
fn expected(folder: &Path, plain: &Found) -> Result<(), Failed> {
    let mut texts = Vec::new();
    for (table, rows) in &plain.tables {
        let name = file_name(table);
        let path = folder.join(&name);
        if !path.exists() {
            let nothing = Rows {
                header: rows.header.clone(),
                lines: Vec::new(),
            };
            let found = diff::rows(&nothing, rows, Cells::Exact);
            let found = found.as_deref().and_then(|found| found.split_once('\n'));
            let (_, found) = found.unwrap_or(("", "no rows"));
            texts.push(format!("{name} is not there; what was found is\n{found}"));
            continue;
        }
        let expected = Rows::from_csv(&read(&path)?);
        if let Some(difference) = diff::rows(&expected, rows, Cells::Exact) {
            texts.push(format!("{name}: {difference}"));
        }
    }
    let path = folder.join(COUNTED_FILE);
    if path.exists()
        && let Some(difference) = diff::texts(&read(&path)?, &counted_text(&plain.counted))
    {
        texts.push(format!("{COUNTED_FILE}: other counts\n{difference}"));
    }
    if texts.is_empty() {
        return Ok(());
    }
    texts.push(told(&plain.counted));
    Err(Failed {
        text: texts.join("\n"),
        update_helps: true,
    })
}

/// What became of the ticks, which often says why rows differ.
fn told(counted: &Counted) -> String {
    let counts = counted.counts.iter();
    let counts: Vec<String> = counts.map(|(name, n)| format!("{name} {n}")).collect();
    let open = match counted.open_windows {
        0 => String::new(),
        open => format!(
            "; {open} windows stay open, which neither the watermark nor the clock (\"now\" in {CASE_FILE}) has passed"
        ),
    };
    format!("ticks: {}{open}", counts.join(", "))
}

/// Runs the other regimes, each of which must give what the plain one gave; how many there are.
fn everywhere(case: &Case, runnable: &Runnable<'_>, plain: &Found) -> Result<usize, String> {
    let Regimes { cut, mut dealt } = Regimes::of(case);
    if !runnable.may_be_dealt(plain) {
        dealt.clear();
    }
    for regime in &cut {
        let advice = "an aggregate that depends on how its rows are cut, as the approximate ones do, gives such rows; --regime plain leaves this out";
        agrees(runnable, regime, plain, Cells::Exact, advice)?;
    }
    for regime in &dealt {
        let advice = format!(
            "ticks of one time are in the order of the partitions; \"partitions\": 1 in {CASE_FILE} leaves this out"
        );
        agrees(runnable, regime, plain, Cells::UpToSums, &advice)?;
    }
    Ok(cut.len() + dealt.len())
}

fn agrees(
    runnable: &Runnable<'_>,
    regime: &Regime,
    plain: &Found,
    same: Cells,
    advice: &str,
) -> Result<(), String> {
    let found = runnable
        .run(regime)
        .map_err(|error| format!("{regime}: {error}"))?;
    let mut texts = Vec::new();
    for (table, rows) in &found.tables {
        if let Some(difference) = diff::rows(&plain.tables[table], rows, same) {
            texts.push(format!("{table}: {difference}"));
        }
    }
    let (was, is) = (counted_text(&plain.counted), counted_text(&found.counted));
    if let Some(difference) = diff::texts(&was, &is) {
        texts.push(format!("other counts\n{difference}"));
    }
    match texts.is_empty() {
        true => Ok(()),
        false => Err(format!(
            "not the same as in a plain run (-) is what comes out (+) when {regime}\n{}\n{advice}",
            texts.join("\n")
        )),
    }
}

/// An expected file of a table that the SQL does not write is a mistake.
fn strangers(folder: &Path, plain: &Found) -> Result<(), String> {
    let known: BTreeSet<String> = plain.tables.keys().map(|table| file_name(table)).collect();
    let entries = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let names = entries.flatten().map(|entry| entry.file_name());
    let mut names = names.map(|name| name.to_string_lossy().into_owned());
    let is_rows = |name: &str| name.starts_with("expected.") && name.ends_with(".csv");
    match names.find(|name| is_rows(name) && !known.contains(name)) {
        None => Ok(()),
        Some(name) => Err(format!(
            "{name} is of no table that the SQL writes: rename or remove it"
        )),
    }
}

/// Writes the expected files that are missing or differ; `expected.json` only where it is there.
fn update(folder: &Path, plain: &Found) -> Result<Vec<PathBuf>, String> {
    let tables = plain.tables.iter();
    let mut wanted: Vec<(PathBuf, String)> = tables
        .map(|(table, rows)| (folder.join(file_name(table)), rows.to_csv()))
        .collect();
    let counted = folder.join(COUNTED_FILE);
    if counted.exists() {
        wanted.push((counted, counted_text(&plain.counted)));
    }
    let mut wrote = Vec::new();
    for (path, text) in wanted {
        if !path.exists() || read(&path)? != text {
            write(&path, &text)?;
            wrote.push(path);
        }
    }
    Ok(wrote)
}

fn counted_text(counted: &Counted) -> String {
    let text = serde_json::to_string_pretty(counted).expect("counts and names are JSON");
    text + "\n"
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{} cannot be read: {error}", path.display()))
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|error| format!("{} cannot be written: {error}", path.display()))
}
