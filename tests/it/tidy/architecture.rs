//! Reads the rooms table of `docs/ARCHITECTURE.md` and the dependencies of `Cargo.toml`.

use std::collections::{BTreeMap, BTreeSet};

use super::files::read;

/// A row of the rooms table.
#[derive(Debug, Default)]
pub struct Room {
    pub imports: BTreeSet<String>,
    pub crates: BTreeSet<String>,
    pub pure: bool,
}

pub struct Architecture {
    pub rooms: BTreeMap<String, Room>,
    pub everywhere: BTreeSet<String>,
}

/// The rooms table and the crates allowed everywhere, from `docs/ARCHITECTURE.md`.
pub fn architecture() -> Architecture {
    let text = read("docs/ARCHITECTURE.md");
    let section = text.split("\n## Rooms\n").nth(1).expect("a section Rooms");
    let section = section
        .split("\n## ")
        .next()
        .expect("split gives one part at least");
    let mut rooms = BTreeMap::new();
    for line in section.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [_, name, job, imports, crates, _] = cells[..] else {
            panic!("not four cells: {line}");
        };
        let room = Room {
            imports: imports
                .split_whitespace()
                .filter(|word| *word != "–")
                .map(str::to_string)
                .collect(),
            crates: quoted(crates),
            pure: job.ends_with("; pure"),
        };
        rooms.insert(name.trim_matches('`').to_string(), room);
    }
    for (name, room) in &rooms {
        let unknown = room
            .imports
            .iter()
            .find(|import| !rooms.contains_key(*import));
        assert_eq!(unknown, None, "{name} imports what is no room");
    }
    let everywhere = section
        .lines()
        .find_map(|line| line.strip_prefix("Allowed everywhere: "));
    Architecture {
        rooms,
        everywhere: quoted(everywhere.expect("a line Allowed everywhere")),
    }
}

/// What stands in backticks, as a crate is written in Rust.
pub fn quoted(text: &str) -> BTreeSet<String> {
    text.split('`')
        .skip(1)
        .step_by(2)
        .map(|name| name.replace('-', "_"))
        .collect()
}

/// The package's dependencies, as they are written in Rust.
pub fn dependencies() -> BTreeSet<String> {
    let manifest = read("Cargo.toml");
    let section = manifest
        .split("\n[dependencies]\n")
        .nth(1)
        .expect("a section [dependencies]");
    let section = section
        .split("\n[")
        .next()
        .expect("split gives one part at least");
    (section.lines())
        .filter(|line| line.starts_with(|c: char| c.is_ascii_alphabetic()))
        .filter_map(|line| Some(line.split_once(" = ")?.0.replace('-', "_")))
        .collect()
}
