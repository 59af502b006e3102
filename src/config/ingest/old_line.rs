//! A line that was meant for Spark: which one to type now.

use super::args::IngestArgs;
use super::properties::{has_effect, is_secret};
use super::values::plain_name;
use super::{UsageError, known};

/// What programs for Spark end with.
const PROGRAMS: [&str; 8] = ["py", "jar", "r", "scala", "ipynb", "zip", "egg", "whl"];
/// The job that comes with StockPulse.
const MAIN_JOB: &str = "sql/ohlc.sql";

/// Refuses a program for Spark in the place of the SQL file.
pub(super) fn refuse_program(args: &IngestArgs) -> Result<(), UsageError> {
    let Some(sql) = &args.sql else {
        return Ok(());
    };
    let extension = sql.extension().unwrap_or_default().to_string_lossy();
    if !PROGRAMS.contains(&extension.to_lowercase().as_str()) {
        return Ok(());
    }
    let left_out: Vec<String> = (args.unneeded.0.iter())
        .map(|option| {
            let instead = option.instead.unwrap_or_default();
            format!("\n  --{}: {instead}", option.name)
        })
        .collect();
    let left_out = match left_out.is_empty() {
        true => String::new(),
        false => format!("without{}\n\n", left_out.concat()),
    };
    Err(UsageError(format!(
        "{} is a program for Spark. StockPulse runs a SQL file without Spark; the one that makes candles is {MAIN_JOB}. Type\n\n  {}\n\n{left_out}docs/SPARK.md has what became of every option and property",
        sql.display(),
        line(args)
    )))
}

/// The same line for StockPulse: what means something, without values that may be secret.
fn line(args: &IngestArgs) -> String {
    let mut words = vec!["stockpulse-ingest".to_owned()];
    let mut add = |flag: &str, value: &Option<String>| {
        if let Some(value) = value {
            words.push(format!("--{flag} {}", quoted(value)));
        }
    };
    let is_ours = |master: &str| master.starts_with("local") || master.starts_with("arroyo");
    let master = args.master.as_ref().map(|master| match is_ours(master) {
        true => master.clone(),
        false => "local[*]".to_owned(),
    });
    add("master", &master);
    let deploy_mode = args.deploy_mode.clone().filter(|_| {
        master
            .as_ref()
            .is_some_and(|master| master.starts_with("arroyo"))
    });
    add("deploy-mode", &deploy_mode);
    add("name", &args.name.as_deref().map(plain_name));
    for conf in &args.conf {
        let (name, value) = conf.split_once('=').unwrap_or((conf, ""));
        let (name, value) = (name.trim(), value.trim());
        let shown = match name {
            known::APP_NAME => plain_name(value),
            _ if is_secret(name) || name.starts_with(known::KAFKA_PREFIX) => "…".to_owned(),
            _ => value.to_owned(),
        };
        if has_effect(name) {
            add("conf", &Some(format!("{name}={shown}")));
        }
    }
    let file = args.properties_file.as_ref();
    add(
        "properties-file",
        &file.map(|file| file.display().to_string()),
    );
    add("files", &args.files);
    add("driver-memory", &args.driver_memory);
    add("executor-memory", &args.executor_memory);
    add("total-executor-cores", &args.total_executor_cores);
    add("executor-cores", &args.executor_cores);
    for (flag, is_given) in [("supervise", args.supervise), ("verbose", args.verbose)] {
        if is_given {
            words.push(format!("--{flag}"));
        }
    }
    words.push(MAIN_JOB.to_owned());
    words.join(" ")
}

/// As a shell wants it; brackets are left, since `local[2]` is how everybody writes it.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,[]*@%+#…".contains(c);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}
