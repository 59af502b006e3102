//! JSON's tokens, straight from the bytes of a frame, eight at a time where that is possible.
//!
//! Every function takes what it is named after if it stands there in full, and moves behind it; `None`: it
//! does not, and nothing has moved. Nothing is taken that JSON does not allow. What is merely rare may be
//! refused: the careful way decides then.

/// Powers of ten that a double holds exactly.
const EXACT_POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
];
/// Up to here every integer is a double.
const EXACT_INTEGERS: u64 = 1 << 53;
/// Digits that are below 2^64 whatever they are.
const SAFE_DIGITS: usize = 19;
/// Digits that are below 2^63 whatever they are.
const SAFE_SIGNED_DIGITS: usize = 18;
/// Arrays and objects within each other that are stepped over; deeper ones are not plain.
const DEEPEST: usize = 64;

/// Bytes that are looked at together.
pub(super) const WORD: usize = 8;
/// The same byte, eight times.
const fn eight(byte: u8) -> u64 {
    u64::from_le_bytes([byte; WORD])
}

/// A place in a frame, which is UTF-8.
pub(super) struct Scan<'t> {
    rest: &'t [u8],
}

impl<'t> Scan<'t> {
    pub(super) fn new(frame: &'t [u8]) -> Scan<'t> {
        Scan { rest: frame }
    }

    /// The next byte.
    #[inline(always)]
    pub(super) fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// What is behind it.
    #[inline(always)]
    pub(super) fn rest(&self) -> &'t [u8] {
        self.rest
    }

    /// Steps over bytes that were looked at.
    #[inline(always)]
    pub(super) fn step(&mut self, bytes: usize) {
        self.rest = &self.rest[bytes..];
    }

    /// One byte.
    #[inline(always)]
    pub(super) fn take(&mut self, byte: u8) -> Option<()> {
        match self.rest.split_first() {
            Some((&first, rest)) if first == byte => {
                self.rest = rest;
                Some(())
            }
            _ => None,
        }
    }

    /// White space, if any.
    #[inline(always)]
    pub(super) fn space(&mut self) {
        if self.peek().is_some_and(|byte| byte <= b' ') {
            self.spaces();
        }
    }

    /// White space behind the next byte, but for the last of it.
    pub(super) fn gap(&mut self) {
        while let [_, b' ' | b'\n' | b'\t' | b'\r', ..] = self.rest {
            self.step(1);
        }
    }

    #[cold]
    fn spaces(&mut self) {
        while let Some((b' ' | b'\n' | b'\t' | b'\r', rest)) = self.rest.split_first() {
            self.rest = rest;
        }
    }

    /// Whether nothing is left.
    pub(super) fn is_done(&self) -> bool {
        self.rest.is_empty()
    }

