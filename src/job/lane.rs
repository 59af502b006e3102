//! One topic partition inside the job: frames in, tables of its open windows out.
//!
//! Invariant: what a lane holds is a function of its partition's frames, never of where its
//! micro-batches were cut.

mod begin;
mod copies;
mod frames;
mod letters;
mod pass;
mod shares;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize};

use arrow::array::{Array, Int64Array, RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::SchemaRef;

use self::begin::Identity;
pub use self::begin::LaneStart;
use self::frames::Frame;
use self::letters::{Letters, Why};
use self::shares::Placing;
use super::JobError;
use crate::checkpoint::LastFrame;
use crate::decode::{Decoder, Format};
use crate::model::{Counts, FrameRef, Partition, Reject, RejectReason, Watermark, Window};
use crate::query::{JobPlan, Output, Table, Tally, Ticks, Trail};
use crate::sink::SinkRows;
use crate::window::{OpenWindow, Progress};

/// The default of frames of one partition that are worked through together: large enough that what a
/// micro-batch costs is lost in it, small enough to stay in the processor's cache.
pub const MICRO_BATCH_FRAMES: usize = 2048;
/// The order of ticks is the partition's number, then this many bits of sequence.
const SEQUENCE_BITS: u32 = 44;

/// What every lane of a job shares.
pub struct Shared {
    /// The job.
    pub plan: JobPlan,
    /// Schema of a batch of frames.
    pub frames: SchemaRef,
    /// See `spark.stockpulse.maxFutureSkew`, nanoseconds.
    pub max_future_skew: i64,
    /// See [`super::JobSpec::micro_batch_frames`].
    pub micro_batch_frames: usize,
    /// Whether a reject ends the job.
    pub bad_data_fails: bool,
    /// Whether the job ends when the topic is no longer the one that was read.
    pub fail_on_data_loss: bool,
    /// Whether rejects and late ticks are kept, with the bytes of their frames.
    pub keeps_letters: bool,
    /// Whether sinks are waited for, so that no more windows may be opened than an epoch has anyway.
    pub held: AtomicBool,
    /// Partitions that have not yet been read to their end, or about, in this run.
    pub behind: AtomicUsize,
}

/// One topic partition.
pub struct Lane {
    partition: Partition,
    shared: Arc<Shared>,
    progress: Progress,
    tables: Vec<BTreeMap<Window, Table>>,
    emitted: Vec<Watermark>,
    decoder: Decoder,
    frames: Vec<Frame>,
    rejects: Vec<Reject>,
    /// Next offset behind the frames that wait in `decoder`.
    ahead: i64,
    counted_from: i64,
    counted_watermark: Watermark,
    /// First offset that is worked through.
    begin: i64,
    identity: Identity,
    sequence: i64,
    counts: Counts,
    /// Rows of queries without windows that no epoch has taken yet.
    passed: Vec<(usize, SinkRows)>,
    passed_bytes: usize,
    /// Dead letters; `None`: they are not kept, and no payload is copied.
    letters: Option<Letters>,
    /// Whether the frames' keys are kept.
    uses_key: bool,
    scratch: Vec<usize>,
}

impl Lane {
    /// A partition at its start. `emitted` is per output the end of the last emitted window.
    pub fn new(
        partition: Partition,
        shared: Arc<Shared>,
        start: LaneStart,
        emitted: Vec<Watermark>,
    ) -> Result<Lane, JobError> {
        let outputs = shared.plan.outputs.len();
        let format = match shared.plan.source.options.format {
            crate::query::sql::FrameFormat::Json => Format::Json,
            crate::query::sql::FrameFormat::RawString => Format::RawString,
        };
        let decoder = Decoder::new(Arc::clone(&shared.plan.source.decoded), format)
            .map_err(|error| JobError::Failed(error.to_string()))?;
        Ok(Lane {
            partition,
            progress: Progress::new(outputs, start.offset, start.watermark),
            tables: (0..outputs).map(|_| BTreeMap::new()).collect(),
            emitted,
            decoder,
            frames: Vec::new(),
            rejects: Vec::new(),
            ahead: start.offset,
            counted_from: start.counted_from,
            counted_watermark: start.counted_watermark,
            begin: start.offset,
            identity: Identity::new(start.last),
            sequence: 0,
            counts: Counts::default(),
            passed: Vec::new(),
            passed_bytes: 0,
            letters: shared
                .keeps_letters
                .then(|| Letters::new(partition, &shared)),
            uses_key: frames::uses_key(&shared),
            scratch: Vec::new(),
            shared,
        })
    }

    /// Where the partition stands after the frames that were flushed.
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// How far the job has come: the next offset that no run has counted, and the watermark before it.
    /// While open windows are rebuilt, that is where the earlier run was.
    pub fn reached(&self) -> (i64, Watermark) {
        (
            self.progress.next().max(self.counted_from),
            self.progress.watermark().max(self.counted_watermark),
        )
    }

    /// The last frame that was read by any run.
    pub fn last_frame(&self) -> Option<LastFrame> {
        self.identity.last()
    }

    /// What became of the ticks since the last call.
    pub fn take_counts(&mut self) -> Counts {
        std::mem::take(&mut self.counts)
    }

    /// Tables of open windows.
    pub fn tables(&self) -> usize {
        self.tables.iter().map(BTreeMap::len).sum()
    }

    /// Bytes of rows and dead letters that wait for the next epoch, about.
    pub fn waiting_bytes(&self) -> usize {
        self.passed_bytes + self.letters.as_ref().map_or(0, Letters::bytes)
    }

    /// Takes out the dead letters, if there are any.
    pub fn take_letters(&mut self) -> Result<Option<SinkRows>, JobError> {
        match &mut self.letters {
            Some(letters) => letters.take(),
            None => Ok(None),
        }
    }

    /// Takes out the rows of queries without windows, by output.
    pub fn take_passed(&mut self) -> Vec<(usize, SinkRows)> {
        self.passed_bytes = 0;
        std::mem::take(&mut self.passed)
    }

    /// Distinct keys in open windows.
    pub fn open_groups(&self) -> usize {
        self.tables
            .iter()
            .flat_map(BTreeMap::values)
            .map(Table::groups)
            .sum()
    }

    /// Takes one frame; a full micro-batch is worked through at once.
    pub fn push(&mut self, frame: &FrameRef<'_>) -> Result<(), JobError> {
        let counting = self.counting(frame.offset);
        self.identity.recognise(frame, counting, &self.shared)?;
        if frame.offset < self.begin {
            return Ok(());
        }
        // A micro-batch never straddles the offset that counting begins at.
        let waits_uncounted = |first: &Frame| !self.counting(first.offset);
        let straddles = counting && self.frames.first().is_some_and(waits_uncounted);
        let holds_much = self.letters.as_ref().is_some_and(Letters::holds_much);
        let is_full = self.decoder.rows() >= self.shared.micro_batch_frames || holds_much;
        if straddles || is_full {
            self.flush()?;
        }
        let appended = self.decoder.push(frame.payload, &mut self.rejects);
        if !self.rejects.is_empty() {
            self.count_rejects(frame, counting)?;
        }
        if let Some(letters) = self.letters.as_mut().filter(|_| counting) {
            letters.take_in(frame, appended, &self.rejects);
        }
        self.rejects.clear();
        if appended {
            self.frames.push(Frame::new(frame, self.uses_key));
        }
        self.ahead = frame.offset + 1;
        Ok(())
    }

    /// The partition holds nothing before `offset` any more.
    pub fn skip_to(&mut self, offset: i64) {
        self.ahead = self.ahead.max(offset);
    }

    /// Works through the frames that wait.
    pub fn flush(&mut self) -> Result<(), JobError> {
        if !self.frames.is_empty() {
            let decoded = self.decoder.finish();
            let frames = std::mem::take(&mut self.frames);
            let batch = frames::batch(&self.shared, self.partition, &decoded, &frames)?;
            let before = self.watermarks(&batch, &frames);
            let shared = Arc::clone(&self.shared);
            for (at, output) in shared.plan.outputs.iter().enumerate() {
                self.run(at, output, &batch, &frames, &before)?;
            }
            self.frames = frames;
            self.frames.clear();
            if let Some(letters) = &mut self.letters {
                letters.release();
            }
        }
        self.progress.skip_to(self.ahead);
        Ok(())
    }

    /// Takes out the tables of the windows that end at or before `emitted`.
    pub fn close(&mut self, emitted: &[Watermark]) -> Vec<(usize, Window, Table)> {
        let mut closed = Vec::new();
        for (at, &watermark) in emitted.iter().enumerate() {
            self.progress.close(at, watermark);
            while let Some(first) = self.tables[at].first_entry() {
                if first.key().end > watermark.0 {
                    break;
                }
                let (window, table) = first.remove_entry();
                closed.push((at, window, table));
            }
        }
        self.emitted = emitted.to_vec();
        closed
    }

    fn counting(&self, offset: i64) -> bool {
        offset >= self.counted_from
    }

    fn count_rejects(&mut self, frame: &FrameRef<'_>, counting: bool) -> Result<(), JobError> {
        for reject in &self.rejects {
            if self.shared.bad_data_fails {
                return Err(JobError::BadData(format!(
                    "topic {}, partition {}, offset {}: {}; correct the producer, or say bad_data = 'drop' in {}",
                    self.shared.plan.source.options.topic,
                    self.partition,
                    frame.offset,
                    reject.detail,
                    self.shared.plan.source.table,
                )));
            }
            tracing::debug!(
                partition = self.partition,
                offset = frame.offset,
                reason = reject.reason.label(),
                "frame or tick rejected: {}",
                reject.detail
            );
            if counting {
                self.counts.read += 1;
                self.counts.reject(reject.reason, 1);
            }
        }
        Ok(())
    }

    /// Takes the frames into account one by one; the watermark before each.
    fn watermarks(&mut self, batch: &RecordBatch, frames: &[Frame]) -> Vec<Watermark> {
        let watermark = &self.shared.plan.source.watermark;
        let candidates = watermark.candidates(batch).unwrap_or_else(|_| {
            // One value that the expression fails on must not cost the others theirs.
            let one = |row| watermark.candidates(&batch.slice(row, 1)).ok();
            (0..batch.num_rows())
                .map(|row| one(row).filter(|c| c.is_valid(0)).map(|c| c.value(0)))
                .collect()
        });
        let skew = self.shared.max_future_skew;
        frames
            .iter()
            .enumerate()
            .map(|(row, frame)| {
                // By its event time, as a tick's: what is rejected moves no watermark.
                let event_time = |&candidate: &i64| candidate.saturating_add(watermark.delay);
                let candidate = candidates
                    .is_valid(row)
                    .then(|| candidates.value(row))
                    .filter(|candidate| !frame.is_before(event_time(candidate), skew));
                self.progress.frame(frame.offset, candidate.map(Watermark))
            })
            .collect()
    }

    fn run(
        &mut self,
        at: usize,
        output: &Output,
        batch: &RecordBatch,
        frames: &[Frame],
        before: &[Watermark],
    ) -> Result<(), JobError> {
        let mut tally = Tally::default();
        let is_counted = self.counting(frames[0].offset);
        let counting = at == 0 && is_counted;
        let keeps = self.letters.is_some() && is_counted && !output.sink.is_preview();
        let trail = keeps.then(Trail::default);
        match output
            .pipeline
            .ticks(output.project(batch)?, &mut tally, trail)
        {
            Ok(ticks) => {
                if counting {
                    self.counts.read += tally.ticks;
                    self.counts.filtered += tally.filtered;
                    self.counts.reject(RejectReason::Null, tally.null);
                }
                if let (Some(letters), Some(trail)) = (&mut self.letters, &ticks.trail) {
                    for trace in trail.missing() {
                        let frame = frames[trace.frame].offset;
                        letters.tick(frame, trace.element, at, Why::Missing);
                    }
                }
                self.add(at, output, &ticks, frames, before, counting)
            }
            Err(error) if batch.num_rows() == 1 => {
                tracing::debug!(
                    partition = self.partition,
                    offset = frames[0].offset,
                    "frame rejected, the query fails on it: {error}"
                );
                if counting {
                    self.counts.read += 1;
                    self.counts.reject(RejectReason::WrongType, 1);
                }
                if let Some(letters) = self.letters.as_mut().filter(|_| keeps) {
                    let why = Why::Failed(error.strip_backtrace());
                    letters.tick(frames[0].offset, None, at, why);
                }
                Ok(())
            }
            Err(_) => self.run_halves(at, output, batch, frames, before),
        }
    }

    /// The query fails on some value: find its frame, so that only that one is lost.
    fn run_halves(
        &mut self,
        at: usize,
        output: &Output,
        batch: &RecordBatch,
        frames: &[Frame],
        before: &[Watermark],
    ) -> Result<(), JobError> {
        let half = frames.len() / 2;
        for rows in [0..half, half..frames.len()] {
            let part = frames::slice(batch, rows.start, rows.len())?;
            self.run(at, output, &part, &frames[rows.clone()], &before[rows])?;
        }
        Ok(())
    }

    fn add(
        &mut self,
        at: usize,
        output: &Output,
        ticks: &Ticks,
        frames: &[Frame],
        before: &[Watermark],
        counting: bool,
    ) -> Result<(), JobError> {
        let mut counts = Counts::default();
        let Some(windows) = output.pipeline.windows() else {
            return self.pass(at, output, ticks, frames, counting);
        };
        let placing = Placing {
            ticks,
            frames,
            before,
            emitted: self.emitted[at],
            max_future_skew: self.shared.max_future_skew,
        };
        let mut letters = ticks.trail.as_ref().zip(self.letters.as_mut());
        let shares = placing.shares(windows, &mut counts, &mut |row, kept_out| {
            if let Some((trail, letters)) = &mut letters {
                let frame = frames[ticks.frame.value(row) as usize].offset;
                letters.tick(frame, trail.element(row), at, Why::KeptOut(kept_out));
            }
        });
        if counting {
            self.counts.add(&counts);
        }
        if shares.is_empty() {
            return Ok(());
        }
        let rows = ticks.event_time.len();
        let order = (i64::from(self.partition) << SEQUENCE_BITS) + self.sequence;
        self.sequence += rows as i64;
        let order = Int64Array::from_iter_values(order..order + rows as i64);
        let input = output.pipeline.accumulator_input(ticks, order)?;
        for share in shares {
            let frame = OpenWindow {
                offset: frames[share.first_frame].offset,
                watermark: before[share.first_frame],
            };
            self.progress.touch(at, share.window, frame);
            let input = match share.rows.len() == rows {
                true => input.clone(),
                false => take_record_batch(&input, &UInt32Array::from(share.rows))
                    .map_err(|error| JobError::Failed(error.to_string()))?,
            };
            let table = match self.tables[at].entry(share.window) {
                std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
                std::collections::btree_map::Entry::Vacant(entry) => {
                    entry.insert(output.pipeline.table()?)
                }
            };
            output.pipeline.update(table, &input, &mut self.scratch)?;
        }
        Ok(())
    }
}
