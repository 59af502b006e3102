//! `docs/FROM_SPARK.md`: the SQL that stands beside the Python is one whole job.

use std::path::Path;
use std::process::Command;

use crate::support::shipped::{Folder, INGEST};

/// The SQL blocks of the page, but those for other programs.
fn blocks() -> Vec<String> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/FROM_SPARK.md");
    let page = std::fs::read_to_string(page).unwrap();
    let blocks = page.split("```sql\n").skip(1);
    let blocks = blocks.filter_map(|rest| rest.split("```").next());
    let ours = blocks.filter(|block| !block.starts_with("-- in DuckDB"));
    ours.map(str::to_owned).collect()
}

fn check_is_valid(sql: &str, expected: &str) {
    let folder = Folder::new();
    folder.file("job.sql", sql);
    let output = Command::new(INGEST)
        .args(["--dry-run", "job.sql"])
        .current_dir(folder.path())
        .env_clear()
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaint}");
    assert!(said.contains(expected), "{said}");
}

#[test]
fn its_parts_are_a_job_that_writes_the_table() {
    let blocks = blocks();
    let [read, select, write] = blocks.as_slice() else {
        panic!("three parts, not {}", blocks.len());
    };
    let job = format!("{read}\n{write}\nINSERT INTO ohlc {select}");
    check_is_valid(&job, "writes ohlc (data/ohlc)");
    check_is_valid(&format!("{read}\n{select}"), "reads topic raw_ticks");
}
