//! `stockpulse completions` and `stockpulse man`, as the shipped binary: bash completes, pages are written.

use std::fs;
use std::process::{Command, Output};

use crate::support::shipped::STOCKPULSE;

const PROGRAMS: [&str; 4] = [
    "stockpulse",
    "stockpulse-producer",
    "stockpulse-ingest",
    "stockpulse-api",
];

fn stockpulse(line: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(STOCKPULSE);
    command.args(line).current_dir(folder.path()).env_clear();
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// What bash offers for the last word of a line.
fn offered(program: &str, words: &[&str]) -> Vec<String> {
    let output = stockpulse(&["completions", "bash", program]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("completions");
    fs::write(&script, output.stdout).unwrap();
    let ask = r#"
        set -e
        source "$1"
        shift
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
        previous=''
        [ $# -lt 2 ] || previous=${COMP_WORDS[$# - 2]}
        function=$(complete -p "$1" | sed 's/.*-F \([^ ]*\).*/\1/')
        "$function" "$1" "${COMP_WORDS[COMP_CWORD]}" "$previous"
        printf '%s\n' "${COMPREPLY[@]}"
    "#;
    let output = Command::new("bash")
        .args(["--norc", "-c", ask, "bash"])
        .arg(&script)
        .arg(program)
        .args(words)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout).lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_the_options_of_every_program() {
    for program in PROGRAMS {
        assert_eq!(offered(program, &["--verb"]), ["--verbose"], "{program}");
    }
    assert_eq!(offered("stockpulse", &["rea"]), ["read"]);
    assert_eq!(
        offered("stockpulse", &["read", "--format", "ndj"]),
        ["ndjson"]
    );
    let feeds = offered("stockpulse-producer", &["--feed", "sim"]);
    assert_eq!(feeds, ["simulated"]);
}

#[test]
fn a_page_is_written_for_each_program_and_subcommand() {
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("share/man/man1");
    let output = stockpulse(&["man", pages.to_str().unwrap()]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let subcommands = ["demo", "read", "test", "bench", "completions", "man"];
    let subcommands = subcommands.map(|name| format!("stockpulse-{name}"));
    for name in PROGRAMS.map(str::to_owned).iter().chain(&subcommands) {
        let page = fs::read_to_string(pages.join(format!("{name}.1"))).unwrap();
        for section in [".TH", ".SH NAME", ".SH SYNOPSIS", ".SH OPTIONS"] {
            assert!(
                page.lines().any(|line| line.starts_with(section)),
                "{name} has no {section}"
            );
        }
    }
}

#[test]
fn what_cannot_be_written_or_is_not_known_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let output = stockpulse(&["man", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(7));
    assert!(text(&output.stderr).contains("the pages cannot be written to"));
    let output = stockpulse(&["completions", "cmd"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("[possible values: bash,"));
}
