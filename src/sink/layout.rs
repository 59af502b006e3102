//! Where a table's files stand and what they are called. Pure: nothing here touches the disk.
//!
//! ```text
//! data/ohlc/date=2026-11-22/live-ohlc-0000000012-000.parquet     published
//! data/_stage/ohlc/live-ohlc-0000000012-000.parquet              staged
//! data/ohlc/date=2026-11-20/live-ohlc-0000000010-000c001.parquet a day's files in one
//! data/_stage/ohlc/live-ohlc.compact/date=2026-11-20/            that file before, its sources after
//! data/_checkpoints/ohlc/                                        the checkpoint, by default
//! ```

use std::path::{Component, Path, PathBuf};

use chrono::format::{Item, Parsed, StrftimeItems};
use chrono::{DateTime, Days, Months, NaiveDate, NaiveTime, Weekday};

use crate::model::Epoch;
use crate::objects::Address;

/// Letters of a job name or prefix that go into file names at most; the limit of file systems is 255.
const STEM_LETTERS: usize = 100;

/// The folder beside a table in which its job's checkpoints are.
const CHECKPOINTS: &str = "_checkpoints";
/// The folder beside a table in which its files are staged.
pub(super) const STAGE: &str = "_stage";

/// The staging directory of a table: beside it, on the same file system. `None`: the path has no
/// last component, as `/` or `..`.
pub(super) fn staging_dir(table: &Path) -> Option<PathBuf> {
    beside(table, STAGE)
}

/// Where a job that writes `table` keeps its checkpoint unless told otherwise: `data/ohlc` →
/// `data/_checkpoints/ohlc`. `None`: the path has no last component, as `/` or `..`.
pub fn default_checkpoint_dir(table: &Path) -> Option<PathBuf> {
    beside(table, CHECKPOINTS)
}

/// As [`default_checkpoint_dir`], of a table on an object store.
pub fn default_checkpoint_address(table: &Address) -> Address {
    table.beside(CHECKPOINTS)
}

/// Where a rebuild writes a table: `data/ohlc` → `data/_rebuild/ohlc`, staged in `data/_rebuild/_stage/ohlc`.
pub(super) fn rebuilt_dir(table: &Path) -> Option<PathBuf> {
    beside(table, "_rebuild")
}

/// Where a table's old generations are kept, by the table's name and their last epoch: `data/_old/ohlc-12`.
pub(super) fn kept_dir(table: &Path, last: Epoch) -> Option<PathBuf> {
    let mut kept = beside(table, "_old")?.into_os_string();
    kept.push(format!("-{last}"));
    Some(PathBuf::from(kept))
}

/// Where a job's compaction works, in a table's staging directory.
pub(super) fn compaction_dir(stage: &Path, stem: &str) -> PathBuf {
    stage.join(format!("{stem}.compact"))
}

fn beside(table: &Path, folder: &str) -> Option<PathBuf> {
    let name = table.file_name()?;
    Some(table.parent()?.join(folder).join(name))
}

/// What the names of a job's files begin with. It holds letters, digits, `.`, `_` and `-` only and
/// does not begin with `.` or `_`, which Spark and Hive take for hidden files.
pub(super) fn file_stem(prefix: Option<&str>, job: &str) -> String {
    let joined = match prefix {
        Some(prefix) if !prefix.is_empty() => format!("{prefix}-{job}"),
        _ => job.to_owned(),
    };
    let stem: String = joined
        .chars()
        .map(|c| match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '.' | '_' | '-' => c,
            _ => '_',
        })
        .skip_while(|c| !c.is_ascii_alphanumeric())
        .take(STEM_LETTERS)
        .collect();
    if stem.is_empty() {
        "job".to_owned()
    } else {
        stem
    }
}

