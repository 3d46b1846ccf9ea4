//! The customers of a partition in memory: states, daily buckets, and who there is at all.

use hashbrown::{HashMap, HashSet};
use schemas::{CustomerRef, OrganizationId, bucket};

use crate::fold::segments::Days;
use crate::fold::{DayKey, DayTotals, State};
use crate::prepare::CustomerKey;

/// A state as the warehouse holds it.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredState {
    /// Whose.
    pub customer: CustomerRef,
    /// The state.
    pub state: State,
}

impl StoredState {
    pub(super) fn key(&self) -> CustomerKey {
        CustomerKey::of(
            self.customer.organization.as_str(),
            &self.customer.customer_id,
        )
    }
}

/// A daily bucket as the warehouse holds it.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredBucket {
    /// Whose.
    pub customer: CustomerRef,
    /// Which.
    pub key: DayKey,
    /// What is in it.
    pub totals: DayTotals,
}

impl StoredBucket {
    pub(super) fn customer_key(&self) -> CustomerKey {
        CustomerKey::of(
            self.customer.organization.as_str(),
            &self.customer.customer_id,
        )
    }
}

/// A customer in memory.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) customer: CustomerRef,
    pub(super) state: State,
    /// Buckets in memory, by key.
    buckets: Vec<(DayKey, Bucket)>,
    /// All that the warehouse holds of this day and later ones is among the buckets.
    whole_from: i32,
    /// Where it lives.
    pub(super) home: u16,
    /// Whether this cycle changed it.
    pub(super) touched: bool,
    last_used: u32,
}

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Bucket {
    pub(super) totals: DayTotals,
    pub(super) touched: bool,
}

const BUCKET_BYTES: usize = std::mem::size_of::<(DayKey, Bucket)>();
/// Key, hash table slot and the texts of a customer's ids.
const SLOT_BYTES: usize = std::mem::size_of::<Slot>() - std::mem::size_of::<State>() + 96;

impl Slot {
    pub(super) fn new(customer: CustomerRef, state: State) -> Self {
        Self {
            home: bucket(&customer.organization, &customer.customer_id),
            whole_from: state.latest_day.saturating_add(1),
            customer,
            state,
            buckets: Vec::new(),
            touched: false,
            last_used: 0,
        }
    }

    /// For a customer of whom the warehouse has nothing: no bucket needs a look-up.
    pub(super) fn stored_nothing(&mut self) {
        self.whole_from = i32::MIN;
    }

    /// Whether counting into this bucket needs to know what the warehouse has.
    pub(super) fn lacks(&self, key: DayKey) -> bool {
        key.day < self.whole_from
            && self
                .buckets
                .binary_search_by_key(&key, |(key, _)| *key)
                .is_err()
    }

    /// The bucket; new ones are empty. Also says whether it is new.
    pub(super) fn bucket(&mut self, key: DayKey) -> (&mut Bucket, bool) {
        // Mostly it is the last day's, or a new last one.
        let found = match self.buckets.last() {
            Some((last, _)) if *last == key => Ok(self.buckets.len() - 1),
            Some((last, _)) if *last < key => Err(self.buckets.len()),
            _ => self.buckets.binary_search_by_key(&key, |(key, _)| *key),
        };
        match found {
            Ok(index) => (&mut self.buckets[index].1, false),
            Err(index) => {
                self.buckets.insert(index, (key, Bucket::default()));
                (&mut self.buckets[index].1, true)
            }
        }
    }

    /// Whether evaluating needs to know what the warehouse has of a day and later ones.
    pub(super) fn lacks_from(&self, day: i32) -> bool {
        day < self.whole_from
    }

    /// Whether a bucket of a day or a later one counts more than the state does.
    pub(super) fn is_behind(&self, day: i32) -> bool {
        let begin = self.buckets.partition_point(|(key, _)| key.day < day);
        self.buckets[begin..]
            .iter()
            .any(|(_, bucket)| bucket.totals.version > self.state.version)
    }

    /// Forgets what the buckets of a day and later ones count beyond the state.
    pub(super) fn forget_ahead(&mut self, day: i32) {
        let version = self.state.version;
        for (key, bucket) in &mut self.buckets {
            if key.day >= day && bucket.totals.version > version {
                bucket.totals = DayTotals::default();
            }
        }
    }

    /// Everything of a day and later ones is in memory now.
    pub(super) fn is_whole_from(&mut self, day: i32) {
        self.whole_from = self.whole_from.min(day);
    }

    /// Takes stored totals into memory, in place of what is there if they are to replace it. Whether the bucket is new.
    pub(super) fn supply(&mut self, stored: &StoredBucket, replaces: bool) -> bool {
        let (bucket, new) = self.bucket(stored.key);
        if new || replaces {
            bucket.totals = stored.totals;
        }
        new
    }

