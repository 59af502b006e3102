//! The workers, as the coordinator talks to them: one question at a time, to all of them.
//!
//! Each has a thread of its own; or they take turns in the coordinator's, for runs that can be repeated exactly.

use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::Scope;
use std::time::Duration;

use super::worker::{ClosedTables, Command, LaneView, Note, Turn, Worker};
use super::{Clock, JobError};
use crate::model::{Watermark, Window};

/// The workers of a run.
pub struct Crew {
    members: Members,
    /// Workers that have nothing to do before the next epoch.
    waiting: usize,
    /// Those among them whose partitions are read to their end.
    finished: usize,
    /// One of them wants an epoch, and said so while the last one ended.
    crowded: bool,
}

enum Members {
    Threads {
        /// One a worker. Unbounded in type only: the coordinator has one question out at a time.
        commands: Vec<Sender<Command>>,
        /// What they all say.
        notes: Receiver<Note>,
    },
    Turns {
        workers: Vec<Worker>,
        /// Whose turn it is.
        next: usize,
        clock: Clock,
    },
}

/// What the coordinator hears while it waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// Nothing new.
    Nothing,
    /// A worker wants windows closed, or rows taken.
    Crowded,
}

impl Crew {
    fn new(members: Members) -> Crew {
        Crew {
            members,
            waiting: 0,
            finished: 0,
            crowded: false,
        }
    }

    /// Starts a thread a worker.
    pub fn start<'scope>(scope: &'scope Scope<'scope, '_>, workers: Vec<Worker>) -> Crew {
        let (note, notes) = mpsc::channel();
        let commands = workers
            .into_iter()
            .map(|worker| {
                let (command, commands) = mpsc::channel();
                let note = note.clone();
                scope.spawn(move || {
                    let _last_word = LastWord(&note);
                    worker.run(&commands, &note);
                });
                command
            })
            .collect();
        Crew::new(Members::Threads { commands, notes })
    }

    /// Lets the workers take turns whenever the coordinator waits; `clock` goes on when none has anything to do.
    pub fn in_turns(workers: Vec<Worker>, clock: Clock) -> Crew {
        Crew::new(Members::Turns {
            workers,
            next: 0,
            clock,
        })
    }

    /// Whether one of them wanted an epoch since this was asked last.
    pub fn take_crowded(&mut self) -> bool {
        std::mem::take(&mut self.crowded)
    }

    /// Whether nobody has anything to do before the next epoch.
    pub fn all_wait(&self) -> bool {
        self.waiting == self.len()
    }

    /// Whether every partition is read to its end.
    pub fn all_finished(&self) -> bool {
        self.finished == self.len()
    }

    fn len(&self) -> usize {
        match &self.members {
            Members::Threads { commands, .. } => commands.len(),
            Members::Turns { workers, .. } => workers.len(),
        }
    }

    /// Waits for news, `timeout` at the longest; or lets the next worker have its turn.
    pub fn hear(&mut self, timeout: Duration) -> Result<Heard, JobError> {
        let note = match &mut self.members {
            Members::Threads { notes, .. } => match notes.recv_timeout(timeout) {
                Ok(note) => note,
                Err(RecvTimeoutError::Timeout) => return Ok(Heard::Nothing),
                Err(RecvTimeoutError::Disconnected) => return Err(gone()),
            },
            Members::Turns {
                workers,
                next,
                clock,
            } => {
                if self.waiting == workers.len() {
                    clock.pause(timeout);
                    return Ok(Heard::Nothing);
                }
                *next = (*next + 1) % workers.len();
                match workers[*next].turn()? {
                    Turn::Says(note) => note,
                    Turn::Read | Turn::Waits | Turn::Held => return Ok(Heard::Nothing),
                }
            }
        };
        self.take_note(note)
    }

    /// A note that is no answer.
    fn take_note(&mut self, note: Note) -> Result<Heard, JobError> {
        match note {
            Note::Waiting { finished } => {
                self.waiting += 1;
                self.finished += usize::from(finished);
                Ok(Heard::Nothing)
            }
            Note::Crowded => Ok(Heard::Crowded),
            Note::Failed(error) => Err(error),
            Note::Looked(_) | Note::Closed(_) => {
                let message = "an answer that nobody asked for";
                Err(JobError::Failed(message.to_string()))
            }
        }
    }

    /// Asks every worker where its partitions stand; they wait then.
    pub fn look(&mut self) -> Result<Vec<LaneView>, JobError> {
        let (commands, notes) = match &mut self.members {
            Members::Threads { commands, notes } => (commands, notes),
            Members::Turns { workers, .. } => {
                let views = workers.iter_mut().map(|worker| worker.look());
                return Ok(views.collect::<Result<Vec<_>, _>>()?.concat());
            }
        };
        for command in &*commands {
            command.send(Command::Look).map_err(|_| failure(notes))?;
        }
        let mut views = Vec::new();
        let mut answers = 0;
        while answers < commands.len() {
            match notes.recv().map_err(|_| gone())? {
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

    /// Takes closed windows out of every worker, and copies of open ones; they go on then.
    pub fn close(
        &mut self,
        emitted: &[Watermark],
        budget_per_partition: Option<u64>,
        copies: &[Vec<Window>],
    ) -> Result<ClosedTables, JobError> {
        (self.waiting, self.finished, self.crowded) = (0, 0, false);
        let mut all = ClosedTables::default();
        let workers = self.len();
        match &mut self.members {
            Members::Threads { commands, notes } => {
                for command in &*commands {
                    let close = Command::Close {
                        emitted: emitted.to_vec(),
                        budget_per_partition,
                        copies: copies.to_vec(),
                    };
                    command.send(close).map_err(|_| failure(notes))?;
                }
            }
            Members::Turns { workers, .. } => {
                for worker in workers {
                    all.add(worker.close(emitted, budget_per_partition, copies)?);
                }
                return Ok(all);
            }
        }
        let mut answers = 0;
        while answers < workers {
            let Members::Threads { notes, .. } = &self.members else {
                return Err(gone());
            };
            match notes.recv().map_err(|_| gone())? {
                Note::Closed(closed) => {
                    all.add(closed);
                    answers += 1;
                }
                Note::Looked(_) => return Err(gone()),
                // One that has answered already may wait again.
                note => match self.take_note(note)? {
                    Heard::Nothing => {}
                    Heard::Crowded => self.crowded = true,
                },
            }
        }
        Ok(all)
    }
}

/// Why a worker no longer listens.
fn failure(notes: &Receiver<Note>) -> JobError {
    let failed = notes.try_iter().find_map(|note| match note {
        Note::Failed(error) => Some(error),
        _ => None,
    });
    failed.unwrap_or_else(gone)
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
fn gone() -> JobError {
    JobError::Failed("a worker thread ended without a word; its panic is above".to_string())
}
