//! No text panics, overflows the stack or takes for ever.

use proptest::prelude::*;

use super::*;

#[test]
fn what_would_take_the_stack_or_for_ever_is_refused() {
    let deep = |open: &str, close: &str| {
        format!("SELECT {}1{}", open.repeat(10_000), close.repeat(10_000))
    };
    for text in [
        deep("(", ")"),
        deep("[", "]"),
        deep("CASE WHEN ", " END"),
        deep("NOT ", ""),
        deep("- ", ""),
        deep("", " + 1"),
        deep("", "::INT"),
        deep("", " UNION SELECT 1"),
        deep("a.b(", ")"),
        deep("(SELECT ", ")"),
        format!(
            "SELECT CAST(1 AS {}INT{})",
            "ARRAY<".repeat(10_000),
            ">".repeat(10_000)
        ),
        source(&format!(
            "a {}INT{}",
            "STRUCT<a ".repeat(10_000),
            ">".repeat(10_000)
        )),
        source(&format!("a INT{}", "[]".repeat(10_000))),
        format!(
            "SELECT * FROM {}a{}",
            "(".repeat(10_000),
            ")".repeat(10_000)
        ),
    ] {
        let error = parse(&text).map(|_| ()).unwrap_err();
        assert_eq!(error.0.len(), 1, "{error}");
    }
}

/// Bounded also where the limits let it through: on the 2 MB stack of a test's thread.
#[test]
fn what_the_limits_let_through_can_be_shown_and_dropped() {
    let chain = format!("SELECT 1{}", " + 1".repeat(500));
    let file = parse(&chain).unwrap();
    let Statement::Query { query, .. } = &file.statements[0] else {
        panic!()
    };
    assert!(query.to_string().len() > 500 && query.clone() == *query);
    let unions = format!("SELECT 1{}", " UNION SELECT 1".repeat(100));
    assert!(parse(&unions).unwrap().statements[0].span().end.column > 1_000);
    let list = format!("SELECT a IN (1{})", ", 1".repeat(50_000));
    assert!(parse(&list).is_ok());
}

/// The parser goes back and tries again; without a limit these double its work with every level.
#[test]
fn nesting_does_not_take_for_ever() {
    const LIMIT: std::time::Duration = std::time::Duration::from_secs(60);
    let started = std::time::Instant::now();
    let openers = [
        "(",
        "f(",
        "[",
        "(SELECT ",
        "CASE WHEN ",
        "STRUCT<a INT>(",
        "INTERVAL (",
        "EXTRACT(",
        "x IN (",
        "ARRAY[",
        "EXISTS (",
        "(1, ",
        "DATE (",
        "POSITION(",
        "x[",
    ];
    for open in openers {
        let close = match open {
            "[" | "ARRAY[" | "x[" => "]",
            "CASE WHEN " => " END",
            _ => ")",
        };
        for tail in ["1", "", "1 +"] {
            for depth in [8, 16, 31, 32] {
                let inner = format!("{}{tail}{}", open.repeat(depth), close.repeat(depth));
                let _ = parse(&format!("SELECT {inner}"));
                let _ = parse(&format!("SELECT * FROM {inner}"));
                let _ = parse(&source(&format!("a INT GENERATED ALWAYS AS ({inner})")));
            }
        }
    }
    assert!(started.elapsed() < LIMIT, "{:?}", started.elapsed());
}

proptest! {
    #[test]
    fn no_text_panics(text in "\\PC*") {
        let _ = parse(&text).map_err(|error| error.to_string());
    }

    #[test]
    fn no_mixture_of_words_panics(words in prop::collection::vec(prop::sample::select(vec![
        "CREATE", "TABLE", "VIEW", "INSERT", "INTO", "SELECT", "FROM", "WHERE", "WITH", "(", ")", "[", "]",
        "<", ">", ">>", ",", ";", "'a'", "\"b\"", "c", "1", "=", ".", "AS", "STRUCT", "ARRAY", "TEXT",
        "TIMESTAMP", "METADATA", "WATERMARK", "FOR", "GENERATED", "ALWAYS", "NOT", "NULL", "interval",
        "connector", "'kafka'", "type", "{{", "}}", "{{ X | y }}", "--", "/*", "*/", "\n", "-", "é", "'",
    ]), 0..60)) {
        let text = words.join(" ");
        let _ = parse(&text).map_err(|error| error.to_string());
    }

    #[test]
    fn no_damaged_job_panics(
        cuts in prop::collection::vec((any::<prop::sample::Index>(), 0..40_usize, "[ -~é\n]{0,4}"), 1..6)
    ) {
        let mut chars: Vec<char> = OHLC.chars().collect();
        for (at, length, put) in cuts {
            let at = at.index(chars.len());
            let end = (at + length).min(chars.len());
            chars.splice(at..end, put.chars());
        }
        let text: String = chars.into_iter().collect();
        if let Err(error) = parse(&text) {
            let lines = text.split('\n').count() as u64;
            for fault in error.0 {
                prop_assert!(fault.line <= lines, "{fault}");
                let _ = fault.to_string();
            }
        }
    }
}