/// Where a file of a partition directory stands below its table: `dir/name`; an empty `dir` is the table's own.
pub(super) fn place_of(dir: &str, name: &str) -> String {
    match dir.is_empty() {
        true => name.to_owned(),
        false => format!("{dir}/{name}"),
    }
}

/// The name of an epoch's file: it derives from what the file holds, never from a clock.
pub(super) fn file_name(stem: &str, epoch: Epoch, ordinal: usize) -> String {
    format!("{stem}-{:010}-{ordinal:03}.parquet", epoch.0)
}

/// The name of a file that others were merged into: the highest of their epochs, and how many times what it
/// holds was merged. No epoch's file has such a name, and the same files merged again have another one.
pub(super) fn merged_name(stem: &str, epoch: Epoch, ordinal: usize, times: u32) -> String {
    format!("{stem}-{:010}-{ordinal:03}c{times:03}.parquet", epoch.0)
}

/// What the name of a job's file says, in the order in which the rows came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct OwnFile {
    /// The epoch that wrote it, or the highest one of those that it was merged from.
    pub(super) epoch: Epoch,
    /// How many times what it holds was merged; 0: it is an epoch's.
    pub(super) times: u32,
    /// Its place among the files of its epoch, or of its merging.
    pub(super) ordinal: usize,
}

/// Takes a name apart that [`file_name`] or [`merged_name`] gives for the job.
pub(super) fn own_file(stem: &str, name: &str) -> Option<OwnFile> {
    let numbers = name.strip_prefix(stem)?.strip_prefix('-')?;
    let (epoch, rest) = numbers.strip_suffix(".parquet")?.split_once('-')?;
    let (ordinal, times) = match rest.split_once('c') {
        Some((ordinal, times)) => (ordinal, number(times, 3)?),
        None => (rest, 0),
    };
    Some(OwnFile {
        epoch: Epoch(number(epoch, 10)?),
        times,
        ordinal: number(ordinal, 3)?,
    })
}

/// A number of so many digits at the least.
fn number<N: std::str::FromStr>(text: &str, least: usize) -> Option<N> {
    let digits = text.len() >= least && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok())?
}

/// Whether [`file_name`] gives this name for some epoch of the job.
pub(super) fn is_file_of(stem: &str, name: &str) -> bool {
    own_file(stem, name).is_some_and(|file| file.times == 0)
}

/// The epoch in a name that [`file_name`] or [`merged_name`] gives, whatever the job.
pub(super) fn epoch_of(name: &str) -> Option<Epoch> {
    let (rest, _ordinal) = name.strip_suffix(".parquet")?.rsplit_once('-')?;
    let (_stem, epoch) = rest.rsplit_once('-')?;
    let is_epoch = epoch.len() >= 10 && epoch.bytes().all(|b| b.is_ascii_digit());
    is_epoch.then(|| epoch.parse().ok().map(Epoch))?
}

/// The partition directory of rows, as a strftime pattern over their event time (UTC).
#[derive(Debug, Clone)]
pub(super) struct TimePattern(String);

/// Bytes of one part of a partition directory at most; the limit of file systems is 255.
const PART_BYTES: usize = 100;

/// The strftime letters whose text is digits or a name, and the same everywhere.
const LETTERS: &str = "YyCGgmbBhdjaAuwUWVHMSF";

impl TimePattern {
    /// Takes a pattern apart and refuses what cannot be a directory below the table.
    pub(super) fn parse(pattern: &str) -> Result<TimePattern, String> {
        let refuse = |why: &str| {
            Err(format!(
                "partitioning.time_pattern '{pattern}': {why}; for example 'date=%Y-%m-%d'"
            ))
        };
        let mut letters = pattern.chars();
        while let Some(letter) = letters.by_ref().find(|&c| c == '%').and(letters.next()) {
            if letter != '%' && !LETTERS.contains(letter) {
                return refuse(&format!("%{letter} is not one of % and {LETTERS}"));
            }
        }
        for (at, part) in pattern.split('/').enumerate() {
            if part.is_empty() || part == "." || part == ".." {
                return refuse(&format!("part {} of the path is '{part}'", at + 1));
            }
            if part.len() > PART_BYTES || part.contains(char::is_control) {
                return refuse("a folder's name is short and printable");
            }
            if part.starts_with(['.', '_']) {
                return refuse("readers take folders that begin with '.' or '_' for hidden");
            }
        }
        if StrftimeItems::new(pattern).any(|item| item == Item::Error) {
            return refuse("it is not a strftime pattern");
        }
        Ok(TimePattern(pattern.to_owned()))
    }

