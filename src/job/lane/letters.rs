//! The dead letters of one topic partition: every reject and every late tick, with its frame as Kafka had it.
//!
//! Invariant: a frame's bytes are kept once, however many of its ticks are here; a tick that an earlier run
//! has counted is not.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use super::Shared;
use super::shares::KeptOut;
use crate::job::JobError;
use crate::job::dead_letters::{Letter, Raw, Rows};
use crate::model::{FrameRef, NANOS_PER_MILLI, Partition, Reject, RejectReason, Window};
use crate::sink::SinkRows;

/// Bytes of the frames of a micro-batch that are held at the most, about: they may be needed until it is
/// worked through.
const HELD_BYTES: usize = 4 << 20;
/// Bytes of kept frames after which the next ones go into another block, which is less than 4 GiB.
const BLOCK_BYTES: usize = 16 << 20;

/// What a tick is kept for, after its frame was decoded.
pub enum Why {
    /// A value that the SQL needs is null.
    Missing,
    /// The query fails on the frame.
    Failed(String),
    /// No window takes it.
    KeptOut(KeptOut),
}

/// The dead letters of a lane.
pub struct Letters {
    shared: Arc<Shared>,
    partition: Partition,
    /// Whether a frame has one array at the most, so that the place of a refused element is not ambiguous.
    one_array: bool,
    /// Frames of the micro-batch, by offset ascending.
    held: Vec<Held>,
    held_bytes: Vec<u8>,
    kept: Kept,
    letters: Vec<Letter>,
    detail_bytes: usize,
}

/// A frame that is held.
struct Held {
    raw: Raw,
    /// Places of elements that were refused, ascending.
    refused: Vec<u32>,
}

/// Frames that letters are of.
#[derive(Default)]
struct Kept {
    frames: Vec<Raw>,
    /// Their places by offset.
    at: HashMap<i64, usize>,
    blocks: Vec<Vec<u8>>,
}

impl Letters {
    /// None yet.
    pub fn new(partition: Partition, shared: &Arc<Shared>) -> Letters {
        let fields = shared.plan.source.decoded.fields();
        let arrays = fields.iter().filter(|field| field.data_type().is_list());
        Letters {
            partition,
            one_array: arrays.count() <= 1,
            shared: Arc::clone(shared),
            held: Vec::new(),
            held_bytes: Vec::new(),
            kept: Kept::default(),
            letters: Vec::new(),
            detail_bytes: 0,
        }
    }

    /// Bytes that wait for the next epoch, about.
    pub fn bytes(&self) -> usize {
        let letters = self.letters.len() * size_of::<Letter>();
        letters + self.detail_bytes + self.kept.bytes()
    }

    /// Whether the micro-batch is to be worked through, however few its frames are.
    pub fn holds_much(&self) -> bool {
        self.held_bytes.len() >= HELD_BYTES
    }

    /// Takes a frame that is new, with what was refused of it. It is held if the rest of it goes on.
    pub fn take_in(&mut self, frame: &FrameRef<'_>, goes_on: bool, rejects: &[Reject]) {
        if goes_on {
            let mut refused: Vec<u32> = rejects.iter().filter_map(|r| r.element).collect();
            refused.sort_unstable();
            let raw = raw(frame, 0, &mut self.held_bytes);
            self.held.push(Held { raw, refused });
        }
        if rejects.is_empty() {
            return;
        }
        let kept = (self.kept).keep(frame.offset, |block, bytes| raw(frame, block, bytes));
        for reject in rejects {
            self.letter(Letter {
                element: reject.element,
                ..Letter::new(kept, reject.reason.label(), reject.detail.clone())
            });
        }
    }

    /// The micro-batch is worked through.
    pub fn release(&mut self) {
        self.held.clear();
        self.held_bytes.clear();
        self.held_bytes.shrink_to(2 * HELD_BYTES);
    }

    /// Keeps a tick of the output number `at`, or its whole frame. `element` is its place in the frame's
    /// array as it was decoded.
    pub fn tick(&mut self, offset: i64, element: Option<u32>, at: usize, why: Why) {
        let Ok(held) = (self.held).binary_search_by_key(&offset, |held| held.raw.offset) else {
            return;
        };
        let held = &self.held[held];
        let element = element.and_then(|element| self.place(held, element));
        let kafka_time = held.raw.kafka_time;
        let kept = self.kept.keep(offset, |block, bytes| {
            copied(&held.raw, &self.held_bytes, block, bytes)
        });
        let letter = self.told(kept, why, kafka_time);
        self.letter(Letter {
            element,
            table: Some(at),
            ..letter
        });
    }