    /// The state, and the buckets to evaluate it with.
    pub(super) fn parts(&mut self) -> (&mut State, Buckets<'_>) {
        (&mut self.state, Buckets(&self.buckets))
    }

    fn weight(&self) -> usize {
        SLOT_BYTES + self.state.weight() + self.buckets.len() * BUCKET_BYTES
    }
}

/// Buckets in the order of their keys.
#[derive(Debug)]
pub(super) struct Buckets<'a>(&'a [(DayKey, Bucket)]);

impl Days for Buckets<'_> {
    fn from(&self, day: i32) -> impl Iterator<Item = (DayKey, &DayTotals)> {
        let begin = self.0.partition_point(|(key, _)| key.day < day);
        self.0[begin..]
            .iter()
            .map(|(key, bucket)| (*key, &bucket.totals))
    }
}

#[derive(Debug, Default)]
pub(super) struct Customers {
    slots: HashMap<CustomerKey, Slot>,
    /// Everyone with a row in the warehouse or in memory: who is not in here is new.
    known: HashSet<u64>,
    bytes: usize,
    cycle: u32,
}

impl Customers {
    pub(super) fn begin_cycle(&mut self) {
        self.cycle = self.cycle.wrapping_add(1);
    }

    pub(super) fn contains(&self, key: CustomerKey) -> bool {
        self.slots.contains_key(&key)
    }

    pub(super) fn get(&self, key: CustomerKey) -> Option<&Slot> {
        self.slots.get(&key)
    }

    /// The slot, noted as used now.
    pub(super) fn get_mut(&mut self, key: CustomerKey) -> Option<&mut Slot> {
        let slot = self.slots.get_mut(&key)?;
        slot.last_used = self.cycle;
        Some(slot)
    }

    /// Whether the warehouse may hold a state that is not in memory.
    pub(super) fn must_look_up(&self, key: CustomerKey) -> bool {
        !self.slots.contains_key(&key) && self.known.contains(&key.fingerprint())
    }

    pub(super) fn insert(&mut self, key: CustomerKey, mut slot: Slot) {
        slot.last_used = self.cycle;
        self.known.insert(key.fingerprint());
        self.bytes += slot.weight();
        if let Some(before) = self.slots.insert(key, slot) {
            self.bytes -= before.weight().min(self.bytes);
        }
    }

    /// Notes that a customer exists, and keeps its state if there is room.
    pub(super) fn load(&mut self, key: CustomerKey, stored: StoredState, room: bool) {
        match room {
            true => self.insert(key, Slot::new(stored.customer, stored.state)),
            false => {
                self.known.insert(key.fingerprint());
            }
        }
    }

    /// Accounts for a customer that has grown or shrunk.
    pub(super) fn resized(&mut self, before: usize, after: usize) {
        self.bytes = (self.bytes + after).saturating_sub(before);
    }

    /// The customers in memory that live in a bucket, in the order of their ids.
    pub(super) fn living_in(&self, organization: &OrganizationId, home: u16) -> Vec<CustomerKey> {
        let mut found: Vec<(&str, CustomerKey)> = self
            .slots
            .iter()
            .filter(|(_, slot)| slot.home == home && slot.customer.organization == *organization)
            .map(|(key, slot)| (&*slot.customer.customer_id, *key))
            .collect();
        found.sort_unstable();
        found.into_iter().map(|(_, key)| key).collect()
    }

    pub(super) fn bucket_added(&mut self) {
        self.bytes += BUCKET_BYTES;
    }

    pub(super) fn weight(&self) -> usize {
        self.bytes + self.known.capacity() * 9
    }

    /// Forgets the customers used longest ago until the rest fits, but none with changes that are not durable.
    pub(super) fn shrink(&mut self, limit: usize, durable: u64) {
        if self.bytes <= limit {
            return;
        }
        let mut ages: Vec<u32> = self
            .slots
            .values()
            .map(|slot| self.cycle.wrapping_sub(slot.last_used))
            .collect();
        let Some(youngest) = ages.len().checked_sub(1) else {
            return;
        };
        ages.sort_unstable_by(|a, b| b.cmp(a));
        // An eighth more than needed, so that the next cycles need not look again.
        let share = (self.bytes - limit).saturating_add(limit / 8) as f64 / self.bytes as f64;
        let count = (ages.len() as f64 * share).ceil() as usize;
        let threshold = ages[count.saturating_sub(1).min(youngest)];
        let (mut left, cycle) = (count, self.cycle);
        let mut freed = 0;
        self.slots.retain(|_, slot| {
            let old = cycle.wrapping_sub(slot.last_used) >= threshold;
            let forget = left > 0 && old && slot.state.version <= durable && !slot.touched;
            if forget {
                left -= 1;
                freed += slot.weight();
            }
            !forget
        });
        self.bytes = self.bytes.saturating_sub(freed);
        debug_assert_eq!(
            self.bytes,
            self.slots.values().map(Slot::weight).sum::<usize>()
        );
    }
}
