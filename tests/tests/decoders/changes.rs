//! Changed copies of a corpus: bytes turned, cut out, doubled, put together from two, and words that matter put in.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

const SEED: u64 = 20_260_301;
/// Changes of one input at the most.
const CHANGES: usize = 6;
/// Inputs do not grow beyond this.
const BYTES: usize = 16_384;

/// What decoders stumble over: syntax, limits of numbers, times and texts, and the names they look for.
const WORDS: &[&[u8]] = &[
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"\"",
    b"\\",
    b"\n",
    b"\r\n",
    b"\0",
    b" ",
    b"-",
    b".",
    b"e",
    b"E+",
    b"null",
    b"true",
    b"NaN",
    b"Infinity",
    b"-0",
    b"0.0000001",
    b"1e400",
    b"1e-7",
    b"00",
    b"0x1F",
    b"9223372036854775807",
    b"9223372036854775808",
    b"-9223372036854775808",
    b"18446744073709551616",
    b"999999999999999.999999",
    b"1000000000000000",
    b"170141183460469231731687303715884105728",
    b"\\u0000",
    b"\\ud800",
    b"\\udc00",
    b"\\ud83d\\ude00",
    b"\\u0",
    b"\\x",
    b"\xc0\x80",
    b"\xed\xa0\x80",
    b"\xf4\x90\x80\x80",
    b"\xef\xbb\xbf",
    b"\xe2\x80\xae",
    b"\x7f",
    b"\x1b",
    b"\"type\":\"user\",",
    b"\"type\":\"purchase\",",
    b"\"type\":1,",
    b"\"event_id\":\"\",",
    b"\"customer_id\":null,",
    b"\"customer_id\":\"c\",",
    b"\"attributes\":{},",
    b"\"items\":[{}],",
    b"\"amount\":\"1.5\",",
    b"\"amount\":-1,",
    b"\"currency\":\"JPY\",",
    b"\"status\":\"refunded\",",
    b"\"occurred_at\":",
    b"\"2026-02-29T24:00:60Z\"",
    b"\"1900-01-01T00:00:00Z\"",
    b"-62135596800000",
    b"\"v\":1,",
    b"\"v\":2,",
    b"\"kind\":\"tick\",",
    b"\"kind\":\"define\",",
    b"\"attempt\":4294967296,",
    b"\"received_us\":-9223372036854775808,",
    b"\"points_per_unit\":9223372036854775807,",
    b"\"from\":-1,",
    b"\"events\":[",
    b"[[[[[[[[[[[[[[[[[[[[",
];

/// Endless changed copies, the same for every run.
pub(crate) struct Changes<'a> {
    corpus: &'a [Vec<u8>],
    rng: StdRng,
}

impl<'a> Changes<'a> {
    pub(crate) fn new(corpus: &'a [Vec<u8>]) -> Self {
        Self {
            corpus,
            rng: StdRng::seed_from_u64(SEED),
        }
    }

    pub(crate) fn next(&mut self) -> Vec<u8> {
        let mut input = self.pick();
        for _ in 0..self.rng.random_range(1..=CHANGES) {
            self.change(&mut input);
            input.truncate(BYTES);
        }
        input
    }

    fn pick(&mut self) -> Vec<u8> {
        self.corpus[self.rng.random_range(0..self.corpus.len())].clone()
    }

    /// A stretch of the input, mostly a short one.
    fn stretch(&mut self, input: &[u8]) -> std::ops::Range<usize> {
        let start = self.rng.random_range(0..=input.len());
        let longest = if self.rng.random_bool(0.8) {
            12
        } else {
            input.len()
        };
        let end = start + self.rng.random_range(0..=longest);
        start..end.min(input.len())
    }

    fn change(&mut self, input: &mut Vec<u8>) {
        let at = self.stretch(input);
        match self.rng.random_range(0..7) {
            0 if !input.is_empty() => {
                let at = self.rng.random_range(0..input.len());
                input[at] ^= 1 << self.rng.random_range(0..8);
            }
            1 => drop(input.drain(at)),
            2 => {
                let doubled = input[at.clone()].repeat(self.rng.random_range(1..5));
                input.splice(at.end..at.end, doubled);
            }
            3 => {
                let word = WORDS[self.rng.random_range(0..WORDS.len())];
                input.splice(at.start..at.start, word.iter().copied());
            }
            4 => {
                let word = WORDS[self.rng.random_range(0..WORDS.len())];
                input.splice(at, word.iter().copied());
            }
            5 => {
                let other = self.pick();
                let piece = self.stretch(&other);
                input.splice(at, other[piece].iter().copied());
            }
            _ => {
                let byte = self.rng.random();
                input.splice(at.start..at.start, [byte]);
            }
        }
    }
}
