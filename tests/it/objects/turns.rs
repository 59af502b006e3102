//! Processes that take turns at a store, request by request, in an order that a test says. So every order can be tried.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;

use object_store::memory::InMemory;
use stockpulse::objects::{Objects, Request, StoreError, Watch};

use super::store::{below, fork, objects};

/// What one process does with the store; what ended it before its time.
pub type Life = fn(Objects) -> Result<(), String>;

/// What a process is at.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum At {
    /// Between two requests.
    Works,
    /// It would do this.
    Waits(String),
    /// It has ended so.
    Ended(Result<(), String>),
}

struct Round {
    at: Vec<At>,
    /// What each has been answered so far.
    heard: Vec<u64>,
    /// Whose turn it is.
    turn: Option<usize>,
    /// All are told to end.
    over: bool,
}

/// Some processes over one store.
pub struct Turns {
    store: Arc<InMemory>,
    round: Arc<(Mutex<Round>, Condvar)>,
    threads: Vec<JoinHandle<()>>,
}

struct Player {
    number: usize,
    store: Arc<InMemory>,
    round: Arc<(Mutex<Round>, Condvar)>,
}

impl Turns {
    /// Starts a process of each life, over a copy of `store`; none has asked anything yet.
    pub fn start(store: &InMemory, lives: &[Life]) -> Turns {
        let store = fork(store);
        let round = Round {
            at: vec![At::Works; lives.len()],
            heard: vec![0; lives.len()],
            turn: None,
            over: false,
        };
        let round = Arc::new((Mutex::new(round), Condvar::new()));
        let begin = |(number, life): (usize, &Life)| {
            let player = Arc::new(Player {
                number,
                store: Arc::clone(&store),
                round: Arc::clone(&round),
            });
            let (life, objects) = (*life, objects(&store, Some(player.clone())));
            std::thread::spawn(move || {
                let ended = life(objects);
                player.say(At::Ended(ended));
            })
        };
        let threads = lives.iter().enumerate().map(begin).collect();
        let turns = Turns {
            store,
            round,
            threads,
        };
        turns.settle();
        turns
    }

    /// The store, as they have left it so far.
    pub fn store(&self) -> &Arc<InMemory> {
        &self.store
    }

    /// Those that have something to ask.
    pub fn ready(&self) -> Vec<usize> {
        let round = self.round.0.lock().unwrap();
        let waits = |number: &usize| matches!(round.at[*number], At::Waits(_));
        (0..round.at.len()).filter(waits).collect()
    }

    /// How those ended that have.
    pub fn ended(&self) -> Vec<Result<(), String>> {
        let round = self.round.0.lock().unwrap();
        let ended = round.at.iter().filter_map(|at| match at {
            At::Ended(how) => Some(how.clone()),
            At::Works | At::Waits(_) => None,
        });
        ended.collect()
    }

    /// Lets one do its next request, and what comes after it until the one after that.
    pub fn step(&self, number: usize) {
        self.round.0.lock().unwrap().turn = Some(number);
        self.round.1.notify_all();
        self.settle();
    }

    /// Equal where everything that can still happen is equal: the store, where each process is, and all that it
    /// was answered.
    pub fn state(&self) -> u64 {
        let mut hash = DefaultHasher::new();
        for (key, content) in below(&self.store, "data") {
            digest(&key, &content, &mut hash);
        }
        let round = self.round.0.lock().unwrap();
        (&round.at, &round.heard).hash(&mut hash);
        hash.finish()
    }

    fn settle(&self) {
        let mut round = self.round.0.lock().unwrap();
        while round.turn.is_some() || round.at.contains(&At::Works) {
            round = self.round.1.wait(round).unwrap();
        }
    }
}

impl Drop for Turns {
    fn drop(&mut self) {
        self.round.0.lock().unwrap().over = true;
        self.round.1.notify_all();
        for thread in self.threads.drain(..) {
            // Its own panic is told by the test that waits for what it does.
            let _ = thread.join();
        }
    }
}

impl Player {
    fn say(&self, at: At) {
        self.round.0.lock().unwrap().at[self.number] = at;
        self.round.1.notify_all();
    }

    /// What it is about to be answered, as far as it depends on the store.
    fn answer(&self, request: &Request<'_>) -> u64 {
        let mut hash = DefaultHasher::new();
        match *request {
            Request::List(prefix) => {
                let keys: Vec<String> = below(&self.store, prefix).into_keys().collect();
                keys.hash(&mut hash);
            }
            Request::Put(_) | Request::Delete(_) => {}
            Request::Copy { from: key, .. }
            | Request::PutNew(key)
            | Request::Head(key)
            | Request::Get(key) => {
                for (key, content) in below(&self.store, parent(key)) {
                    if key == request_key(request) {
                        digest(&key, &content, &mut hash);
                    }
                }
            }
        }
        hash.finish()
    }
}

impl Watch for Player {
    fn before(&self, request: &Request<'_>) -> Result<(), StoreError> {
        self.say(At::Waits(request.to_string()));
        let mut round = self.round.0.lock().unwrap();
        while round.turn != Some(self.number) && !round.over {
            round = self.round.1.wait(round).unwrap();
        }
        if round.over {
            return Err(StoreError::Refused("the round is over".to_owned()));
        }
        drop(round);
        let answer = self.answer(request);
        let mut round = self.round.0.lock().unwrap();
        let mut hash = DefaultHasher::new();
        (round.heard[self.number], answer).hash(&mut hash);
        round.heard[self.number] = hash.finish();
        round.at[self.number] = At::Works;
        round.turn = None;
        Ok(())
    }

    fn after(&self, _: &Request<'_>) -> Result<(), StoreError> {
        Ok(())
    }
}

fn request_key<'a>(request: &Request<'a>) -> &'a str {
    match *request {
        Request::Copy { from: key, .. }
        | Request::Put(key)
        | Request::PutNew(key)
        | Request::Head(key)
        | Request::Get(key)
        | Request::List(key)
        | Request::Delete(key) => key,
    }
}

fn parent(key: &str) -> &str {
    key.rsplit_once('/').map_or("", |(parent, _)| parent)
}

/// A start's own document says when it was, which differs from run to run and means nothing.
fn digest(key: &str, content: &[u8], hash: &mut DefaultHasher) {
    key.hash(hash);
    if !key.contains("/start-") {
        content.hash(hash);
    }
}
