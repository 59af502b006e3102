//! Signals while the job is busy: the first ends it with 0 after a last commit, the second at once with 1, and
//! whoever starts next goes on with nothing lost and nothing doubled. (Before Kafka and its topic are reached:
//! `faults`; between two epochs of a backlog, and in a quiet market: `candles`.)

use std::time::Duration;

use super::candles::{checkpointed_ticks, rows};
use super::replay;
use crate::job::harness::{assert_recorded_candles, listing, read_rows};
use crate::job::rebuild::five_minutes;
use crate::support::broker::TestBroker;
use crate::support::seed::Seeded;
use crate::support::shipped::{Folder, Run};

/// Every tick of the recorded market.
const TICKS_TOTAL: u64 = 12_477;
/// A life is stopped after so long at the latest.
const LIFE_MS_MAX: u64 = 700;
/// Lives of a job that a signal ends.
const LIVES: usize = 12;
/// How often a second signal is tried: a job may be done before it comes.
const SECOND_SIGNALS: usize = 20;
/// Of those so many must have come in time.
const IN_TIME: usize = 2;

/// The job, with many small epochs and a commit in each.
fn busy(broker: &TestBroker, folder: &Folder, epoch_frames: u32) -> Run {
    folder
        .ingest(broker, &["--master", "local[2]"])
        .conf("spark.stockpulse.trigger", "20 milliseconds")
        .conf(
            "spark.stockpulse.maxOffsetsPerTrigger",
            &epoch_frames.to_string(),
        )
        .conf("spark.stockpulse.var.COMMIT_INTERVAL", "1 milliseconds")
}

fn assert_nothing_is_staged(folder: &Folder) {
    let stage = folder.path().join("data/_stage");
    assert_eq!(listing(&stage), ["ohlc/lock"]);
}

/// At any moment: while it looks for Kafka, reads open windows again, stages, commits, publishes, waits.
#[test]
fn a_job_stopped_by_a_signal_at_any_moment_has_committed_what_it_read() {
    let mut seeded = Seeded::new();
    let (broker, folder) = (TestBroker::start(2), Folder::new());
    replay(&broker, &folder);
    let mut read = 0;
    for life in 0..LIVES {
        let run = busy(&broker, &folder, 60).start();
        // In every other life right after a commit's line.
        if life % 2 == 0 {
            run.wait_for(" is committed");
        }
        let moment = seeded.moment(100, if life % 2 == 0 { 110 } else { LIFE_MS_MAX });
        assert!(!run.ends_within(moment), "seed {}", seeded.seed);
        run.signal(if life % 3 == 0 { "INT" } else { "TERM" });
        let ended = run.end();
        let what = format!("seed {}, life {life}: {}", seeded.seed, ended.said);
        if ended.said.is_empty() && ended.code.is_none() {
            // It did not listen yet, on a busy machine: it ended as any program does, and had begun nothing.
            continue;
        }
        assert_eq!(ended.code, Some(0), "{what}");
        assert!(
            ended.said.contains("stopping after a last commit"),
            "{what}"
        );
        // Stopped before it looked at Kafka's topic, it has not read anything.
        if let Some((_, goodbye)) = ended.said.split_once("since the job began ") {
            let before = read;
            read = checkpointed_ticks(&folder);
            assert!(goodbye.starts_with(&format!("{read} ticks read")), "{what}");
            assert!((before..=TICKS_TOTAL).contains(&read), "{what}");
        }
        assert_nothing_is_staged(&folder);
    }
    assert!(read > 0, "seed {}: no life read a tick", seeded.seed);
    let ended = folder.available_now(&broker, &[]);
    assert_recorded_candles(&rows(&folder), &format!("seed {}", seeded.seed));
    assert!(ended.said.contains("12477 ticks read, 12477 in windows"));
}

/// Everything waits for the last commit, so that there is time for the second signal.
#[test]
fn a_second_signal_ends_at_once_with_1_and_the_next_run_goes_on() {
    let (mut in_time, mut signals) = (0, ["INT", "TERM"].iter().cycle());
    for _ in 0..SECOND_SIGNALS {
        let (broker, folder) = (TestBroker::start(2), Folder::new());
        replay(&broker, &folder);
        let run = busy(&broker, &folder, 500)
            .conf("spark.stockpulse.var.COMMIT_INTERVAL", "1 hour")
            .start();
        run.wait_for(" is committed");
        // It reads on, and commits nothing.
        assert!(!run.ends_within(Duration::from_millis(300)));
        let signal = signals.next().unwrap();
        run.signal(signal);
        run.wait_for("stopping after a last commit");
        run.signal(signal);
        let ended = run.end();
        match ended.code {
            // It was done before the second one came.
            Some(0) => {}
            Some(1) => {
                let said = "stopped at once; the next run goes on from the last commit";
                assert!(ended.said.contains(said), "{}", ended.said);
                assert!(!ended.said.contains("done:"), "{}", ended.said);
                in_time += 1;
            }
            code => panic!("{code:?}: {}", ended.said),
        }
        let ended = folder.available_now(&broker, &[]);
        assert_recorded_candles(&rows(&folder), signal);
        assert!(ended.said.contains("12477 ticks read, 12477 in windows"));
        assert_nothing_is_staged(&folder);
        if in_time == IN_TIME {
            return;
        }
    }
    panic!("only {in_time} second signals came in time");
}

#[test]
fn a_rebuild_that_a_signal_stops_leaves_the_old_candles_and_goes_on_when_asked_again() {
    let (broker, folder, new) = (TestBroker::start(2), Folder::new(), Folder::new());
    replay(&broker, &folder);
    folder.available_now(&broker, &[]);
    for changed in [&folder, &new] {
        changed.file("ohlc.sql", &five_minutes());
    }
    new.available_now(&broker, &[]);
    for signal in ["TERM", "INT"] {
        let run = busy(&broker, &folder, 40).arguments(&["--rebuild"]).start();
        run.wait_for("rebuild");
        run.signal(signal);
        let ended = run.end();
        assert_eq!(ended.code, Some(0), "{}", ended.said);
        assert!(
            ended.said.contains("the rebuild is not finished"),
            "{}",
            ended.said
        );
        assert_recorded_candles(&rows(&folder), signal);
    }
    let ended = folder.available_now(&broker, &["--rebuild"]);
    assert!(ended.said.contains("swapped in"), "{}", ended.said);
    let all = |folder: &Folder| {
        read_rows(
            &folder.table(),
            "SELECT * FROM t ORDER BY symbol, window_start",
        )
    };
    assert_eq!(all(&folder), all(&new));
}
