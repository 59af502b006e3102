//! Which rows of a micro-batch go into which windows.

use std::collections::BTreeMap;

use arrow::array::Array;

use super::frames::Frame;
use crate::model::{Counts, RejectReason, Watermark, Window};
use crate::query::Ticks;
use crate::window::Windows;

/// Rows of one micro-batch that fall into one window, in their order.
pub struct Share {
    /// The window.
    pub window: Window,
    /// The frame of the first of them.
    pub first_frame: usize,
    /// Their numbers.
    pub rows: Vec<u32>,
}

/// What keeps a row out of every window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeptOut {
    /// It has no event time.
    Untimed,
    /// It is refused for its event time.
    Refused(RejectReason, i64),
    /// Its window was closed.
    Late {
        /// Its event time, nanoseconds.
        time: i64,
        /// The last window that it is in.
        window: Window,
        /// What had passed the window's end.
        passed: Watermark,
    },
}

/// The rows of a micro-batch and what decides where they go.
pub struct Placing<'a> {
    /// The rows.
    pub ticks: &'a Ticks,
    /// Their frames.
    pub frames: &'a [Frame],
    /// The partition's watermark before each frame; it never moves back.
    pub before: &'a [Watermark],
    /// End of the last window that was emitted.
    pub emitted: Watermark,
    /// Event times further in the future of Kafka's timestamp are rejected, nanoseconds.
    pub max_future_skew: i64,
}

impl Placing<'_> {
    /// The shares of every window; rows that are in none are counted by what keeps them out. A row that
    /// is late for some of its windows only is in the others. `kept_out` hears of those that are in none.
    pub fn shares(
        &self,
        windows: Windows,
        counts: &mut Counts,
        kept_out: &mut dyn FnMut(usize, KeptOut),
    ) -> Vec<Share> {
        let panes = self.panes(windows, counts, kept_out);
        if windows.overlap() == 1 {
            return panes;
        }
        let mut shares: BTreeMap<Window, Vec<u32>> = BTreeMap::new();
        for pane in &panes {
            for window in windows.over(pane.window) {
                let in_time = |&row: &u32| !self.is_late(window, self.frame(row as usize));
                let in_time = pane.rows.partition_point(in_time);
                if in_time > 0 {
                    let rows = shares.entry(window).or_default();
                    rows.extend_from_slice(&pane.rows[..in_time]);
                }
            }
        }
        let shares = shares.into_iter().map(|(window, mut rows)| {
            rows.sort_unstable();
            let first_frame = self.frame(rows[0] as usize);
            Share {
                window,
                first_frame,
                rows,
            }
        });
        shares.collect()
    }

    /// Rows by the last window that each is in.
    fn panes(
        &self,
        windows: Windows,
        counts: &mut Counts,
        kept_out: &mut dyn FnMut(usize, KeptOut),
    ) -> Vec<Share> {
        let mut shares: Vec<Share> = Vec::new();
        let mut current = 0;
        for row in 0..self.ticks.event_time.len() {
            let frame = self.frame(row);
            if self.ticks.event_time.is_null(row) {
                counts.reject(RejectReason::Null, 1);
                kept_out(row, KeptOut::Untimed);
                continue;
            }
            let time = self.ticks.event_time.value(row);
            if self.frames[frame].is_before(time, self.max_future_skew) {
                counts.reject(RejectReason::Future, 1);
                kept_out(row, KeptOut::Refused(RejectReason::Future, time));
                continue;
            }
            let Some(window) = windows.last(time) else {
                counts.reject(RejectReason::OutOfRange, 1);
                kept_out(row, KeptOut::Refused(RejectReason::OutOfRange, time));
                continue;
            };
            if self.is_late(window, frame) {
                counts.late += 1;
                let passed = self.passed(frame);
                kept_out(
                    row,
                    KeptOut::Late {
                        time,
                        window,
                        passed,
                    },
                );
                continue;
            }
            counts.in_windows += 1;
            if shares
                .get(current)
                .is_none_or(|share| share.window != window)
            {
                current = shares
                    .iter()
                    .position(|share| share.window == window)
                    .unwrap_or_else(|| {
                        shares.push(Share {
                            window,
                            first_frame: frame,
                            rows: Vec::new(),
                        });
                        shares.len() - 1
                    });
            }
            shares[current].rows.push(row as u32);
        }
        shares
    }

    fn frame(&self, row: usize) -> usize {
        self.ticks.frame.value(row) as usize
    }

    fn is_late(&self, window: Window, frame: usize) -> bool {
        window.end <= self.passed(frame).0
    }

    fn passed(&self, frame: usize) -> Watermark {
        self.before[frame].max(self.emitted)
    }
}
