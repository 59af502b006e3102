//! Holds the sources against the documents: the rooms table of `docs/ARCHITECTURE.md`, the shape that
//! `docs/CONVENTIONS.md` asks for, and the variables that `.env.example` and the README list.

mod architecture;
mod code;
mod files;

use std::collections::BTreeSet;

use architecture::{architecture, dependencies};
use code::{code, imports, uses, without_comments_and_strings, without_tests};
use files::{File, files, read, top_level_files};

/// Lines of a source file without its tests, at the most: half as many again as the conventions ask for,
/// so that a file is split when it has become two things, not at a line.
const FILE_LINES_MAX: usize = 450;
/// Names that say nothing about what is inside.
const EMPTY_NAMES: [&str; 8] = [
    "common", "helper", "helpers", "manager", "misc", "shared", "util", "utils",
];

#[test]
fn rooms_import_only_what_the_table_allows() {
    let architecture = architecture();
    let mut wrong = Vec::new();
    for (name, file) in room_files() {
        let Some(room) = architecture.rooms.get(&name) else {
            wrong.push(format!("{}: room `{name}` is not in the table", file.path));
            continue;
        };
        for import in imports(&code(&file.text)) {
            let is_room = architecture.rooms.contains_key(&import);
            if is_room && import != name && !room.imports.contains(&import) {
                wrong.push(format!("{}: `{name}` may not import `{import}`", file.path));
            }
        }
    }
    assert_none(&wrong);
}

#[test]
fn crates_are_used_only_by_their_doors() {
    let architecture = architecture();
    let dependencies = dependencies();
    let mut wrong = Vec::new();
    for (name, file) in room_files() {
        let Some(room) = architecture.rooms.get(&name) else {
            continue;
        };
        let code = code(&file.text);
        for dependency in dependencies.iter().filter(|name| uses(&code, name)) {
            if !room.crates.contains(dependency) && !architecture.everywhere.contains(dependency) {
                wrong.push(format!(
                    "{}: `{name}` is no door to {dependency}",
                    file.path
                ));
            }
        }
    }
    let named: BTreeSet<_> = (architecture.rooms.values())
        .flat_map(|room| &room.crates)
        .chain(&architecture.everywhere)
        .collect();
    for dependency in &dependencies {
        if !named.contains(dependency) {
            wrong.push(format!("Cargo.toml: {dependency} has no door in the table"));
        }
    }
    for name in named {
        if !dependencies.contains(name) {
            wrong.push(format!(
                "the table names {name}, which Cargo.toml does not have"
            ));
        }
    }
    assert_none(&wrong);
}

#[test]
fn the_table_has_the_rooms_of_the_library_and_no_cycle() {
    let mut rooms = architecture().rooms;
    let lib = read("src/lib.rs");
    let declared: BTreeSet<String> = (lib.lines())
        .filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'))
        .map(str::to_string)
        .collect();
    assert_eq!(declared, rooms.keys().cloned().collect::<BTreeSet<_>>());
    for name in &declared {
        assert!(
            lib.contains(&format!("//! | [`{name}`] |")),
            "lib.rs: no line about {name}"
        );
    }
    while !rooms.is_empty() {
        let free: Vec<String> = (rooms.iter())
            .filter(|(_, room)| {
                room.imports
                    .iter()
                    .all(|import| !rooms.contains_key(import))
            })
            .map(|(name, _)| name.clone())
            .collect();
        assert!(!free.is_empty(), "a cycle among {:?}", rooms.keys());
        rooms.retain(|name, _| !free.contains(name));
    }
}

#[test]
fn pure_rooms_touch_no_clock_and_no_outside() {
    let rooms = architecture().rooms;
    let outside = [
        "::now(",
        "std::fs",
        "std::net",
        "std::env",
        "std::process::Command",
        "std::thread",
    ];
    let wrong: Vec<String> = (room_files().into_iter())
        .filter(|(name, _)| rooms.get(name).is_some_and(|room| room.pure))
        .flat_map(|(_, file)| {
            let code = code(&file.text);
            let found = outside.into_iter().filter(move |word| code.contains(word));
            found.map(move |word| format!("{}: {word} in a pure room", file.path))
        })
        .collect();
    assert!(rooms.values().any(|room| room.pure));
    assert_none(&wrong);
}

