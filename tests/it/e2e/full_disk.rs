//! The disk is full: the job ends with 7 and says where and what to do, at whatever step it ran out of room, and with
//! room again the next run goes on with nothing lost and nothing doubled.
//!
//! The disk is a file system in memory, of a mount namespace of its own: that needs no right, and nothing stays.

use super::replay;
use crate::job::harness::{assert_recorded_candles, listing, read_rows};
use crate::support::broker::TestBroker;
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
  echo "with $room_kb kB of room: exit $status"
done
rm data/ballast
status=0
"$@" || status=$?
echo "with enough: exit $status"
cp -r data/. kept
"#;

#[test]
fn a_full_disk_ends_with_7_and_with_room_again_nothing_is_lost() {
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
