//! A topic in memory: frames as given, for tests and benches. It can grow while it is read, lose
//! its oldest offsets, and have gaps, as a topic of a broker can.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::{Bounds, Event, Source, SourceError, Topic, check_retained};
use crate::model::{FrameRef, Offsets, Partition};

/// One message as it is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReplayFrame {
    /// Kafka's timestamp, milliseconds since 1970 UTC.
    pub timestamp_ms: Option<i64>,
    /// The message key.
    pub key: Option<Vec<u8>>,
    /// The message value; `None` is a tombstone.
    pub payload: Option<Vec<u8>>,
}

/// A topic in memory. Clones are the same topic.
#[derive(Clone)]
pub struct ReplayTopic {
    name: String,
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    grown: Condvar,
}

#[derive(Default)]
struct State {
    logs: BTreeMap<Partition, Log>,
    committed: Offsets,
}

#[derive(Default)]
struct Log {
    low: i64,
    high: i64,
    /// By offset, ascending; offsets may be missing between them.
    frames: VecDeque<(i64, Arc<ReplayFrame>)>,
}

impl ReplayTopic {
    /// An empty topic with the partitions 0 to `partitions` − 1.
    pub fn new(name: &str, partitions: i32) -> ReplayTopic {
        let state = State {
            logs: (0..partitions).map(|p| (p, Log::default())).collect(),
            committed: Offsets::default(),
        };
        ReplayTopic {
            name: name.to_owned(),
            shared: Arc::new(Shared {
                state: Mutex::new(state),
                grown: Condvar::new(),
            }),
        }
    }

    /// Appends a frame and gives its offset. A partition that was not there is added.
    pub fn append(&self, partition: Partition, frame: ReplayFrame) -> i64 {
        let mut state = self.shared.state();
        let log = state.logs.entry(partition).or_default();
        let offset = log.high;
        log.frames.push_back((offset, Arc::new(frame)));
        log.high += 1;
        self.shared.grown.notify_all();
        offset
    }

    /// Appends `offsets` offsets without a frame, as a transaction's marks and compaction do.
    pub fn append_gap(&self, partition: Partition, offsets: i64) {
        let mut state = self.shared.state();
        state.logs.entry(partition).or_default().high += offsets;
        self.shared.grown.notify_all();
    }

    /// Forgets what is before offset `low`, as retention does.
    pub fn forget(&self, partition: Partition, low: i64) {
        let mut state = self.shared.state();
        let log = state.logs.entry(partition).or_default();
        log.low = low.clamp(log.low, log.high);
        let kept = log.frames.partition_point(|(offset, _)| *offset < log.low);
        log.frames.drain(..kept);
        self.shared.grown.notify_all();
    }

    /// What [`Topic::commit`] said last.
    pub fn committed(&self) -> Offsets {
        self.shared.state().committed.clone()
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn bounds(&self) -> BTreeMap<Partition, Bounds> {
        let bounds = |(&partition, log): (&Partition, &Log)| {
            let (low, high) = (log.low, log.high);
            (partition, Bounds { low, high })
        };
        self.logs.iter().map(bounds).collect()
    }
}

impl Topic for ReplayTopic {
    fn name(&self) -> &str {
        &self.name
    }

    fn bounds(&self) -> Result<BTreeMap<Partition, Bounds>, SourceError> {
        Ok(self.shared.state().bounds())
    }

    fn open(&self, start: &Offsets) -> Result<Box<dyn Source>, SourceError> {
        check_retained(&self.name, start, &self.shared.state().bounds())?;
        let place = |(&partition, &next): (&Partition, &i64)| Place {
            partition,
            next,
            announced: None,
        };
        Ok(Box::new(ReplaySource {
            topic: self.clone(),
            places: start.0.iter().map(place).collect(),
        }))
    }

    fn partition_count(&self) -> Option<usize> {
        Some(self.shared.state().logs.len())
    }

