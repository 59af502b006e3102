//! Over all partitions: up to where windows are closed.
//!
//! The closing watermark is the minimum over the partitions, so it is at most every partition's own
//! watermark: no tick that is not late can miss its window. A partition that has nothing to say
//! leaves the minimum; when none is left, the wall clock may close what is overdue.

use crate::model::Watermark;

/// Whether a partition may still say something about the past.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quiet {
    /// It has frames to read, or had some not long ago.
    Active,
    /// Caught up, and it has never had a frame.
    Silent,
    /// Caught up, nothing for the table's `idle_micros`.
    Idle,
    /// A bounded run has read it to its end.
    Finished,
}

/// One partition, as the closing watermark sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// The partition's own watermark.
    pub watermark: Watermark,
    /// Whether it takes part.
    pub quiet: Quiet,
}

/// The watermark up to which windows are closed.
///
/// `overdue` is what the wall clock has passed: now − the watermark's delay − `idle_micros`. Windows
/// that end before it are closed once no partition is active, and for the part of a partition that
/// a bounded run has read to its end.
pub fn closing_watermark(
    partitions: impl IntoIterator<Item = Standing>,
    overdue: Watermark,
) -> Watermark {
    let mut minimum: Option<Watermark> = None;
    for partition in partitions {
        let says = match partition.quiet {
            Quiet::Active => partition.watermark,
            Quiet::Finished => partition.watermark.max(overdue),
            Quiet::Silent | Quiet::Idle => continue,
        };
        minimum = Some(minimum.map_or(says, |m| m.min(says)));
    }
    minimum.unwrap_or(overdue)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn closing(partitions: &[(i64, Quiet)], overdue: i64) -> i64 {
        closing_watermark(
            partitions.iter().map(|&(watermark, quiet)| Standing {
                watermark: Watermark(watermark),
                quiet,
            }),
            Watermark(overdue),
        )
        .0
    }

    #[test]
    fn it_is_the_minimum_of_the_partitions_that_may_still_speak() {
        use Quiet::*;
        assert_eq!(closing(&[(100, Active), (70, Active)], 1000), 70);
        assert_eq!(closing(&[(100, Active), (70, Idle)], 1000), 100);
        assert_eq!(closing(&[(100, Active), (i64::MIN, Silent)], 1000), 100);
        assert_eq!(
            closing(&[(100, Active), (i64::MIN, Active)], 1000),
            i64::MIN
        );
    }

    #[test]
    fn only_when_nobody_is_active_the_wall_clock_closes() {
        use Quiet::*;
        assert_eq!(closing(&[(100, Idle), (70, Idle)], 90), 90);
        assert_eq!(closing(&[(100, Idle), (i64::MIN, Silent)], 1000), 1000);
        assert_eq!(closing(&[(100, Finished), (70, Finished)], 90), 90);
        assert_eq!(closing(&[(100, Finished), (70, Finished)], 50), 70);
        assert_eq!(closing(&[(100, Finished), (70, Active)], 1000), 70);
    }
}
