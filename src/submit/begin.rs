//! A topic that says when the job begins to read it, once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tracing::info;

use crate::model::{Offsets, Partition};
use crate::source::{Bounds, Event, Source, SourceError, Topic};

/// The topic below, and whether its first poll was told.
pub(super) struct Announced<T> {
    topic: T,
    since: Instant,
    told: Arc<AtomicBool>,
}

impl<T: Topic> Announced<T> {
    /// `since`: when the job was launched.
    pub(super) fn new(topic: T, since: Instant) -> Announced<T> {
        Announced {
            topic,
            since,
            told: Arc::default(),
        }
    }
}

impl<T: Topic> Topic for Announced<T> {
    fn name(&self) -> &str {
        self.topic.name()
    }

    fn bounds(&self) -> Result<BTreeMap<Partition, Bounds>, SourceError> {
        self.topic.bounds()
    }

    fn open(&self, start: &Offsets) -> Result<Box<dyn Source>, SourceError> {
        let source = self.topic.open(start)?;
        Ok(match self.told.load(Ordering::Relaxed) {
            true => source,
            false => Box::new(FirstPoll {
                source,
                since: self.since,
                told: Some(Arc::clone(&self.told)),
            }),
        })
    }

    fn partition_count(&self) -> Option<usize> {
        self.topic.partition_count()
    }

    fn commit(&self, offsets: &Offsets) {
        self.topic.commit(offsets);
    }

    fn group_offsets(&self) -> Result<Offsets, SourceError> {
        self.topic.group_offsets()
    }

    fn offsets_since(&self, times_ms: &BTreeMap<Partition, i64>) -> Result<Offsets, SourceError> {
        self.topic.offsets_since(times_ms)
    }
}

/// A source whose first poll is told, if no other's was.
struct FirstPoll {
    source: Box<dyn Source>,
    since: Instant,
    told: Option<Arc<AtomicBool>>,
}

impl Source for FirstPoll {
    fn poll(
        &mut self,
        max_frames: usize,
        timeout: Duration,
        on_event: &mut dyn FnMut(Event<'_>),
    ) -> Result<usize, SourceError> {
        if let Some(told) = self.told.take()
            && !told.swap(true, Ordering::Relaxed)
        {
            let milliseconds = self.since.elapsed().as_millis() as u64;
            info!(milliseconds, "reading begins");
        }
        self.source.poll(max_frames, timeout, on_event)
    }
}
