//! One listener's candles: those of one symbol, put together to its resolution, closed or still open. Pure.

use std::collections::BTreeMap;

use crate::candles::{Candle, Resolution, merged};

/// Candles that are kept after they were closed, for rows of theirs that come later.
const KEPT: usize = 4;

/// A candle as it is shown to a listener.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::api) struct Shown {
    /// The candle.
    pub(in crate::api) candle: Candle,
    /// Whether it is published whole, and will not change.
    pub(in crate::api) closed: bool,
}

/// The candles from the frontier on.
pub(in crate::api) struct View {
    symbol: String,
    resolution: Option<Resolution>,
    frontier: Option<i64>,
    kept: BTreeMap<i64, Kept>,
    /// Longer candles that begin before this are not known whole.
    since: i64,
    open: Vec<Candle>,
}

struct Kept {
    end: i64,
    /// Published candles that it is made of, by their starts.
    parts: BTreeMap<i64, Candle>,
    is_closed: bool,
}

impl View {
    /// Nothing is known yet but the frontier; no resolution: as stored.
    pub(in crate::api) fn new(
        symbol: &str,
        resolution: Option<Resolution>,
        frontier: Option<i64>,
    ) -> View {
        let mut view = View {
            symbol: symbol.to_string(),
            resolution,
            frontier,
            kept: BTreeMap::new(),
            since: i64::MIN,
            open: Vec::new(),
        };
        view.since = view.begins().unwrap_or(i64::MIN);
        view
    }

    /// Since when stored candles are parts of one that is not closed.
    pub(in crate::api) fn begins(&self) -> Option<i64> {
        let frontier = self.frontier?;
        Some(
            self.resolution
                .map_or(frontier, |width| width.floor(frontier)),
        )
    }

    /// Candles that were published, of any symbol: those of this one that are closed by them.
    pub(in crate::api) fn published(
        &mut self,
        candles: &[Candle],
        frontier: Option<i64>,
    ) -> Vec<Shown> {
        self.frontier = self.frontier.max(frontier);
        for part in candles.iter().filter(|part| part.symbol == self.symbol) {
            let (start, end) = self.window_of(part);
            if end - start > part.end - part.start && start < self.since {
                continue;
            }
            let kept = self.kept.entry(start).or_insert_with(|| Kept {
                end,
                parts: BTreeMap::new(),
                is_closed: false,
            });
            kept.parts.insert(part.start, part.clone());
            kept.is_closed = false;
        }
        let mut shown = Vec::new();
        for (start, kept) in &mut self.kept {
            if !kept.is_closed && Some(kept.end) <= self.frontier {
                kept.is_closed = true;
                let candle = merged(kept.parts.values(), *start, kept.end);
                shown.extend(candle.map(|candle| Shown {
                    candle,
                    closed: true,
                }));
            }
        }
        while self.kept.len() > KEPT {
            self.kept.pop_first();
            self.since = self.kept.keys().next().map_or(self.since, |start| *start);
        }
        shown
    }

    /// What the job's open windows hold of this symbol now; nothing if it is not known.
    pub(in crate::api) fn opened(&mut self, candles: &[Candle]) {
        self.open = candles.to_vec();
    }

    /// The candles that are not closed, as they are now.
    pub(in crate::api) fn running(&self) -> Vec<Shown> {
        let mut windows: BTreeMap<i64, (i64, BTreeMap<i64, &Candle>)> = BTreeMap::new();
        for (start, kept) in self.kept.iter().filter(|(_, kept)| !kept.is_closed) {
            let parts = kept.parts.iter().map(|(start, part)| (*start, part));
            windows.insert(*start, (kept.end, parts.collect()));
        }
        for part in &self.open {
            let (start, end) = self.window_of(part);
            // Between two looks a window may be published and still open to the job.
            let is_published = Some(part.end) <= self.frontier
                || (self.kept.get(&start)).is_some_and(|kept| kept.parts.contains_key(&part.start));
            if !is_published {
                let window = windows
                    .entry(start)
                    .or_insert_with(|| (end, BTreeMap::new()));
                window.1.insert(part.start, part);
            }
        }
        (windows.into_iter())
            .filter_map(|(start, (end, parts))| merged(parts.into_values(), start, end))
            .map(|candle| Shown {
                candle,
                closed: false,
            })
            .collect()
    }

