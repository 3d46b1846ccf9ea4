//! A bounded map from token hashes to answers that end by time or by generation.

use std::collections::HashMap;
use std::time::Instant;

use parking_lot::RwLock;

use crate::token::TokenHash;

const SHARDS: usize = 16;

struct Entry<T> {
    value: T,
    until: Instant,
    generation: u64,
}

impl<T> Entry<T> {
    fn holds(&self, generation: u64, now: Instant) -> bool {
        self.generation == generation && now < self.until
    }
}

/// Sharded, so that request threads do not meet on one lock.
pub(super) struct Cache<T> {
    shards: [RwLock<HashMap<TokenHash, Entry<T>>>; SHARDS],
    shard_capacity: usize,
}

impl<T: Clone> Cache<T> {
    /// Holds about `capacity` answers, and at least one in each shard.
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            shards: std::array::from_fn(|_| RwLock::new(HashMap::new())),
            shard_capacity: (capacity / SHARDS).max(1),
        }
    }

    fn shard(&self, hash: &TokenHash) -> &RwLock<HashMap<TokenHash, Entry<T>>> {
        // The bytes of a SHA-256 are as good as random.
        &self.shards[usize::from(hash.0[0]) % SHARDS]
    }

    pub(super) fn get(&self, hash: &TokenHash, generation: u64, now: Instant) -> Option<T> {
        let shard = self.shard(hash).read();
        shard
            .get(hash)
            .filter(|entry| entry.holds(generation, now))
            .map(|entry| entry.value.clone())
    }

    pub(super) fn insert(
        &self,
        hash: TokenHash,
        value: T,
        generation: u64,
        now: Instant,
        until: Instant,
    ) {
        let mut shard = self.shard(&hash).write();
        if shard.len() >= self.shard_capacity && !shard.contains_key(&hash) {
            shard.retain(|_, entry| entry.holds(generation, now));
            if shard.len() >= self.shard_capacity {
                // All are fresh: any may go, it costs its holder one query.
                let victim = shard.keys().next().copied();
                victim.and_then(|victim| shard.remove(&victim));
            }
        }
        shard.insert(
            hash,
            Entry {
                value,
                until,
                generation,
            },
        );
    }

    pub(super) fn remove(&self, hash: &TokenHash) {
        self.shard(hash).write().remove(hash);
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.read().len()).sum()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn answers_end_by_time_and_by_generation() {
        let cache = Cache::new(100);
        let (hash, start) = (TokenHash::of("a"), Instant::now());
        let end = start + Duration::from_secs(3);
        cache.insert(hash, 1, 7, start, end);
        assert_eq!(cache.get(&hash, 7, start), Some(1));
        assert_eq!(cache.get(&hash, 7, end), None);
        assert_eq!(cache.get(&hash, 8, start), None);
        assert_eq!(cache.get(&TokenHash::of("b"), 7, start), None);
        cache.remove(&hash);
        assert_eq!(cache.get(&hash, 7, start), None);
    }

    #[test]
    fn a_flood_stays_within_the_bound_and_the_newest_is_kept() {
        let cache = Cache::new(160);
        let start = Instant::now();
        for number in 0..10_000 {
            let hash = TokenHash::of(&number.to_string());
            cache.insert(hash, number, 0, start, start + Duration::from_secs(1));
            assert_eq!(cache.get(&hash, 0, start), Some(number));
        }
        assert!(cache.len() <= 160, "{}", cache.len());
    }
}
