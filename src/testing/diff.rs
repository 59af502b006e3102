//! What differs between two tables, or two texts, for a person: rows that are missing, that are too many,
//! and what changed in those that are the same row otherwise.

use std::cmp::Ordering;

use super::rows::{Rows, cells};

/// Lines of a difference that are shown.
const LINES_MAX: usize = 20;
/// Rows among which the other half of a changed row is looked for: both sides are sorted, so it is near.
const NEAR_ROWS: usize = 64;
/// Floats that are summed up in another order differ by less than this, relatively.
const SUM_TOLERANCE: f64 = 1e-9;

/// When two cells are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cells {
    /// When they are written alike.
    Exact,
    /// Also when they are numbers that differ as sums of floats do that were added up in another order.
    UpToSums,
}

impl Cells {
    fn same(self, one: &str, other: &str) -> bool {
        if one == other {
            return true;
        }
        let (Ok(one), Ok(other)) = (one.parse::<f64>(), other.parse::<f64>()) else {
            return false;
        };
        self == Cells::UpToSums && (one - other).abs() <= SUM_TOLERANCE * one.abs().max(other.abs())
    }
}

/// What differs; `None`: nothing. `-` is what `expected` has, `+` what was `found`.
pub fn rows(expected: &Rows, found: &Rows, same: Cells) -> Option<String> {
    if expected.header != found.header {
        let columns = [("-", &expected.header), ("+", &found.header)];
        let columns = columns.map(|(sign, header)| format!("{sign} {header}"));
        return Some(format!("other columns\n{}", columns.join("\n")));
    }
    let (missing, extra) = apart(&expected.lines, &found.lines);
    let entries = entries(missing, extra, same);
    if entries.is_empty() {
        return None;
    }
    let count = |with: fn(&Entry) -> bool| entries.iter().filter(|entry| with(entry)).count();
    let counts = [
        (
            count(|entry| matches!(entry, Entry::Changed(..))),
            "changed",
        ),
        (count(|entry| matches!(entry, Entry::Missing(_))), "missing"),
        (count(|entry| matches!(entry, Entry::Extra(_))), "too many"),
    ];
    let counts = counts.into_iter().filter(|(count, _)| *count > 0);
    let counts = counts.map(|(count, what)| match count {
        1 => format!("1 row {what}"),
        count => format!("{count} rows {what}"),
    });
    let names = cells(&expected.header);
    let lines = entries.iter().flat_map(|entry| entry.lines(&names, same));
    Some(format!(
        "{}\n  {}\n{}",
        counts.collect::<Vec<_>>().join(", "),
        expected.header,
        shortened(lines.collect())
    ))
}

/// What differs between two texts, line by line; `None`: nothing.
pub fn texts(expected: &str, found: &str) -> Option<String> {
    if expected == found {
        return None;
    }
    let (was, is): (Vec<&str>, Vec<&str>) = (expected.lines().collect(), found.lines().collect());
    let same = was
        .iter()
        .zip(&is)
        .take_while(|(was, is)| was == is)
        .count();
    let (was, is) = (&was[same..], &is[same..]);
    let tail = was.iter().rev().zip(is.iter().rev());
    let tail = tail.take_while(|(was, is)| was == is).count();
    let signed = |sign: &'static str, lines: &[&str]| {
        let lines = &lines[..lines.len() - tail];
        let lines = lines.iter().map(|line| format!("{sign} {line}"));
        lines.collect::<Vec<_>>()
    };
    Some(shortened([signed("-", was), signed("+", is)].concat()))
}

/// What only one of two sorted lists has.
fn apart<'a>(one: &'a [String], other: &'a [String]) -> (Vec<&'a str>, Vec<&'a str>) {
    let (mut only_one, mut only_other) = (Vec::new(), Vec::new());
    let (mut at, mut other_at) = (0, 0);
    loop {
        let order = match (one.get(at), other.get(other_at)) {
            (None, None) => return (only_one, only_other),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(row), Some(other_row)) => row.cmp(other_row),
        };
        if order == Ordering::Less {
            only_one.push(one[at].as_str());
        }
        if order == Ordering::Greater {
            only_other.push(other[other_at].as_str());
        }
        at += usize::from(order != Ordering::Greater);
        other_at += usize::from(order != Ordering::Less);
    }
}

