//! Compaction beside the epochs: the files of a day that is over become one.
//!
//! A thread reads and merges, one folder at a time. The coordinator, between two epochs and only then, lets the
//! merged files take the folder's place, after a look whether it is still what was merged; the thread removes what
//! they were merged from. Nothing of it ever stops the job: what fails is said once, and tried again later.

use std::collections::{BTreeSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::Scope;
use std::time::Duration;

use super::{Clock, Summary};
use crate::checkpoint::Checkpoint;
use crate::metrics::ingest::IngestMetrics;
use crate::model::Watermark;
use crate::query::JobPlan;
use crate::sink::Sink;
use crate::sink::compact::{Compactor, Exchanged, Folder, NotCompacted, Prepared, Terms};

/// Between two looks for folders that can be compacted.
const LOOK_EVERY: Duration = Duration::from_secs(600);
/// Between two folders, so that a long row of them takes no more than a part of a processor.
const BREATH: Duration = Duration::from_millis(500);
/// How often the stop flag is looked at by a run that waits for its last compaction.
const PATIENCE: Duration = Duration::from_millis(50);

/// The tables of a job that are compacted, and how.
#[derive(Debug, Clone)]
pub struct CompactionPlan {
    /// The youngest file of a folder was published at least so long ago.
    pub grace: Duration,
    /// Each with whether its rows have windows.
    pub tables: Vec<(Arc<Compactor>, bool)>,
}

impl CompactionPlan {
    /// The plan of a job with these sinks, one for each output; `None`: there is nothing to compact.
    pub fn new(grace: Duration, plan: &JobPlan, sinks: &[Sink]) -> Option<CompactionPlan> {
        let outputs = plan.outputs.iter().zip(sinks);
        let tables = outputs.filter_map(|(output, sink)| {
            Some((sink.compactor()?, output.pipeline.windows().is_some()))
        });
        let tables: Vec<_> = tables.collect();
        (!tables.is_empty()).then_some(CompactionPlan { grace, tables })
    }
}

/// What a job does for compaction, as the coordinator sees it.
pub struct Compaction {
    plan: CompactionPlan,
    clock: Clock,
    metrics: IngestMetrics,
    stop: Arc<AtomicBool>,
    /// Set when the job ends: what is being prepared is given up.
    over: Arc<AtomicBool>,
    preparer: Hand,
    state: State,
    /// Folders, and files that were merged, of the round.
    done: (usize, usize),
}

/// Who prepares.
enum Hand {
    /// A thread; one order is out at a time.
    Thread {
        orders: Sender<Order>,
        news: Receiver<News>,
    },
    /// The coordinator's own, for runs that can be repeated exactly.
    Own {
        preparer: Box<Preparer>,
        news: Option<News>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing is to be done before `until`, on the steady clock.
    Rests {
        until: Duration,
        round_is_over: bool,
    },
    /// An order is out.
    Works,
    /// This file system has no exchange.
    Off,
}

/// What the preparer is to do.
enum Order {
    /// Prepare the next folder of the round, or of a new one, by the terms of each table.
    Next(Vec<Terms>),
    /// Remove what stands in the staging of this table.
    Clear(usize),
}

/// What the preparer has done.
enum News {
    /// A folder of this table waits for its exchange.
    Ready(usize, Box<Prepared>),
    /// One was left as it is, or one is put away.
    Settled,
    /// There is none left in this round.
    RoundIsOver,
}

impl Compaction {
    /// Compaction of the tables of `plan`; by a thread of `scope`, unless `in_turns`.
    pub fn start<'scope>(
        scope: &'scope Scope<'scope, '_>,
        plan: CompactionPlan,
        in_turns: bool,
        (clock, stop, metrics): (Clock, Arc<AtomicBool>, IngestMetrics),
    ) -> Compaction {
        let over = Arc::new(AtomicBool::new(false));
        let tables = plan.tables.iter().map(|(table, _)| Arc::clone(table));
        let mut preparer = Preparer {
            tables: tables.collect(),
            stop: Arc::clone(&stop),
            over: Arc::clone(&over),
            round: None,
            told: BTreeSet::new(),
        };
        let hand = match in_turns {
            true => Hand::Own {
                preparer: Box::new(preparer),
                news: None,
            },
            false => {
                let (order, orders) = mpsc::channel();
                let (tell, news) = mpsc::channel();
                scope.spawn(move || {
                    for order in &orders {
                        let news = preparer.follow(order);
                        if tell.send(news).is_err() {
                            break;
                        }
                    }
                    preparer.leave();
                });
                Hand::Thread {
                    orders: order,
                    news,
                }
            }
        };
        Compaction {
            plan,
            state: State::Rests {
                until: clock.steady(),
                round_is_over: true,
            },
            clock,
            metrics,
            stop,
            over,
            preparer: hand,
            done: (0, 0),
        }
    }

    /// Goes on with it, as far as that takes no time; called between two epochs.
    pub fn go_on(&mut self, committed: Option<&Checkpoint>, summary: &mut Summary) {
        let Some(committed) = committed else { return };
        match self.state {
            State::Off => {}
            State::Rests { until, .. } if self.clock.steady() < until => {}
            State::Rests { .. } => self.order(Order::Next(self.terms(committed))),
            State::Works => {
                if let Some(news) = self.preparer.news(Duration::ZERO) {
                    self.hear(news, committed, summary);
                }
            }
        }
    }

    /// Compacts all that can be, without a rest, unless the job is told to stop.
    pub fn finish(&mut self, committed: Option<&Checkpoint>, summary: &mut Summary) {
        let Some(committed) = committed else { return };
        // A round that is under way began before the last commit.
        let mut is_last_round = false;
        while !self.stop.load(Ordering::Relaxed) {
            match self.state {
                State::Off => return,
                State::Rests { round_is_over, .. } => {
                    if round_is_over && is_last_round {
                        return;
                    }
                    is_last_round |= round_is_over;
                    self.order(Order::Next(self.terms(committed)));
                }
                State::Works => {
                    if let Some(news) = self.preparer.news(PATIENCE) {
                        self.hear(news, committed, summary);
                    }
                }
            }
        }
    }

    fn order(&mut self, order: Order) {
        self.state = State::Works;
        self.preparer.order(order);
    }

    fn hear(&mut self, news: News, committed: &Checkpoint, summary: &mut Summary) {
        let now = self.clock.steady();
        match news {
            News::Ready(table, prepared) => {
                let goes_on = self.exchange(table, &prepared, committed, summary);
                self.order(Order::Clear(table));
                if !goes_on {
                    self.state = State::Off;
                }
            }
            News::Settled => {
                self.state = State::Rests {
                    until: now + BREATH,
                    round_is_over: false,
                }
            }
            News::RoundIsOver => {
                if let (folders @ 1.., files) = std::mem::take(&mut self.done) {
                    tracing::info!(
                        "compaction: the {files} files of {folders} folders that get no more are now one each"
                    );
                }
                self.state = State::Rests {
                    until: now + LOOK_EVERY,
                    round_is_over: true,
                }
            }
        }
    }

    /// Whether compaction goes on.
    fn exchange(
        &mut self,
        table: usize,
        prepared: &Prepared,
        committed: &Checkpoint,
        summary: &mut Summary,
    ) -> bool {
        let (compactor, _) = &self.plan.tables[table];
        match compactor.exchange(prepared, &named(compactor, committed)) {
            Ok(Exchanged::Done { files, .. }) => {
                self.done = (self.done.0 + 1, self.done.1 + files);
                self.metrics.compacted(files as u64);
                summary.compacted_folders += 1;
                summary.compacted_files += files;
            }
            Ok(Exchanged::Changed) => {}
            Ok(Exchanged::Unsupported) => {
                tracing::warn!(
                    table = %compactor.dir().display(),
                    "this file system cannot exchange two folders, so nothing is compacted"
                );
                return false;
            }
            Err(error) => tracing::warn!("a folder is not compacted yet: {error}"),
        }
        true
    }

    fn terms(&self, committed: &Checkpoint) -> Vec<Terms> {
        let now = self.clock.wall();
        let tables = self.plan.tables.iter();
        let terms = tables.map(|(compactor, has_windows)| {
            let emitted = committed.emitted.get(compactor.table());
            Terms {
                now,
                grace: self.plan.grace,
                emitted: has_windows.then(|| emitted.map_or(Watermark::NONE, |end| end.0)),
                named: named(compactor, committed),
            }
        });
        terms.collect()
    }
}

impl Drop for Compaction {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Hand::Own { preparer, .. } = &mut self.preparer {
            preparer.leave();
        }
    }
}

