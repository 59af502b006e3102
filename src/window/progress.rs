//! One topic partition on its way through its frames: watermark, next offset, open windows.

use std::collections::BTreeMap;

use crate::model::{Watermark, Window};

/// The first frame that touched an open window: where reading starts again to rebuild it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenWindow {
    /// Offset of that frame.
    pub offset: i64,
    /// The partition's watermark just before that frame.
    pub watermark: Watermark,
}

/// Where one topic partition stands.
///
/// Invariant: everything here is a function of the partition's own frames up to `next`, never of how
/// they were cut into micro-batches.
#[derive(Debug, Clone)]
pub struct Progress {
    next: i64,
    watermark: Watermark,
    /// Per pipeline the open windows that this partition has touched.
    open: Vec<BTreeMap<Window, OpenWindow>>,
}

impl Progress {
    /// A partition whose next frame is `next`, with the watermark before it.
    pub fn new(pipelines: usize, next: i64, watermark: Watermark) -> Progress {
        Progress {
            next,
            watermark,
            open: vec![BTreeMap::new(); pipelines],
        }
    }

    /// The next offset to read.
    pub fn next(&self) -> i64 {
        self.next
    }

    /// The watermark after the frame before `next`.
    pub fn watermark(&self) -> Watermark {
        self.watermark
    }

    /// Takes one frame into account: its own watermark candidate, if it has one. Returns the
    /// watermark before it, which decides what of it is late.
    #[inline]
    pub fn frame(&mut self, offset: i64, candidate: Option<Watermark>) -> Watermark {
        let before = self.watermark;
        if let Some(candidate) = candidate {
            self.watermark.advance(candidate);
        }
        self.next = offset + 1;
        before
    }

    /// Nothing is left to read before `offset` (a partition may end in offsets that hold no frame).
    pub fn skip_to(&mut self, offset: i64) {
        self.next = self.next.max(offset);
    }

    /// Notes that a frame put a tick into `window`; only the first one is remembered.
    pub fn touch(&mut self, pipeline: usize, window: Window, frame: OpenWindow) {
        self.open[pipeline].entry(window).or_insert(frame);
    }

    /// Forgets the windows that end at or before `watermark`.
    pub fn close(&mut self, pipeline: usize, watermark: Watermark) {
        let open = &mut self.open[pipeline];
        while let Some(first) = open.first_entry() {
            if first.key().end > watermark.0 {
                break;
            }
            first.remove();
        }
    }

    /// Where reading must start again so that every open window is rebuilt: the smallest of their
    /// first frames, or `next`.
    pub fn replay_point(&self) -> OpenWindow {
        self.open
            .iter()
            .flat_map(|windows| windows.values())
            .min_by_key(|open| open.offset)
            .copied()
            .unwrap_or(OpenWindow {
                offset: self.next,
                watermark: self.watermark,
            })
    }

    /// The open windows of a pipeline, in the order in which they close.
    pub fn open_windows(&self, pipeline: usize) -> impl Iterator<Item = Window> + '_ {
        self.open[pipeline].keys().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(start: i64) -> Window {
        Window {
            start,
            end: start + 60,
        }
    }

    #[test]
    fn watermark_never_moves_back_and_a_frame_sees_the_one_before_it() {
        let mut p = Progress::new(1, 5, Watermark::NONE);
        assert_eq!(p.frame(5, Some(Watermark(100))), Watermark::NONE);
        assert_eq!(p.frame(6, Some(Watermark(40))), Watermark(100));
        assert_eq!(p.frame(7, None), Watermark(100));
        assert_eq!((p.next(), p.watermark()), (8, Watermark(100)));
    }

    #[test]
    fn replay_point_is_the_first_frame_of_the_open_windows() {
        let mut p = Progress::new(2, 0, Watermark::NONE);
        let at = |offset, watermark| OpenWindow {
            offset,
            watermark: Watermark(watermark),
        };
        p.touch(0, window(60), at(3, 10));
        p.touch(0, window(0), at(4, 20));
        p.touch(0, window(0), at(9, 50));
        p.touch(1, window(0), at(6, 30));
        p.frame(9, Some(Watermark(60)));
        assert_eq!(p.replay_point(), at(3, 10));
        p.close(0, Watermark(120));
        assert_eq!(p.replay_point(), at(6, 30));
        p.close(1, Watermark(60));
        assert_eq!(p.replay_point(), at(10, 60));
    }
}
