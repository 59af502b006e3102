//! Options and properties for people: the end of `--help`, and the tables of `docs/SPARK.md`.

use std::fmt::Write as _;

use clap::{Arg, CommandFactory};

use super::args::IngestArgs;
use super::known::{ALIASES, FAMILIES, PROPERTIES, REFUSED, WITHOUT_EFFECT};
use super::spark::SPARK_OPTIONS;

/// Where the text of a property begins in `--help`.
const TEXT_COLUMN: usize = 43;
/// Letters of a line of `--help` at the most: clap would break a longer one where it likes.
pub(super) const LINE_LETTERS: usize = 100;

const AFTER_PROPERTIES: &str = "
--rebuild is for an edit that is refused otherwise: another window or key, a column renamed or
removed. It is given once: stopped or killed, it goes on when it is given again, and without it the
old candles stand. Afterwards the job goes on, or ends with --available-now. What was in the table
before is in _old/ beside it, to be deleted by you.

Other options of spark-submit (--packages, --class, …) are accepted and have no effect: docs/SPARK.md.

Exit codes: 0 done, or stopped by a signal after a last commit; 1 anything else; 2 usage;
3 SQL refused; 4 Kafka or the cluster unreachable; 5 checkpoint or output belongs to another
query; 6 data loss; 7 output not writable.";

/// The end of `--help`: the properties, and what else is to be known.
pub(super) fn help() -> String {
    let mut text = "Properties (--conf, or the properties file):\n".to_owned();
    let (flags, own): (Vec<_>, Vec<_>) =
        (PROPERTIES.iter()).partition(|(_, does)| does.contains("as --"));
    for (name, does) in own.into_iter().chain(&FAMILIES) {
        describe(&mut text, name, does);
    }
    let flags: Vec<&str> = flags.iter().map(|(name, _)| *name).collect();
    for line in wrapped(&flags.join(", "), LINE_LETTERS - 4) {
        let _ = writeln!(text, "  {line}");
    }
    let width = TEXT_COLUMN;
    let _ = writeln!(text, "{:width$}as the flags of these names", "");
    text + AFTER_PROPERTIES
}

fn describe(text: &mut String, name: &str, does: &str) {
    let width = TEXT_COLUMN - 2;
    let mut label = name;
    if name.len() >= width {
        let _ = writeln!(text, "  {name}");
        label = "";
    }
    for line in wrapped(does, LINE_LETTERS - TEXT_COLUMN) {
        let _ = writeln!(text, "  {label:width$}{line}");
        label = "";
    }
}

fn wrapped(text: &str, letters: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut().expect("begins with one, only grows");
        if line.is_empty() {
            *line = word.to_owned();
        } else if line.chars().count() + 1 + word.chars().count() <= letters {
            *line += " ";
            *line += word;
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

/// The tables of `docs/SPARK.md`, in Markdown.
pub fn tables() -> String {
    let mut command = IngestArgs::command();
    command.build();
    let help = |arg: &Arg| arg.get_help().map(|help| help.to_string());
    let mut text = "### Options of spark-submit\n\n| option | here |\n|---|---|\n".to_owned();
    for option in &SPARK_OPTIONS {
        let of_clap = (command.get_arguments()).find(|arg| arg.get_long() == Some(option.name));
        let does = match option.instead {
            Some(instead) => format!("*no effect*: {instead}"),
            None if option.name == "help" => "Say what the options are".to_owned(),
            None => of_clap.and_then(help).unwrap_or_default(),
        };
        let short = of_clap.and_then(Arg::get_short);
        let short = short.map(|short| format!(", `-{short}`"));
        row(
            &mut text,
            &format!(
                "`--{}`{}",
                [option.name, option.value].join(" ").trim(),
                short.unwrap_or_default()
            ),
            &does,
        );
    }
    text += "\n### Options that spark-submit does not have\n\n| option | does |\n|---|---|\n";
    let is_ours = |arg: &&Arg| {
        let long = arg.get_long();
        long.is_some_and(|long| SPARK_OPTIONS.iter().all(|option| option.name != long))
    };
    for arg in command.get_arguments().filter(is_ours) {
        let name = format!("`--{}`", arg.get_long().unwrap_or_default());
        row(&mut text, &name, &help(arg).unwrap_or_default());
    }
    text += "\n### Properties\n\n| property | here |\n|---|---|\n";
    for (name, does) in PROPERTIES.iter().chain(&FAMILIES) {
        row(&mut text, &format!("`{name}`"), does);
    }
    for (name, canonical) in ALIASES {
        row(
            &mut text,
            &format!("`{name}`"),
            &format!("as `{canonical}`"),
        );
    }
    for (name, instead) in REFUSED {
        row(&mut text, &named(name), &format!("**refused**: {instead}"));
    }
    for (name, instead) in WITHOUT_EFFECT {
        row(&mut text, &named(name), &format!("*no effect*: {instead}"));
    }
    text
}

/// A name, or a family with a star at its end.
fn named(name: &str) -> String {
    match super::known::is_family(name) {
        true => format!("`{name}*`"),
        false => format!("`{name}`"),
    }
}

fn row(text: &mut String, name: &str, does: &str) {
    // A line of a table ends at the next one, and a bar begins a cell.
    let cell = |text: &str| text.replace('|', "\\|").replace('\n', " ");
    let _ = writeln!(text, "| {} | {} |", cell(name), cell(does));
}
