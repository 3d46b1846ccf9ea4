//! The engine of one partition: records in, rows out. No I/O, no clock.

mod customers;
mod fold;
mod needs;
mod segments;
mod timers;
mod windows;

use schemas::{Position, Timestamp};

use crate::claims::Claims;
use crate::fold::{Definitions, Fold, UnknownFold, next_due};
use crate::rules::Rules;

use customers::Customers;
pub use customers::{StoredBucket, StoredState};
pub use fold::{DUPLICATE, INTERNAL, MISPLACED, UNDECODABLE};
pub use needs::{Found, Home, Needs, Recount, Supplied};
use timers::Timers;

/// How far a partition is applied: one row of `progress`, the commit point.
///
/// All counts are totals of the records before `next`; `records = events + rejections + internal + erased`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// The next offset to apply: `offset` in the table.
    pub next: u64,
    /// Log records.
    pub records: u64,
    /// Events that count.
    pub events: u64,
    /// Rejections, duplicates among them.
    pub rejections: u64,
    /// Rejections because the event id counts already.
    pub duplicates: u64,
    /// Control records.
    pub internal: u64,
    /// Events erased since.
    pub erased: u64,
    /// Hash of the payload of the last applied record.
    pub record_hash: u64,
    /// The latest tick, in microseconds since 1970; 0 before the first.
    pub tick: i64,
}

/// What one cycle did to one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// The partition.
    pub partition: u32,
    /// First offset of the cycle.
    pub from: u64,
    /// Progress when the cycle is committed.
    pub progress: Progress,
    /// When the log took the last record of the cycle, in microseconds since 1970.
    pub appended_at: i64,
    /// Where its rows are in each table of the cycle, by [`crate::rows::Table`] index.
    pub rows: [(usize, usize); crate::rows::TABLES],
}

impl Part {
    /// The next offset after this cycle.
    pub fn next(&self) -> u64 {
        self.progress.next
    }
}

/// Why a partition cannot go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// A definition asks for a fold that is not here.
    #[error("{position}: {source}")]
    UnknownFold {
        /// Where it is asked for.
        position: Position,
        /// What is asked for.
        source: UnknownFold,
    },
    /// Rows could not be put into columns.
    #[error("could not build rows: {0}")]
    Rows(String),
}

/// Bounds and rules of an engine.
#[derive(Debug, Clone, Copy)]
pub struct Setup {
    /// The log's generation.
    pub generation: u32,
    /// The partition.
    pub partition: u32,
    /// How many partitions the log has: a bucket belongs to partition bucket mod this.
    pub partitions: u32,
    /// The fold of client events.
    pub fold: Fold,
    /// What tests switch off.
    pub rules: Rules,
    /// Bytes of customer states to keep; those used longest ago are forgotten first.
    pub state_bytes: usize,
}

/// One partition's state, claims and timers.
#[derive(Debug)]
pub struct Engine {
    setup: Setup,
    next: u64,
    progress: Progress,
    definitions: Definitions,
    customers: Customers,
    timers: Timers,
    claims: Claims,
    /// Offsets of rejections that had landed before this engine came to them.
    landed_rejections: hashbrown::HashSet<u64>,
}

impl Engine {
    /// An engine that goes on after `progress`, or from `start` where there is none.
    pub fn new(
        setup: Setup,
        progress: Option<Progress>,
        start: u64,
        definitions: Definitions,
    ) -> Self {
        Self {
            setup,
            next: progress.map_or(start, |progress| progress.next),
            progress: progress.unwrap_or(Progress {
                next: start,
                ..Progress::default()
            }),
            definitions,
            customers: Customers::default(),
            timers: Timers::default(),
            claims: Claims::default(),
            landed_rejections: hashbrown::HashSet::new(),
        }
    }

    /// The partition.
    pub fn partition(&self) -> u32 {
        self.setup.partition
    }

    /// The offset it folds next.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Progress so far, also of what is not durable yet.
    pub fn progress(&self) -> Progress {
        self.progress
    }

    /// When the earliest timer is due.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.timers.first()
    }

    /// The definitions in force.
    pub fn definitions(&self) -> &Definitions {
        &self.definitions
    }

    fn position(&self, offset: u64) -> Position {
        Position {
            generation: self.setup.generation,
            partition: self.setup.partition,
            offset,
        }
    }

    /// Takes a definition of the log before its progress into force, at assignment; later ones are in the log still to come.
    /// Those without an offset are of earlier generations.
    ///
    /// # Errors
    /// When it asks for a fold that is not here.
    pub fn load_definition(
        &mut self,
        offset: Option<u64>,
        define: &schemas::Define,
    ) -> Result<(), EngineError> {
        let to_come = offset.is_some_and(|offset| offset >= self.next);
        if to_come || !self.setup.rules.definitions_from_log {
            return Ok(());
        }
        let position = self.position(offset.unwrap_or(0));
        self.definitions
            .define(define)
            .map_err(|source| EngineError::UnknownFold { position, source })
    }

    /// Takes a stored state into memory, at assignment.
    pub fn load_state(&mut self, stored: StoredState) {
        let key = stored.key();
        self.timers
            .set(key, next_due(&stored.state), || stored.customer.clone());
        let room = self.customers.weight() < self.setup.state_bytes;
        self.customers.load(key, stored, room);
    }

    /// Takes a stored claim into memory, at assignment.
    pub fn load_claim(&mut self, fingerprint: u64, week: i32) {
        self.claims.note(fingerprint, week);
    }

    /// Seals old weeks of claims; call when a week has been loaded, so that memory never holds all of them.
    pub fn seal(&mut self) {
        self.claims.seal();
    }

    /// Takes note of rejections that have landed at or after the next offset.
    pub fn load_rejections(&mut self, offsets: impl IntoIterator<Item = u64>) {
        self.landed_rejections.extend(offsets);
    }

    /// A cycle is in the warehouse: its claims are stored and its customers may be forgotten.
    pub fn acknowledge(&mut self, part: &Part) {
        let offset = part.next().saturating_sub(1);
        self.claims.acknowledge(offset);
        self.claims.seal();
        self.landed_rejections.retain(|&landed| landed > offset);
        let durable = self.position(offset).version();
        self.customers.shrink(self.setup.state_bytes, durable);
    }

    /// Bytes held, roughly.
    pub fn weight(&self) -> usize {
        self.customers.weight() + self.claims.weight() + self.timers.weight()
    }
}
