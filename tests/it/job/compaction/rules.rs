//! Which folders are compacted, and which are left alone.

use std::fs;
use std::time::Duration;

use super::{
    DAY, FIRST_DAY, at, batches, bits, days, everything, files, folder, published_at, run,
    small_epochs, sql, tick, write, written,
};
use crate::job::harness::{Bench, Regime, listing, long_before};
use stockpulse::source::replay::ReplayTopic;

/// How many folders a run compacts when the wall clock shows so many seconds after July has begun.
fn compacts_at(bench: &Bench, topic: &ReplayTopic, seconds: i64) -> usize {
    let clock = at(FIRST_DAY + seconds);
    run(bench, topic, |spec| spec.clock = clock).compacted_folders
}

#[test]
fn the_current_and_the_previous_day_are_never_touched() {
    let (bench, topic) = written(&sql(), 4, 2);
    published_at(&bench, FIRST_DAY);
    let names = everything(&bench);
    assert_eq!(compacts_at(&bench, &topic, 2 * DAY - 1), 0);
    assert_eq!(everything(&bench), names);
    // A second later the first of July is the day before yesterday.
    assert_eq!(compacts_at(&bench, &topic, 2 * DAY), 1);
    assert_eq!((files(&bench, 0).len(), files(&bench, 1).len()), (1, 2));
    assert_eq!(compacts_at(&bench, &topic, 4 * DAY - 1), 1);
    assert_eq!(compacts_at(&bench, &topic, 4 * DAY), 1);
    // A clock that was set back, or that nobody has set yet, makes nothing old.
    assert_eq!(compacts_at(&bench, &topic, -50 * 365 * DAY), 0);
}

#[test]
fn the_youngest_file_of_a_folder_must_be_old_enough() {
    let (bench, topic) = written(&sql(), 1, 2);
    published_at(&bench, FIRST_DAY + 5 * DAY);
    let compacts = |after: i64, grace: u64| {
        run(&bench, &topic, |spec| {
            spec.clock = at(FIRST_DAY + 5 * DAY + after);
            spec.compaction = Some(Duration::from_secs(grace));
        })
        .compacted_folders
    };
    assert_eq!(compacts(3599, 3600), 0);
    // Published later than now: the clock was set back.
    assert_eq!(compacts(-1, 0), 0);
    assert_eq!(compacts(3600, 7200), 0);
    assert_eq!(compacts(3600, 3600), 1);
}

#[test]
fn a_day_whose_last_windows_may_still_come_is_left_alone() {
    let (bench, topic) = written(&sql(), 1, 3);
    // Its last tick is of ten o'clock; nothing says that there is none at eleven.
    assert_eq!(run(&bench, &topic, |_| {}).compacted_folders, 1);
    assert!(files(&bench, 1).len() > 1);
    // The last minute of the day is emitted: its window ends with the day.
    tick(&topic, 2 * DAY - 30);
    let last = run(&bench, &topic, |_| {});
    assert_eq!((last.rows, last.compacted_folders), (2, 0));
    // The checkpoint names its file: a restart would look for it.
    assert_eq!(run(&bench, &topic, |_| {}).compacted_folders, 0);
    tick(&topic, 3 * DAY);
    assert_eq!(run(&bench, &topic, |_| {}).compacted_folders, 1);
    assert_eq!(files(&bench, 1).len(), 1);
}

#[test]
fn rows_that_wait_for_their_commit_keep_their_day_open() {
    // Everything is closed at once, and committed at the end of a first run that is not over.
    let (bench, topic) = written(&sql(), 2, 2);
    days(&topic, 3..5, 3);
    let summary = run(&bench, &topic, |_| {});
    let names = listing(&bench.table());
    // The days that the last commit wrote stay as they are, the others do not.
    assert_eq!(summary.compacted_folders, 4, "{names:?}");
    assert!(files(&bench, 4).len() > 1, "{names:?}");
}

