//! The steps of a start and of an epoch, in their order: the table in docs/RELIABILITY.md is about these.

use std::sync::Arc;

use expect_test::expect;
use stockpulse::disk::Disk;

use super::matrix::folder;
use super::scene::Scene;
use super::watch::{At, Stop};

#[test]
fn an_epoch_is_staged_then_committed_then_published() {
    let scene = Scene::new();
    let folder = folder();
    let stop = Arc::new(Stop::new(At::Never, folder.path()));
    let disk = Disk::watched(stop.clone());
    scene.run(0, folder.path(), &disk, Some(&stop)).unwrap();
    let mut steps = stop.steps();
    // Several writes of a file are one line.
    steps.dedup();
    let first = steps
        .iter()
        .position(|step| step.starts_with("tell"))
        .unwrap();
    let start = steps
        .iter()
        .position(|step| step.starts_with("create data/_stage"))
        .unwrap();
    let second = steps[first + 1..]
        .iter()
        .position(|step| step.starts_with("tell"))
        .unwrap();
    let text = |steps: &[String]| steps.join("\n") + "\n";
    expect![[r#"
        mkdir data
        fsync dir 
        mkdir data/_checkpoints
        fsync dir data
        mkdir data/_checkpoints/ohlc
        fsync dir data/_checkpoints
        lock data/_checkpoints/ohlc/lock
        remove data/_checkpoints/ohlc/checkpoint.tmp
        mkdir data/ohlc
        fsync dir data
        mkdir data/_stage
        fsync dir data
        mkdir data/_stage/ohlc
        fsync dir data/_stage
        lock data/_stage/ohlc/lock
        mkdir data/archive
        fsync dir data
        mkdir data/_stage/archive
        fsync dir data/_stage
        lock data/_stage/archive/lock
        mkdir data/letters
        fsync dir data
        mkdir data/_stage/letters
        fsync dir data/_stage
        lock data/_stage/letters/lock
    "#]]
    .assert_eq(&text(&steps[..start]));
    expect![[r#"
        create data/_stage/letters/scene-0000000001-000.parquet
        write data/_stage/letters/scene-0000000001-000.parquet
        fsync data/_stage/letters/scene-0000000001-000.parquet
        fsync dir data/_stage/letters
        create data/_stage/archive/scene-0000000001-000.parquet
        write data/_stage/archive/scene-0000000001-000.parquet
        fsync data/_stage/archive/scene-0000000001-000.parquet
        create data/_stage/archive/scene-0000000001-001.parquet
        write data/_stage/archive/scene-0000000001-001.parquet
        fsync data/_stage/archive/scene-0000000001-001.parquet
        fsync dir data/_stage/archive
        create data/_checkpoints/ohlc/checkpoint.tmp
        write data/_checkpoints/ohlc/checkpoint.tmp
        fsync data/_checkpoints/ohlc/checkpoint.tmp
        rename to data/_checkpoints/ohlc/checkpoint-000000001.json
        fsync dir data/_checkpoints/ohlc
        mkdir data/archive/date=2026-07-31
        fsync dir data/archive
        rename to data/archive/date=2026-07-31/scene-0000000001-000.parquet
        mkdir data/archive/date=2026-08-01
        fsync dir data/archive
        rename to data/archive/date=2026-08-01/scene-0000000001-001.parquet
        fsync dir data/archive/date=2026-07-31
        fsync dir data/archive/date=2026-08-01
        mkdir data/letters/date=2026-07-31
        fsync dir data/letters
        rename to data/letters/date=2026-07-31/scene-0000000001-000.parquet
        fsync dir data/letters/date=2026-07-31
        tell the offsets
    "#]]
    .assert_eq(&text(&steps[start..=first]));
    expect![[r#"
        create data/_stage/letters/scene-0000000002-000.parquet
        write data/_stage/letters/scene-0000000002-000.parquet
        fsync data/_stage/letters/scene-0000000002-000.parquet
        fsync dir data/_stage/letters
        create data/_stage/ohlc/scene-0000000002-000.parquet
        write data/_stage/ohlc/scene-0000000002-000.parquet
        fsync data/_stage/ohlc/scene-0000000002-000.parquet
        fsync dir data/_stage/ohlc
        create data/_stage/archive/scene-0000000002-000.parquet
        write data/_stage/archive/scene-0000000002-000.parquet
        fsync data/_stage/archive/scene-0000000002-000.parquet
        create data/_stage/archive/scene-0000000002-001.parquet
        write data/_stage/archive/scene-0000000002-001.parquet
        fsync data/_stage/archive/scene-0000000002-001.parquet
        fsync dir data/_stage/archive
        create data/_checkpoints/ohlc/checkpoint.tmp
        write data/_checkpoints/ohlc/checkpoint.tmp
        fsync data/_checkpoints/ohlc/checkpoint.tmp
        rename to data/_checkpoints/ohlc/checkpoint-000000002.json
        fsync dir data/_checkpoints/ohlc
        mkdir data/ohlc/date=2026-07-31
        fsync dir data/ohlc
        rename to data/ohlc/date=2026-07-31/scene-0000000002-000.parquet
        fsync dir data/ohlc/date=2026-07-31
        rename to data/archive/date=2026-07-31/scene-0000000002-000.parquet
        rename to data/archive/date=2026-08-01/scene-0000000002-001.parquet
        fsync dir data/archive/date=2026-07-31
        fsync dir data/archive/date=2026-08-01
        rename to data/letters/date=2026-07-31/scene-0000000002-000.parquet
        fsync dir data/letters/date=2026-07-31
        tell the offsets
    "#]]
    .assert_eq(&text(&steps[first + 1..first + 2 + second]));
}
