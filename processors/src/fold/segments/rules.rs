//! An organization's active segments, compiled, in the order they are asked.

use std::collections::{BTreeMap, BTreeSet};

use compact_str::CompactString;
use schemas::Criteria;
use schemas::criteria::Aspects;
use schemas::definition::MANUAL;

/// A segment that is active.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// Its id.
    pub id: CompactString,
    /// Its version.
    pub version: u64,
    /// None where staff alone put customers into it.
    pub criteria: Option<Criteria>,
    /// What the criteria look at.
    pub aspects: Aspects,
    /// Places of the rules it refers to, all of them before it.
    pub refers: Vec<usize>,
}

/// The segments of an organization.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Rules {
    /// Everything that was ever defined, with its criteria while it is active.
    defined: BTreeMap<CompactString, Defined>,
    /// The active ones: those that others refer to come first.
    ordered: Vec<Rule>,
    any_refers: bool,
    days: u32,
}

#[derive(Debug, Clone, PartialEq)]
struct Defined {
    version: u64,
    /// None while it is not active.
    criteria: Option<Option<Criteria>>,
}

impl Rules {
    /// Takes a definition into force, unless a later version of the segment is known.
    pub fn define(&mut self, id: &CompactString, version: u64, criteria: &str, is_active: bool) {
        if self
            .defined
            .get(id)
            .is_some_and(|known| known.version > version)
        {
            return;
        }
        let criteria = is_active.then(|| match criteria {
            MANUAL => None,
            criteria => Criteria::parse(criteria)
                .inspect_err(|error| {
                    tracing::error!(segment = %id, %error, "criteria of a segment cannot be read; nobody is in it");
                })
                .ok(),
        });
        self.defined
            .insert(id.clone(), Defined { version, criteria });
        self.order();
    }

    /// Puts each rule behind those it refers to. Where some refer to each other in a circle, which is refused before it
    /// comes here, the one with the least id is asked first.
    fn order(&mut self) {
        let active: BTreeMap<&CompactString, &Defined> = self
            .defined
            .iter()
            .filter(|(_, defined)| defined.criteria.is_some())
            .collect();
        let refers = |defined: &Defined| -> Vec<CompactString> {
            let criteria = defined.criteria.as_ref().and_then(Option::as_ref);
            let segments = criteria.map(Criteria::segments).unwrap_or_default();
            segments.into_iter().map(CompactString::new).collect()
        };
        let mut left: BTreeSet<&CompactString> = active.keys().copied().collect();
        let mut order: Vec<&CompactString> = Vec::with_capacity(left.len());
        while let Some(least) = left.first().copied() {
            let free: Vec<&CompactString> = left
                .iter()
                .copied()
                .filter(|id| !refers(active[*id]).iter().any(|other| left.contains(other)))
                .collect();
            let next = if free.is_empty() { vec![least] } else { free };
            left.retain(|id| !next.contains(id));
            order.extend(next);
        }
        let place = |id: &CompactString| order.iter().position(|other| *other == id);
        let ordered: Vec<Rule> = order
            .iter()
            .enumerate()
            .map(|(index, &id)| {
                let defined = active[id];
                let criteria = defined.criteria.clone().flatten();
                Rule {
                    id: id.clone(),
                    version: defined.version,
                    aspects: criteria.as_ref().map_or(Aspects::NONE, Criteria::aspects),
                    refers: refers(defined)
                        .iter()
                        .filter_map(place)
                        .filter(|other| *other < index)
                        .collect(),
                    criteria,
                }
            })
            .collect();
        self.any_refers = ordered.iter().any(|rule| !rule.refers.is_empty());
        self.days = ordered
            .iter()
            .filter_map(|rule| rule.criteria.as_ref())
            .map(Criteria::windows)
            .max()
            .unwrap_or(0);
        self.ordered = ordered;
    }

    /// The active ones, in the order they are asked.
    pub fn iter(&self) -> impl Iterator<Item = &Rule> {
        self.ordered.iter()
    }

    /// Whether any refers to another.
    pub(super) fn any_refers(&self) -> bool {
        self.any_refers
    }

    /// Whether a segment is active.
    pub fn has(&self, id: &str) -> bool {
        self.defined
            .get(id)
            .is_some_and(|defined| defined.criteria.is_some())
    }

    /// The last version of a segment; 0 of one that is not known.
    pub fn version(&self, id: &str) -> u64 {
        self.defined.get(id).map_or(0, |defined| defined.version)
    }

    /// The days of the longest window: so many daily buckets of a customer must be at hand. 0 without windows.
    pub fn days(&self) -> u32 {
        self.days
    }
}
