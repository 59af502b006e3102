//! The members that a column's objects were seen to have, in the order they came in: a feed writes its
//! objects alike, so the next member is nearly always known, and a comparison of bytes finds its column.

use super::column::Column;
use super::scan::{WORD, first_word};

/// Members that are remembered at the most; the others are looked up by name each time.
const REMEMBERED: usize = 64;

/// The members seen so far.
#[derive(Default)]
pub(super) struct Layout(Vec<Member>);

/// A member's name as it stands in the text, with a byte before it, its quotes and the colon right behind:
/// `,"name":`, where the comma may be a brace.
struct Member {
    /// The first bytes, as many as a word has, least first; the separator's are zero.
    word: u64,
    /// Which bits of a word are the name's.
    mask: u64,
    literal: Box<[u8]>,
    column: Option<usize>,
}

/// A member that was found.
pub(super) struct Found {
    /// Where it stands among those that are known.
    pub(super) place: usize,
    /// Bytes of separator, name and colon.
    pub(super) length: usize,
    /// Its column, if it has one.
    pub(super) column: Option<usize>,
}

impl Layout {
    /// The known member that `text` has after its first byte. `guess` is the place of the one that is expected.
    #[inline(always)]
    pub(super) fn find(&self, text: &[u8], guess: usize) -> Option<Found> {
        let place = match self.0.get(guess) {
            Some(member) if member.is_in(text) => guess,
            _ => self.0.iter().position(|member| member.is_in(text))?,
        };
        let member = &self.0[place];
        Some(Found {
            place,
            length: member.literal.len(),
            column: member.column,
        })
    }

    /// Remembers a name whose separator, quotes and colon stand without a gap, if there is room.
    pub(super) fn remember(&mut self, name: &str, column: Option<usize>) {
        if self.0.len() < REMEMBERED {
            self.0.push(Member::new(name, column));
        }
    }
}

impl Member {
    fn new(name: &str, column: Option<usize>) -> Member {
        let literal = format!(",\"{name}\":").into_bytes().into_boxed_slice();
        let mut head = [0; WORD];
        let mut mask = [0; WORD];
        for (at, &byte) in literal.iter().enumerate().take(WORD).skip(1) {
            (head[at], mask[at]) = (byte, u8::MAX);
        }
        Member {
            word: u64::from_le_bytes(head),
            mask: u64::from_le_bytes(mask),
            literal,
            column,
        }
    }

    #[inline(always)]
    fn is_in(&self, text: &[u8]) -> bool {
        match first_word(text) {
            Some(word) if self.literal.len() <= WORD => word & self.mask == self.word,
            _ => text
                .get(1..)
                .is_some_and(|name| name.starts_with(&self.literal[1..])),
        }
    }
}

/// The column of a name.
pub(super) fn column_of(columns: &[Column], name: &str) -> Option<usize> {
    columns
        .iter()
        .position(|column| column.field.name() == name)
}