    /// Event times of one directory are often this far apart or less, and the times of one multiple of it, in
    /// nanoseconds, are always in one directory.
    pub(super) fn grain(&self) -> i64 {
        const SECOND: i64 = 1_000_000_000;
        let has = |letter: &str| {
            let mut letters = self.0.split('%').skip(1).filter(|rest| !rest.is_empty());
            letters.any(|rest| rest.starts_with(letter))
        };
        match () {
            () if has("S") => SECOND,
            () if has("M") => 60 * SECOND,
            () if has("H") => 3600 * SECOND,
            () => 86_400 * SECOND,
        }
    }

    /// The directory of rows with this event time, nanoseconds since 1970 UTC, below the table's.
    pub(super) fn dir(&self, row_time: i64) -> String {
        let time = DateTime::from_timestamp_nanos(row_time);
        time.format(&self.0).to_string()
    }

    /// The folders, one in the other, that a directory of rows is made of.
    pub(super) fn depth(&self) -> usize {
        self.0.split('/').count()
    }

    /// The first instant after all those whose rows can be in this directory, nanoseconds since 1970 UTC:
    /// the end of a day, a week, a month or a year. `None`: the pattern does not tell which one it is, or
    /// gives no such directory.
    pub(super) fn end(&self, dir: &str) -> Option<i64> {
        let mut found = Parsed::new();
        chrono::format::parse(&mut found, dir, StrftimeItems::new(&self.0)).ok()?;
        let (first, after) = days(&found)?;
        // What the directory does not tell of the time is at its beginning. Refused where it tells.
        let _ = found.set_hour(0);
        let _ = found.set_minute(0);
        let _ = found.set_second(0);
        let row = first.and_time(found.to_naive_time().ok()?).and_utc();
        let is_given = self.dir(row.timestamp_nanos_opt()?) == dir;
        let end = after.and_time(NaiveTime::MIN).and_utc();
        is_given.then(|| end.timestamp_nanos_opt())?
    }
}

/// The days that a directory is of, as narrow as it tells: the first, and the first after them.
fn days(found: &Parsed) -> Option<(NaiveDate, NaiveDate)> {
    if let Ok(day) = found.to_naive_date() {
        return Some((day, day.succ_opt()?));
    }
    let mut month = found.clone();
    if month.set_day(1).is_ok()
        && let Ok(first) = month.to_naive_date()
    {
        return Some((first, first.checked_add_months(Months::new(1))?));
    }
    let mut week = found.clone();
    if week.set_weekday(Weekday::Mon).is_ok()
        && let Ok(first) = week.to_naive_date()
    {
        return Some((first, first.checked_add_days(Days::new(7))?));
    }
    let mut year = found.clone();
    year.set_month(1).ok()?;
    year.set_day(1).ok()?;
    let first = year.to_naive_date().ok()?;
    Some((first, first.checked_add_months(Months::new(12))?))
}

