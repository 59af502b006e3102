//! Tumbling windows: every event time is in exactly one.

use crate::model::Window;

/// Windows of one width, aligned to 1970-01-01T00:00:00Z (Arroyo's rule).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TumbleWindows {
    width: i64,
}

impl TumbleWindows {
    /// Windows of `width` nanoseconds; `None` unless the width is positive.
    pub fn new(width: i64) -> Option<TumbleWindows> {
        (width > 0).then_some(TumbleWindows { width })
    }

    /// Width in nanoseconds, positive.
    pub fn width(self) -> i64 {
        self.width
    }

    /// The window that `event_time` (nanoseconds since 1970 UTC) is in; `None` where its bounds
    /// cannot be expressed in 64 bits.
    #[inline]
    pub fn assign(self, event_time: i64) -> Option<Window> {
        let start = event_time.div_euclid(self.width).checked_mul(self.width)?;
        let end = start.checked_add(self.width)?;
        Some(Window { start, end })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_half_open_and_aligned_to_1970() {
        let minute = TumbleWindows::new(60).expect("positive");
        let window = |start, end| Some(Window { start, end });
        assert_eq!(minute.assign(0), window(0, 60));
        assert_eq!(minute.assign(59), window(0, 60));
        assert_eq!(minute.assign(60), window(60, 120));
        assert_eq!(minute.assign(-1), window(-60, 0));
        assert_eq!(minute.assign(i64::MAX), None);
        assert_eq!(minute.assign(i64::MIN), None);
        assert_eq!(TumbleWindows::new(0), None);
    }
}
