//! What a replay has found, and how far it is.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::Generation;

/// Differences that are told field by field; beyond, rows are counted.
pub(super) const MOST_DIFFERENCES: usize = 1_000;

/// What a replay does at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Finding out what there is.
    #[default]
    Planning,
    /// Folding it into the shadow.
    Folding,
    /// Comparing the shadow with the live state.
    Comparing,
    /// Putting the shadow in the place of the live state.
    Switching,
}

impl Phase {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Phase::Planning => "planning",
            Phase::Folding => "folding",
            Phase::Comparing => "comparing",
            Phase::Switching => "switching",
        }
    }
}

/// How far a replay is.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Progress {
    /// What it does.
    pub phase: Phase,
    /// Events folded.
    pub events: u64,
    /// Events to fold; 0 where that is not known before.
    pub total: u64,
    /// Events folded in a second, on average.
    pub events_per_second: f64,
    #[serde(skip)]
    begun: Option<std::time::Instant>,
}

impl Progress {
    pub(super) fn begin(&mut self, total: u64) {
        self.phase = Phase::Folding;
        self.total = total;
        self.begun = Some(std::time::Instant::now());
    }

    pub(super) fn folded(&mut self, events: u64) {
        self.events = events;
        let seconds = self
            .begun
            .map_or(0.0, |begun| begun.elapsed().as_secs_f64());
        self.events_per_second = events as f64 / seconds.max(0.001);
    }

    /// Of the events to fold, in percent.
    pub fn percent(&self) -> Option<f64> {
        (self.total > 0).then(|| (self.events as f64 / self.total as f64).min(1.0) * 100.0)
    }
}

/// What is replayed of one partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PartitionReport {
    /// The log's generation.
    pub generation: u32,
    /// The partition.
    pub partition: u32,
    /// Records applied: what comes before is replayed.
    pub applied: u64,
    /// Events among them.
    pub events: u64,
    /// Records before this offset come from the archive, the others from the log.
    pub archived: u64,
}

/// One field that is not what the events say.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Difference {
    /// The tenant.
    pub organization: String,
    /// The customer.
    pub customer_id: String,
    /// `customer_state`, `customer_days` or `event_ids`.
    pub table: &'static str,
    /// Which row of the customer's: day and currency, or an event id; empty for the only one.
    pub row: String,
    /// The column, with the path inside its JSON; `*` for a whole row.
    pub field: String,
    /// What the live state has, as JSON; none where it has nothing.
    pub live: Option<String>,
    /// What the replay has.
    pub replayed: Option<String>,
}

/// What a replay has found.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// Whether only the sources were looked at.
    pub dry_run: bool,
    /// Sources by partition.
    pub partitions: Vec<PartitionReport>,
    /// Events folded.
    pub folded: u64,
    /// Customers compared.
    pub customers: u64,
    /// Customers that differ, of those told of.
    pub different: u64,
    /// By customer and field.
    pub differences: Vec<Difference>,
    /// How often each field differs, as `table.field`.
    pub fields: BTreeMap<String, u64>,
    /// Rows that differ and are not told of: there are too many.
    pub hidden: u64,
    /// Rows that changed at every look and were not compared.
    pub moved: u64,
    /// Whether the shadow is the live state now.
    pub switched: bool,
    /// Events folded in a second.
    pub events_per_second: f64,
    /// How long it took.
    pub seconds: f64,
}

impl Report {
    /// Whether nothing differs.
    pub fn is_clean(&self) -> bool {
        self.differences.is_empty() && self.hidden == 0
    }

    pub(super) fn plan(&mut self, generations: &[Generation], archived: impl Fn(u32, u32) -> u64) {
        for generation in generations {
            for (&partition, &applied) in &generation.cut {
                self.partitions.push(PartitionReport {
                    generation: generation.number,
                    partition,
                    applied,
                    events: generation.events.get(&partition).copied().unwrap_or(0),
                    archived: archived(generation.number, partition).min(applied),
                });
            }
        }
    }

    pub(super) fn add(&mut self, found: Vec<Difference>, hidden: u64) {
        self.hidden += hidden;
        for difference in &found {
            let name = format!("{}.{}", difference.table, difference.field);
            *self.fields.entry(name).or_default() += 1;
        }
        self.differences.extend(found);
        self.differences.sort();
        self.differences.dedup();
        let customers: BTreeSet<(&str, &str)> = self
            .differences
            .iter()
            .map(|difference| (&*difference.organization, &*difference.customer_id))
            .collect();
        self.different = customers.len() as u64;
    }
}
