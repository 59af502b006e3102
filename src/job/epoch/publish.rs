//! A committed epoch → visible everywhere. Each sink has its turn; those that are away are asked again until
//! they are back, patience is over, or the job is told to stop. Nothing is lost by any of it: what is committed
//! and not published yet, the next start publishes.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{Coordinator, LOOK_EVERY};
use crate::checkpoint::{Checkpoint, CheckpointError, FileEntry};
use crate::job::JobError;
use crate::job::dead_letters::{DEAD_LETTERS, Outlet};
use crate::job::lane::LaneStart;
use crate::job::progress::{ProgressReport, SinkStanding, Waiting};
use crate::metrics::ingest::OfSink;
use crate::model::{Epoch, Partition, Watermark};
use crate::sink::{Peer, Sink, SinkError, SinkRows};

/// The first pause before sinks that are away are asked again; each next one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// The longest.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// How often it is told that sinks are waited for.
const TELL_EVERY: Duration = Duration::from_secs(1);
/// How often it is logged.
const LOG_EVERY: Duration = Duration::from_secs(60);

/// To whom an epoch is told, and what is known of it beside the coordinator's own.
pub(super) struct Audience<'a> {
    pub on_progress: &'a mut dyn FnMut(&ProgressReport),
    pub watermark: Watermark,
    pub open_windows: usize,
    pub starts: &'a BTreeMap<Partition, LaneStart>,
    pub offsets_total: Option<u64>,
}

