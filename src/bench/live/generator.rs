//! The market of a live bench: a thread of this process that fills a topic at a steady rate.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rdkafka::ClientContext;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::Message;
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer};

use super::closings::Closings;
use crate::bench::cluster::Cluster;
use crate::bench::error::BenchError;
use crate::bench::stop::Stop;
use crate::bench::ticks::Frames;
use crate::config::bench::MarketArgs;

/// How often it looks what is due.
const PACE: Duration = Duration::from_millis(1);
/// Longest wait for the broker to take something.
const SEND_TIMEOUT: Duration = Duration::from_secs(30);

/// What is sent, and where to.
pub(super) struct Traffic<'a> {
    pub(super) cluster: &'a Cluster,
    pub(super) topic: &'a str,
    pub(super) market: &'a MarketArgs,
    /// Ticks a second.
    pub(super) rate: u32,
    /// Seconds of ticks that come at once before it begins, and end where it begins.
    pub(super) before_s: u32,
    /// Of the job's windows, milliseconds.
    pub(super) width_ms: i64,
    /// Of the job's watermark, milliseconds.
    pub(super) delay_ms: i64,
}

/// The time that ticks are stamped with: the system's as it was at the start, and steady from there.
#[derive(Debug, Clone, Copy)]
pub(super) struct EventClock {
    base: Instant,
    base_ms: i64,
}

impl EventClock {
    fn now() -> EventClock {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        EventClock {
            base: Instant::now(),
            base_ms: since.map_or(0, |since| since.as_millis() as i64),
        }
    }

    /// Milliseconds since 1970.
    pub(super) fn ms(&self) -> i64 {
        self.base_ms + self.base.elapsed().as_millis() as i64
    }

    /// How long until that time, milliseconds since 1970.
    pub(super) fn until(&self, event_ms: i64) -> Duration {
        Duration::from_millis((event_ms - self.ms()).max(0) as u64)
    }
}

/// The running thread; it ends when this goes.
pub(super) struct Generator {
    pub(super) clock: EventClock,
    stop: Stop,
    closings: Arc<Mutex<Closings>>,
    thread: Option<JoinHandle<Result<f64, BenchError>>>,
}

impl Generator {
    /// Sends what comes before, then starts the thread.
    pub(super) fn start(traffic: &Traffic<'_>, stop: &Stop) -> Result<Generator, BenchError> {
        let market = traffic.market;
        let closings = Closings::new(market.partitions, traffic.width_ms, traffic.delay_ms);
        let closings = Arc::new(Mutex::new(closings));
        let failed = traffic.cluster.failed("sending live ticks");
        let mut config = traffic.cluster.config();
        config
            .set("enable.idempotence", "true")
            .set("compression.type", market.compression.name());
        let context = Acks(Arc::clone(&closings));
        let mut sender = Sender {
            producer: config.create_with_context(context).map_err(&failed)?,
            frames: Frames::new(0, market.ticks_per_frame, market.symbols),
            topic: traffic.topic.to_owned(),
            partitions: market.partitions as usize,
            cluster: traffic.cluster.clone(),
        };
        let clock = EventClock::now();
        let frames_per_s = f64::from(traffic.rate) / f64::from(market.ticks_per_frame);
        let before = (f64::from(traffic.before_s) * frames_per_s) as u64;
        for number in 0..before {
            let behind_ms = (before - number) as f64 / frames_per_s * 1e3;
            stop.check()?;
            sender.send(clock.base_ms - behind_ms as i64)?;
        }
        sender.producer.flush(SEND_TIMEOUT).map_err(&failed)?;
        let told = Stop::default();
        let stop = told.clone();
        let ticks_per_frame = f64::from(market.ticks_per_frame);
        let go_on = move || {
            let (since, mut sent) = (Instant::now(), 0_u64);
            while !told.is_set() {
                let due = (since.elapsed().as_secs_f64() * frames_per_s) as u64;
                while sent < due && !told.is_set() {
                    sender.send(clock.ms())?;
                    sent += 1;
                }
                std::thread::sleep(PACE);
            }
            let rate = sent as f64 * ticks_per_frame / since.elapsed().as_secs_f64();
            sender.producer.flush(SEND_TIMEOUT).map_err(&failed)?;
            Ok(rate)
        };
        let thread = std::thread::Builder::new()
            .name("generator".to_owned())
            .spawn(go_on)
            .map_err(|e| BenchError::Failed(format!("no thread for the generator: {e}")))?;
        Ok(Generator {
            clock,
            stop,
            closings,
            thread: Some(thread),
        })
    }

    /// What the broker has taken.
    pub(super) fn closings(&self) -> MutexGuard<'_, Closings> {
        lock(&self.closings)
    }

    /// Whether it still sends; it does not end by itself unless something is wrong.
    pub(super) fn runs(&self) -> bool {
        self.thread.as_ref().is_some_and(|t| !t.is_finished())
    }

    /// Ends it: the ticks a second that it came to.
    pub(super) fn end(&mut self) -> Result<f64, BenchError> {
        self.stop.set();
        let Some(thread) = self.thread.take() else {
            return Ok(0.0);
        };
        let ended = thread.join();
        ended.unwrap_or_else(|_| Err(BenchError::Failed("the generator panicked".to_owned())))
    }
}

impl Drop for Generator {
    fn drop(&mut self) {
        // What went wrong with it is not the first thing that did.
        let _ = self.end();
    }
}

fn lock(closings: &Mutex<Closings>) -> MutexGuard<'_, Closings> {
    closings.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Sender {
    producer: ThreadedProducer<Acks>,
    frames: Frames,
    topic: String,
    partitions: usize,
    cluster: Cluster,
}

impl Sender {
    /// Sends a frame of this event time. A symbol has one partition, and every partition has symbols.
    fn send(&mut self, event_ms: i64) -> Result<(), BenchError> {
        let (symbol, key, payload) = self.frames.frame_at(event_ms as u64);
        let mut record = BaseRecord::with_opaque_to(&self.topic, Box::new(event_ms))
            .partition((symbol % self.partitions) as i32)
            .key(key)
            .payload(payload);
        let since = Instant::now();
        while let Err((error, unsent)) = self.producer.send(record) {
            let full = error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull);
            if !full || since.elapsed() > SEND_TIMEOUT {
                return Err(self.cluster.failed("sending live ticks")(error));
            }
            std::thread::sleep(PACE);
            record = unsent;
        }
        Ok(())
    }
}

struct Acks(Arc<Mutex<Closings>>);

impl ClientContext for Acks {}

impl ProducerContext for Acks {
    type DeliveryOpaque = Box<i64>;

    /// A frame that was not taken closes no window, so that its window is not asked for.
    fn delivery(&self, result: &DeliveryResult<'_>, event_ms: Box<i64>) {
        if let Ok(message) = result {
            let partition = usize::try_from(message.partition()).unwrap_or(usize::MAX);
            lock(&self.0).taken(partition, *event_ms, Instant::now());
        }
    }
}
