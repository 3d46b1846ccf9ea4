//! Random criteria and customers, the same for a seed wherever it runs: what tests of whatever evaluates criteria go by.
//!
//! ```
//! # use schemas::criteria::{Criteria, sample::Sampler};
//! let mut sampler = Sampler::new(7);
//! let now = sampler.now();
//! let criteria = Criteria::parse(&sampler.criteria())?;
//! let customer = sampler.customer(now);
//! assert_eq!(criteria.matches(&customer, now), criteria.matches(&customer, now));
//! # Ok::<(), schemas::FieldError>(())
//! ```
//!
//! Values come from few words and small numbers, and times lie on or beside the borders of days, so that about as many
//! conditions hold as do not.

mod conditions;
mod customer;

pub use customer::{CURRENCY, Customer, Day};

use crate::time::Timestamp;

/// A seeded source of samples.
#[derive(Debug, Clone)]
pub struct Sampler(u64);

impl Sampler {
    /// One that gives the same samples as any other of this seed, asked in the same order.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0xD1B5_4A32_D192_ED03)
    }

    /// A time within some weeks of 2026, at times midnight itself.
    pub fn now(&mut self) -> Timestamp {
        let midnight = Timestamp::of_day(20_500 + self.below(60) as i32);
        match self.percent(20) {
            true => midnight,
            false => midnight.plus_micros(self.below(86_400_000_000) as i64),
        }
    }

    fn next(&mut self) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    /// From `least` to `most`, both inside.
    fn between(&mut self, least: i64, most: i64) -> i64 {
        least + self.below(most.abs_diff(least) + 1) as i64
    }

    fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }
}

/// Texts in several scripts, some the same but for their case, some that want escaping.
const WORDS: [&str; 16] = [
    "Paris",
    "PARIS",
    "évry",
    "ÉVRY",
    "ΟΔΟΣ",
    "οδος",
    "İzmir",
    "القاهرة",
    "МОСКВА",
    "it's \"x\" \\ {p:String} %_?",
    "a\tb\nc\r",
    "VIP",
    "Straße",
    " x ",
    "true",
    "10",
];
const TIERS: [&str; 6] = ["new", "bronze", "silver", "gold", "platinum", "vip"];
const STATUSES: [&str; 4] = ["prospect", "lead", "active", "inactive"];
const TYPES: [&str; 3] = ["individual", "business", "enterprise"];
const KEYS: [&str; 4] = ["seats", "Plan name", "it's.nested \\ \"key\"", "ключ"];
const SEGMENTS: [&str; 3] = ["seg_a", "seg_b", "seg_'c"];
const CURRENCIES: [&str; 3] = ["USD", "EUR", "JPY"];
