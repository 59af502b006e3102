//! Where a lane begins, and whether the topic is still the one that an earlier run has read.

use super::Shared;
use crate::checkpoint::LastFrame;
use crate::job::JobError;
use crate::job::start::GO_ON_WITHOUT;
use crate::model::{FrameRef, Watermark};

/// Where a lane begins.
#[derive(Debug, Clone, Copy)]
pub struct LaneStart {
    /// First offset to read.
    pub offset: i64,
    /// The watermark before it.
    pub watermark: Watermark,
    /// How far an earlier run has come; frames before this were counted by it.
    pub counted_from: i64,
    /// The watermark there.
    pub counted_watermark: Watermark,
    /// The last frame that an earlier run has read, where it is still to be seen.
    pub last: Option<LastFrame>,
}

impl LaneStart {
    /// Where reading begins: early enough to see that the topic is the one that was read.
    pub fn read_from(&self) -> i64 {
        self.last
            .map_or(self.offset, |last| self.offset.min(last.offset))
    }
}

/// Tells a topic from one that was deleted and created again under its name, by the last frame that was read.
#[derive(Debug)]
pub struct Identity {
    /// Still to be seen again.
    expected: Option<LastFrame>,
    last: Option<LastFrame>,
}

impl Identity {
    /// `last` is the last frame of an earlier run.
    pub fn new(last: Option<LastFrame>) -> Identity {
        Identity {
            expected: last,
            last,
        }
    }

    /// The last frame that was read by any run.
    pub fn last(&self) -> Option<LastFrame> {
        self.last
    }

    /// Takes the next frame; `is_new`: no earlier run has read it.
    ///
    /// # Errors
    /// [`JobError::DataLoss`]: the topic is another one, unless the job may go on without what it has lost.
    pub fn recognise(
        &mut self,
        frame: &FrameRef<'_>,
        is_new: bool,
        shared: &Shared,
    ) -> Result<(), JobError> {
        if self.check(frame, is_new) {
            return Ok(());
        }
        let lost = format!(
            "topic {}, partition {}: the message at offset {} is not the one that was read before, so the topic \
             was deleted and created again",
            shared.plan.source.options.topic, frame.partition, frame.offset
        );
        if shared.fail_on_data_loss {
            return Err(JobError::DataLoss(format!("{lost}. {GO_ON_WITHOUT}")));
        }
        tracing::warn!("{lost}; going on with what it holds from there");
        Ok(())
    }

    /// Takes the next frame; `is_new`: no earlier run has read it. `false`: another stands where the last one
    /// was. If none stands there (compaction), nothing can be said.
    fn check(&mut self, frame: &FrameRef<'_>, is_new: bool) -> bool {
        let found = LastFrame {
            offset: frame.offset,
            timestamp_ms: frame.timestamp_ms,
            bytes: frame.payload.map(|payload| payload.len() as u64),
        };
        if is_new {
            self.last = Some(found);
        }
        match self.expected {
            Some(expected) if expected.offset <= found.offset => {
                self.expected = None;
                expected.offset != found.offset || expected == found
            }
            _ => true,
        }
    }
}
