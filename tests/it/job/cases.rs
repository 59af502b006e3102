//! Cases as data: every folder of `tests/cases/` and of `examples/` is tested as `stockpulse test` tests a
//! user's, under every regime against the same expected files. `UPDATE_EXPECT=1` writes them anew.

use std::path::{Path, PathBuf};

use stockpulse::testing::{Options, cases, test};

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// Tests the cases at and below a folder.
fn gives_its_rows(folder: PathBuf) {
    let options = Options {
        folders: vec![folder],
        update: std::env::var_os("UPDATE_EXPECT").is_some(),
        ..Options::default()
    };
    let mut report = Vec::new();
    let outcome = test(&options, &mut report).unwrap();
    let report = String::from_utf8(report).unwrap();
    // Shown by --nocapture, with how long each case took.
    println!("{report}");
    assert_eq!(outcome.failed, 0, "\n{report}");
}

#[test]
fn every_case_gives_its_rows_under_every_regime() {
    let root = folder("tests/cases");
    for case in cases(std::slice::from_ref(&root)).unwrap() {
        let counted = ["expected.json", "expected.refusal.txt"];
        let counted = counted.iter().any(|name| case.join(name).exists());
        assert!(counted, "{}: has no expected.json", case.display());
    }
    gives_its_rows(root);
}

#[test]
fn every_example_gives_its_rows_under_every_regime_and_is_listed() {
    let root = folder("examples");
    let listed = std::fs::read_to_string(root.join("README.md")).unwrap();
    let mut examples = 0;
    for entry in std::fs::read_dir(&root).unwrap() {
        let path = entry.unwrap().path();
        if !path.is_dir() || !has_sql(&path) {
            continue;
        }
        let name = path.file_name().unwrap().to_str().unwrap();
        let link = format!("[{name}]({name}/{name}.sql)");
        assert!(listed.contains(&link), "examples/README.md has no {link}");
        assert!(
            path.join("ticks.ndjson").exists(),
            "{name} has no ticks.ndjson"
        );
        examples += 1;
    }
    assert_eq!(cases(std::slice::from_ref(&root)).unwrap().len(), examples);
    gives_its_rows(root);
}

fn has_sql(folder: &Path) -> bool {
    std::fs::read_dir(folder)
        .unwrap()
        .any(|entry| entry.unwrap().path().extension() == Some("sql".as_ref()))
}
