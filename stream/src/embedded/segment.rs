//! A segment of the log, and what is stored about it.

use std::sync::atomic::{AtomicI64, AtomicU64};
use std::time::Duration;

use fjall::Keyspace;
use serde::{Deserialize, Serialize};

use super::block;

/// What is stored about a segment.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct SegmentRecord {
    pub(super) base: Vec<u64>,
    /// Set when the segment is full.
    pub(super) full: Option<Full>,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Full {
    pub(super) bytes: u64,
    pub(super) appended_at: i64,
}

pub(super) struct Segment {
    pub(super) number: u64,
    pub(super) keyspace: Keyspace,
    pub(super) base: Vec<u64>,
    /// Bytes of its blocks.
    pub(super) bytes: AtomicU64,
    /// Of its first and last block; 0 when it has none.
    pub(super) begun_at: AtomicI64,
    pub(super) appended_at: AtomicI64,
}

impl Segment {
    /// The block that holds `offset` of `partition`, and those after it.
    pub(super) fn range_from(
        &self,
        partition: u32,
        offset: u64,
    ) -> Result<fjall::Iter, fjall::Error> {
        let holding = self
            .keyspace
            .range(block::key(partition, 0)..=block::key(partition, offset))
            .next_back();
        let first = match holding {
            Some(entry) => entry.key()?.to_vec(),
            None => block::key(partition, offset).to_vec(),
        };
        Ok(self
            .keyspace
            .range(first..=block::key(partition, u64::MAX).to_vec()))
    }
}

impl SegmentRecord {
    pub(super) const PREFIX: &'static str = "segment/";

    pub(super) fn key(number: u64) -> Vec<u8> {
        let mut key = Self::PREFIX.as_bytes().to_vec();
        key.extend_from_slice(&number.to_be_bytes());
        key
    }

    pub(super) fn number(key: &[u8]) -> Option<u64> {
        let number = key.strip_prefix(Self::PREFIX.as_bytes())?;
        Some(u64::from_be_bytes(number.try_into().ok()?))
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("numbers encode")
    }
}

pub(super) fn keyspace_name(number: u64) -> String {
    format!("segment-{number}")
}

pub(super) fn age(appended_at: i64, now: i64) -> Duration {
    Duration::from_micros(u64::try_from(now.saturating_sub(appended_at)).unwrap_or(0))
}
