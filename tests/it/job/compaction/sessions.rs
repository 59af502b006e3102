//! What those who read see of it: one that lists anew, always every row once; one that keeps its listing, as a
//! session of DataFusion does, that a file is not found, of a day that is neither today nor yesterday.

use std::collections::BTreeSet;

use datafusion::error::Result;
use datafusion::prelude::SessionContext;

use super::crash::Snapshot;
use super::{DAY, FIRST_DAY, at, files, published_at, run, sql, written};
use crate::job::harness::Bench;
use crate::job::rebuild::{Readers, read_now};

#[test]
fn whoever_lists_anew_sees_every_candle_once_all_the_while() {
    let (bench, topic) = written(&sql(), 6, 8);
    let rows: BTreeSet<String> = read_now(&bench.table()).unwrap();
    let original = Snapshot::of(&bench);
    let mut looks = 0;
    for _ in 0..5 {
        original.restore(&bench);
        let readers = Readers::start(&bench.table(), vec![rows.clone()]);
        let summary = run(&bench, &topic, |spec| spec.in_turns = false);
        assert_eq!(summary.compacted_folders, 6);
        looks += readers.end()[&0];
        assert_eq!(read_now(&bench.table()).unwrap(), rows);
    }
    assert!(looks >= 5);
}

/// A session of DataFusion.
struct Session {
    runtime: tokio::runtime::Runtime,
    context: SessionContext,
}

impl Session {
    /// A session with the table, as datafusion-cli makes it after these statements.
    fn new(bench: &Bench, first: &[&str]) -> Session {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let context = SessionContext::new();
        let session = Session { runtime, context };
        let create = format!(
            "CREATE EXTERNAL TABLE ohlc STORED AS PARQUET LOCATION '{}/'",
            bench.table().display()
        );
        for statement in first.iter().copied().chain([create.as_str()]) {
            session.rows(statement).unwrap();
        }
        session
    }

    /// How many rows a statement gives.
    fn rows(&self, statement: &str) -> Result<usize> {
        self.runtime.block_on(async {
            let rows = self.context.sql(statement).await?.collect().await?;
            Ok(rows.iter().map(|batch| batch.num_rows()).sum())
        })
    }
}

const ALL: &str = "SELECT symbol, close FROM ohlc";

#[test]
fn a_session_that_keeps_its_listing_misses_compacted_files_but_not_today_and_yesterday() {
    let (bench, topic) = written(&sql(), 4, 3);
    published_at(&bench, FIRST_DAY);
    let keeps = Session::new(&bench, &[]);
    let anew = Session::new(
        &bench,
        &["SET datafusion.runtime.list_files_cache_limit = '0'"],
    );
    assert_eq!(
        (keeps.rows(ALL).unwrap(), anew.rows(ALL).unwrap()),
        (30, 30)
    );

    // It is the fifth of July: the third is the day before yesterday.
    let summary = run(&bench, &topic, |spec| {
        spec.clock = at(FIRST_DAY + 4 * DAY + DAY / 2);
    });
    assert_eq!(summary.compacted_folders, 3);
    assert!(files(&bench, 3).len() > 1);
    assert_eq!(anew.rows(ALL).unwrap(), 30);
    let lost = keeps.rows(ALL).unwrap_err().to_string();
    assert!(lost.contains("not found"), "{lost}");
    for day in ["2026-07-04", "2026-07-05"] {
        let of_the_day = format!("{ALL} WHERE date = '{day}'");
        assert_eq!(keeps.rows(&of_the_day).unwrap(), 6, "{day}");
    }
    // It creates the table again.
    assert_eq!(Session::new(&bench, &[]).rows(ALL).unwrap(), 30);
}
