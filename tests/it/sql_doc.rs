//! `docs/SQL.md`: every statement in it is run over ticks and gives rows, or is refused as it says.

use std::path::Path;

use stockpulse::query::JobPlan;
use stockpulse::query::sql::SqlFile;
use stockpulse::testing::{Options, test};

/// A block of the page: the words after ```, its text, and the line that it begins at.
struct Block {
    info: String,
    text: String,
    line: usize,
}

fn page() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/SQL.md");
    std::fs::read_to_string(path).unwrap()
}

fn blocks(page: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for (line, text) in page.lines().enumerate() {
        match (text.strip_prefix("```"), &mut open) {
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some(info), None) => {
                open = Some(Block {
                    info: info.to_owned(),
                    text: String::new(),
                    line: line + 2,
                });
            }
            (None, Some(block)) => block.text += &format!("{text}\n"),
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a block is not closed");
    blocks
}

/// The block with what it stands on: a file of its own where it declares a topic.
fn whole(base: &str, block: &Block) -> String {
    let declares_topic = block.text.contains("connector = 'kafka'");
    match declares_topic && !block.text.contains("type = 'sink'") {
        true => block.text.clone(),
        false => format!("{base}\n{}", block.text),
    }
}

#[test]
fn every_statement_of_the_page_gives_rows() {
    let blocks = blocks(&page());
    let base = &blocks.iter().find(|b| b.info == "sql base").unwrap().text;
    let ticks = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/vwap/ticks.ndjson");
    let dir = tempfile::tempdir().unwrap();
    let mut cases = 0;
    for block in blocks.iter().filter(|block| block.info == "sql") {
        let case = dir.path().join(format!("line_{}", block.line));
        std::fs::create_dir(&case).unwrap();
        std::fs::write(case.join("job.sql"), whole(base, block)).unwrap();
        std::fs::copy(&ticks, case.join("ticks.ndjson")).unwrap();
        cases += 1;
    }
    assert!(cases >= 10);
    let options = Options {
        folders: vec![dir.path().to_owned()],
        plain_only: true,
        update: true,
        ..Options::default()
    };
    let mut report = Vec::new();
    let outcome = test(&options, &mut report).unwrap();
    let report = String::from_utf8(report).unwrap();
    assert_eq!((outcome.cases, outcome.failed), (cases, 0), "\n{report}");
    for case in std::fs::read_dir(dir.path()).unwrap() {
        let case = case.unwrap().path();
        let files = std::fs::read_dir(&case)
            .unwrap()
            .map(|entry| entry.unwrap().path());
        let expected = files.filter(|file| file.extension().is_some_and(|e| e == "csv"));
        let mut tables = 0;
        for file in expected {
            let rows = std::fs::read_to_string(&file).unwrap().lines().count() - 1;
            assert!(rows > 0, "{} of docs/SQL.md gives no row", file.display());
            tables += 1;
        }
        assert!(
            tables > 0,
            "{} of docs/SQL.md writes nothing",
            case.display()
        );
    }
}

#[test]
fn what_the_page_calls_refused_is_refused_as_it_says() {
    let blocks = blocks(&page());
    let base = &blocks.iter().find(|b| b.info == "sql base").unwrap().text;
    let mut refused = 0;
    for pair in blocks
        .windows(2)
        .filter(|pair| pair[0].info == "sql refused")
    {
        let [block, said] = pair else { unreachable!() };
        assert_eq!(
            said.info, "text",
            "line {}: what is said is missing",
            block.line
        );
        let planned = SqlFile::parse("job.sql", &whole(base, block), &|_| None)
            .and_then(|file| JobPlan::new(&file).map(drop));
        let faults = planned.expect_err(&format!("line {} is not refused", block.line));
        let faults = faults.to_string();
        for line in said.text.lines() {
            assert!(
                faults.contains(line),
                "line {}: {line}\nis not in\n{faults}",
                said.line
            );
        }
        refused += 1;
    }
    assert!(refused >= 5);
}

#[test]
fn no_block_of_the_page_is_left_out() {
    let known = ["sql base", "sql", "sql refused", "text"];
    for block in blocks(&page()) {
        assert!(
            known.contains(&block.info.as_str()),
            "line {}: {:?}",
            block.line,
            block.info
        );
    }
}