    fn commit(&self, offsets: &Offsets) {
        self.shared.state().committed = offsets.clone();
    }

    fn group_offsets(&self) -> Result<Offsets, SourceError> {
        Ok(self.shared.state().committed.clone())
    }

    fn offsets_since(&self, times_ms: &BTreeMap<Partition, i64>) -> Result<Offsets, SourceError> {
        let state = self.shared.state();
        let found = times_ms.iter().filter_map(|(partition, time)| {
            let mut frames = state.logs.get(partition)?.frames.iter();
            let is_young = |frame: &ReplayFrame| frame.timestamp_ms.is_some_and(|at| at >= *time);
            let (offset, _) = frames.find(|(_, frame)| is_young(frame))?;
            Some((*partition, *offset))
        });
        Ok(Offsets(found.collect()))
    }
}

struct Place {
    partition: Partition,
    /// Next offset to read.
    next: i64,
    /// The end that was last announced as reached.
    announced: Option<i64>,
}

struct ReplaySource {
    topic: ReplayTopic,
    /// In the order in which they are asked next.
    places: VecDeque<Place>,
}

/// An event that owns its frame, so that it is handed on outside of the lock.
enum Taken {
    Frame(Partition, i64, Arc<ReplayFrame>),
    CaughtUp(Partition, i64),
}

impl ReplaySource {
    /// What is there, `max_frames` at the most, about evenly from the partitions; `again`: also that they are
    /// still read to their end.
    fn take(
        &mut self,
        state: &State,
        max_frames: usize,
        again: bool,
    ) -> Result<Vec<Taken>, SourceError> {
        let next = self
            .places
            .iter()
            .map(|place| (place.partition, place.next));
        check_retained(&self.topic.name, &Offsets(next.collect()), &state.bounds())?;
        let share = max_frames.div_ceil(self.places.len().max(1));
        let mut taken = Vec::new();
        let mut left = max_frames;
        for place in &mut self.places {
            let log = &state.logs[&place.partition];
            let first = log
                .frames
                .partition_point(|(offset, _)| *offset < place.next);
            for (offset, frame) in log.frames.range(first..).take(share.min(left)) {
                taken.push(Taken::Frame(place.partition, *offset, Arc::clone(frame)));
                place.next = offset + 1;
                left -= 1;
            }
            let unread = log
                .frames
                .back()
                .is_some_and(|(last, _)| *last >= place.next);
            if !unread && (place.announced != Some(log.high) || again) {
                place.next = log.high;
                place.announced = Some(log.high);
                taken.push(Taken::CaughtUp(place.partition, log.high));
            }
        }
        self.places.rotate_left(1.min(self.places.len()));
        Ok(taken)
    }

    /// As [`ReplaySource::take`], waiting until `deadline` for something to be there.
    fn wait(&mut self, max_frames: usize, deadline: Instant) -> Result<Vec<Taken>, SourceError> {
        let shared = Arc::clone(&self.topic.shared);
        let mut state = shared.state();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let taken = self.take(&state, max_frames, left.is_zero())?;
            if !taken.is_empty() || left.is_zero() {
                return Ok(taken);
            }
            let waited = shared.grown.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Source for ReplaySource {
    fn poll(
        &mut self,
        max_frames: usize,
        timeout: Duration,
        on_event: &mut dyn FnMut(Event<'_>),
    ) -> Result<usize, SourceError> {
        let mut frames = 0;
        for taken in self.wait(max_frames, Instant::now() + timeout)? {
            match taken {
                Taken::Frame(partition, offset, frame) => {
                    frames += 1;
                    on_event(Event::Frame(FrameRef {
                        partition,
                        offset,
                        timestamp_ms: frame.timestamp_ms,
                        key: frame.key.as_deref(),
                        payload: frame.payload.as_deref(),
                    }));
                }
                Taken::CaughtUp(partition, offset) => {
                    on_event(Event::CaughtUp { partition, offset });
                }
            }
        }
        Ok(frames)
    }
}
