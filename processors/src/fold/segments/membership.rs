//! What a customer's state keeps of segments.

use std::collections::BTreeMap;
use std::sync::Arc;

use compact_str::CompactString;
use schemas::Timestamp;
use serde::{Deserialize, Serialize};

use crate::fold::micros;

/// The segments a customer is in.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Memberships {
    /// Shared, so that copying a state is cheap.
    #[serde(rename = "in", default, skip_serializing_if = "is_empty")]
    members: Arc<BTreeMap<CompactString, Member>>,
    /// Where staff have decided, until they take it back.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    held: BTreeMap<CompactString, bool>,
    /// Before then time alone changes nothing.
    #[serde(
        with = "micros::optional",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub(super) due: Option<Timestamp>,
}

/// Since when, and by which version of the segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// The segment's version when the customer entered.
    #[serde(rename = "v")]
    pub version: u64,
    /// When the customer entered.
    #[serde(rename = "s", with = "micros")]
    pub since: Timestamp,
}

fn is_empty(members: &Arc<BTreeMap<CompactString, Member>>) -> bool {
    members.is_empty()
}

/// A member in memory, roughly.
const MEMBER_BYTES: usize = 96;

impl Memberships {
    /// Whether there is nothing to tell.
    pub fn is_none(&self) -> bool {
        self.members.is_empty() && self.held.is_empty() && self.due.is_none()
    }

    /// When time may next change something.
    pub fn due(&self) -> Option<Timestamp> {
        self.due
    }

    /// The segments, in the order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = (&CompactString, &Member)> {
        self.members.iter()
    }

    /// Whether the customer is in a segment.
    pub fn has(&self, segment: &str) -> bool {
        self.members.contains_key(segment)
    }

    /// What staff have decided.
    pub fn held(&self) -> &BTreeMap<CompactString, bool> {
        &self.held
    }

    /// What staff have decided of a segment.
    pub fn held_in(&self, segment: &str) -> Option<bool> {
        match self.held.is_empty() {
            true => None,
            false => self.held.get(segment).copied(),
        }
    }

    /// Decides of a segment, or takes back what was decided. Returns what was decided before.
    pub(in crate::fold) fn hold(
        &mut self,
        segment: &CompactString,
        member: Option<bool>,
    ) -> Option<bool> {
        match member {
            Some(member) => self.held.insert(segment.clone(), member),
            None => self.held.remove(segment),
        }
    }

    /// Forgets what was decided of segments that are not kept.
    pub(super) fn release(&mut self, keep: impl Fn(&str) -> bool) {
        self.held.retain(|segment, _| keep(segment));
    }

    pub(super) fn enter(&mut self, segment: &CompactString, version: u64, since: Timestamp) {
        Arc::make_mut(&mut self.members).insert(segment.clone(), Member { version, since });
    }

    pub(super) fn leave(&mut self, segment: &str) {
        Arc::make_mut(&mut self.members).remove(segment);
    }

    /// Bytes held, roughly.
    pub fn weight(&self) -> usize {
        (self.members.len() + self.held.len()) * MEMBER_BYTES
    }
}
