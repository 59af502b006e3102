//! One topic partition as its worker sees it: where it stands, and how quiet it is.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::job::lane::Lane;
use crate::job::{Clock, JobError};
use crate::model::{NANOS_PER_MILLI, NANOS_PER_SECOND, Partition};
use crate::source::Event;
use crate::window::Quiet;

/// A lane and what is known of its end.
pub struct Member {
    /// The partition's frames and tables.
    pub lane: Lane,
    /// Whether anything was ever in the partition.
    pub spoke: bool,
    /// A bounded run reads up to here.
    pub end: Option<i64>,
    /// Everything was handed on.
    pub caught_up: bool,
    /// It was out of sight and has not caught up since.
    pub was_out_of_sight: bool,
    /// It was caught up at least once in this run.
    pub live: bool,
    /// It was live, or a frame was young, at least once in this run.
    pub near: bool,
    /// When the last frame was said, by the steady clock, nanoseconds; before its beginning it is negative.
    pub last_frame: i64,
    /// Next offset after what was handed on.
    pub position: i64,
}

impl Member {
    /// Whether everything was handed on that a bounded run reads.
    pub fn finished(&self) -> bool {
        self.end.is_some_and(|end| self.position >= end)
    }

    fn comes_near(&mut self, behind: &AtomicUsize) {
        if !std::mem::replace(&mut self.near, true) {
            behind.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// How quiet it is at `now`, by the steady clock: a wall clock that is set changes nothing.
    pub fn quiet(&self, now: Duration, idle: Option<Duration>) -> Quiet {
        let silence = nanos(now).saturating_sub(self.last_frame);
        if (self.finished() || self.caught_up) && !self.spoke {
            Quiet::Silent
        } else if self.finished() {
            Quiet::Finished
        } else if self.caught_up && idle.is_some_and(|idle| silence >= nanos(idle)) {
            Quiet::Idle
        } else {
            Quiet::Active
        }
    }
}

/// What the clocks show.
pub struct Now {
    wall: i64,
    steady: Duration,
}

impl Now {
    /// Reads them.
    pub fn read(clock: &Clock) -> Now {
        Now {
            wall: clock.wall(),
            steady: clock.steady(),
        }
    }
}

/// A time as nanoseconds.
pub fn nanos(time: Duration) -> i64 {
    i64::try_from(time.as_nanos()).unwrap_or(i64::MAX)
}

/// A frame that is younger says that its partition is read as it is written. The end itself is not seen while
/// every fetch brings something.
const YOUNG: i64 = NANOS_PER_SECOND;

/// Hands an event to its partition. `behind` counts those that are not near their end yet.
pub fn take(
    members: &mut BTreeMap<Partition, Member>,
    event: Event<'_>,
    now: &Now,
    behind: &AtomicUsize,
) -> Result<(), JobError> {
    match event {
        Event::Frame(frame) => {
            let Some(member) = members.get_mut(&frame.partition) else {
                return Ok(());
            };
            if member.end.is_some_and(|end| frame.offset >= end) {
                member.position = member.position.max(frame.offset);
                return Ok(());
            }
            member.spoke = true;
            member.caught_up = false;
            // While it catches up, a frame was said when Kafka got it, not when we read it.
            let age = match frame.timestamp_ms {
                Some(ms) if !member.live => {
                    let age = now.wall.saturating_sub(ms.saturating_mul(NANOS_PER_MILLI));
                    if age < YOUNG {
                        member.comes_near(behind);
                    }
                    age.max(0)
                }
                _ => 0,
            };
            member.last_frame = nanos(now.steady).saturating_sub(age);
            member.position = frame.offset + 1;
            member.lane.push(&frame)
        }
        Event::CaughtUp { partition, offset } => {
            if let Some(member) = members.get_mut(&partition) {
                member.caught_up = true;
                member.live = true;
                member.comes_near(behind);
                // While nobody could say anything, nobody was quiet.
                if std::mem::take(&mut member.was_out_of_sight) {
                    member.last_frame = nanos(now.steady);
                }
                member.position = member.position.max(offset);
                if member.end.is_none_or(|end| offset <= end) {
                    member.lane.skip_to(offset);
                }
            }
            Ok(())
        }
        Event::OutOfSight { partition } => {
            if let Some(member) = members.get_mut(&partition) {
                member.caught_up = false;
                member.was_out_of_sight = true;
            }
            Ok(())
        }
    }
}
