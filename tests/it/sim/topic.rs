//! The topic as the job sees it: messages in portions of any size, and a broker that is away at times.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::RngExt;
use stockpulse::model::{FrameRef, Offsets, Partition};
use stockpulse::source::{Bounds, Event, Source, SourceError, Topic};

use super::world::{State, World};

pub struct SimTopic(pub World);

struct SimSource {
    world: World,
    partitions: Vec<Partition>,
}

fn away() -> SourceError {
    SourceError::Unreachable("nobody answers".to_string())
}

fn bounds(state: &State) -> BTreeMap<Partition, Bounds> {
    let bounds = state.logs.iter().map(|(&partition, log)| {
        let (low, high) = (log.low, log.high());
        (partition, Bounds { low, high })
    });
    bounds.collect()
}

impl Topic for SimTopic {
    fn name(&self) -> &str {
        "raw_ticks"
    }

    fn bounds(&self) -> Result<BTreeMap<Partition, Bounds>, SourceError> {
        let mut state = self.0.state();
        state.pass(Duration::from_millis(3));
        match state.is_out() {
            true => Err(away()),
            false => Ok(bounds(&state)),
        }
    }

    fn open(&self, start: &Offsets) -> Result<Box<dyn Source>, SourceError> {
        let mut state = self.0.state();
        state.reading.extend(start.0.clone());
        state.opened.extend(start.0.clone());
        Ok(Box::new(SimSource {
            world: self.0.clone(),
            partitions: start.0.keys().copied().collect(),
        }))
    }

    fn partition_count(&self) -> Option<usize> {
        let state = self.0.state();
        (!state.is_out()).then_some(state.logs.len())
    }

    fn commit(&self, _: &Offsets) {}

    fn group_offsets(&self) -> Result<Offsets, SourceError> {
        Ok(Offsets::default())
    }

    fn offsets_since(&self, _: &BTreeMap<Partition, i64>) -> Result<Offsets, SourceError> {
        Ok(Offsets::default())
    }
}

impl Source for SimSource {
    fn poll(
        &mut self,
        max_frames: usize,
        _: Duration,
        on_event: &mut dyn FnMut(Event<'_>),
    ) -> Result<usize, SourceError> {
        let mut state = self.world.state();
        let time = Duration::from_micros(state.random.random_range(1..4_000));
        state.pass(time);
        if state.is_out() {
            state.pass(Duration::from_millis(200));
            drop(state);
            for &partition in &self.partitions {
                on_event(Event::OutOfSight { partition });
            }
            return Ok(0);
        }
        for partition in &self.partitions {
            let (next, low) = (state.reading[partition], state.logs[partition].low);
            if next < low {
                return Err(SourceError::DataLoss(format!(
                    "partition {partition}: offset {next} is needed, {low} is the first"
                )));
            }
        }
        let mut wanted = state.random.random_range(1..=max_frames.min(20));
        let mut handed = Vec::new();
        while wanted > 0 {
            let has_more = |p: &&Partition| state.reading[p] < state.logs[p].high();
            let unread: Vec<Partition> = self.partitions.iter().filter(has_more).copied().collect();
            if unread.is_empty() {
                break;
            }
            let partition = unread[state.random.random_range(0..unread.len())];
            let offset = state.reading[&partition];
            let entry = &state.logs[&partition].entries[usize::try_from(offset).unwrap()];
            handed.push((partition, offset, entry.kafka_ms, entry.payload.clone()));
            state.reading.insert(partition, offset + 1);
            wanted -= 1;
        }
        let at_end = |p: &&Partition| state.reading[p] >= state.logs[p].high();
        let ends = self.partitions.iter().filter(at_end);
        let ends: Vec<(Partition, i64)> = ends.map(|&p| (p, state.logs[&p].high())).collect();
        if handed.is_empty() {
            let time = Duration::from_millis(state.random.random_range(10..300));
            state.pass(time);
        }
        // The job asks the time while it takes the events.
        drop(state);
        for (partition, offset, kafka_ms, payload) in &handed {
            on_event(Event::Frame(FrameRef {
                partition: *partition,
                offset: *offset,
                timestamp_ms: Some(*kafka_ms),
                key: None,
                payload: Some(payload),
            }));
        }
        for (partition, offset) in ends {
            on_event(Event::CaughtUp { partition, offset });
        }
        Ok(handed.len())
    }
}