    /// The window, at this listener's resolution, that a stored candle is part of.
    fn window_of(&self, part: &Candle) -> (i64, i64) {
        match self.resolution {
            Some(width) if width.nanos() > part.end - part.start => {
                let start = width.floor(part.start);
                (start, start.saturating_add(width.nanos()))
            }
            _ => (part.start, part.end),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60_000_000_000;

    fn minute(at: i64, close: f64) -> Candle {
        Candle {
            symbol: "A".to_string(),
            start: at * MINUTE,
            end: (at + 1) * MINUTE,
            open: 1.0,
            high: close.max(1.0),
            low: close.min(1.0),
            close,
            volume: Some(1.0),
            trades: Some(1),
        }
    }

    fn of(symbol: &str, candle: Candle) -> Candle {
        Candle {
            symbol: symbol.to_string(),
            ..candle
        }
    }

    /// Start in minutes, close, number of ticks, whether closed.
    fn seen(shown: &[Shown]) -> Vec<(i64, f64, i64, bool)> {
        (shown.iter())
            .map(|Shown { candle, closed }| {
                (
                    candle.start / MINUTE,
                    candle.close,
                    candle.trades.unwrap(),
                    *closed,
                )
            })
            .collect()
    }

    #[test]
    fn a_minute_runs_settles_and_closes() {
        let mut view = View::new("A", None, Some(10 * MINUTE));
        view.opened(&[minute(10, 2.0)]);
        assert_eq!(seen(&view.running()), [(10, 2.0, 1, false)]);
        view.opened(&[minute(10, 2.5), minute(11, 3.0)]);
        assert_eq!(
            seen(&view.running()),
            [(10, 2.5, 1, false), (11, 3.0, 1, false)]
        );
        let published = view.published(
            &[minute(10, 2.75), of("B", minute(10, 9.0))],
            Some(11 * MINUTE),
        );
        assert_eq!(seen(&published), [(10, 2.75, 1, true)]);
        // The job is asked at another moment than the folder.
        assert_eq!(seen(&view.running()), [(11, 3.0, 1, false)]);
        view.opened(&[]);
        assert_eq!(seen(&view.running()), []);
        assert_eq!(seen(&view.published(&[], Some(11 * MINUTE))), []);
    }

    #[test]
    fn a_longer_candle_is_made_of_stored_and_open_minutes() {
        let five = Some("5m".parse().unwrap());
        let mut view = View::new("A", five, Some(12 * MINUTE));
        assert_eq!(view.begins(), Some(10 * MINUTE));
        assert_eq!(
            seen(&view.published(&[minute(10, 1.0), minute(11, 2.0)], None)),
            []
        );
        assert_eq!(seen(&view.running()), [(10, 2.0, 2, false)]);
        view.opened(&[minute(13, 3.0), minute(15, 4.0)]);
        assert_eq!(
            seen(&view.running()),
            [(10, 3.0, 3, false), (15, 4.0, 1, false)]
        );
        assert_eq!(
            seen(&view.published(&[minute(13, 3.5)], Some(14 * MINUTE))),
            []
        );
        // Nothing was traded in its last minute: another symbol's candle closes it.
        let other = of("B", minute(14, 1.0));
        assert_eq!(
            seen(&view.published(&[other], Some(15 * MINUTE))),
            [(10, 3.5, 3, true)]
        );
        assert_eq!(seen(&view.running()), [(15, 4.0, 1, false)]);
    }

    #[test]
    fn half_a_candle_is_never_shown() {
        let two = Some("2m".parse().unwrap());
        let mut view = View::new("A", two, Some(12 * MINUTE));
        // Its other half is not known here.
        assert_eq!(seen(&view.published(&[minute(9, 1.0)], None)), []);
        for at in 12..40 {
            view.published(&[minute(at, 1.0)], Some((at + 1) * MINUTE));
        }
        assert_eq!(seen(&view.published(&[minute(13, 1.0)], None)), []);
    }

    #[test]
    fn what_comes_after_the_close_is_shown_again_and_little_is_kept() {
        let mut view = View::new("A", None, None);
        for at in 0..20 {
            let shown = view.published(&[minute(at, 1.0)], Some((at + 1) * MINUTE));
            assert_eq!(shown.len(), 1);
        }
        assert_eq!(view.kept.len(), KEPT);
        let again = view.published(&[minute(18, 7.0)], None);
        assert_eq!(seen(&again), [(18, 7.0, 1, true)]);
    }
}
