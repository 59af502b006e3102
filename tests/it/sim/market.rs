//! What is to happen, drawn from a seed before anything runs: frames with the time of their arrival, and what goes
//! wrong with the topic.

use std::time::Duration;

use rand::RngExt;
use rand::rngs::Xoshiro256PlusPlus;

use crate::job::definition::{Frame, MINUTE_MS, SYMBOLS, Tick};

/// The wall clock at the beginning, 2026-08-01T23:55:00Z, milliseconds: midnight comes on the way.
pub const START_MS: i64 = 1_785_628_500_000;
/// How long frames arrive.
pub const TRADING: Duration = Duration::from_secs(9 * 60);

/// What a message is.
#[derive(Debug, Clone)]
pub enum Message {
    Frame(Frame),
    /// No JSON at all.
    Garbage,
    /// What the feed sends when nothing is traded.
    Ping,
}

/// What happens, and when, from the beginning on.
#[derive(Debug, Clone)]
pub enum Event {
    Arrives(i32, Message),
    /// The topic gets a partition.
    Added,
    /// A part of what a partition retains, in 1/100, is forgotten.
    Forgotten(i32, u32),
    /// Nobody answers for so long.
    Outage(Duration),
    /// The machine's wall clock is set by so much.
    Set(i64),
    /// The topic is deleted and created again.
    Recreated,
}

/// How a partition's frames come.
#[derive(Debug, Clone, Copy)]
enum Habit {
    /// All the time, a frame every so many seconds.
    Steady(f64),
    /// As before, up to this part of the time.
    UpTo(f64, f64),
    /// As before, from this part of the time on.
    From(f64, f64),
    /// Never.
    Silent,
}

pub struct Market {
    pub partitions: i32,
    /// In the order of time.
    pub events: Vec<(Duration, Event)>,
    /// Whether the topic is created anew at the end of the trading.
    pub is_recreated: bool,
}

impl Market {
    pub fn count_added(&self) -> u64 {
        self.events
            .iter()
            .filter(|(_, event)| matches!(event, Event::Added))
            .count() as u64
    }

    pub fn count_set(&self) -> u64 {
        self.events
            .iter()
            .filter(|(_, event)| matches!(event, Event::Set(_)))
            .count() as u64
    }

    pub fn draw(random: &mut Xoshiro256PlusPlus) -> Market {
        let partitions = random.random_range(1..=4);
        let mut events = Vec::new();
        let added = random.random_bool(0.25);
        for partition in 0..partitions + i32::from(added) {
            let is_new = partition >= partitions;
            let habit = match random.random_range(0..10) {
                0..5 => Habit::Steady(random.random_range(2.0..15.0)),
                5..7 => Habit::UpTo(
                    random.random_range(2.0..10.0),
                    random.random_range(0.1..0.9),
                ),
                7..9 => Habit::From(
                    random.random_range(2.0..10.0),
                    random.random_range(0.2..0.8),
                ),
                _ => Habit::Silent,
            };
            // By so much this partition is behind the others.
            let behind = match random.random_bool(0.3) {
                true => random.random_range(0..90_000),
                false => 0,
            };
            frames(random, partition, habit, behind, is_new, &mut events);
        }
        if added {
            events.push((TRADING / 2, Event::Added));
        }
        let mut sometimes = |probability, event: &dyn Fn(&mut Xoshiro256PlusPlus) -> Event| {
            if random.random_bool(probability) {
                let at = TRADING.mul_f64(random.random_range(0.05..0.95));
                events.push((at, event(random)));
            }
        };
        let outage = |random: &mut Xoshiro256PlusPlus| {
            Event::Outage(Duration::from_millis(random.random_range(100..150_000)))
        };
        sometimes(0.3, &outage);
        sometimes(0.3, &outage);
        let set = |random: &mut Xoshiro256PlusPlus| {
            Event::Set(random.random_range(-600_000..600_000) * 1_000_000)
        };
        sometimes(0.2, &set);
        sometimes(0.2, &set);
        let forgotten = |random: &mut Xoshiro256PlusPlus| {
            Event::Forgotten(
                random.random_range(0..partitions),
                random.random_range(1..=100),
            )
        };
        sometimes(0.12, &forgotten);
        let is_recreated = random.random_bool(0.06);
        if is_recreated {
            events.push((TRADING, Event::Recreated));
        }
        events.sort_by_key(|(at, _)| *at);
        Market {
            partitions,
            events,
            is_recreated,
        }
    }
}

fn frames(
    random: &mut Xoshiro256PlusPlus,
    partition: i32,
    habit: Habit,
    behind_ms: i64,
    is_new: bool,
    events: &mut Vec<(Duration, Event)>,
) {
    let (every, from, to) = match habit {
        Habit::Steady(every) => (every, 0.0, 1.0),
        Habit::UpTo(every, to) => (every, 0.0, to),
        Habit::From(every, from) => (every, from, 1.0),
        Habit::Silent => return,
    };
    let from = if is_new { from.max(0.5) } else { from };
    let mut at = TRADING.mul_f64(from);
    let mut last: Option<Frame> = None;
    while at < TRADING.mul_f64(to) {
        let kafka_ms = START_MS + i64::try_from(at.as_millis()).unwrap();
        let message = match random.random_range(0..40) {
            0 => Message::Garbage,
            1 => Message::Ping,
            // A frame that is sent again.
            2 => last.clone().map_or(Message::Ping, |frame| {
                Message::Frame(Frame { kafka_ms, ..frame })
            }),
            _ => Message::Frame(frame(random, partition, kafka_ms, behind_ms)),
        };
        if let Message::Frame(frame) = &message {
            last = Some(frame.clone());
        }
        events.push((at, Event::Arrives(partition, message)));
        at += Duration::from_secs_f64(every * random.random_range(0.1..2.0));
    }
}

fn frame(random: &mut Xoshiro256PlusPlus, partition: i32, kafka_ms: i64, behind_ms: i64) -> Frame {
    let now = kafka_ms - behind_ms;
    let mut ticks: Vec<Tick> = Vec::new();
    for _ in 0..random.random_range(1..=3) {
        let time_ms = match random.random_range(0..60) {
            0 => kafka_ms + random.random_range(11..10_000) * MINUTE_MS,
            1 => random.random_range(0..1_000_000_000),
            2..5 => now - random.random_range(60_000..300_000),
            5..20 => now - random.random_range(0..60_000),
            // Many share a time.
            _ => now - now.rem_euclid(500),
        };
        // Of a frame a tick is known by its time.
        if ticks.iter().any(|tick| tick.time_ms == time_ms) {
            continue;
        }
        ticks.push(Tick {
            symbol: SYMBOLS[random.random_range(0..SYMBOLS.len())],
            price: f64::from(random.random_range(1..1_000_u32)) / 8.0,
            time_ms,
            volume: f64::from(random.random_range(0..5_000_u32)) / 1000.0,
        });
    }
    Frame {
        partition,
        kafka_ms,
        torn: false,
        ticks,
    }
}
