//! A venue's trade ids of one symbol, which count up by one: what comes twice, what is missing, and what was
//! missing and came after all. Pure but for the moments that it is handed.

use std::collections::VecDeque;

use tokio::time::Instant;

use super::gap::SKIPPED;

/// Holes that are remembered; an older one is told, and what comes for it later counts as a duplicate.
const HOLES_MAX: usize = 64;
/// A jump by more than this is no gap but another numbering.
const JUMP_MAX: u64 = 1_000_000;
/// Ids before the first one that may still come, if the venue mixes up the order at the very beginning.
const BEFORE_FIRST: u64 = 64;

/// The ids of one symbol.
#[derive(Debug, Default)]
pub(super) struct Ids {
    next: Option<u64>,
    latest_ms: i64,
    holes: VecDeque<Hole>,
    /// Holes that left `holes` before they were told.
    leaving: Vec<Hole>,
}

/// Ids that have not come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hole {
    pub(super) first: u64,
    pub(super) last: u64,
    /// Event times of the ticks around it, milliseconds since 1970 UTC.
    pub(super) from_ms: i64,
    pub(super) to_ms: i64,
    pub(super) reason: &'static str,
    seen: Instant,
    told: Told,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    No,
    Yes,
    /// Not a hole: what was before the first id.
    Never,
}

/// What an id is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// Not seen before.
    New,
    /// Seen before.
    Duplicate,
    /// Not seen before, and told as missing, for this reason.
    Recovered(&'static str),
    /// Not seen before, and of another numbering.
    Renumbered,
}

impl Ids {
    /// Takes in a trade. `reason` is why ids before it may be missing.
    pub(super) fn take(
        &mut self,
        id: u64,
        event_ms: i64,
        reason: &'static str,
        now: Instant,
    ) -> Taken {
        let Some(next) = self.next else {
            self.begin(id, event_ms, now);
            return Taken::New;
        };
        if id >= next {
            if id - next > JUMP_MAX {
                self.begin(id, event_ms, now);
                return Taken::Renumbered;
            }
            self.skip_to(id, event_ms, reason, now);
            self.next = Some(id.saturating_add(1));
            self.latest_ms = self.latest_ms.max(event_ms);
            return Taken::New;
        }
        match self
            .holes
            .iter()
            .position(|hole| (hole.first..=hole.last).contains(&id))
        {
            Some(at) => self.fill(at, id, now),
            // Ids go up with time: a low one that is younger than the highest is of a new numbering.
            None if event_ms > self.latest_ms => {
                self.begin(id, event_ms, now);
                Taken::Renumbered
            }
            None => Taken::Duplicate,
        }
    }

    /// The venue says that `id` was the latest trade at `event_ms`.
    pub(super) fn mentioned(&mut self, id: u64, event_ms: i64, reason: &'static str, now: Instant) {
        match self.next {
            Some(next) if id >= next && id - next <= JUMP_MAX => {
                self.skip_to(id.saturating_add(1), event_ms, reason, now);
                self.next = Some(id.saturating_add(1));
            }
            _ => {}
        }
    }

    /// Whether any id has come.
    pub(super) fn has_begun(&self) -> bool {
        self.next.is_some()
    }

    /// Holes to be told now: those seen until `until`. Each is told once.
    pub(super) fn due(&mut self, until: Instant) -> Vec<Hole> {
        let mut due = std::mem::take(&mut self.leaving);
        for hole in &mut self.holes {
            if hole.told == Told::No && hole.seen <= until {
                hole.told = Told::Yes;
                due.push(hole.clone());
            }
        }
        due
    }

    fn begin(&mut self, id: u64, event_ms: i64, now: Instant) {
        let untold = self.holes.drain(..).filter(|hole| hole.told == Told::No);
        self.leaving.extend(untold);
        if id > 0 {
            self.holes.push_back(Hole {
                first: id.saturating_sub(BEFORE_FIRST),
                last: id - 1,
                from_ms: event_ms,
                to_ms: event_ms,
                reason: "",
                seen: now,
                told: Told::Never,
            });
        }
        self.next = Some(id.saturating_add(1));
        self.latest_ms = event_ms;
    }

    /// Notes the hole before `id`, if there is one.
    fn skip_to(&mut self, id: u64, event_ms: i64, reason: &'static str, now: Instant) {
        let Some(next) = self.next.filter(|next| *next < id) else {
            return;
        };
        if self.holes.len() >= HOLES_MAX {
            let oldest = self.holes.pop_front();
            self.leaving
                .extend(oldest.filter(|hole| hole.told == Told::No));
        }
        self.holes.push_back(Hole {
            first: next,
            last: id - 1,
            from_ms: self.latest_ms,
            to_ms: event_ms,
            reason,
            seen: now,
            told: Told::No,
        });
    }