/// The files of a table that a restart must find.
fn named(compactor: &Compactor, committed: &Checkpoint) -> BTreeSet<String> {
    let files = committed.files.iter();
    let own = files.filter(|file| file.table == compactor.table());
    own.map(|file| file.published.clone()).collect()
}

impl Hand {
    fn order(&mut self, order: Order) {
        match self {
            // A thread that is gone says so when it is listened to.
            Hand::Thread { orders, .. } => drop(orders.send(order)),
            Hand::Own { preparer, news } => *news = Some(preparer.follow(order)),
        }
    }

    /// What there is to hear within this time.
    fn news(&mut self, timeout: Duration) -> Option<News> {
        match self {
            Hand::Own { news, .. } => news.take(),
            Hand::Thread { news, .. } => match news.recv_timeout(timeout) {
                Ok(news) => Some(news),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => Some(News::RoundIsOver),
            },
        }
    }
}

/// Who reads and merges.
struct Preparer {
    tables: Vec<Arc<Compactor>>,
    stop: Arc<AtomicBool>,
    over: Arc<AtomicBool>,
    /// What is left of the round.
    round: Option<VecDeque<(usize, Folder)>>,
    /// What was said already.
    told: BTreeSet<String>,
}

impl Preparer {
    fn follow(&mut self, order: Order) -> News {
        match order {
            Order::Next(terms) => self.next(&terms),
            Order::Clear(table) => {
                if let Err(error) = self.tables[table].clear() {
                    self.tell(format!("compaction has left something behind: {error}"));
                }
                News::Settled
            }
        }
    }