impl Coordinator<'_> {
    /// Tells how the job gets on.
    pub(super) fn tell(&mut self, to: &mut Audience) {
        let report = self.report(to.watermark, to.open_windows, to.starts);
        (to.on_progress)(&ProgressReport {
            offsets_total: to.offsets_total,
            ..report
        });
    }

    /// Publishes an epoch's files in every sink that has some. `false`: the job was told to stop before all
    /// were there, and the next start publishes the rest.
    pub(super) fn publish(
        &mut self,
        epoch: Epoch,
        files: &[FileEntry],
        to: &mut Audience,
    ) -> Result<bool, JobError> {
        let left = self.in_turn(files);
        let is_whole = self.in_rounds(left, to, &mut |job, at| job.attempt(at, epoch, files))?;
        if !is_whole {
            self.say_left(epoch);
        }
        Ok(is_whole)
    }

    /// Stages a sink's rows. `None`: the job was told to stop while the sink was away.
    pub(super) fn stage_patiently(
        &mut self,
        at: usize,
        epoch: Epoch,
        rows: Vec<SinkRows>,
        to: &mut Audience,
    ) -> Result<Option<Vec<FileEntry>>, JobError> {
        let mut files = Vec::new();
        let is_done = self.in_rounds(vec![at], to, &mut |job, at| {
            let begun = job.clock.steady();
            let staged = job.sinks[at].stage(epoch, rows.clone());
            if let Err(SinkError::Away { why, .. }) = &staged {
                job.found_away(at, begun, why);
            }
            files = staged?;
            Ok(())
        })?;
        Ok(is_done.then_some(files))
    }

    /// Commits. Where the store of checkpoints is away it is tried again: a commit whose answer was lost is found
    /// to be there.
    pub(super) fn commit_patiently(
        &mut self,
        checkpoint: &Checkpoint,
        to: &mut Audience,
    ) -> Result<(), JobError> {
        let mut ended = Ok(());
        let mut away = None;
        let is_done = self.in_rounds(vec![0], to, &mut |job, _| {
            let Some(store) = &mut job.store else {
                return Ok(());
            };
            match store.commit(checkpoint) {
                Err(CheckpointError::Away(why)) => {
                    if away.is_none() {
                        tracing::warn!("{why}; it is tried again");
                    }
                    away = Some(why.clone());
                    let peer = Peer::Other;
                    return Err(SinkError::Away { peer, why });
                }
                committed => ended = committed,
            }
            if away.take().is_some() {
                tracing::info!("checkpoints can be written again");
            }
            Ok(())
        })?;
        match (is_done, away) {
            (false, Some(why)) => Err(JobError::NotWritable(format!(
                "whether epoch {} is committed only the next start can tell, which goes on from there: {why}",
                checkpoint.epoch
            ))),
            _ => Ok(ended?),
        }
    }

    /// Makes attempts until each of `left` has succeeded, with pauses in which it is told what is waited for.
    /// `false`: the job was told to stop before that.
    fn in_rounds(
        &mut self,
        left: Vec<usize>,
        to: &mut Audience,
        attempt: &mut dyn FnMut(&mut Self, usize) -> Result<(), SinkError>,
    ) -> Result<bool, JobError> {
        let mut round = Round::new(left, self.sink_patience, self.clock.steady());
        loop {
            let now = self.clock.steady();
            match round.pass(now, &mut |at| attempt(self, at))? {
                Next::Done => break,
                Next::Wait(pause) => {
                    // Otherwise windows would go on opening for as long as nothing can be written.
                    self.shared.held.store(true, Ordering::Relaxed);
                    if !self.wait_for_sinks(pause, to) {
                        return Ok(false);
                    }
                }
            }
        }
        self.shared.held.store(false, Ordering::Relaxed);
        Ok(true)
    }

    /// The sinks that have something in `files`, and the letters as one more: folders first, since they are the
    /// surest and the quickest; then in the order of the SQL.
    fn in_turn(&self, files: &[FileEntry]) -> Vec<usize> {
        let concerned = |at: &usize| self.sinks[*at].concerns(files);
        let (folders, others): (Vec<usize>, Vec<usize>) = (0..self.sinks.len())
            .filter(concerned)
            .partition(|&at| matches!(self.sinks[at], Sink::Parquet(_) | Sink::Delta(_)));
        let letters = self
            .letters
            .as_ref()
            .filter(|outlet| outlet.concerns(files));
        let letters = letters.map(|_| self.sinks.len());
        folders.into_iter().chain(others).chain(letters).collect()
    }

    /// One attempt of one sink, counted.
    fn attempt(&mut self, at: usize, epoch: Epoch, files: &[FileEntry]) -> Result<(), SinkError> {
        let begun = self.clock.steady();
        let published = match (self.sinks.get_mut(at), &mut self.letters) {
            (Some(sink), _) => sink.publish(files),
            (None, Some(outlet)) => outlet.publish(files),
            (None, None) => Ok(()),
        };
        let now = self.clock.steady();
        let took = now.saturating_sub(begun);
        match (&published, self.standings.get_mut(at)) {
            (Ok(()), Some(standing)) => {
                let own = files.iter().filter(|file| file.table == standing.table);
                let rows = own.map(|file| file.rows).sum();
                standing.epoch = Some(epoch);
                standing.rows += rows;
                standing.took = took;
                if let Some(waits) = standing.waits.take() {
                    tracing::info!(
                        "{} takes rows again, after {:.0?}",
                        standing.name(),
                        now.saturating_sub(waits.since)
                    );
                }
                self.metrics.published(&standing.label(), epoch, rows, took);
            }
            (Err(SinkError::Away { why, .. }), _) => self.found_away(at, begun, why),
            _ => {}
        }
        published
    }

    /// An attempt of a sink, begun then, has found it away.
    fn found_away(&mut self, at: usize, begun: Duration, why: &str) {
        if let Some(standing) = self.standings.get_mut(at) {
            standing.is_away(begun, self.clock.steady(), why);
            self.metrics.not_published(&standing.label());
        }
    }

    /// Waits, telling meanwhile that it does. `false`: the job is told to stop.
    fn wait_for_sinks(&mut self, pause: Duration, to: &mut Audience) -> bool {
        let until = self.clock.steady() + pause;
        loop {
            if self.stop.load(Ordering::Relaxed) {
                return false;
            }
            let now = self.clock.steady();
            if self.told_at.is_none_or(|at| now >= at + TELL_EVERY) {
                self.told_at = Some(now);
                for standing in &self.standings {
                    if let Some(waits) = &standing.waits {
                        let time = now.saturating_sub(waits.since);
                        self.metrics.waits(&standing.label(), time);
                    }
                }
                self.tell(to);
            }
            match until.saturating_sub(self.clock.steady()) {
                Duration::ZERO => return true,
                left => self.clock.pause(left.min(LOOK_EVERY)),
            }
        }
    }

    /// The job ends before everything is published.
    fn say_left(&self, epoch: Epoch) {
        for standing in self.standings.iter().filter(|one| one.waits.is_some()) {
            tracing::warn!(
                "epoch {epoch} is committed, but {} is away: the next start sends it the rows",
                standing.name()
            );
        }
    }
}

/// How each sink stands before anything was published; the letters, if they are kept, come last.
pub(super) fn standings(
    tables: impl Iterator<Item = String>,
    sinks: &[Sink],
    letters: Option<&Outlet>,
) -> Vec<SinkStanding> {
    let of = |table, sink: &Sink| SinkStanding {
        table,
        connector: sink.connector(),
        place: sink.place(),
        epoch: None,
        rows: 0,
        took: Duration::ZERO,
        waits: None,
    };
    let tables = tables.zip(sinks).map(|(table, sink)| of(table, sink));
    let letters = letters.map(|outlet| of(DEAD_LETTERS.to_owned(), outlet.sink()));
    tables.chain(letters).collect()
}

