//! The nearest of some names, for "did you mean".

/// The name in `known` that `wanted` was most likely meant to be; `None` when nothing is near.
///
/// Near is: at most a third of the longer name's letters (but one is always allowed) inserted, deleted,
/// changed or swapped with the neighbour, upper and lower case being the same. The first of equals wins.
pub fn nearest<'a>(wanted: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted: Vec<char> = wanted.to_lowercase().chars().collect();
    let mut best: Option<(usize, &'a str)> = None;
    for name in known {
        let candidate: Vec<char> = name.to_lowercase().chars().collect();
        let limit = (wanted.len().max(candidate.len()) / 3).max(1);
        if wanted.len().abs_diff(candidate.len()) > limit {
            continue;
        }
        let edits = edits_between(&wanted, &candidate);
        let nothing_shared = edits >= wanted.len().max(candidate.len());
        if edits <= limit && !nothing_shared && best.is_none_or(|(least, _)| edits < least) {
            best = Some((edits, name));
        }
    }
    best.map(|(_, name)| name)
}

/// Insertions, deletions, changes and swaps of neighbours that turn one into the other.
fn edits_between(a: &[char], b: &[char]) -> usize {
    let mut before_last: Vec<usize> = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let change = usize::from(a[i - 1] != b[j - 1]);
            row[j] = (last[j] + 1).min(row[j - 1] + 1).min(last[j - 1] + change);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before_last[j - 2] + 1);
            }
        }
        before_last = last;
        last = row;
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(wanted: &str, expected: Option<&str>) {
        let known = ["price", "volume", "symbol", "s", "trades", "topic"];
        assert_eq!(nearest(wanted, known), expected, "{wanted}");
    }

    #[test]
    fn near_names_are_found_and_far_ones_are_not() {
        check("prise", Some("price"));
        check("PRICE", Some("price"));
        check("pirce", Some("price"));
        check("volumes", Some("volume"));
        check("tpic", Some("topic"));
        check("x", None);
        check("", None);
        check("event_time", None);
    }
}