/// Joins a path of a checkpoint to its directory; `None` when it would lead out of there.
pub(super) fn below(dir: &Path, relative: &str) -> Option<PathBuf> {
    let relative = Path::new(relative);
    let inside = relative
        .components()
        .all(|component| matches!(component, Component::Normal(_)));
    (inside && relative.file_name().is_some()).then(|| dir.join(relative))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn staging_and_checkpoint_stand_beside_the_table() {
        let dirs = |table: &str| {
            let path = Path::new(table);
            let text = |dir: Option<PathBuf>| dir.map(|dir| dir.display().to_string());
            (text(staging_dir(path)), text(default_checkpoint_dir(path)))
        };
        let some =
            |stage: &str, checkpoint: &str| (Some(stage.to_owned()), Some(checkpoint.to_owned()));
        assert_eq!(
            dirs("data/ohlc"),
            some("data/_stage/ohlc", "data/_checkpoints/ohlc")
        );
        assert_eq!(dirs("ohlc/"), some("_stage/ohlc", "_checkpoints/ohlc"));
        assert_eq!(dirs("/ohlc"), some("/_stage/ohlc", "/_checkpoints/ohlc"));
        assert_eq!(dirs("/"), (None, None));
        assert_eq!(dirs("data/.."), (None, None));
    }

    #[test]
    fn file_names_are_plain_and_never_hidden() {
        assert_eq!(file_stem(None, "ohlc"), "ohlc");
        assert_eq!(file_stem(Some("live"), "ohlc 1m/é"), "live-ohlc_1m__");
        assert_eq!(file_stem(Some(""), "_../x"), "x");
        assert_eq!(file_stem(None, "…"), "job");
        assert_eq!(file_stem(None, &"x".repeat(500)).len(), STEM_LETTERS);
        assert_eq!(
            file_name("ohlc", Epoch(12), 3),
            "ohlc-0000000012-003.parquet"
        );
    }

    #[test]
    fn the_epoch_of_a_file_is_in_its_name() {
        let name = file_name("a-job-7", Epoch(12), 3);
        assert_eq!(epoch_of(&name), Some(Epoch(12)));
        assert_eq!(
            epoch_of(&file_name("x", Epoch(u64::MAX), 0)),
            Some(Epoch(u64::MAX))
        );
        for other in [
            "part-0.parquet",
            "x-0000000012-003.csv",
            "2026-08-01.parquet",
        ] {
            assert_eq!(epoch_of(other), None, "{other}");
        }
    }

    #[test]
    fn a_merged_file_has_a_name_of_its_own() {
        let merged = merged_name("a-job-7", Epoch(12), 0, 1);
        assert_eq!(merged, "a-job-7-0000000012-000c001.parquet");
        assert_eq!(epoch_of(&merged), Some(Epoch(12)));
        assert!(!is_file_of("a-job-7", &merged));
        let own = |name: &str| own_file("a-job-7", name).map(|file| (file.epoch.0, file.times));
        assert_eq!(own(&merged), Some((12, 1)));
        assert_eq!(own(&file_name("a-job-7", Epoch(13), 2)), Some((13, 0)));
        for other in [
            "a-job-0000000012-000c001.parquet",
            "a-job-7-0000000012-000c.parquet",
            "a-job-7-0000000012-c001.parquet",
            "a-job-7-0000000012-000c001.parquet.bak",
            "part-0.parquet",
        ] {
            assert_eq!(own(other), None, "{other}");
        }
    }

    #[test]
    fn a_directory_tells_when_its_days_are_over() {
        let end = |pattern: &str, dir: &str| {
            let end = TimePattern::parse(pattern).unwrap().end(dir)?;
            let end = DateTime::from_timestamp_nanos(end);
            Some(end.format("%Y-%m-%d %H:%M:%S").to_string())
        };
        for (pattern, dir, expected) in [
            ("date=%Y-%m-%d", "date=2026-07-31", "2026-08-01 00:00:00"),
            (
                "date=%F/hour=%H",
                "date=2026-07-31/hour=05",
                "2026-08-01 00:00:00",
            ),
            ("%Y/%m/%d", "2024/02/29", "2024-03-01 00:00:00"),
            ("%d.%m.%y", "31.12.25", "2026-01-01 00:00:00"),
            ("day=%j of %Y", "day=060 of 2026", "2026-03-02 00:00:00"),
            ("%Y-%m", "2026-12", "2027-01-01 00:00:00"),
            ("%B %Y", "February 2026", "2026-03-01 00:00:00"),
            ("%G-W%V", "2026-W01", "2026-01-05 00:00:00"),
            ("year=%Y", "year=2026", "2027-01-01 00:00:00"),
            ("%Y/hour=%H", "2026/hour=23", "2027-01-01 00:00:00"),
        ] {
            assert_eq!(end(pattern, dir).as_deref(), Some(expected), "{dir}");
        }
        for (pattern, dir) in [
            ("date=%Y-%m-%d", "date=2026-7-31"),
            ("date=%Y-%m-%d", "date=2026-07-31x"),
            ("date=%Y-%m-%d", "date=2026-02-30"),
            ("date=%Y-%m-%d", "day=2026-07-31"),
            ("hour=%H", "hour=05"),
            ("%A", "Monday"),
            ("day=%d", "day=01"),
            ("all", "all"),
        ] {
            assert_eq!(end(pattern, dir), None, "{dir}");
        }
    }

    #[test]
    fn generations_stand_beside_the_table() {
        let table = Path::new("data/ohlc");
        assert_eq!(
            rebuilt_dir(table),
            Some(PathBuf::from("data/_rebuild/ohlc"))
        );
        assert_eq!(
            kept_dir(table, Epoch(12)),
            Some(PathBuf::from("data/_old/ohlc-12"))
        );
    }

    #[test]
    fn a_job_knows_its_own_files() {
        assert!(is_file_of("ohlc", "ohlc-0000000012-003.parquet"));
        assert!(is_file_of(
            "ohlc",
            &file_name("ohlc", Epoch(u64::MAX), 12_345)
        ));
        assert!(!is_file_of("ohlc", "ohlc-2-0000000012-003.parquet"));
        assert!(!is_file_of("ohlc", "ohlc-0000000012-003.parquet.bak"));
        assert!(!is_file_of("ohlc", "ohlc-0000000012.parquet"));
        assert!(!is_file_of("ohlc", "other-0000000012-003.parquet"));
    }

    #[test]
    fn the_last_nanosecond_of_a_day_is_in_that_day() {
        let dir = |pattern: &str, time| TimePattern::parse(pattern).unwrap().dir(time);
        let midnight = 1_569_888_000_000_000_000; // 2019-10-01
        assert_eq!(dir("date=%Y-%m-%d", midnight - 1), "date=2019-09-30");
        assert_eq!(dir("date=%Y-%m-%d", midnight), "date=2019-10-01");
        assert_eq!(dir("year=%Y/day=%d", midnight), "year=2019/day=01");
        assert_eq!(dir("at=%F/%H%%", -1), "at=1969-12-31/23%");
        assert_eq!(dir("date=%Y-%m-%d", i64::MIN), "date=1677-09-21");
        assert_eq!(dir("date=%Y-%m-%d", i64::MAX), "date=2262-04-11");
    }

    #[test]
    fn a_pattern_that_is_no_directory_is_refused() {
        for pattern in [
            "", "/", "%Y/", "/%Y", "a//b", "../%Y", "_x=%Y", ".%Y", "%D", "%Q", "%-d", "%", "%%%",
            "%Y %T", "%e", "a\0b",
        ] {
            assert!(TimePattern::parse(pattern).is_err(), "{pattern:?}");
        }
    }

    #[test]
    fn a_path_that_leads_out_is_refused() {
        let dir = Path::new("t");
        assert_eq!(
            below(dir, "a/b.parquet"),
            Some(PathBuf::from("t/a/b.parquet"))
        );
        for path in ["", "/etc/x", "../x", "a/../../x"] {
            assert_eq!(below(dir, path), None, "{path:?}");
        }
    }
}
