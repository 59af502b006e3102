//! The disk is full: the job ends with 7 and says where and what to do, at whatever step it ran out of room, and with
//! room again the next run goes on with nothing lost and nothing doubled.
//!
//! On CI, beside Apache Kafka, the shipped binary fills a small file system of a mount namespace of its own. Not every
//! machine lets a user have one: where that is refused, and elsewhere, the job runs in the test, on a disk that says it is full.

use std::io;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use stockpulse::disk::{Allowed, Disk, Step, Watch};
use stockpulse::job;
use stockpulse::model::Exit;

use super::replay;
use crate::job::exact::OHLC;
use crate::job::harness::{
    Bench, Regime, assert_recorded_candles, listing, read_rows, recorded_frames, topic,
};
use crate::support::broker::{TestBroker, is_real};
use crate::support::shipped::Folder;

/// Mounts `data/`, runs the job with less room than it needs, a little more each time, then with enough.
const SCRIPT: &str = r#"
mkdir data kept
mount -t tmpfs -o size=4m none data
for room_kb in 0 4 8 12 16 20 24 28 32 36; do
  rm -f data/ballast
  free_kb=$(df --output=avail -k data | tail -n 1)
  head -c $(((free_kb - room_kb) * 1024)) /dev/zero >data/ballast
  status=0
  "$@" || status=$?
  echo "with $room_kb kB of room: exit $status" >&2
done
rm data/ballast
status=0
"$@" || status=$?
echo "with enough: exit $status" >&2
cp -r data/. kept
"#;

#[test]
fn a_full_disk_ends_with_7_and_with_room_again_nothing_is_lost() {
    match is_real() && may_mount() {
        true => fill_a_file_system(),
        false => fill_a_disk_that_says_so(),
    }
}

/// Whether this machine lets a process have mounts of its own; containers often do not.
fn may_mount() -> bool {
    let tried = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "true"])
        .status();
    let may = tried.is_ok_and(|status| status.success());
    if !may {
        eprintln!("no mounts of its own here: the disk that says it is full is taken instead");
    }
    may
}

/// A disk with room for so many bytes.
struct Room(AtomicUsize);

impl Watch for Room {
    fn before(&self, step: &Step<'_>) -> io::Result<Allowed> {
        let Step::Write { bytes, .. } = step else {
            return Ok(Allowed::Whole);
        };
        match self.0.load(Ordering::Relaxed) {
            0 => Err(io::ErrorKind::StorageFull.into()),
            room => Ok(Allowed::Part(room.min(bytes.len()))),
        }
    }

    fn after(&self, step: &Step<'_>) {
        if let Step::Write { bytes, .. } = step {
            self.0.fetch_sub(bytes.len(), Ordering::Relaxed);
        }
    }
}

fn fill_a_disk_that_says_so() {
    let bench = Bench::new(&OHLC.replace(
        "COMMIT_INTERVAL | 1 second",
        "COMMIT_INTERVAL | 1 microsecond",
    ));
    let topic = topic(&recorded_frames(), 2, |_| 1);
    let regime = Regime {
        max_offsets_per_trigger: Some(600),
        ..Regime::default()
    };
    let mut steps = [false; 2];
    for room in [0, 900, 4_000, 9_000, 14_000, 20_000] {
        let mut spec = bench.spec(&regime).unwrap();
        spec.disk = Disk::watched(Arc::new(Room(AtomicUsize::new(room))));
        let error = job::run(spec, &topic, &mut |_| {}).unwrap_err();
        let message = error.to_string();
        assert_eq!(error.exit(), Exit::NotWritable, "{message}");
        assert!(
            message.contains("data/_") && message.contains("make room on the disk"),
            "{message}"
        );
        for (seen, step) in steps
            .iter_mut()
            .zip(["data/_stage/ohlc/ohlc-", "checkpoint.tmp"])
        {
            *seen |= message.contains(step);
        }
    }
    assert_eq!(
        steps, [true; 2],
        "it ran out of room at one kind of step only"
    );
    bench.run(&topic, &regime).unwrap();
    assert_recorded_candles(&bench.rows(), "with room again");
    assert_eq!(
        listing(&bench.dir.path().join("data/_stage")),
        ["ohlc/lock"]
    );
}

fn fill_a_file_system() {
    let (broker, folder) = (TestBroker::start(2), Folder::new());
    replay(&broker, &folder);
    let ended = folder
        .ingest(&broker, &["--available-now"])
        .conf("spark.stockpulse.maxOffsetsPerTrigger", "150")
        .conf("spark.stockpulse.var.COMMIT_INTERVAL", "1 milliseconds")
        .in_own_mounts(SCRIPT)
        .end();
    let said = &ended.said;
    assert_eq!(ended.code, Some(0), "{said}");
    assert_eq!(said.matches(": exit 7\n").count(), 10, "{said}");
    assert!(said.contains("with enough: exit 0"), "{said}");
    for error in said.lines().filter(|line| line.starts_with("error:")) {
        let says_where = error.contains("data/_");
        assert!(
            says_where && error.contains("make room on the disk"),
            "{error}"
        );
    }
    // It ran out of room when it wrote rows, and when it wrote what is committed.
    for step in ["data/_stage/ohlc/ohlc-", "checkpoint.tmp"] {
        assert!(said.contains(step), "never \"{step}\": {said}");
    }
    let counts = "12477 ticks read, 12477 in windows, 0 filtered, 0 late, 0 rejected";
    assert!(said.contains(counts), "{said}");
    let kept = folder.path().join("kept");
    let candles = read_rows(
        &kept.join("ohlc"),
        "SELECT symbol, window_start, window_end, open, high, low, close, volume, trades \
         FROM t ORDER BY symbol, window_start",
    );
    assert_recorded_candles(&candles, said);
    assert_eq!(listing(&kept.join("_stage")), ["ohlc/lock"]);
}
