//! The end of an epoch: what waits is staged, committed and published, if it is time; what is only to be
//! looked at is printed at once.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Coordinator;
use super::publish::Audience;
use crate::checkpoint::{Checkpoint, Emitted, FileEntry};
use crate::job::JobError;
use crate::job::dead_letters::is_letters;
use crate::model::{Epoch, Offsets};
use crate::query::Rolling;
use crate::sink::{RowTimes, SinkRows};
use crate::source::Topic;

/// An epoch that closes no window is committed this often at the most, so that a restart knows what
/// was read.
const IDLE_COMMIT: Duration = Duration::from_secs(10);

/// Bytes of rows without windows that wait for a commit at the most, about, whatever
/// `rolling_policy.interval` says.
const PENDING_BYTES: usize = 16 << 20;

/// What a commit came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Committed {
    /// What there was is committed, and visible everywhere.
    Whole,
    /// The job was told to stop while a sink was away: the next start publishes the rest. Until then no other
    /// epoch may be committed, since the newest checkpoint alone names what is to be published.
    InPart,
}

impl Coordinator<'_> {
    /// Whether so many rows without windows, or dead letters, wait that they are to be committed at once.
    pub(super) fn is_full(&self) -> bool {
        self.pending_bytes >= PENDING_BYTES
    }

    /// Whether rows of closed windows wait, and need not wait any longer.
    pub(super) fn is_ready(&self) -> bool {
        let mut waiting = self.pending.iter().flatten();
        let closed =
            |rows: &SinkRows| matches!(rows.times, RowTimes::One(_)) && rows.rows.num_rows() > 0;
        self.is_prompt() && waiting.any(closed) && self.waited_long_enough()
    }

    /// Stages, commits and publishes what waits, if it is time. What is committed always has every
    /// closed window, since the checkpoint says that they were emitted.
    pub(super) fn commit(
        &mut self,
        topic: &dyn Topic,
        last: bool,
        to: &mut Audience,
    ) -> Result<Committed, JobError> {
        self.triggered_at = self.clock.steady();
        self.show()?;
        if self.store.is_none() {
            return Ok(Committed::Whole);
        }
        let closes = self.pending.iter().any(|rows| !rows.is_empty());
        let due = match closes {
            true => last || self.is_full() || self.waited_long_enough(),
            false => self.is_full() || self.worth_a_commit(last),
        };
        if !due {
            return Ok(Committed::Whole);
        }
        let epoch = self
            .committed
            .as_ref()
            .map_or(Epoch::FIRST, |c| c.epoch.next());
        self.pending_bytes = 0;
        let files = self.stage(epoch)?;
        let committed = self.write_down(topic, epoch, &files, to)?;
        if closes {
            self.closed_at = Some(self.committed_at);
        }
        Ok(committed)
    }

    /// Prints the rows of bare SELECTs, which no commit knows of.
    fn show(&mut self) -> Result<(), JobError> {
        let outputs = self.shared.plan.outputs.iter();
        let waiting = self.sinks.iter_mut().zip(&mut self.pending).zip(outputs);
        for ((sink, rows), output) in waiting {
            if output.sink.is_preview() {
                let rows = std::mem::take(rows);
                let bytes = rows.iter().map(waiting_bytes).sum();
                self.pending_bytes = self.pending_bytes.saturating_sub(bytes);
                let printed = rows_in(&rows);
                sink.stage(Epoch::FIRST, rows)?;
                self.summary.rows_printed += printed;
            }
        }
        Ok(())
    }

    /// Files first: what is printed cannot be taken back when the disk is full.
    fn stage(&mut self, epoch: Epoch) -> Result<Vec<FileEntry>, JobError> {
        let mut files = match &mut self.letters {
            Some(outlet) => outlet.stage(epoch)?,
            None => Vec::new(),
        };
        for console in [false, true] {
            for (sink, rows) in self.sinks.iter_mut().zip(&mut self.pending) {
                if sink.is_console() == console {
                    let rows = std::mem::take(rows);
                    let printed = if console { rows_in(&rows) } else { 0 };
                    files.extend(sink.stage(epoch, rows)?);
                    self.summary.rows_printed += printed;
                }
            }
        }
        Ok(files)
    }

    /// Whether every table's rows have waited for as long as its options say.
    fn waited_long_enough(&self) -> bool {
        let outputs = self.shared.plan.outputs.iter();
        let mut rolling = outputs.filter_map(|output| output.sink.rolling());
        rolling.all(|rolling| self.wait_is_over(rolling))
    }

    /// `rolling_policy.interval` is the least time between two commits of closed windows, unless none
    /// has closed for `rolling_policy.inactivity_interval`.
    fn wait_is_over(&self, rolling: Rolling) -> bool {
        let interval = rolling.interval.unwrap_or_default();
        let inactivity = rolling.inactivity;
        self.closed_at
            .is_none_or(|at| self.clock.since(at) >= interval)
            || inactivity.is_some_and(|wait| self.clock.since(self.pending_since) >= wait)
    }

    /// Without rows: after a while, and at the end, if anything is new.
    fn worth_a_commit(&self, last: bool) -> bool {
        let (partitions, emitted) = match &self.committed {
            None => return last || self.clock.since(self.committed_at) >= IDLE_COMMIT,
            Some(committed) => (&committed.partitions, &committed.emitted),
        };
        let is_new = *partitions != self.partitions || *emitted != self.emitted_by_table();
        if last && self.names_remote_rows() {
            return true;
        }
        is_new && (last || self.clock.since(self.committed_at) >= IDLE_COMMIT)
    }

    /// Whether the last commit names rows that went to another system. They are there, but only a commit
    /// without them says so to a start that no longer has the table.
    fn names_remote_rows(&self) -> bool {
        let remote = |table: &str| {
            let mut outputs = self.shared.plan.outputs.iter();
            outputs.any(|output| output.table == table && output.sink.remote().is_some())
        };
        let mut files = self.committed.iter().flat_map(|committed| &committed.files);
        files.any(|file| remote(&file.table))
    }

    /// What is remembered: nothing of a bare SELECT.
    fn emitted_by_table(&self) -> BTreeMap<String, Emitted> {
        let outputs = self.shared.plan.outputs.iter().zip(&self.emitted);
        outputs
            .filter(|(output, _)| !output.sink.is_preview())
            .map(|(output, &emitted)| (output.table.clone(), Emitted(emitted)))
            .collect()
    }

    /// Commits the epoch, then makes its files visible. A restart finishes what a crash leaves undone.
    fn write_down(
        &mut self,
        topic: &dyn Topic,
        epoch: Epoch,
        files: &[FileEntry],
        to: &mut Audience,
    ) -> Result<Committed, JobError> {
        let checkpoint = Checkpoint {
            job: self.name.clone(),
            epoch,
            topic: topic.name().to_string(),
            emitted: self.emitted_by_table(),
            partitions: self.partitions.clone(),
            since: self.since.clone(),
            files: files.to_vec(),
            counts: self.counts.clone(),
            dead_letters: self.letters.as_ref().map(|outlet| outlet.place.clone()),
            query: self.shared.plan.meaning.clone(),
        };
        if let Some(store) = &mut self.store {
            store.commit(&checkpoint)?;
        }
        let is_whole = self.publish(epoch, files, to)?;
        if !is_whole {
            self.summary.epoch = Some(epoch);
            self.committed = Some(checkpoint);
            return Ok(Committed::InPart);
        }
        topic.commit(&Offsets(
            self.partitions
                .iter()
                .map(|(&p, state)| (p, state.next))
                .collect(),
        ));
        let (letters, files): (Vec<_>, Vec<_>) = files.iter().partition(|file| is_letters(file));
        let rows_in = |files: &[&FileEntry]| files.iter().map(|file| file.rows).sum::<u64>();
        self.metrics.epoch(rows_in(&files), files.len() as u64);
        self.metrics.dead_letters(rows_in(&letters));
        self.summary.epoch = Some(epoch);
        self.summary.rows += rows_in(&files);
        self.summary.files += files.len();
        self.summary.dead_letters += rows_in(&letters);
        self.committed = Some(checkpoint);
        self.committed_at = self.clock.steady();
        Ok(Committed::Whole)
    }
}

/// Bytes of rows without windows, about.
pub(super) fn waiting_bytes(rows: &SinkRows) -> usize {
    match rows.times {
        RowTimes::One(_) => 0,
        RowTimes::Each(_) => rows.rows.get_array_memory_size(),
    }
}

fn rows_in(rows: &[SinkRows]) -> u64 {
    rows.iter().map(|rows| rows.rows.num_rows() as u64).sum()
}
