//! The simulated machine and broker: what time it is, and what the topic holds by then.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;
use stockpulse::job::Clock;

use super::market::{Event, Market, Message, START_MS};

/// By so much the messages of a topic that is created anew are later.
pub const LATER_MS: i64 = 1_000_000;

/// One message of a partition.
#[derive(Debug, Clone)]
pub struct Entry {
    pub message: Message,
    /// Kafka's timestamp.
    pub kafka_ms: i64,
    /// When it arrived, by the steady clock.
    pub arrived: Duration,
    pub payload: Vec<u8>,
}

/// A partition: everything that was ever in it, by offset, and from where on it is retained.
#[derive(Debug, Clone, Default)]
pub struct Log {
    pub low: i64,
    pub entries: Vec<Entry>,
}

impl Log {
    pub fn high(&self) -> i64 {
        i64::try_from(self.entries.len()).unwrap()
    }
}

pub struct State {
    pub random: Xoshiro256PlusPlus,
    /// The steady clock.
    pub now: Duration,
    /// What the wall clock was set by, nanoseconds.
    pub set_by: i64,
    events: VecDeque<(Duration, Event)>,
    pub logs: BTreeMap<i32, Log>,
    /// Nobody answers before then.
    pub out_until: Duration,
    /// Partitions that are read by the running job: next offset to hand on.
    pub reading: BTreeMap<i32, i64>,
    /// Where its reading began.
    pub opened: BTreeMap<i32, i64>,
    /// The topic was created anew.
    pub is_recreated: bool,
}

/// Clones are the same world.
#[derive(Clone)]
pub struct World(Arc<Mutex<State>>);

impl World {
    pub fn new(seed: u64) -> (World, Market) {
        let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
        let market = Market::draw(&mut random);
        let state = State {
            random,
            now: Duration::ZERO,
            set_by: 0,
            events: market.events.iter().cloned().collect(),
            logs: (0..market.partitions)
                .map(|p| (p, Log::default()))
                .collect(),
            out_until: Duration::ZERO,
            reading: BTreeMap::new(),
            opened: BTreeMap::new(),
            is_recreated: false,
        };
        (World(Arc::new(Mutex::new(state))), market)
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// The job's clock.
    pub fn clock(&self) -> Clock {
        let (wall, steady, pause) = (self.clone(), self.clone(), self.clone());
        Clock::simulated(
            move || wall.state().wall(),
            move || steady.state().now,
            move |time| pause.state().pass(time),
        )
    }
}

impl State {
    /// The wall clock, nanoseconds since 1970 UTC.
    pub fn wall(&self) -> i64 {
        START_MS * 1_000_000 + i64::try_from(self.now.as_nanos()).unwrap() + self.set_by
    }

    pub fn is_out(&self) -> bool {
        self.now < self.out_until
    }

    /// Whether everything has happened.
    pub fn is_over(&self) -> bool {
        self.events.is_empty()
    }

    /// Lets time go on.
    pub fn pass(&mut self, time: Duration) {
        self.now += time;
        while self.events.front().is_some_and(|(at, _)| *at <= self.now) {
            let (at, event) = self.events.pop_front().unwrap();
            self.happen(at, event);
        }
    }

    fn happen(&mut self, at: Duration, event: Event) {
        match event {
            Event::Arrives(partition, message) => {
                let kafka_ms = START_MS + i64::try_from(at.as_millis()).unwrap();
                let payload = match &message {
                    Message::Frame(frame) => frame.payload().into_bytes(),
                    Message::Garbage => b"{\"type\":\"tra\xff".to_vec(),
                    Message::Ping => br#"{"type":"ping"}"#.to_vec(),
                };
                let entry = Entry {
                    message,
                    kafka_ms,
                    arrived: at,
                    payload,
                };
                self.logs.entry(partition).or_default().entries.push(entry);
            }
            Event::Added => {
                let new = i32::try_from(self.logs.len()).unwrap();
                self.logs.entry(new).or_default();
            }
            Event::Forgotten(partition, hundredths) => {
                let log = self.logs.get_mut(&partition).unwrap();
                log.low = log.low.max(log.high() * i64::from(hundredths) / 100);
            }
            Event::Outage(time) => self.out_until = self.now + time,
            Event::Set(by) => self.set_by += by,
            Event::Recreated => {
                // As many messages as before, so that the offsets alone tell nothing.
                for log in self.logs.values_mut() {
                    for entry in &mut log.entries {
                        entry.message = Message::Ping;
                        entry.payload = br#"{"type":"ping"}"#.to_vec();
                        entry.kafka_ms += LATER_MS;
                    }
                }
                self.is_recreated = true;
            }
        }
    }
}