#[test]
fn a_folder_with_anything_of_somebody_else_is_left_alone() {
    let (bench, topic) = written(&sql(), 5, 2);
    let file = files(&bench, 0).remove(0);
    let foreign = |day: i64, name: &str| {
        fs::copy(
            folder(&bench, 0).join(&file),
            folder(&bench, day).join(name),
        )
        .unwrap();
    };
    foreign(0, "other-0000000001-000.parquet");
    foreign(1, "notes.txt");
    fs::create_dir(folder(&bench, 2).join("more")).unwrap();
    // A link's target is not the job's to move.
    let elsewhere = bench.dir.path().join("elsewhere");
    fs::rename(folder(&bench, 3), &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, folder(&bench, 3)).unwrap();
    fs::create_dir(bench.table().join("date=2026-7-1")).unwrap();
    fs::create_dir(bench.table().join("not a date")).unwrap();
    let names = everything(&bench);
    let summary = run(&bench, &topic, |_| {});
    assert_eq!(summary.compacted_folders, 1);
    assert_eq!(files(&bench, 4).len(), 1);
    let kept = |names: Vec<String>| {
        let kept = names.into_iter().filter(|name| !name.contains("07-05"));
        kept.collect::<Vec<String>>()
    };
    assert_eq!(kept(everything(&bench)), kept(names));
}

#[test]
fn it_can_be_turned_off() {
    let (bench, topic) = written(&sql(), 2, 2);
    let names = everything(&bench);
    run(&bench, &topic, |spec| spec.compaction = None);
    assert_eq!(everything(&bench), names);
}

/// `sql()` with more options of its table, or another pattern.
fn with(old: &str, new: &str) -> String {
    let sql = sql();
    assert_eq!(sql.matches(old).count(), 1, "{old}");
    sql.replace(old, new)
}

const PATTERN: &str = "'partitioning.time_pattern' = 'date=%Y-%m-%d'";

#[test]
fn the_folders_of_columns_are_compacted_each_on_its_own() {
    let fields = format!("{PATTERN}, 'partitioning.fields' = [symbol]");
    let (bench, topic) = written(&with(PATTERN, &fields), 2, 4);
    let before = bits(&bench.table());
    assert_eq!(run(&bench, &topic, |_| {}).compacted_folders, 4);
    assert_eq!(bits(&bench.table()), before);
    let names = files(&bench, 0);
    assert_eq!(names.len(), 2, "{names:?}");
    assert!(names[0].starts_with("symbol=BTC/") && names[1].starts_with("symbol=ETH/"));
}

#[test]
fn folders_of_hours_and_of_months_are_compacted_when_all_their_days_are_over() {
    let hours = "'partitioning.time_pattern' = 'day=%d.%m.%Y/hour=%H'";
    let (bench, topic) = written(&with(PATTERN, hours), 2, 40);
    let before = bits(&bench.table());
    // Ten and eleven o'clock of two days; the third is not over.
    assert_eq!(run(&bench, &topic, |_| {}).compacted_folders, 4);
    assert_eq!(bits(&bench.table()), before);

    let months = "'partitioning.time_pattern' = '%Y-%m'";
    let (bench, topic) = written(&with(PATTERN, months), 3, 2);
    let before = bits(&bench.table());
    assert_eq!(run(&bench, &topic, |_| {}).compacted_folders, 0);
    tick(&topic, 32 * DAY);
    let august = run(&bench, &topic, |_| {});
    assert_eq!((august.compacted_folders, august.rows), (1, 2));
    assert_eq!(listing(&bench.table().join("2026-07")).len(), 1);
    assert_eq!(bits(&bench.table())["2026-07"], before["2026-07"]);
}

#[test]
fn a_table_without_days_is_left_alone() {
    for pattern in [
        "'filename.prefix' = ''",
        "'partitioning.time_pattern' = 'hour=%H'",
    ] {
        let (bench, topic) = written(&with(PATTERN, pattern), 2, 2);
        assert_eq!(run(&bench, &topic, |_| {}).compacted_folders, 0);
    }
}

#[test]
fn files_have_the_size_that_the_table_asks_for_and_are_not_merged_again() {
    let sized = format!("{PATTERN}, 'rolling_policy.file_size' = '1B'");
    let topic = ReplayTopic::new("raw_ticks", 1);
    for minute in (0..600).chain(1440..2040).chain([3000]) {
        tick(&topic, 60 * minute);
    }
    let bench = Bench::new(&with(PATTERN, &sized));
    let regime = Regime {
        max_offsets_per_trigger: Some(50),
        ..small_epochs()
    };
    write(&bench, &topic, &regime);
    let before = bits(&bench.table());
    let small = files(&bench, 0).len();
    let summary = run(&bench, &topic, |_| {});
    assert_eq!(
        (summary.compacted_folders, summary.compacted_files),
        (2, 2 * small)
    );
    assert_eq!(bits(&bench.table()), before);
    let names = files(&bench, 0);
    assert_eq!(
        names.len(),
        2,
        "1,200 rows, looked at after 1,000: {names:?}"
    );
    assert!(names[1].ends_with("-001c001.parquet"));
    assert_eq!(run(&bench, &topic, |_| {}).compacted_folders, 0);
    assert_eq!(files(&bench, 0), names);
}