#[test]
fn files_have_a_head_a_name_and_an_end() {
    let mut wrong = Vec::new();
    for file in files("src", &["rs"])
        .into_iter()
        .chain(files("tests", &["rs"]))
    {
        if !file.text.starts_with("//! ") {
            wrong.push(format!(
                "{}: does not open with what it is for (//!)",
                file.path
            ));
        }
        let lines = without_tests(&file.text).lines().count();
        if file.path.starts_with("src/") && lines > FILE_LINES_MAX {
            wrong.push(format!(
                "{}: {lines} lines, at most {FILE_LINES_MAX}",
                file.path
            ));
        }
        let words = file.path.trim_end_matches(".rs").split(['/', '_', '-']);
        wrong.extend(
            words
                .filter(|word| EMPTY_NAMES.contains(word))
                .map(|word| format!("{}: the name {word} does not say what is inside", file.path)),
        );
    }
    assert_none(&wrong);
}

#[test]
fn no_unwrap_outside_tests_and_no_test_is_left_out() {
    let mut wrong = Vec::new();
    for (_, file) in room_files() {
        if code(&file.text).contains(".unwrap()") {
            wrong.push(format!("{}: unwrap() outside tests", file.path));
        }
    }
    for file in files("src", &["rs"])
        .into_iter()
        .chain(files("tests", &["rs"]))
    {
        if without_comments_and_strings(&file.text).contains("#[ignore") {
            wrong.push(format!("{}: a test is ignored", file.path));
        }
    }
    assert_none(&wrong);
}

#[test]
fn texts_name_no_machine_and_no_registry() {
    let words = [
        concat!("/wo", "rk/"),
        concat!("/tmp", "/w/"),
        concat!("/ro", "ot/"),
        concat!("index.crates", ".io"),
        concat!("pypi", ".org"),
        concat!("files.python", "hosted"),
        concat!("registry.npm", "js"),
        concat!("repo.maven", ".apache"),
        concat!("deb.debian", ".org"),
    ];
    let extensions = [
        "", "conf", "csv", "env", "html", "json", "md", "py", "rs", "service", "sql", "toml",
        "txt", "xml", "yml",
    ];
    let mut wrong = Vec::new();
    let folders = [
        ".ci",
        "benches",
        "docs",
        "examples",
        "packaging",
        "sql",
        "src",
        "tests",
    ];
    let inside = folders
        .into_iter()
        .flat_map(|folder| files(folder, &extensions));
    let beside = top_level_files();
    assert!(beside.iter().any(|file| file.path == "README.md"));
    for file in inside.chain(beside) {
        for word in words.iter().filter(|word| file.text.contains(*word)) {
            wrong.push(format!("{}: names {word}", file.path));
        }
    }
    assert_none(&wrong);
}

#[test]
fn every_variable_is_in_the_example_and_in_the_readme() {
    let sources = files("src", &["rs"]);
    let read_by_clap: BTreeSet<&str> = (sources.iter())
        .flat_map(|file| file.text.split("env = \"").skip(1))
        .filter_map(|rest| rest.split('"').next())
        .collect();
    assert!(read_by_clap.contains("KAFKA_BROKER"));
    let example = read(".env.example");
    let listed: BTreeSet<&str> = (example.lines())
        .filter_map(|line| line.trim_start_matches("# ").split_once('='))
        .map(|(name, _)| name)
        .filter(|name| name.chars().all(|c| c.is_ascii_uppercase() || c == '_'))
        .collect();
    let readme = read("README.md");
    let jobs = files("sql", &["sql"]);
    let read_by_jobs: BTreeSet<&str> = (jobs.iter())
        .flat_map(|file| file.text.split("'{{ ").skip(1))
        .filter_map(|rest| rest.split_whitespace().next())
        .collect();
    assert!(read_by_jobs.contains("CANDLES_PATH"));
    let mut wrong = Vec::new();
    for name in read_by_clap.union(&read_by_jobs) {
        if !listed.contains(name) {
            wrong.push(format!(".env.example: {name} is missing"));
        }
    }
    for name in &listed {
        if !readme.contains(&format!("`{name}`")) {
            wrong.push(format!("README.md: {name} is missing"));
        }
        let quoted = format!("\"{name}\"");
        let in_job = format!("{{{{ {name} ");
        let known = sources.iter().any(|file| file.text.contains(&quoted))
            || jobs.iter().any(|file| file.text.contains(&in_job));
        if !known {
            wrong.push(format!(".env.example: nothing reads {name}"));
        }
    }
    assert_none(&wrong);
}

/// Every source file of a room, with the room's name; tests in files of their own are left out.
fn room_files() -> Vec<(String, File)> {
    (files("src", &["rs"]).into_iter())
        .filter(|file| !file.path.starts_with("src/bin/") && file.path != "src/lib.rs")
        .filter(|file| {
            !file
                .path
                .split('/')
                .any(|part| part == "tests.rs" || part == "tests")
        })
        .map(|file| {
            let name = file.path["src/".len()..]
                .split(['/', '.'])
                .next()
                .expect("a first part");
            (name.to_string(), file)
        })
        .collect()
}

fn assert_none(wrong: &[String]) {
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}