/// One row's difference.
enum Entry<'a> {
    Missing(&'a str),
    Extra(&'a str),
    Changed(&'a str, &'a str),
}

fn entries<'a>(missing: Vec<&'a str>, mut extra: Vec<&'a str>, same: Cells) -> Vec<Entry<'a>> {
    let mut entries = Vec::new();
    for row in missing {
        let was = cells(row);
        let near = extra.iter().take(NEAR_ROWS).enumerate();
        let alike = near.map(|(at, other)| (alike(&was, &cells(other), same), at));
        // The first of those that are most alike; of two cells one must be the same.
        let best = alike.max_by_key(|&(alike, at)| (alike, std::cmp::Reverse(at)));
        match best {
            Some((alike, at)) if alike > 0 && 2 * alike >= was.len() => {
                let other = extra.remove(at);
                if alike < was.len() {
                    entries.push(Entry::Changed(row, other));
                }
            }
            _ => entries.push(Entry::Missing(row)),
        }
    }
    entries.extend(extra.into_iter().map(Entry::Extra));
    entries.sort_by_key(|entry| match entry {
        Entry::Missing(row) | Entry::Extra(row) | Entry::Changed(row, _) => *row,
    });
    entries
}

/// How many cells are the same.
fn alike(one: &[&str], other: &[&str], same: Cells) -> usize {
    let pairs = one.iter().zip(other);
    pairs.filter(|(one, other)| same.same(one, other)).count()
}

impl Entry<'_> {
    fn lines(&self, names: &[&str], same: Cells) -> Vec<String> {
        match self {
            Entry::Missing(row) => vec![format!("- {row}")],
            Entry::Extra(row) => vec![format!("+ {row}")],
            Entry::Changed(was, is) => {
                let changes = names.iter().zip(cells(was).into_iter().zip(cells(is)));
                let changes = changes.filter(|(_, (was, is))| !same.same(was, is));
                let changes = changes.map(|(name, (was, is))| format!("{name} {was} → {is}"));
                let changes: Vec<String> = changes.collect();
                let changes = format!("    {}", changes.join(", "));
                vec![format!("- {was}"), format!("+ {is}"), changes]
            }
        }
    }
}

fn shortened(mut lines: Vec<String>) -> String {
    let more = lines.len().saturating_sub(LINES_MAX);
    if more > 0 {
        lines.truncate(LINES_MAX);
        lines.push(format!("… and {more} lines more"));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn check(expected: &str, found: &str, same: Cells, difference: Expect) {
        let (expected, found) = (Rows::from_csv(expected), Rows::from_csv(found));
        let shown = rows(&expected, &found, same).unwrap_or_default();
        difference.assert_eq(&shown);
    }

    #[test]
    fn rows_that_are_missing_too_many_and_changed() {
        check(
            "symbol,start,high,low\nA,10:00,2.0,1.0\nB,10:00,5.0,4.0\nB,10:01,5.0,4.0\n",
            "symbol,start,high,low\nC,10:07,7.0,6.0\nB,10:00,5.5,4.5\nB,10:01,5.0,4.0\n",
            Cells::Exact,
            expect![[r#"
                1 row changed, 1 row missing, 1 row too many
                  symbol,start,high,low
                - A,10:00,2.0,1.0
                - B,10:00,5.0,4.0
                + B,10:00,5.5,4.5
                    high 5.0 → 5.5, low 4.0 → 4.5
                + C,10:07,7.0,6.0"#]],
        );
        check(
            "a\n1\n1\n",
            "a\n1\n",
            Cells::Exact,
            expect![[r#"
                1 row missing
                  a
                - 1"#]],
        );
        check(
            "a,b\n1,2\n",
            "a,c\n1,2\n",
            Cells::Exact,
            expect![[r#"
            other columns
            - a,b
            + a,c"#]],
        );
        check(
            "a,b\n2,x\n1,x\n",
            "a,b\n1,x\n2,x\n",
            Cells::Exact,
            expect![""],
        );
    }

    #[test]
    fn a_sum_may_differ_in_its_last_bits_only_where_it_is_allowed() {
        let (one, other) = ("t,v\nA,0.3\n", "t,v\nA,0.30000000000000004\n");
        check(one, other, Cells::UpToSums, expect![""]);
        check(
            one,
            other,
            Cells::Exact,
            expect![[r#"
                1 row changed
                  t,v
                - A,0.3
                + A,0.30000000000000004
                    v 0.3 → 0.30000000000000004"#]],
        );
        check(
            one,
            "t,v\nA,0.3001\n",
            Cells::UpToSums,
            expect![[r#"
                1 row changed
                  t,v
                - A,0.3
                + A,0.3001
                    v 0.3 → 0.3001"#]],
        );
    }

    #[test]
    fn a_long_difference_is_cut() {
        let many: String = (0..100).map(|row| format!("{row}\n")).collect();
        let (expected, found) = (Rows::from_csv(&format!("a\n{many}")), Rows::from_csv("a\n"));
        let shown = rows(&expected, &found, Cells::Exact).unwrap();
        assert_eq!(shown.lines().count(), 2 + LINES_MAX + 1);
        assert!(shown.ends_with("… and 80 lines more"), "{shown}");
    }

    #[test]
    fn texts_show_the_lines_between_what_is_the_same() {
        assert_eq!(
            texts("a\nb\nc\n", "a\nx\ny\nc\n").as_deref(),
            Some("- b\n+ x\n+ y")
        );
        assert_eq!(texts("a\n", "a\n"), None);
    }
}
