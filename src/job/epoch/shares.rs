//! Before the first epoch: which worker reads which partitions.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Coordinator;
use crate::job::JobError;
use crate::job::lane::{Lane, LaneStart};
use crate::job::worker::{Member, Worker, nanos};
use crate::model::{Offsets, Partition, Watermark};
use crate::source::{Bounds, Topic};

/// How often a topic is asked whether it has got more partitions.
const COUNT_EVERY: Duration = Duration::from_secs(30);

impl Coordinator<'_> {
    /// One worker a thread, each with its partitions: partition p goes to worker p mod threads.
    pub(super) fn workers(
        &self,
        topic: &dyn Topic,
        bounds: &BTreeMap<Partition, Bounds>,
        starts: &BTreeMap<Partition, LaneStart>,
    ) -> Result<Vec<Worker>, JobError> {
        let count = self.threads.clamp(1, starts.len().max(1));
        let mut shares = vec![BTreeMap::new(); count];
        for (at, (&partition, &start)) in starts.iter().enumerate() {
            shares[at % count].insert(partition, start);
        }
        let now = nanos(self.clock.steady());
        self.shared.behind.store(starts.len(), Ordering::Relaxed);
        shares
            .into_iter()
            .map(|share| {
                let offsets = share.iter().map(|(&p, start)| (p, start.read_from()));
                let offsets = Offsets(offsets.collect());
                let members = share.into_iter().map(|(partition, start)| {
                    let lane = Lane::new(
                        partition,
                        Arc::clone(&self.shared),
                        start,
                        self.emitted.clone(),
                    )?;
                    let bounds = bounds[&partition];
                    let member = Member {
                        lane,
                        spoke: start.offset > bounds.low || start.watermark != Watermark::NONE,
                        end: self.bounded.then_some(bounds.high),
                        caught_up: false,
                        was_out_of_sight: false,
                        live: false,
                        near: false,
                        last_frame: now,
                        position: start.read_from(),
                    };
                    Ok((partition, member))
                });
                let members = members.collect::<Result<_, JobError>>()?;
                Ok(Worker::new(
                    topic.open(&offsets)?,
                    members,
                    Arc::clone(&self.shared),
                    self.clock.clone(),
                    self.budget_per_partition(starts.len()),
                ))
            })
            .collect()
    }

    /// Whether the topic has got more partitions than the `known` ones; asked now and then. A bounded run
    /// reads what was there at its start, and one that commits nothing could not go on.
    pub(super) fn has_grown(&mut self, topic: &dyn Topic, known: usize) -> bool {
        if self.bounded || self.store.is_none() || self.clock.since(self.counted_at) < COUNT_EVERY {
            return false;
        }
        self.counted_at = self.clock.steady();
        let has_grown = topic.partition_count().is_some_and(|now| now > known);
        if has_grown {
            tracing::info!(
                topic = topic.name(),
                known,
                "the topic has got more partitions"
            );
        }
        has_grown
    }

    pub(super) fn budget_per_partition(&self, partitions: usize) -> Option<u64> {
        self.budget
            .map(|budget| (budget / partitions.max(1) as u64).max(1))
    }
}
