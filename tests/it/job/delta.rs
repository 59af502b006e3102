//! A job that writes a Delta table beside a folder: the same candles in both, however it was cut.

use std::fs;

use stockpulse::job::{JobError, rebuild};

use super::exact::OHLC;
use super::harness::{Bench, Regime, assert_recorded_candles, recorded_frames, topic};
use crate::crash::delta::{Table, read};
use crate::crash::rows;

/// The candles once more, in a Delta table.
fn with_delta() -> String {
    let (_, rest) = OHLC.split_once("CREATE TABLE ohlc (").unwrap();
    let (columns, _) = rest.split_once(") WITH").unwrap();
    let (_, insert) = OHLC.split_once("INSERT INTO ohlc").unwrap();
    let insert = insert.replace(
        "volume, trades\nFROM",
        "volume, trades, CAST(window.start AS DATE) AS day\nFROM",
    );
    format!(
        "{OHLC}\nCREATE TABLE candles ({columns}, day DATE) WITH (
            connector = 'delta', type = 'sink', format = 'parquet', path = '{{{{ CANDLES_PATH }}}}_delta',
            'partitioning.fields' = [day]
        );\nINSERT INTO candles{insert}"
    )
}

fn delta(bench: &Bench) -> Table {
    read(&bench.dir.path().join("data/ohlc_delta")).unwrap()
}

#[test]
fn a_delta_table_has_the_candles_of_the_folder_beside_it() {
    let topic = topic(&recorded_frames(), 2, |_| 1);
    let bench = Bench::new(&with_delta().replace("1 second", "1 millisecond"));
    let regime = Regime {
        max_offsets_per_trigger: Some(500),
        ..Regime::default()
    };
    let mut reports = 0;
    bench
        .run_until(&topic, &regime, |_| {
            reports += 1;
            reports == 4
        })
        .unwrap();
    let midway = delta(&bench);
    bench.run(&topic, &regime).unwrap();
    let table = delta(&bench);
    assert!(table.versions > 2, "{} versions", table.versions);
    assert!(midway.rows.len() <= table.rows.len());
    assert_recorded_candles(&table.rows, "the Delta table");
    assert_eq!(table.rows, rows(&bench.table(), &[]).unwrap());
    let app = "stockpulse/ohlc/candles";
    assert!(table.transactions.iter().all(|(id, _)| id == app));
    // Nothing new: nothing is written.
    bench.run(&topic, &regime).unwrap();
    assert_eq!(delta(&bench).versions, table.versions);
}

#[test]
fn a_delta_table_that_is_gone_is_not_silently_begun_anew() {
    let topic = topic(&recorded_frames(), 2, |_| 1);
    let bench = Bench::new(&with_delta());
    bench.run(&topic, &Regime::default()).unwrap();
    let path = bench.dir.path().join("data/ohlc_delta");
    let aside = bench.dir.path().join("aside");
    fs::rename(&path, &aside).unwrap();
    let error = bench.run(&topic, &Regime::default()).unwrap_err();
    assert!(matches!(error, JobError::Mismatch(_)), "{error}");
    assert!(error.to_string().contains("is gone"), "{error}");
    fs::rename(&aside, &path).unwrap();
    bench.run(&topic, &Regime::default()).unwrap();
    // What is in its log cannot be exchanged with another generation.
    let spec = bench.spec(&Regime::default()).unwrap();
    let error = rebuild(spec, &topic, &mut |_| {}).unwrap_err();
    assert!(matches!(error, JobError::Usage(_)), "{error}");
    assert!(error.to_string().contains("(delta file:///"), "{error}");
    assert_recorded_candles(&delta(&bench).rows, "the Delta table");
}

#[test]
fn a_checkpoint_that_went_missing_does_not_write_the_candles_twice() {
    let topic = topic(&recorded_frames(), 2, |_| 1);
    let bench = Bench::new(&with_delta());
    bench.run(&topic, &Regime::default()).unwrap();
    fs::remove_dir_all(bench.dir.path().join("data/_checkpoints")).unwrap();
    // The folder would be refused, too.
    fs::remove_dir_all(bench.table()).unwrap();
    let error = bench.run(&topic, &Regime::default()).unwrap_err();
    assert!(
        error.to_string().contains("there is no checkpoint"),
        "{error}"
    );
}
