//! `stockpulse test` as a user runs it: the shipped binary over folders that a test writes.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;

use expect_test::{Expect, expect};
use flate2::Compression;
use flate2::write::GzEncoder;
use tempfile::TempDir;

use crate::support::shipped::{OHLC, STOCKPULSE};

/// 2026-08-01T10:00:00Z, milliseconds.
const START_MS: i64 = 1_785_578_400_000;

/// A working directory with cases in it.
struct Folder(TempDir);

impl Folder {
    fn new() -> Folder {
        Folder(tempfile::tempdir().unwrap())
    }

    /// With a case `cases/first`: the main job over ticks of two symbols.
    fn with_case() -> Folder {
        let folder = Folder::new();
        folder.file("cases/first/job.sql", OHLC);
        folder.file("cases/first/ticks.ndjson", &ticks());
        folder
    }

    fn file(&self, name: &str, text: &str) {
        let path = self.0.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.0.path().join(name)).unwrap()
    }

    fn names(&self, folder: &str) -> Vec<String> {
        stockpulse::testing::files_below(&self.0.path().join(folder)).unwrap()
    }

    /// Runs `stockpulse test` with these arguments: exit code, and what it said, milliseconds as `N`.
    fn test(&self, args: &[&str]) -> (Option<i32>, String) {
        let mut command = Command::new(STOCKPULSE);
        let command = command.arg("test").args(args).env_clear();
        let output = command.current_dir(self.0.path()).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8(said).unwrap();
        let lines = said.lines().map(|line| match line.strip_suffix(" ms)") {
            Some(line) => format!(
                "{}N ms)\n",
                line.trim_end_matches(|c: char| c.is_ascii_digit())
            ),
            None => format!("{line}\n"),
        });
        (output.status.code(), lines.collect())
    }

    fn check(&self, args: &[&str], code: i32, said: &Expect) {
        let (ended, found) = self.test(args);
        assert_eq!(ended, Some(code), "{found}");
        said.assert_eq(&found);
    }
}

