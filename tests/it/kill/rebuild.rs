//! `kill -9` of a rebuild at random seeded: readers see the old candles or the new ones, and in the end there
//! is what a new job writes.

use std::time::{Duration, Instant};

use super::market::Market;
use super::{folders, staged};
use crate::job::harness::{assert_recorded_candles, listing, read_rows};
use crate::job::rebuild::{Readers, five_minutes, read_now};
use crate::support::broker::PATIENCE;
use crate::support::seed::Seeded;
use crate::support::shipped::Folder;

/// Rebuilds are killed for so long, then one may end.
const KILLING: Duration = Duration::from_secs(8);
/// Frames of an epoch: small enough that a rebuild takes longer than a process lives.
const EPOCH_FRAMES: u32 = 400;
const ROWS: &str = "SELECT symbol, window_start, window_end, open, high, low, close, volume, trades \
                    FROM t ORDER BY symbol, window_start";

#[test]
fn a_rebuild_killed_again_and_again_is_swapped_in_whole() {
    let mut seeded = Seeded::new();
    let (market, folder, new) = (Market::new(), Folder::new(), Folder::new());
    market.append(&market.broker.appender(), 0..market.frames.len());
    folder.available_now(&market.broker, &[]);
    for changed in [&folder, &new] {
        changed.file("ohlc.sql", &five_minutes());
    }
    new.available_now(&market.broker, &[]);
    let generations = [&folder, &new].map(|folder| read_now(&folder.table()).unwrap());
    let readers = Readers::start(&folder.table(), generations.to_vec());

    let begun = Instant::now();
    let (mut kills, mut whole) = (0, 0);
    loop {
        let run = market
            .job(&folder, EPOCH_FRAMES)
            .arguments(&["--available-now", "--rebuild"])
            .start();
        if begun.elapsed() < KILLING {
            let moment = match seeded.one_in(3) {
                true => {
                    // Near the swap.
                    run.wait_for("rebuild");
                    seeded.moment(100, 700)
                }
                false => seeded.moment(20, 500),
            };
            run.ends_within(moment);
        }
        let ended = match begun.elapsed() < KILLING {
            true => run.kill(),
            false => run.end(),
        };
        match ended.code {
            None => kills += 1,
            Some(code) => {
                assert_eq!(code, 0, "seed {}: {}", seeded.seed, ended.said);
                assert!(ended.said.contains("rebuilt"), "{}", ended.said);
                whole += 1;
                if begun.elapsed() >= KILLING {
                    break;
                }
            }
        }
    }
    let what = format!("seed {}, {kills} kills, {whole} whole", seeded.seed);
    let seen = readers.end();
    assert!(seen.keys().eq(&[0, 1]), "{what}: {seen:?}");
    assert!(kills >= 3, "{what}");
    assert_eq!(
        read_rows(&folder.table(), ROWS),
        read_rows(&new.table(), ROWS),
        "{what}"
    );
    assert_eq!(staged(&folder), ["ohlc/lock"], "{what}");
    let data = folder.path().join("data");
    assert_eq!(folders(&data), ["_checkpoints", "_old", "_stage", "ohlc"]);
    let kept = folders(&data.join("_old"));
    let first = kept.iter().min_by_key(|name| name.len()).unwrap();
    assert_recorded_candles(&read_rows(&data.join("_old").join(first), ROWS), &what);
    assert!(
        !listing(&folder.checkpoints())
            .iter()
            .any(|file| file.contains("swap"))
    );
    eprintln!("kills: rebuild: {what}, generations seen {seen:?}");
}

#[test]
fn after_a_rebuild_the_job_goes_on() {
    let (market, folder) = (Market::new(), Folder::new());
    let appender = market.broker.appender();
    market.append(&appender, 0..5_000);
    folder.available_now(&market.broker, &[]);
    folder.file("ohlc.sql", &five_minutes());
    let run = market
        .job(&folder, EPOCH_FRAMES * 10)
        .arguments(&["--rebuild"])
        .start();
    run.wait_for("rebuilt: ");
    let rows = || read_rows(&folder.table(), "SELECT count(*) FROM t");
    let rebuilt = rows();
    market.append(&appender, 5_000..market.frames.len());
    let begun = Instant::now();
    while rows() == rebuilt {
        assert!(begun.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(50));
    }
    run.signal("TERM");
    let ended = run.end();
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    assert!(ended.said.contains("is kept in "), "{}", ended.said);
}
