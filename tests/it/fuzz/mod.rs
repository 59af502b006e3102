//! Bytes that nobody meant, made of real ones by a seed that is printed: frames for the decoder, documents for the
//! checkpoint. `STOCKPULSE_FUZZ_SECONDS` says how long each is tried; `STOCKPULSE_TEST_SEED` runs one again.

mod documents;
mod frames;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{Duration, Instant};

use crate::support::seed::Seeded;

/// How long each is tried, unless told otherwise.
const SHORT: Duration = Duration::from_secs(2);
/// Changes to an input at the most.
const CHANGES_MAX: usize = 6;
/// Bytes that are cut out, doubled or taken from another input at the most.
const PIECE_BYTES_MAX: usize = 60;
/// What JSON's readers trip over.
const TOKENS: [&str; 26] = [
    "null",
    "true",
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "\"",
    "\\",
    "\\u0000",
    "\\ud800",
    "1e400",
    "-0",
    "-",
    "1.",
    "0.1e",
    "18446744073709551616",
    "9223372036854775808",
    "-9223372036854775809",
    "\"\"",
    "{}",
    "[]",
    "\u{feff}",
    " ",
    "\n",
];

/// Makes inputs of real ones.
struct Inputs {
    seeded: Seeded,
    corpus: Vec<Vec<u8>>,
}

impl Inputs {
    fn new(corpus: Vec<Vec<u8>>) -> Inputs {
        assert!(!corpus.is_empty());
        Inputs {
            seeded: Seeded::new(),
            corpus,
        }
    }

    /// An input of the corpus as it is, by its number.
    fn any(&mut self) -> usize {
        self.seeded.below(self.corpus.len())
    }

    /// The input, with some changes.
    fn changed(&mut self, number: usize) -> Vec<u8> {
        let mut bytes = self.corpus[number].clone();
        for _ in 0..=self.seeded.below(CHANGES_MAX) {
            self.change(&mut bytes);
        }
        bytes
    }

    fn change(&mut self, bytes: &mut Vec<u8>) {
        let at = self.seeded.below(bytes.len() + 1);
        let piece = self.seeded.below(PIECE_BYTES_MAX) + 1;
        let end = (at + piece).min(bytes.len());
        match self.seeded.below(9) {
            0 if at < bytes.len() => bytes[at] ^= 1 << self.seeded.below(8),
            1 if at < bytes.len() => bytes[at] = self.seeded.below(256) as u8,
            2 => {
                let token = TOKENS[self.seeded.below(TOKENS.len())];
                bytes.splice(at..at, token.bytes());
            }
            3 => {
                let token = TOKENS[self.seeded.below(TOKENS.len())];
                bytes.splice(at..end, token.bytes());
            }
            4 => drop(bytes.drain(at..end)),
            5 => {
                let doubled = bytes[at..end].to_vec();
                bytes.splice(at..at, doubled);
            }
            6 => {
                let other = self.any();
                let other = &self.corpus[other];
                let from = self.seeded.below(other.len());
                let taken = other[from..(from + piece).min(other.len())].to_vec();
                bytes.splice(at..end, taken);
            }
            7 => bytes.truncate(at),
            _ => {
                let to = self.seeded.below(bytes.len() + 1 - (end - at));
                let moved: Vec<u8> = bytes.drain(at..end).collect();
                bytes.splice(to..to, moved);
            }
        }
    }

    /// Tries inputs for as long as told, and says how many; a failure names the input.
    fn each(
        mut self,
        what: &str,
        mut tried: impl FnMut(&mut Inputs) -> Vec<u8>,
        check: impl Fn(&[u8]),
    ) {
        let told = std::env::var("STOCKPULSE_FUZZ_SECONDS").ok();
        let limit = told.map_or(SHORT, |seconds| {
            Duration::from_secs(seconds.parse().unwrap())
        });
        let (begun, mut inputs) = (Instant::now(), 0_u64);
        while begun.elapsed() < limit {
            let bytes = tried(&mut self);
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| check(&bytes))) {
                let seed = self.seeded.seed;
                eprintln!("seed {seed}, input {inputs}: {}", bytes.escape_ascii());
                resume_unwind(panic);
            }
            inputs += 1;
        }
        let (seed, seconds) = (self.seeded.seed, begun.elapsed().as_secs());
        eprintln!("fuzz: {what}: {inputs} inputs in {seconds} s, seed {seed}");
        assert!(inputs > 1_000, "{inputs} inputs");
    }
}