    fn next(&mut self, terms: &[Terms]) -> News {
        if self.round.is_none() {
            self.round = Some(self.look(terms));
        }
        let round = self.round.as_mut();
        let Some((table, folder)) = round.and_then(VecDeque::pop_front) else {
            self.round = None;
            return News::RoundIsOver;
        };
        let compactor = Arc::clone(&self.tables[table]);
        let place = format!("{}/{}", compactor.dir().display(), folder.path());
        let (stop, over) = (Arc::clone(&self.stop), Arc::clone(&self.over));
        let stopping = || stop.load(Ordering::Relaxed) || over.load(Ordering::Relaxed);
        // A damaged file may be more than its reader can bear.
        let prepared = catch_unwind(AssertUnwindSafe(|| compactor.prepare(folder, &stopping)));
        match prepared {
            Ok(Ok(prepared)) => return News::Ready(table, Box::new(prepared)),
            Ok(Err(NotCompacted::Stopped)) => {}
            Ok(Err(NotCompacted::Unfit(why))) => {
                self.tell(format!("{place} is left as it is, not compacted: {why}"));
            }
            // What the disk refuses for one folder it refuses for the others too.
            Ok(Err(NotCompacted::Disk(error))) => {
                self.tell(format!("{place} is not compacted yet: {error}"));
                self.round = None;
                return News::RoundIsOver;
            }
            Err(_) => self.tell(format!(
                "{place} is left as it is: one of its files is damaged"
            )),
        }
        News::Settled
    }

    fn look(&mut self, terms: &[Terms]) -> VecDeque<(usize, Folder)> {
        let mut round = VecDeque::new();
        for (at, terms) in terms.iter().enumerate() {
            match self.tables[at].folders(terms) {
                Ok(folders) => round.extend(folders.into_iter().map(|folder| (at, folder))),
                Err(error) => self.tell(format!("nothing is compacted: {error}")),
            }
        }
        round
    }

    /// What was prepared and not exchanged is of no use to anybody. What cannot be removed now, the next start
    /// removes.
    fn leave(&self) {
        for table in &self.tables {
            let _ = table.clear();
        }
    }

    /// Says it once, however often it is tried again.
    fn tell(&mut self, text: String) {
        if self.told.insert(text.clone()) {
            tracing::warn!("{text}");
        }
    }
}
