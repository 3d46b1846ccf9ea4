//! Claims: which event ids have been seen, so that an event counts once for ever.
//!
//! Memory holds three kinds, exact to vague: claims not yet durable (exact), fingerprints of recent weeks (64 bits), and
//! a binary fuse filter of each sealed week (about 1.2 bytes an id). The last two may err by seeing what is not there, so
//! their matches are looked up in the warehouse.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;

use hashbrown::{HashMap, HashSet};
use schemas::{Event, Timestamp, event_hash, who_hash};
use xorf::{BinaryFuse8, Filter};

/// The name of one sending of an event: (organization, event id, attempt) and customer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Claim {
    /// 128-bit hash of (organization, event id, attempt).
    pub id: u128,
    /// 64-bit hash of the customer.
    pub who: u64,
}

impl Claim {
    /// The claim an event makes.
    pub fn of(event: &Event) -> Self {
        Self {
            id: event_hash(&event.organization, &event.event_id, event.attempt),
            who: who_hash(&event.customer_id),
        }
    }

    /// Both hashes in 64 bits.
    pub fn fingerprint(self) -> u64 {
        let id = (self.id as u64) ^ ((self.id >> 64) as u64).rotate_left(32);
        id ^ self.who.wrapping_mul(0x9E37_79B9_7F4A_7C15)
    }
}

/// Weeks since 1970 (beginning on a Thursday), the grain of sealing. Only memory depends on it, no result does.
pub fn week(time: Timestamp) -> i32 {
    time.day().div_euclid(7)
}

/// Ids in one filter at the most: what is in hand at once while it is built.
const SEAL_AT_MOST: usize = 16 << 20;
/// Late ids of a sealed week are worth a filter of their own from here on.
const SEAL_AT_LEAST: usize = 4_096;

/// The claims of one partition.
#[derive(Default)]
pub struct Claims {
    /// Claims of cycles that are not durable yet, with the offset that holds them.
    in_flight: HashMap<Claim, u64>,
    /// The same in the order of the log, to be retired from the front.
    order: VecDeque<(u64, Claim)>,
    /// Fingerprints of weeks that still grow.
    recent: BTreeMap<i32, HashSet<u64>>,
    /// Filters of sealed weeks.
    sealed: Vec<BinaryFuse8>,
    /// The latest week claimed in.
    latest: Option<i32>,
}

impl fmt::Debug for Claims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claims")
            .field("in_flight", &self.in_flight.len())
            .field(
                "recent",
                &self.recent.values().map(HashSet::len).sum::<usize>(),
            )
            .field("sealed", &self.sealed.len())
            .finish_non_exhaustive()
    }
}

impl Claims {
    /// The offset of this process's own claim that is not durable yet.
    pub fn in_flight(&self, claim: Claim) -> Option<u64> {
        self.in_flight.get(&claim).copied()
    }

    /// Whether the warehouse may hold this claim. Never wrong when it says no.
    pub fn may_be_stored(&self, claim: Claim) -> bool {
        let fingerprint = claim.fingerprint();
        self.recent
            .values()
            .rev()
            .any(|week| week.contains(&fingerprint))
            || self
                .sealed
                .iter()
                .any(|filter| filter.contains(&fingerprint))
    }

    /// Claims for an offset.
    pub fn claim(&mut self, claim: Claim, offset: u64, received_at: Timestamp) {
        self.in_flight.insert(claim, offset);
        self.order.push_back((offset, claim));
        self.note(claim.fingerprint(), week(received_at));
    }

    /// Claims up to this offset are in the warehouse.
    pub fn acknowledge(&mut self, offset: u64) {
        while let Some(&(at, claim)) = self.order.front()
            && at <= offset
        {
            self.order.pop_front();
            if self.in_flight.get(&claim) == Some(&at) {
                self.in_flight.remove(&claim);
            }
        }
    }

    /// Takes a stored claim into memory.
    pub fn note(&mut self, fingerprint: u64, week: i32) {
        self.recent.entry(week).or_default().insert(fingerprint);
        self.latest = self.latest.max(Some(week));
    }

