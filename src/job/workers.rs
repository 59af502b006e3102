//! The worker threads, as the coordinator talks to them: one question at a time, to all of them.

use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::Scope;

use super::JobError;
use super::worker::{ClosedTables, Command, LaneView, Note, Worker};
use crate::model::Watermark;

/// The running workers.
pub struct Workers {
    /// One a worker.
    pub commands: Vec<Sender<Command>>,
    /// What they all say.
    pub notes: Receiver<Note>,
    /// Workers that have nothing to do before the next epoch.
    pub waiting: usize,
    /// Those among them whose partitions are read to their end.
    pub finished: usize,
    /// One of them wants an epoch, and said so while the last one ended.
    pub crowded: bool,
}

impl Workers {
    /// Starts a thread a worker.
    pub fn start<'scope>(scope: &'scope Scope<'scope, '_>, workers: Vec<Worker>) -> Workers {
        let (note, notes) = mpsc::channel();
        let commands = workers
            .into_iter()
            .map(|worker| {
                // Unbounded in type only: the coordinator has one question out at a time.
                let (command, commands) = mpsc::channel();
                let note = note.clone();
                scope.spawn(move || {
                    let _last_word = LastWord(&note);
                    worker.run(&commands, &note);
                });
                command
            })
            .collect();
        Workers {
            commands,
            notes,
            waiting: 0,
            finished: 0,
            crowded: false,
        }
    }

    /// Asks every worker where its partitions stand; they wait then.
    pub fn look(&mut self, now: i64) -> Result<Vec<LaneView>, JobError> {
        for command in &self.commands {
            command
                .send(Command::Look { now })
                .map_err(|_| self.failure())?;
        }
        let mut views = Vec::new();
        let mut answers = 0;
        while answers < self.commands.len() {
            match self.notes.recv().map_err(|_| gone())? {
                Note::Looked(some) => {
                    views.extend(some);
                    answers += 1;
                }
                // Said before the question came.
                Note::Waiting { .. } | Note::Crowded => {}
                Note::Failed(error) => return Err(error),
                Note::Closed(_) => return Err(gone()),
            }
        }
        Ok(views)
    }

    /// Takes closed windows out of every worker; they go on then.
    pub fn close(
        &mut self,
        emitted: &[Watermark],
        budget_per_partition: Option<u64>,
    ) -> Result<ClosedTables, JobError> {
        (self.waiting, self.finished, self.crowded) = (0, 0, false);
        let workers = self.commands.len();
        for command in &self.commands {
            let close = Command::Close {
                emitted: emitted.to_vec(),
                budget_per_partition,
            };
            command.send(close).map_err(|_| self.failure())?;
        }
        let mut all = ClosedTables::default();
        let mut answers = 0;
        while answers < workers {
            match self.notes.recv().map_err(|_| gone())? {
                Note::Closed(closed) => {
                    all.tables.extend(closed.tables);
                    all.passed.extend(closed.passed);
                    all.letters.extend(closed.letters);
                    all.partitions.extend(closed.partitions);
                    all.counts.add(&closed.counts);
                    all.open_groups += closed.open_groups;
                    answers += 1;
                }
                // One that has answered already may wait again.
                Note::Waiting { finished } => {
                    self.waiting += 1;
                    self.finished += usize::from(finished);
                }
                Note::Crowded => self.crowded = true,
                Note::Failed(error) => return Err(error),
                Note::Looked(_) => return Err(gone()),
            }
        }
        Ok(all)
    }

    /// Why a worker no longer listens.
    fn failure(&self) -> JobError {
        let failed = self.notes.try_iter().find_map(|note| match note {
            Note::Failed(error) => Some(error),
            _ => None,
        });
        failed.unwrap_or_else(gone)
    }
}

/// Tells the coordinator of a panic, which would otherwise wait for the worker's answer for ever.
struct LastWord<'a>(&'a Sender<Note>);

impl Drop for LastWord<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // The coordinator may be gone already.
            let _ = self.0.send(Note::Failed(gone()));
        }
    }
}

/// A worker thread panicked.
pub fn gone() -> JobError {
    JobError::Failed("a worker thread ended without a word; its panic is above".to_string())
}