impl SinkStanding {
    fn label(&self) -> OfSink {
        OfSink {
            table: self.table.clone(),
            connector: self.connector,
        }
    }

    /// Notes that an attempt, begun then, found the sink away, and logs it, though not each time.
    fn is_away(&mut self, begun: Duration, now: Duration, why: &str) {
        let name = self.name();
        let waits = self.waits.get_or_insert(Waiting {
            since: begun,
            now,
            attempts: 0,
            why: String::new(),
            logged: None,
        });
        waits.attempts += 1;
        waits.now = now;
        why.clone_into(&mut waits.why);
        if waits.logged.is_none_or(|at| now >= at + LOG_EVERY) {
            waits.logged = Some(now);
            tracing::warn!(
                "{name} is away, and is tried again (attempt {}): {why}",
                waits.attempts
            );
        }
    }
}

/// What comes after a pass.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    /// All have published.
    Done,
    /// Some are away; again after so long.
    Wait(Duration),
}

/// Turns until everyone has published.
struct Round {
    left: Vec<usize>,
    patience: Option<Duration>,
    begun: Duration,
    pause: Duration,
}

impl Round {
    fn new(left: Vec<usize>, patience: Option<Duration>, now: Duration) -> Round {
        Round {
            left,
            patience,
            begun: now,
            pause: FIRST_PAUSE,
        }
    }

    /// Gives everyone that is left a turn: also behind one that fails for good, since what it could not do is
    /// no fault of theirs.
    ///
    /// # Errors
    /// The first that failed for good; else, when patience is over, the first that is away.
    fn pass(
        &mut self,
        now: Duration,
        attempt: &mut dyn FnMut(usize) -> Result<(), SinkError>,
    ) -> Result<Next, SinkError> {
        let (mut failed, mut away) = (None, None);
        self.left.retain(|&at| match attempt(at) {
            Ok(()) => false,
            Err(error @ SinkError::Away { .. }) => {
                away.get_or_insert(error);
                true
            }
            Err(error) => {
                failed.get_or_insert(error);
                true
            }
        });
        let is_over =
            (self.patience).is_some_and(|patience| now.saturating_sub(self.begun) >= patience);
        match (failed, away) {
            (Some(error), _) => Err(error),
            (None, None) => Ok(Next::Done),
            (None, Some(error)) if is_over => Err(error),
            (None, Some(_)) => {
                let pause = self.pause;
                self.pause = (pause * 2).min(LONGEST_PAUSE);
                Ok(Next::Wait(pause))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn away() -> SinkError {
        SinkError::Away {
            peer: Peer::Other,
            why: "connection refused".to_owned(),
        }
    }

    #[test]
    fn only_those_that_are_away_are_asked_again_after_longer_and_longer_pauses() {
        let mut round = Round::new(vec![0, 1, 2], None, Duration::ZERO);
        let mut asked = Vec::new();
        let mut pauses = Vec::new();
        for pass in 0..9 {
            let next = round.pass(Duration::from_secs(3600 * pass), &mut |at| {
                asked.push(at);
                match at == 1 && pass < 8 {
                    true => Err(away()),
                    false => Ok(()),
                }
            });
            match next.unwrap() {
                Next::Wait(pause) => pauses.push(pause.as_millis()),
                Next::Done => assert_eq!(pass, 8),
            }
        }
        assert_eq!(asked, [0, 1, 2, 1, 1, 1, 1, 1, 1, 1, 1]);
        assert_eq!(pauses, [200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
    }

    #[test]
    fn one_that_fails_for_good_ends_it_but_not_before_the_others_had_their_turn() {
        let mut round = Round::new(vec![0, 1, 2], None, Duration::ZERO);
        let mut asked = Vec::new();
        let failed = round.pass(Duration::ZERO, &mut |at| {
            asked.push(at);
            match at {
                0 => Err(away()),
                1 => Err(SinkError::NotWritable(
                    "the table has no such column".into(),
                )),
                _ => Ok(()),
            }
        });
        assert_eq!(asked, [0, 1, 2]);
        let said = failed.unwrap_err().to_string();
        assert_eq!(said, "the table has no such column");
    }

    #[test]
    fn when_patience_is_over_it_ends_with_what_is_away() {
        let patience = Some(Duration::from_secs(300));
        let mut round = Round::new(vec![0], patience, Duration::from_secs(10));
        let mut pass = |at_s| round.pass(Duration::from_secs(at_s), &mut |_| Err(away()));
        assert!(matches!(pass(10), Ok(Next::Wait(_))));
        assert!(matches!(pass(309), Ok(Next::Wait(_))));
        let over = pass(310).unwrap_err();
        assert_eq!(over.to_string(), "connection refused");
    }
}