/// A frame of one tick, `seconds` after ten o'clock.
fn frame(symbol: &str, price: f64, seconds: i64) -> String {
    let time = START_MS + seconds * 1000;
    format!(r#"{{"data":[{{"p":{price},"s":"{symbol}","t":{time},"v":2}}],"type":"trade"}}"#) + "\n"
}

fn ticks() -> String {
    [
        frame("BTC", 10.0, 0),
        frame("ETH", 5.0, 10),
        frame("BTC", 12.0, 30),
        frame("ETH", 6.0, 70),
        frame("BTC", 11.0, 130),
    ]
    .concat()
}

#[test]
fn update_writes_what_a_case_lacks_and_then_it_is_ok() {
    let folder = Folder::with_case();
    folder.check(
        &["cases"],
        1,
        &expect![[r#"
            FAIL cases/first
                 expected.ohlc.csv is not there; what was found is
                   symbol,window_start,window_end,open,high,low,close,volume,trades
                 + BTC,2026-08-01T10:00:00Z,2026-08-01T10:01:00Z,10.0,12.0,10.0,12.0,4.0,2
                 + BTC,2026-08-01T10:02:00Z,2026-08-01T10:03:00Z,11.0,11.0,11.0,11.0,2.0,1
                 + ETH,2026-08-01T10:00:00Z,2026-08-01T10:01:00Z,5.0,5.0,5.0,5.0,2.0,1
                 + ETH,2026-08-01T10:01:00Z,2026-08-01T10:02:00Z,6.0,6.0,6.0,6.0,2.0,1
                 ticks: in_windows 5, read 5
            1 of 1 case failed
            if what was found (+) is right, write it down: stockpulse test cases --update
        "#]],
    );
    folder.check(
        &["cases", "--update"],
        0,
        &expect![[r#"
        ok   cases/first (13 regimes, N ms)
             wrote cases/first/expected.ohlc.csv
        1 case ok
    "#]],
    );
    expect![[r#"
        symbol,window_start,window_end,open,high,low,close,volume,trades
        BTC,2026-08-01T10:00:00Z,2026-08-01T10:01:00Z,10.0,12.0,10.0,12.0,4.0,2
        BTC,2026-08-01T10:02:00Z,2026-08-01T10:03:00Z,11.0,11.0,11.0,11.0,2.0,1
        ETH,2026-08-01T10:00:00Z,2026-08-01T10:01:00Z,5.0,5.0,5.0,5.0,2.0,1
        ETH,2026-08-01T10:01:00Z,2026-08-01T10:02:00Z,6.0,6.0,6.0,6.0,2.0,1
    "#]]
    .assert_eq(&folder.text("cases/first/expected.ohlc.csv"));
    folder.check(
        &["cases"],
        0,
        &expect![[r#"
        ok   cases/first (13 regimes, N ms)
        1 case ok
    "#]],
    );
    // One case by itself, one run, and nothing is left over anywhere.
    folder.check(
        &["cases/first", "--regime", "plain", "--update"],
        0,
        &expect![[r#"
            ok   cases/first (1 regime, N ms)
            1 case ok
        "#]],
    );
    assert_eq!(
        folder.names("."),
        [
            "cases/first/expected.ohlc.csv",
            "cases/first/job.sql",
            "cases/first/ticks.ndjson"
        ]
    );
}

#[test]
fn a_case_that_differs_shows_what_differs() {
    let folder = Folder::with_case();
    folder.test(&["cases", "--update"]);
    let expected = folder.text("cases/first/expected.ohlc.csv");
    let edited = expected.replace("12.0,10.0,12.0", "13.0,10.0,12.0");
    let (start, _) = edited.trim_end().rsplit_once('\n').unwrap();
    // As an editor of Windows saves it, in another order: neither is a difference.
    let rows = start.replace('\n', "\r\n") + "\r\nSOL,2026-08-01T10:00:00Z,x,1,1,1,1,1,1\r\n";
    folder.file("cases/first/expected.ohlc.csv", &rows);
    folder.file("cases/first/expected.json", "{}\n");
    folder.file(
        "cases/second/case.json",
        r#"{"sql": "../first/job.sql", "ticks": "../first/ticks.ndjson"}"#,
    );
    folder.file("cases/second/expected.ohlc.csv", &expected);
    folder.check(
        &["cases"],
        1,
        &expect![[r#"
            FAIL cases/first
                 expected.ohlc.csv: 1 row changed, 1 row missing, 1 row too many
                   symbol,window_start,window_end,open,high,low,close,volume,trades
                 - BTC,2026-08-01T10:00:00Z,2026-08-01T10:01:00Z,10.0,13.0,10.0,12.0,4.0,2
                 + BTC,2026-08-01T10:00:00Z,2026-08-01T10:01:00Z,10.0,12.0,10.0,12.0,4.0,2
                     high 13.0 → 12.0
                 + ETH,2026-08-01T10:01:00Z,2026-08-01T10:02:00Z,6.0,6.0,6.0,6.0,2.0,1
                 - SOL,2026-08-01T10:00:00Z,x,1,1,1,1,1,1
                 expected.json: other counts
                 - {}
                 + {
                 +   "counts": {
                 +     "in_windows": 5,
                 +     "read": 5
                 +   },
                 +   "open_windows": 0,
                 +   "directories": [
                 +     "ohlc/date=2026-08-01"
                 +   ]
                 + }
                 ticks: in_windows 5, read 5
            ok   cases/second (13 regimes, N ms)
            1 of 2 cases failed
            if what was found (+) is right, write it down: stockpulse test cases --update
        "#]],
    );
    folder.check(
        &["cases", "--update"],
        0,
        &expect![[r#"
        ok   cases/first (13 regimes, N ms)
             wrote cases/first/expected.ohlc.csv
             wrote cases/first/expected.json
        ok   cases/second (13 regimes, N ms)
        2 cases ok
    "#]],
    );
    assert_eq!(folder.text("cases/first/expected.ohlc.csv"), expected);
    expect![[r#"
        {
          "counts": {
            "in_windows": 5,
            "read": 5
          },
          "open_windows": 0,
          "directories": [
            "ohlc/date=2026-08-01"
          ]
        }
    "#]]
    .assert_eq(&folder.text("cases/first/expected.json"));
}

#[test]
fn wrong_sql_is_shown_as_ingest_shows_it() {
    let folder = Folder::with_case();
    folder.file(
        "cases/first/job.sql",
        &OHLC.replace("max(price)", "max(prise)"),
    );
    folder.check(
        &["cases", "--update"],
        1,
        &expect![[r#"
        FAIL cases/first
             error: cases/first/job.sql:87:13: column "prise" does not exist
               87 |         max(prise) AS high,
                  |             ^^^^^
               help: did you mean "price"?
        1 of 1 case failed
    "#]],
    );
    folder.file("cases/first/expected.refusal.txt", "");
    folder.check(
        &["cases"],
        1,
        &expect![[r#"
            FAIL cases/first
                 expected.refusal.txt: another refusal
                 + job.sql:87:13: column "prise" does not exist
                 +   87 |         max(prise) AS high,
                 +      |             ^^^^^
                 +   help: did you mean "price"?
            1 of 1 case failed
            if what was found (+) is right, write it down: stockpulse test cases --update
        "#]],
    );
    let (code, said) = folder.test(&["cases", "--update"]);
    assert_eq!(code, Some(0), "{said}");
    folder.check(
        &["cases"],
        0,
        &expect![[r#"
        ok   cases/first (1 regime, N ms)
        1 case ok
    "#]],
    );
    folder.file("cases/first/job.sql", OHLC);
    folder.check(
        &["cases"],
        1,
        &expect![[r#"
        FAIL cases/first
             the SQL is accepted, but expected.refusal.txt says that it is refused
        1 of 1 case failed
    "#]],
    );
}

#[test]
fn a_variable_is_the_cases_and_not_the_environments() {
    let folder = Folder::with_case();
    folder.file(
        "cases/first/job.sql",
        &OHLC.replace("interval '1 minute') AS", "interval '{{ WIDTH }}') AS"),
    );
    folder.check(&["cases"], 1, &expect![[r#"
        FAIL cases/first
             error: cases/first/job.sql:85:26: the variable WIDTH has no value
               85 |         tumble(interval '{{ WIDTH }}') AS window,
                  |                          ^^^^^^^^^^^
               help: give it in case.json: {"vars": {"WIDTH": "…"}}, or write a default: {{ WIDTH | … }}
        1 of 1 case failed
    "#]]);
    folder.file(
        "cases/first/case.json",
        r#"{"vars": {"WIDTH": "5 minutes"}}"#,
    );
    let (code, said) = folder.test(&["cases", "--update"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(
        folder
            .text("cases/first/expected.ohlc.csv")
            .contains("10:05:00Z")
    );
    folder.file(
        "cases/first/case.json",
        r#"{"vars": {"WIDTH": "5 minutes", "WITH": ""}}"#,
    );
    folder.check(
        &["cases"],
        1,
        &expect![[r#"
        FAIL cases/first
             case.json: vars: the SQL has no {{ WITH }}
        1 of 1 case failed
    "#]],
    );
}

#[test]
fn a_folder_without_a_case_is_wrong_usage() {
    let folder = Folder::new();
    folder.file("sql/job.sql", OHLC);
    folder.check(&["."], 2, &expect![[r#"
        error: no case in . or below it: a case is a folder with a SQL file (job.sql), ticks (ticks.ndjson, ticks.ndjson.gz, frames.ndjson, frames.ndjson.gz) and the expected rows (expected.TABLE.csv, which --update writes), or with a case.json that says where they are
    "#]]);
    folder.check(
        &["nowhere"],
        2,
        &expect![[r#"
        error: nowhere cannot be read: No such file or directory (os error 2)
    "#]],
    );
    let folder = Folder::with_case();
    folder.check(
        &["cases", "cases/first", "--filter", "second"],
        2,
        &expect![[r#"
            error: no case has "second" in its path
        "#]],
    );
    let (code, said) = folder.test(&[]);
    assert_eq!(code, Some(2));
    assert!(said.contains("Usage: stockpulse test"), "{said}");
}

#[test]
fn what_is_wrong_in_a_case_is_named_with_its_place() {
    let folder = Folder::new();
    for (case, line) in [
        ("a_no_json", "price went up"),
        ("b_partition", r#"{"p":1000,"frame":{}}"#),
        ("c_field", r#"{"partition":1,"frame":{}}"#),
    ] {
        folder.file(&format!("{case}/job.sql"), OHLC);
        folder.file(
            &format!("{case}/ticks.ndjson"),
            &(frame("BTC", 1.0, 0) + "\n" + line),
        );
    }
    folder.file("d_case_file/case.json", "{\n  \"edits\": []\n}");
    folder.file("e_no_ticks/case.json", r#"{"sql": "../a_no_json/job.sql"}"#);
    folder.file("f_no_sql/ticks.ndjson", "");
    folder.file("g_two_sql/ticks.ndjson", "");
    folder.file("g_two_sql/a.sql", "");
    folder.file("g_two_sql/b.sql", "");
    folder.file(
        "h_edit/case.json",
        r#"{"edit": [["prise", "price"]], "now": "noon"}"#,
    );
    folder.file("h_edit/ohlc.sql", OHLC);
    folder.file("h_edit/ticks.ndjson", "");
    folder.file("i_stranger/ohlc.sql", OHLC);
    folder.file("i_stranger/ticks.ndjson", "");
    folder.file("i_stranger/expected.olhc.csv", "");
    folder.check(
        &[".", "--update", "--regime", "plain"],
        1,
        &expect![[r#"
            FAIL ./a_no_json
                 ./a_no_json/ticks.ndjson:3: this is no JSON (expected value at line 1 column 1); a frame that is none goes into {"raw":"…"}
            FAIL ./b_partition
                 ./b_partition/ticks.ndjson:3: partition 1000: a case has partitions 0 to 255
            FAIL ./c_field
                 ./c_field/ticks.ndjson:3: unknown field `partition`, expected one of `p`, `ts`, `key`, `frame`, `raw` at line 1 column 12; a line is a frame, or {"p":0,"ts":0,"key":"","frame":{…}}
            FAIL ./d_case_file
                 ./d_case_file/case.json: unknown field `edits`, expected one of `about`, `sql`, `edit`, `vars`, `ticks`, `partitions`, `now` at line 2 column 9
            FAIL ./e_no_ticks
                 there are no ticks: write ticks.ndjson, a frame a line, or name a file of them in case.json ("ticks"); looked for ticks.ndjson, ticks.ndjson.gz, frames.ndjson, frames.ndjson.gz
            FAIL ./f_no_sql
                 there is no SQL: write job.sql, or name a SQL file in case.json ("sql")
            FAIL ./g_two_sql
                 there are 2 SQL files, and none is job.sql; say in case.json which it is ("sql")
            FAIL ./h_edit
                 ./h_edit/case.json: edit: "prise" is not once in ./h_edit/ohlc.sql
            FAIL ./i_stranger
                 expected.olhc.csv is of no table that the SQL writes: rename or remove it
            9 of 9 cases failed
        "#]],
    );
}

/// `last_value` over all symbols: with ticks of one time, it is the last partition's.
#[test]
fn rows_that_depend_on_the_partitions_are_found_and_not_written() {
    let folder = Folder::with_case();
    let sql = OHLC
        .replace(
            "CREATE TABLE ohlc (\n    symbol TEXT,\n",
            "CREATE TABLE ohlc (\n",
        )
        .replace("SELECT symbol, window.start", "SELECT window.start")
        .replace(
            "    SELECT\n        symbol,\n        tumble",
            "    SELECT\n        tumble",
        )
        .replace("GROUP BY symbol, window", "GROUP BY window");
    folder.file("cases/first/job.sql", &sql);
    let ticks = [
        frame("ETH", 5.0, 10),
        frame("BTC", 10.0, 10),
        frame("ETH", 6.0, 10),
    ];
    folder.file("cases/first/ticks.ndjson", &ticks.concat());
    folder.check(&["cases", "--update"], 1, &expect![[r#"
        FAIL cases/first
             not the same as in a plain run (-) is what comes out (+) when dealt to 2 partitions by symbol, 2 threads, micro-batches of up to 3 frames
             ohlc: 1 row changed
               window_start,window_end,open,high,low,close,volume,trades
             - 2026-08-01T10:00:00Z,2026-08-01T10:01:00Z,5.0,10.0,5.0,6.0,6.0,3
             + 2026-08-01T10:00:00Z,2026-08-01T10:01:00Z,5.0,10.0,5.0,10.0,6.0,3
                 close 6.0 → 10.0
             ticks of one time are in the order of the partitions; "partitions": 1 in case.json leaves this out
        1 of 1 case failed
    "#]]);
    assert_eq!(folder.names("cases/first"), ["job.sql", "ticks.ndjson"]);
    folder.file("cases/first/case.json", r#"{"partitions": 1}"#);
    folder.check(
        &["cases", "--update"],
        0,
        &expect![[r#"
        ok   cases/first (10 regimes, N ms)
             wrote cases/first/expected.ohlc.csv
        1 case ok
    "#]],
    );
}

#[test]
fn late_ticks_and_open_windows_are_told() {
    let folder = Folder::with_case();
    let ticks = ticks() + &frame("BTC", 999.0, 1) + &frame("BTC", 12.0, 190);
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    packed.write_all(ticks.as_bytes()).unwrap();
    fs::remove_file(folder.0.path().join("cases/first/ticks.ndjson")).unwrap();
    let path = Path::new("cases/first/ticks.ndjson.gz");
    fs::write(folder.0.path().join(path), packed.finish().unwrap()).unwrap();
    folder.file(
        "cases/first/case.json",
        r#"{"now": "2026-08-01T10:04:00Z"}"#,
    );
    folder.file("cases/first/expected.ohlc.csv", "");
    folder.check(&["cases"], 1, &expect![[r#"
        FAIL cases/first
             expected.ohlc.csv: other columns
             - 
             + symbol,window_start,window_end,open,high,low,close,volume,trades
             ticks: in_windows 6, late 1, read 7; 2 windows stay open, which neither the watermark nor the clock ("now" in case.json) has passed
        1 of 1 case failed
        if what was found (+) is right, write it down: stockpulse test cases --update
    "#]]);
}

#[test]
fn help_says_what_a_case_is() {
    let (code, said) = Folder::new().test(&["--help"]);
    assert_eq!(code, Some(0));
    for part in [
        "job.sql",
        "ticks.ndjson",
        "expected.TABLE.csv",
        "--update",
        "--regime",
        "--filter",
    ] {
        assert!(said.contains(part), "no {part} in: {said}");
    }
}
