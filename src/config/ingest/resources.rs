//! What a job may take: threads, memory, and the files that it is given.

use std::path::PathBuf;

use super::args::IngestArgs;
use super::properties::{Properties, Property};
use super::{UsageError, known};

/// More threads than this are a slip of the finger.
pub(super) const MOST_THREADS: usize = 1024;
/// A limit below this is one too: Spark counts in megabytes where there is no unit.
const LEAST_MEMORY: u64 = 1 << 20;

/// A file that is a table of the SQL, without a declaration there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableFile {
    /// The table's name: the file's without what follows its first dot, in lower case, `_` for what no name has.
    pub table: String,
    /// A relative one is relative to the working directory.
    pub path: PathBuf,
}

/// Threads that were asked for beside `--master`.
pub(super) struct Cores<'a> {
    /// 1 to [`MOST_THREADS`].
    pub threads: usize,
    /// What said so.
    pub said: Property<'a>,
}

/// `--total-executor-cores`, else `--executor-cores`: there is one executor.
pub(super) fn cores<'a>(
    args: &'a IngestArgs,
    properties: &'a Properties,
    warnings: &mut Vec<String>,
) -> Result<Option<Cores<'a>>, UsageError> {
    let total = args.total_executor_cores.as_deref();
    let total = properties.flag_or(total, "--total-executor-cores", known::TOTAL_CORES);
    let each = args.executor_cores.as_deref();
    let each = properties.flag_or(each, "--executor-cores", known::EXECUTOR_CORES);
    let read = |said: Property<'a>| {
        let threads = said.value.parse().ok();
        match threads.filter(|threads| (1..=MOST_THREADS).contains(threads)) {
            Some(threads) => Ok(Cores { threads, said }),
            None => Err(said.wrong(&format!("a number of threads, 1 to {MOST_THREADS}"))),
        }
    };
    let (total, each) = (total.map(read).transpose()?, each.map(read).transpose()?);
    if let (Some(total), Some(each)) = (&total, &each)
        && total.threads != each.threads
    {
        let (total, each) = (&total.said, &each.said);
        warnings.push(format!("{each} has no effect beside {total}"));
    }
    Ok(total.or(each))
}

/// `--driver-memory`, else `--executor-memory`, bytes: as where Spark runs locally, the driver is the executor.
pub(super) fn memory(
    args: &IngestArgs,
    properties: &Properties,
    warnings: &mut Vec<String>,
) -> Result<Option<u64>, UsageError> {
    let driver = args.driver_memory.as_deref();
    let driver = properties.flag_or(driver, "--driver-memory", known::DRIVER_MEMORY);
    let executor = args.executor_memory.as_deref();
    let executor = properties.flag_or(executor, "--executor-memory", known::EXECUTOR_MEMORY);
    let read = |said: &Option<Property>| said.as_ref().map(size).transpose();
    let bytes = (read(&driver)?, read(&executor)?);
    if let (Some(one), Some(other)) = (&driver, &executor)
        && bytes.0 != bytes.1
    {
        warnings.push(format!(
            "{other} has no effect beside {one}: job and executor are one process"
        ));
    }
    Ok(bytes.0.or(bytes.1))
}

/// A size as Spark reads it: a whole number and b, k, m, g, t or p; without one megabytes.
fn size(property: &Property) -> Result<u64, UsageError> {
    let text = property.value.to_lowercase();
    let digits = text.find(|c: char| !c.is_ascii_digit());
    let (number, unit) = text.split_at(digits.unwrap_or(text.len()));
    let shift = match unit {
        "b" => Some(0),
        "k" | "kb" | "kib" => Some(10),
        "" | "m" | "mb" | "mib" => Some(20),
        "g" | "gb" | "gib" => Some(30),
        "t" | "tb" | "tib" => Some(40),
        "p" | "pb" | "pib" => Some(50),
        _ => None,
    };
    let number: Option<u64> = number.parse().ok();
    let bytes = number
        .zip(shift)
        .and_then(|(number, shift)| number.checked_mul(1 << shift));
    bytes
        .filter(|bytes| *bytes >= LEAST_MEMORY)
        .ok_or_else(|| property.wrong("a size of 1m and more such as 512m or 2g"))
}

/// The files of `--files`, each with the name of its table.
pub(super) fn files(
    flag: Option<&str>,
    properties: &Properties,
) -> Result<Vec<TableFile>, UsageError> {
    let Some(given) = properties.flag_or(flag, "--files", known::FILES) else {
        return Ok(Vec::new());
    };
    let mut files: Vec<TableFile> = Vec::new();
    let entries = given.value.split(',').map(str::trim);
    for entry in entries.filter(|entry| !entry.is_empty()) {
        let (path, name) = match entry.split_once('#') {
            Some((path, name)) => (path, name),
            None => (entry, entry.rsplit('/').next().unwrap_or(entry)),
        };
        let path = match path.split_once(':') {
            Some(("file" | "local", path)) => format!("/{}", path.trim_start_matches('/')),
            Some((_, rest)) if rest.starts_with("//") => {
                return Err(UsageError(format!(
                    "{given}: {entry} is not on this machine; a file is a path, or file:/// and one"
                )));
            }
            _ => path.to_owned(),
        };
        let table = table_name(name);
        if path.is_empty() || table.is_empty() {
            return Err(UsageError(format!(
                "{given}: \"{entry}\" names no file that could be a table; such as sectors.csv, or sectors.2026.csv#sectors"
            )));
        }
        if let Some(other) = files.iter().find(|other| other.table == table) {
            return Err(UsageError(format!(
                "{given}: {} and {path} would both be table {table}; name one otherwise: {path}#NAME",
                other.path.display()
            )));
        }
        let path = PathBuf::from(path);
        files.push(TableFile { table, path });
    }
    Ok(files)
}

/// A name that SQL finds without quotes.
fn table_name(file: &str) -> String {
    let stem = file.split('.').next().unwrap_or_default();
    let plain = |c: char| match c.is_ascii_alphanumeric() {
        true => c.to_ascii_lowercase(),
        false => '_',
    };
    let name: String = stem.chars().map(plain).collect();
    match name.starts_with(|c: char| c.is_ascii_digit()) {
        true => format!("_{name}"),
        false => name,
    }
}
