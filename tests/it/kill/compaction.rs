//! The shipped job is killed while it compacts: whoever reads meanwhile and afterwards sees every candle once.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::market::Market;
use super::{BOUNDED_EPOCH_FRAMES, assert_whole, staged};
use crate::job::harness::listing;
use crate::job::rebuild::{Readers, read_now};
use crate::support::broker::PATIENCE;
use crate::support::seed::Seeded;
use crate::support::shipped::Folder;

/// Runs that are killed.
const KILLS: usize = 24;

/// The files below a folder, to be put back.
fn kept(data: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let files = listing(data).into_iter();
    files
        .map(|file| (data.join(&file), fs::read(data.join(file)).unwrap()))
        .collect()
}

/// Whether a compaction's files stand in staging.
fn leaves_something(folder: &Folder) -> bool {
    staged(folder).iter().any(|file| file.contains("compact"))
}

#[test]
fn a_job_killed_while_it_compacts_loses_and_doubles_nothing() {
    let mut moments = Seeded::new();
    let (market, folder) = (Market::new(), Folder::new());
    market.append(&market.broker.appender(), 0..market.frames.len());
    let job = |grace: &str| {
        market
            .job(&folder, 10 * BOUNDED_EPOCH_FRAMES)
            .arguments(&["--available-now"])
            .conf("spark.stockpulse.compactionGrace", grace)
    };
    assert_eq!(job("1 hour").end().code, Some(0));
    let candles = read_now(&folder.table()).unwrap();
    let data = folder.path().join("data");
    let files = kept(&data);
    let many = listing(&folder.table()).len();
    // How many depends on which partition was ahead when an epoch ended.
    assert!(many > 30, "{many}");
    let (mut done, mut left) = (0, 0);
    for kill in 0..KILLS {
        fs::remove_dir_all(&data).unwrap();
        for (path, bytes) in &files {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        let readers = Readers::start(&folder.table(), vec![candles.clone()]);
        let work = data.join("_stage/ohlc/ohlc.compact");
        let run = job("0 seconds").start();
        let since = Instant::now();
        let is_begun = || match kill % 2 {
            0 => work.exists(),
            // In the middle of it.
            _ => leaves_something(&folder),
        };
        while !is_begun() && !run.ends_within(Duration::from_micros(200)) {
            assert!(since.elapsed() < PATIENCE);
        }
        if kill % 2 == 0 {
            // Ever later: where in a compaction that is depends on the machine.
            run.ends_within(moments.moment(0, 10 * (kill as u64 + 1)));
        }
        let ended = run.kill();
        let what = format!("seed {}, kill {kill}: {}", moments.seed, ended.said);
        assert_eq!(read_now(&folder.table()).as_ref(), Some(&candles), "{what}");
        done += usize::from(listing(&folder.table()).len() < many);
        left += usize::from(leaves_something(&folder));
        let again = job("0 seconds").end();
        assert_eq!(again.code, Some(0), "{what}: {}", again.said);
        readers.end();
        assert_whole(&folder, &market.candles(), &what);
        let days = listing(&folder.table()).into_iter();
        let merged = days
            .filter(|file| file.ends_with("-000c001.parquet"))
            .count();
        assert_eq!(merged, 2, "{what}: {:?}", listing(&folder.table()));
    }
    let what = format!(
        "seed {}: {done} had compacted, {left} left something",
        moments.seed
    );
    assert!(done > 0 && left > 0, "{what}");
    eprintln!("{what}");
}