    /// Takes one id out of a hole.
    fn fill(&mut self, at: usize, id: u64, now: Instant) -> Taken {
        let hole = self.holes[at].clone();
        let before = (hole.first < id).then(|| Hole {
            last: id - 1,
            ..hole.clone()
        });
        let mut after = (hole.last > id).then(|| Hole {
            first: id + 1,
            ..hole.clone()
        });
        if let Some(after) = after.as_mut().filter(|after| after.told == Told::Never) {
            // What lies between two that came has been made.
            (after.told, after.seen, after.reason) = (Told::No, now, SKIPPED);
        }
        self.holes.remove(at);
        for (offset, rest) in before.into_iter().chain(after).enumerate() {
            self.holes.insert(at + offset, rest);
        }
        match hole.told {
            Told::Yes => Taken::Recovered(hole.reason),
            Told::No | Told::Never => Taken::New,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn ids() -> (Ids, Instant) {
        (Ids::default(), Instant::now())
    }

    fn holes(due: Vec<Hole>) -> Vec<(u64, u64, &'static str)> {
        due.into_iter()
            .map(|hole| (hole.first, hole.last, hole.reason))
            .collect()
    }

    #[test]
    fn a_hole_is_told_once_and_what_comes_for_it_is_no_duplicate() {
        let (mut ids, now) = ids();
        let mut take = |id: u64| ids.take(id, id as i64, "closed", now);
        assert_eq!([take(10), take(11), take(15), take(13)], [Taken::New; 4]);
        assert_eq!(take(13), Taken::Duplicate);
        assert_eq!(
            holes(ids.due(now)),
            [(12, 12, "closed"), (14, 14, "closed")]
        );
        assert_eq!(holes(ids.due(now)), []);
        assert_eq!(ids.take(14, 14, "", now), Taken::Recovered("closed"));
        assert_eq!(ids.take(14, 14, "", now), Taken::Duplicate);
        assert_eq!(ids.take(16, 16, "", now), Taken::New);
        assert_eq!(holes(ids.due(now)), []);
    }

    #[test]
    fn a_mixed_up_beginning_loses_nothing() {
        let (mut ids, now) = ids();
        assert_eq!(ids.take(5, 5, "", now), Taken::New);
        assert_eq!(ids.take(3, 3, "", now), Taken::New);
        assert_eq!(ids.take(3, 3, "", now), Taken::Duplicate);
        assert_eq!(holes(ids.due(now)), [(4, 4, SKIPPED)]);
    }

    #[test]
    fn what_the_venue_mentions_and_never_sent_is_a_hole() {
        let (mut ids, now) = ids();
        ids.mentioned(4, 4, "skipped", now);
        assert_eq!(ids.take(5, 5, "", now), Taken::New);
        ids.mentioned(5, 6, "skipped", now);
        assert_eq!(holes(ids.due(now)), []);
        ids.mentioned(7, 8, "skipped", now);
        assert_eq!(ids.take(6, 6, "", now), Taken::New);
        assert_eq!(holes(ids.due(now)), [(7, 7, "skipped")]);
    }

    #[test]
    fn another_numbering_does_not_turn_everything_into_duplicates() {
        let (mut ids, now) = ids();
        assert_eq!(ids.take(1_000_000, 10, "", now), Taken::New);
        assert_eq!(ids.take(1_000_002, 12, "skipped", now), Taken::New);
        assert_eq!(ids.take(1, 13, "", now), Taken::Renumbered);
        assert_eq!(ids.take(2, 14, "", now), Taken::New);
        assert_eq!(ids.take(u64::MAX, 15, "", now), Taken::Renumbered);
        assert_eq!(ids.take(3, 16, "", now), Taken::Renumbered);
        assert_eq!(holes(ids.due(now)), [(1_000_001, 1_000_001, "skipped")]);
    }

    #[test]
    fn holes_that_are_forgotten_are_told() {
        let (mut ids, now) = ids();
        for id in 0..200 {
            ids.take(1_000 + id * 2, id as i64, "skipped", now);
        }
        assert_eq!(ids.due(now).len(), 199);
        assert!(ids.holes.len() <= HOLES_MAX);
    }

    proptest::proptest! {
        /// Whatever is left out, repeated and mixed up within a window: what comes first is new, what comes
        /// again is a duplicate, and what never comes is told.
        #[test]
        fn every_id_is_new_once_or_told(
            moves in proptest::collection::vec((0_u64..12, 0..4_u8), 1..200),
        ) {
            let (mut ids, now) = (Ids::default(), Instant::now());
            let (mut base, mut seen) = (100_u64, BTreeSet::new());
            for (step, kind) in moves {
                let id = match kind { 0 => base.saturating_sub(step).max(100), _ => { base += step % 3; base } };
                let taken = ids.take(id, id as i64, "skipped", now);
                let expected = if seen.insert(id) { Taken::New } else { Taken::Duplicate };
                proptest::prop_assert_eq!(taken, expected);
            }
            let told: u64 = ids.due(now).iter().map(|hole| hole.last - hole.first + 1).sum();
            let (first, last) = (seen.first().copied().unwrap(), seen.last().copied().unwrap());
            proptest::prop_assert_eq!(told, (first..=last).filter(|id| !seen.contains(id)).count() as u64);
        }
    }
}