    /// A string without escapes: what stands between its quotes.
    #[inline(always)]
    pub(super) fn string(&mut self) -> Option<&'t [u8]> {
        let (b'"', inside) = self.rest.split_first()? else {
            return None;
        };
        let length = special(inside);
        let (b'"', rest) = inside.get(length..)?.split_first()? else {
            return None;
        };
        self.rest = rest;
        Some(&inside[..length])
    }

    /// A number as the double that is next to it, if that can be computed exactly from its digits.
    #[inline(always)]
    pub(super) fn double(&mut self) -> Option<f64> {
        let start = self.rest;
        let value = self.exact_double();
        if value.is_none() {
            self.rest = start;
        }
        value
    }

    #[inline(always)]
    fn exact_double(&mut self) -> Option<f64> {
        let is_negative = self.take(b'-').is_some();
        let (mut digits, mut count) = self.whole()?;
        let mut fraction = 0;
        if self.take(b'.').is_some() {
            (digits, fraction) = self.digits(digits);
            count += fraction;
            if fraction == 0 {
                return None;
            }
        }
        // Digits up to 2^53 over a power of ten that a double holds: one division, rounded once.
        let is_exact = count <= SAFE_DIGITS && digits <= EXACT_INTEGERS;
        if !is_exact || matches!(self.peek(), Some(b'e' | b'E')) {
            return None;
        }
        let value = digits as f64 / EXACT_POWERS.get(fraction)?;
        Some(if is_negative { -value } else { value })
    }

    /// A number without fraction or exponent that 64 bits hold.
    #[inline(always)]
    pub(super) fn integer(&mut self) -> Option<i64> {
        let start = self.rest;
        let is_negative = self.take(b'-').is_some();
        let whole = self.whole();
        let whole = whole.filter(|&(_, count)| count <= SAFE_SIGNED_DIGITS);
        match whole.filter(|_| !matches!(self.peek(), Some(b'.' | b'e' | b'E'))) {
            Some((digits, _)) if is_negative => Some(-(digits as i64)),
            Some((digits, _)) => Some(digits as i64),
            None => {
                self.rest = start;
                None
            }
        }
    }

    /// A value of any kind: its text.
    pub(super) fn value(&mut self) -> Option<&'t str> {
        let start = self.rest;
        match self.over(DEEPEST) {
            Some(()) => std::str::from_utf8(&start[..start.len() - self.rest.len()]).ok(),
            None => {
                self.rest = start;
                None
            }
        }
    }

    /// Steps over a value of any kind.
    #[inline(always)]
    pub(super) fn skip(&mut self) -> Option<()> {
        match self.rest.strip_prefix(b"null") {
            Some(rest) => {
                self.rest = rest;
                Some(())
            }
            None => self.over(DEEPEST),
        }
    }

    fn over(&mut self, deepest: usize) -> Option<()> {
        match self.peek()? {
            b'"' => self.over_string(),
            b'n' => self.word("null"),
            b't' => self.word("true"),
            b'f' => self.word("false"),
            b'{' => self.over_members(b'}', deepest),
            b'[' => self.over_members(b']', deepest),
            _ => self.over_number(),
        }
    }

    fn over_members(&mut self, end: u8, deepest: usize) -> Option<()> {
        let deeper = deepest.checked_sub(1)?;
        self.step(1);
        self.space();
        if self.take(end).is_some() {
            return Some(());
        }
        loop {
            if end == b'}' {
                self.over_string()?;
                self.space();
                self.take(b':')?;
                self.space();
            }
            self.over(deeper)?;
            self.space();
            if self.take(end).is_some() {
                return Some(());
            }
            self.take(b',')?;
            self.space();
        }
    }

    /// A string with whatever escapes: half of a surrogate pair is JSON too.
    fn over_string(&mut self) -> Option<()> {
        self.take(b'"')?;
        loop {
            self.step(special(self.rest));
            if self.take(b'"').is_some() {
                return Some(());
            }
            self.rest = match self.rest {
                [
                    b'\\',
                    b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't',
                    rest @ ..,
                ] => rest,
                [b'\\', b'u', a, b, c, d, rest @ ..]
                    if [a, b, c, d].iter().all(|digit| digit.is_ascii_hexdigit()) =>
                {
                    rest
                }
                _ => return None,
            };
        }
    }

    fn over_number(&mut self) -> Option<()> {
        let _ = self.take(b'-');
        self.whole()?;
        if self.take(b'.').is_some() && self.digits(0).1 == 0 {
            return None;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.step(1);
            if let Some(b'+' | b'-') = self.peek() {
                self.step(1);
            }
            if self.digits(0).1 == 0 {
                return None;
            }
        }
        Some(())
    }

    fn word(&mut self, word: &str) -> Option<()> {
        self.rest = self.rest.strip_prefix(word.as_bytes())?;
        Some(())
    }

    /// The digits before a point, and how many they are: at least one, and no zero before others.
    #[inline(always)]
    fn whole(&mut self) -> Option<(u64, usize)> {
        let starts_with_zero = self.peek() == Some(b'0');
        let (digits, count) = self.digits(0);
        (count == 1 || (count > 1 && !starts_with_zero)).then_some((digits, count))
    }

    /// Digits behind those that `before` stands for, and how many they are. Beyond [`SAFE_DIGITS`] in all the
    /// number is meaningless, the count is not.
    #[inline(always)]
    fn digits(&mut self, before: u64) -> (u64, usize) {
        let (mut number, mut count) = self.some_digits(before);
        if count == WORD {
            loop {
                let (longer, more) = self.some_digits(number);
                (number, count) = (longer, count + more);
                if more < WORD {
                    break;
                }
            }
        }
        (number, count)
    }

    /// As [`Scan::digits`]; as many as a word has means that there may be more.
    #[inline(always)]
    fn some_digits(&mut self, before: u64) -> (u64, usize) {
        match first_word(self.rest) {
            Some(word) => {
                let count = leading_digits(word);
                self.step(count);
                let number = before.wrapping_mul(TENS[count]);
                (number.wrapping_add(number_of(word, count)), count)
            }
            None => self.last_digits(before),
        }
    }

    #[cold]
    fn last_digits(&mut self, before: u64) -> (u64, usize) {
        let start = self.rest.len();
        let mut number = before;
        while let Some((byte @ b'0'..=b'9', rest)) = self.rest.split_first() {
            number = number.wrapping_mul(10).wrapping_add(u64::from(byte - b'0'));
            self.rest = rest;
        }
        (number, start - self.rest.len())
    }
}