    /// Turns all weeks before the last but one into filters. Call between cycles.
    pub fn seal(&mut self) {
        let Some(latest) = self.latest else { return };
        let full = |(week, ids): (&i32, &HashSet<u64>)| {
            let over = *week < latest - 1 && ids.len() >= SEAL_AT_LEAST;
            (over || ids.len() >= SEAL_AT_MOST).then_some(*week)
        };
        let due: Vec<i32> = self.recent.iter().filter_map(full).collect();
        for week in due {
            if let Some(ids) = self.recent.remove(&week) {
                self.seal_ids(week, ids);
            }
        }
    }

    fn seal_ids(&mut self, week: i32, ids: HashSet<u64>) {
        let keys: Vec<u64> = ids.iter().copied().collect();
        match BinaryFuse8::try_from(&keys) {
            Ok(filter) => self.sealed.push(filter),
            Err(reason) => {
                // Never seen with distinct keys; the set serves as well, only larger.
                tracing::warn!(
                    week,
                    reason,
                    "could not seal a week of event ids; it stays in memory as it is"
                );
                self.recent.insert(week, ids);
            }
        }
    }

    /// How many filters there are.
    pub fn filters(&self) -> usize {
        self.sealed.len()
    }

    /// Bytes held, roughly.
    pub fn weight(&self) -> usize {
        let recent: usize = self
            .recent
            .values()
            .map(|week| week.capacity() * 9 + 64)
            .sum();
        let sealed: usize = self
            .sealed
            .iter()
            .map(|filter| filter.fingerprints.len())
            .sum();
        recent + sealed + self.in_flight.capacity() * 48 + self.order.capacity() * 48
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn claim(number: u64) -> Claim {
        let spread = u128::from(number).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
        Claim {
            id: spread,
            who: number.wrapping_mul(0xD6E8_FEB8_6659_FD93),
        }
    }

    const WEEK: i64 = 7 * 86_400 * 1_000_000;

    #[test]
    fn a_claim_is_in_flight_until_it_is_durable() {
        let mut claims = Claims::default();
        claims.claim(claim(1), 10, Timestamp::default());
        claims.claim(claim(2), 11, Timestamp::default());
        claims.acknowledge(10);
        assert_eq!(
            (claims.in_flight(claim(1)), claims.in_flight(claim(2))),
            (None, Some(11))
        );
        assert!(claims.may_be_stored(claim(1)));
        assert!(!claims.may_be_stored(claim(3)));
    }

    #[test]
    fn many_sealed_weeks_forget_nothing_and_invent_little() {
        let (weeks, per_week) = (60_u64, 5_000_u64);
        let mut claims = Claims::default();
        for week in 0..weeks {
            for number in 0..per_week {
                let at = Timestamp::from_micros(week as i64 * WEEK);
                claims.claim(
                    claim(week * per_week + number),
                    week * per_week + number,
                    at,
                );
            }
            claims.acknowledge(u64::MAX);
            claims.seal();
        }
        assert_eq!(
            claims.filters() as u64,
            weeks - 2,
            "all but the last two weeks are sealed"
        );
        for number in 0..weeks * per_week {
            assert!(claims.may_be_stored(claim(number)), "{number} is forgotten");
        }
        let invented = (0..100_000)
            .filter(|number| claims.may_be_stored(claim(weeks * per_week + number)))
            .count();
        // 58 filters of 1/256 each: about one in five; a look-up, never a wrong answer.
        assert!(
            invented < 25_000,
            "{invented} of 100,000 new ids would be looked up"
        );
        // A sealed id takes little more than a byte; a recent or waiting one some hundred, however many weeks there are.
        let recent = 2 * per_week as usize;
        let bound = (weeks * per_week) as usize * 3 / 2 + recent * 128;
        assert!(claims.weight() < bound, "{} bytes", claims.weight());
    }

    #[test]
    fn late_ids_of_a_sealed_week_are_remembered() {
        let mut claims = Claims::default();
        for number in 0..10_000 {
            claims.note(claim(number).fingerprint(), 0);
        }
        claims.note(claim(10_000).fingerprint(), 9);
        claims.seal();
        claims.note(claim(10_001).fingerprint(), 0);
        claims.seal();
        assert_eq!(claims.filters(), 1);
        assert!((0..=10_001).all(|number| claims.may_be_stored(claim(number))));
    }
}