    /// Takes out the letters as rows; `None`: there are none.
    pub fn take(&mut self) -> Result<Option<SinkRows>, JobError> {
        if self.letters.is_empty() {
            return Ok(None);
        }
        let Kept { frames, blocks, .. } = std::mem::take(&mut self.kept);
        let rows = Rows {
            topic: &self.shared.plan.source.options.topic,
            partition: self.partition,
            outputs: &self.shared.plan.outputs,
            frames,
            blocks,
            letters: std::mem::take(&mut self.letters),
        };
        self.detail_bytes = 0;
        rows.rows().map(Some)
    }

    fn letter(&mut self, letter: Letter) {
        self.detail_bytes += letter.detail.len();
        self.letters.push(letter);
    }

    /// The place of a decoded element in the frame: those that were refused stand between them.
    fn place(&self, frame: &Held, decoded: u32) -> Option<u32> {
        if !frame.refused.is_empty() && !self.one_array {
            return None;
        }
        let before = |place, &refused: &u32| place + u32::from(refused <= place);
        Some(frame.refused.iter().fold(decoded, before))
    }

    fn told(&self, frame: usize, why: Why, kafka_time: Option<i64>) -> Letter {
        let refused =
            |reason: RejectReason, detail: String| Letter::new(frame, reason.label(), detail);
        match why {
            Why::Missing => refused(
                RejectReason::Null,
                "a value that the query needs (IS NOT NULL) is missing".to_owned(),
            ),
            Why::Failed(error) => refused(
                RejectReason::WrongType,
                format!("the query fails on this frame: {error}"),
            ),
            Why::KeptOut(KeptOut::Untimed) => {
                refused(RejectReason::Null, "there is no event time".to_owned())
            }
            Why::KeptOut(KeptOut::Refused(reason, time)) => Letter {
                event_time: Some(time),
                ..refused(reason, self.refusal(reason, time, kafka_time))
            },
            Why::KeptOut(KeptOut::Late {
                time,
                window,
                passed,
            }) => Letter {
                event_time: Some(time),
                late_by_ms: Some(passed.0.saturating_sub(window.end) / NANOS_PER_MILLI),
                ..Letter::new(frame, LATE, late(window, passed.0))
            },
        }
    }

    fn refusal(&self, reason: RejectReason, time: i64, kafka_time: Option<i64>) -> String {
        match kafka_time.filter(|_| reason == RejectReason::Future) {
            Some(kafka) => format!(
                "event time {} is more than maxFutureSkew ({}) after Kafka's timestamp {}",
                utc(time),
                crate::query::duration_words(std::time::Duration::from_nanos(
                    self.shared.max_future_skew.unsigned_abs()
                )),
                utc(kafka)
            ),
            None => format!("event time {}: its window cannot be expressed", utc(time)),
        }
    }
}

/// The reason of a late tick, beside the labels of rejects.
const LATE: &str = "late";

fn late(window: Window, passed: i64) -> String {
    format!(
        "its window {} to {} had closed: no tick before {} was expected any more",
        utc(window.start),
        utc(window.end),
        utc(passed)
    )
}

fn utc(nanos: i64) -> String {
    let time = chrono::DateTime::from_timestamp_nanos(nanos);
    time.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true)
}

impl Kept {
    fn bytes(&self) -> usize {
        let blocks: usize = self.blocks.iter().map(Vec::len).sum();
        blocks + self.frames.len() * size_of::<Raw>()
    }

    /// The number of a kept frame, which `copy` makes, into a block, if it is the first letter of it.
    fn keep(&mut self, offset: i64, copy: impl FnOnce(usize, &mut Vec<u8>) -> Raw) -> usize {
        *self.at.entry(offset).or_insert_with(|| {
            if (self.blocks.last()).is_none_or(|block| block.len() >= BLOCK_BYTES) {
                self.blocks.push(Vec::new());
            }
            let block = self.blocks.len() - 1;
            self.frames.push(copy(block, &mut self.blocks[block]));
            self.frames.len() - 1
        })
    }
}

fn raw(frame: &FrameRef<'_>, block: usize, bytes: &mut Vec<u8>) -> Raw {
    Raw {
        offset: frame.offset,
        kafka_time: (frame.timestamp_ms).and_then(|ms| ms.checked_mul(NANOS_PER_MILLI)),
        block,
        key: frame.key.map(|key| append(bytes, key)),
        value: frame.payload.map(|value| append(bytes, value)),
    }
}

fn copied(raw: &Raw, from: &[u8], block: usize, to: &mut Vec<u8>) -> Raw {
    let mut copy = |range: &Range<usize>| append(to, &from[range.clone()]);
    Raw {
        block,
        key: raw.key.as_ref().map(&mut copy),
        value: raw.value.as_ref().map(&mut copy),
        ..*raw
    }
}

fn append(bytes: &mut Vec<u8>, more: &[u8]) -> Range<usize> {
    let from = bytes.len();
    bytes.extend_from_slice(more);
    from..bytes.len()
}