/// Every tick as a row of its own.
const ARCHIVE: &str = "
CREATE TABLE archive (symbol TEXT, price DOUBLE, traded TIMESTAMP) WITH (
    connector = 'filesystem', type = 'sink', format = 'parquet', path = '{{ CANDLES_PATH }}',
    'partitioning.time_pattern' = 'date=%Y-%m-%d'
);
INSERT INTO archive SELECT symbol, price, _timestamp FROM ticks;
";

fn archive() -> String {
    let source = sql();
    let sink = source.find("-- (2)").unwrap();
    let view = source.find("-- (3)").unwrap();
    let insert = source.find("-- (4)").unwrap();
    format!("{}{}{ARCHIVE}", &source[..sink], &source[view..insert])
}

#[test]
fn an_archive_is_compacted_in_the_order_of_the_topic_and_late_rows_are_taken_in_later() {
    let topic = ReplayTopic::new("raw_ticks", 1);
    let bench = Bench::new(&archive());
    days(&topic, 0..3, 3);
    bench.run_at(&topic, &small_epochs(), long_before).unwrap();
    let before = bits(&bench.table());
    let in_order = |day: i64| {
        let files = files(&bench, day).into_iter();
        let rows = files.flat_map(|file| batches(&folder(&bench, day).join(file)));
        rows.flat_map(|batch| {
            (0..batch.num_rows())
                .map(|row| stockpulse::testing::row_text(&batch, row).unwrap())
                .collect::<Vec<String>>()
        })
        .collect::<Vec<String>>()
    };
    let rows = in_order(0);
    assert_eq!(rows.len(), 6);
    // The last day's last file is named by the checkpoint.
    assert_eq!(run(&bench, &topic, |_| {}).compacted_folders, 2);
    assert_eq!(bits(&bench.table()), before);
    assert_eq!(in_order(0), rows);

    // A row for a day that was compacted lies beside; then it is taken in, under a name of its own.
    let names = files(&bench, 0);
    assert_eq!(names.len(), 1);
    tick(&topic, 70_000);
    let late = run(&bench, &topic, |_| {});
    assert_eq!((late.rows, files(&bench, 0).len()), (2, 2));
    assert_eq!(late.compacted_folders, 1, "the third day");
    tick(&topic, 3 * DAY);
    let next = run(&bench, &topic, |_| {});
    assert_eq!(next.compacted_folders, 1, "the first day");
    let again = files(&bench, 0);
    assert!(again.len() == 1 && again != names, "{names:?} {again:?}");
    assert!(again[0].ends_with("c002.parquet"), "{again:?}");
    let all = in_order(0);
    assert_eq!((all.len(), &all[..6]), (8, &rows[..]));
}

#[test]
fn a_merged_file_has_all_columns_that_an_edit_has_added() {
    let (mut bench, topic) = written(&sql(), 1, 3);
    for (old, new) in [
        (
            "    trades BIGINT\n",
            "    trades BIGINT,\n    mean DOUBLE\n",
        ),
        (
            "        count(*) AS trades\n",
            "        count(*) AS trades,\n        avg(price) AS mean\n",
        ),
        ("volume, trades\nFROM (", "volume, trades, mean\nFROM ("),
    ] {
        assert_eq!(bench.sql.matches(old).count(), 1, "{old}");
        bench.sql = bench.sql.replace(old, new);
    }
    tick(&topic, DAY + 40_000);
    tick(&topic, DAY + 40_300);
    for day in 2..4 {
        tick(&topic, day * DAY);
        run(&bench, &topic, |spec| spec.compaction = None);
    }
    let rows = || {
        let query = "SELECT symbol, window_start, trades, mean FROM t ORDER BY 1, 2";
        crate::job::harness::read_rows(&bench.table(), query)
    };
    let before = rows();
    assert!(
        before.iter().any(|row| row.ends_with(",1,null")),
        "{before:?}"
    );
    assert_eq!(run(&bench, &topic, |_| {}).compacted_folders, 2);
    assert_eq!(rows(), before);
    let columns = |day: i64| {
        let file = folder(&bench, day).join(&files(&bench, day)[0]);
        batches(&file)[0].num_columns()
    };
    // A day that has nothing of the new column gets no column of nulls either.
    assert_eq!((columns(0), columns(1)), (9, 10));
}
