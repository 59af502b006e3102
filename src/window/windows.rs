//! Which windows an event time is in: `tumble(width)` and `hop(slide, width)`.

use crate::model::Window;

/// Windows of one width, one beginning every `slide`, aligned to 1970-01-01T00:00:00Z (Arroyo's rule).
///
/// Invariant: the width is a multiple of the slide, so that every window is made of whole panes, the
/// intervals of one slide, and every event time is in as many windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Windows {
    width: i64,
    slide: i64,
}

impl Windows {
    /// `tumble(width)`: every event time is in exactly one. `None` unless the width, nanoseconds, is positive.
    pub fn tumble(width: i64) -> Option<Windows> {
        Windows::hop(width, width)
    }

    /// `hop(slide, width)`: windows that overlap. `None` unless both are positive and the width is a
    /// multiple of the slide.
    pub fn hop(slide: i64, width: i64) -> Option<Windows> {
        let whole = slide > 0 && width > 0 && width % slide == 0;
        whole.then_some(Windows { width, slide })
    }

    /// Width in nanoseconds, positive.
    pub fn width(self) -> i64 {
        self.width
    }

    /// Time from one window's start to the next one's, nanoseconds; the width of those that do not overlap.
    pub fn slide(self) -> i64 {
        self.slide
    }

    /// How many windows an event time is in.
    pub fn overlap(self) -> i64 {
        self.width / self.slide
    }

    /// The last window that `event_time` (nanoseconds since 1970 UTC) is in, whose first pane is the
    /// event time's own; `None` where the bounds of its windows cannot be expressed in 64 bits.
    #[inline]
    pub fn last(self, event_time: i64) -> Option<Window> {
        let start = event_time.div_euclid(self.slide).checked_mul(self.slide)?;
        start.checked_sub(self.width - self.slide)?;
        let end = start.checked_add(self.width)?;
        Some(Window { start, end })
    }

    /// The windows that share the first pane of `last`, which is the last of them; in order.
    pub fn over(self, last: Window) -> impl Iterator<Item = Window> {
        (0..self.overlap()).rev().map(move |back| Window {
            start: last.start - back * self.slide,
            end: last.end - back * self.slide,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(start: i64, end: i64) -> Window {
        Window { start, end }
    }

    #[test]
    fn windows_are_half_open_and_aligned_to_1970() {
        let minute = Windows::tumble(60).expect("positive");
        assert_eq!(minute.last(0), Some(window(0, 60)));
        assert_eq!(minute.last(59), Some(window(0, 60)));
        assert_eq!(minute.last(60), Some(window(60, 120)));
        assert_eq!(minute.last(-1), Some(window(-60, 0)));
        assert_eq!(minute.last(i64::MAX), None);
        assert_eq!(minute.last(i64::MIN), None);
        assert_eq!(Windows::tumble(0), None);
        assert!(minute.over(window(60, 120)).eq([window(60, 120)]));
    }

    #[test]
    fn a_time_is_in_as_many_hops_as_slides_make_a_width() {
        let hop = Windows::hop(60, 180).expect("a multiple");
        assert_eq!(hop.overlap(), 3);
        let last = hop.last(125).expect("in range");
        assert_eq!(last, window(120, 300));
        let all = [window(0, 180), window(60, 240), window(120, 300)];
        assert!(hop.over(last).eq(all));
        assert_eq!(hop.last(i64::MIN + 100), None);
        assert_eq!(Windows::hop(50, 180), None);
        assert_eq!(Windows::hop(60, 30), None);
        assert_eq!(Windows::hop(-60, 180), None);
    }
}
