//! Cases as data: every folder of `tests/cases/` is tested as `stockpulse test` tests a user's, under every
//! regime against the same expected files. `UPDATE_EXPECT=1` writes them anew.

use std::path::Path;

use stockpulse::testing::{Options, cases, test};

#[test]
fn every_case_gives_its_rows_under_every_regime() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let options = Options {
        folders: vec![root],
        update: std::env::var_os("UPDATE_EXPECT").is_some(),
        ..Options::default()
    };
    for case in cases(&options.folders).unwrap() {
        let counted = ["expected.json", "expected.refusal.txt"];
        let counted = counted.iter().any(|name| case.join(name).exists());
        assert!(counted, "{}: has no expected.json", case.display());
    }
    let mut report = Vec::new();
    let outcome = test(&options, &mut report).unwrap();
    let report = String::from_utf8(report).unwrap();
    // Shown by --nocapture, with how long each case took.
    println!("{report}");
    assert_eq!(outcome.failed, 0, "\n{report}");
}