/// How many bytes come before the first quote, backslash or control character, or before the end.
#[inline(always)]
fn special(bytes: &[u8]) -> usize {
    let mut rest = bytes;
    while let Some(word) = first_word(rest) {
        let found = zeros(word ^ eight(b'"'))
            | zeros(word ^ eight(b'\\'))
            | (word.wrapping_sub(eight(b' ')) & !word & eight(0x80));
        if found != 0 {
            return bytes.len() - rest.len() + found.trailing_zeros() as usize / WORD;
        }
        rest = &rest[WORD..];
    }
    let is_special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..b' ');
    let before = rest.iter().position(is_special).unwrap_or(rest.len());
    bytes.len() - rest.len() + before
}

/// 10^n for every number of digits of a word.
const TENS: [u64; WORD + 1] = [
    1,
    10,
    100,
    1_000,
    10_000,
    100_000,
    1_000_000,
    10_000_000,
    100_000_000,
];

/// Eight bytes, the first one the least.
#[inline(always)]
pub(super) fn first_word(bytes: &[u8]) -> Option<u64> {
    bytes.first_chunk().map(|head| u64::from_le_bytes(*head))
}

/// The high bit of every byte that is zero. One above the lowest of them may be set without being zero.
#[inline(always)]
fn zeros(word: u64) -> u64 {
    word.wrapping_sub(eight(1)) & !word & eight(0x80)
}

/// How many of a word's first bytes are digits.
#[inline(always)]
fn leading_digits(word: u64) -> usize {
    // The high bit is set in what is above '9' or below '0'. Carries go to bytes behind the first of them only.
    let other = (word.wrapping_add(eight(0x7f - b'9')) | word.wrapping_sub(eight(b'0')) | word)
        & eight(0x80);
    other.trailing_zeros() as usize / WORD
}

/// The number that a word's first `count` bytes are the digits of.
#[inline(always)]
fn number_of(word: u64, count: usize) -> u64 {
    // Moved to the end, with zeros before: eight digits, whose neighbours are added up in pairs, thrice. In two
    // steps, since a word cannot be moved by all of its bits.
    let digits = (word & eight(0x0f)) << (4 * (WORD - count)) << (4 * (WORD - count));
    let pairs = (digits.wrapping_mul(10) + (digits >> 8)) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs.wrapping_mul(100) + (pairs >> 16)) & 0x0000_ffff_0000_ffff;
    (fours.wrapping_mul(10_000) + (fours >> 32)) & 0xffff_ffff
}
