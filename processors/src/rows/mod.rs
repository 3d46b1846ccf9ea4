//! Rows of every table, built as Arrow columns in the order of the tables.

mod controls;
mod customer_days;
mod customer_state;
mod edits;
mod event_ids;
mod events;
mod ledger;
mod progress;
mod records;
mod rejections;
mod segments;

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Decimal128Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::error::ArrowError;

use schemas::TraceContext;

use crate::engine::Part;

pub use controls::ControlRows;
pub use customer_days::DayRows;
pub use customer_state::StateRows;
pub use edits::EditRows;
pub use event_ids::IdRows;
pub use events::{EventRows, archive_rows};
pub use ledger::LedgerRows;
pub use progress::progress_rows;
pub use records::{RecordRows, Stamp};
pub use rejections::{Rejection, RejectionRows};
pub use segments::{SegmentEventRows, SegmentMemberRows};

/// Tables that hold positioned or versioned rows; `progress` comes on its own.
pub const TABLES: usize = 11;

/// A table the processor writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Table {
    /// Events that count.
    Events,
    /// Dead letters.
    Rejections,
    /// Claims.
    EventIds,
    /// Definitions and ticks seen, by position.
    Controls,
    /// What was changed of customers, by position.
    Edits,
    /// What was moved on loyalty accounts, by customer and position.
    LoyaltyLedger,
    /// Contacts, interactions and what else customers have.
    CustomerRecords,
    /// Who entered and left segments, by position.
    SegmentEvents,
    /// Who is in which segment.
    SegmentMembers,
    /// Daily buckets.
    CustomerDays,
    /// The customers.
    CustomerState,
    /// The commit point.
    Progress,
}

impl Table {
    /// The positioned and versioned tables, in the order they are written.
    pub const ALL: [Table; TABLES] = [
        Table::Events,
        Table::Rejections,
        Table::EventIds,
        Table::Controls,
        Table::Edits,
        Table::LoyaltyLedger,
        Table::CustomerRecords,
        Table::SegmentEvents,
        Table::SegmentMembers,
        Table::CustomerDays,
        Table::CustomerState,
    ];

    /// Its name in the warehouse.
    pub fn name(self) -> &'static str {
        match self {
            Table::Events => "events",
            Table::Rejections => "rejections",
            Table::EventIds => "event_ids",
            Table::Controls => "controls",
            Table::Edits => "edits",
            Table::LoyaltyLedger => "loyalty_ledger",
            Table::CustomerRecords => "customer_records",
            Table::SegmentEvents => "segment_events",
            Table::SegmentMembers => "segment_members",
            Table::CustomerDays => "customer_days",
            Table::CustomerState => "customer_state",
            Table::Progress => "progress",
        }
    }
}

/// The rows of one cycle of all partitions, while they are being made.
#[derive(Debug, Default)]
pub struct Output {
    /// See [`Table::Events`].
    pub events: EventRows,
    /// See [`Table::Rejections`].
    pub rejections: RejectionRows,
    /// See [`Table::EventIds`].
    pub ids: IdRows,
    /// See [`Table::Controls`].
    pub controls: ControlRows,
    /// See [`Table::Edits`].
    pub edits: EditRows,
    /// See [`Table::LoyaltyLedger`].
    pub ledger: LedgerRows,
    /// See [`Table::CustomerRecords`].
    pub records: RecordRows,
    /// See [`Table::SegmentEvents`].
    pub segment_events: SegmentEventRows,
    /// See [`Table::SegmentMembers`].
    pub segment_members: SegmentMemberRows,
    /// See [`Table::CustomerDays`].
    pub days: DayRows,
    /// See [`Table::CustomerState`].
    pub states: StateRows,
}

impl Output {
    /// With room for so many events.
    pub fn with_capacity(events: usize) -> Self {
        Self {
            events: EventRows::with_capacity(events),
            ids: IdRows::with_capacity(events),
            ..Self::default()
        }
    }

    /// Rows of each table so far.
    pub fn lengths(&self) -> [usize; TABLES] {
        [
            self.events.len(),
            self.rejections.len(),
            self.ids.len(),
            self.controls.len(),
            self.edits.len(),
            self.ledger.len(),
            self.records.len(),
            self.segment_events.len(),
            self.segment_members.len(),
            self.days.len(),
            self.states.len(),
        ]
    }

    /// Closes the cycle.
    ///
    /// # Errors
    /// When columns do not fit together, which is a defect.
    pub fn finish(self, generation: u32, parts: Vec<Part>) -> Result<Cycle, ArrowError> {
        let tables = [
            self.events.finish()?,
            self.rejections.finish()?,
            self.ids.finish()?,
            self.controls.finish()?,
            self.edits.finish()?,
            self.ledger.finish()?,
            self.records.finish()?,
            self.segment_events.finish()?,
            self.segment_members.finish()?,
            self.days.finish()?,
            self.states.finish()?,
        ];
        Ok(Cycle {
            generation,
            parts,
            tables,
            traces: Vec::new(),
        })
    }
}

/// The rows of one cycle, ready to be written.
#[derive(Debug, Clone)]
pub struct Cycle {
    /// The log's generation.
    pub generation: u32,
    /// What it does to each partition.
    pub parts: Vec<Part>,
    /// Rows of each table, in the order of [`Table::ALL`]; those of one partition are together, in the order of `parts`.
    pub tables: [RecordBatch; TABLES],
    /// Traces that somebody follows, each with its records.
    pub traces: Vec<(TraceContext, usize)>,
}

impl Cycle {
    /// Rows of a table.
    pub fn rows(&self, table: Table) -> Option<&RecordBatch> {
        let index = Table::ALL.iter().position(|other| *other == table)?;
        self.tables.get(index)
    }

    /// Bytes held, roughly.
    pub fn weight(&self) -> usize {
        self.tables
            .iter()
            .map(RecordBatch::get_array_memory_size)
            .sum()
    }

    /// The cycle without some partitions.
    ///
    /// # Errors
    /// When columns do not fit together, which is a defect.
    pub fn without(&self, partitions: &[u32]) -> Result<Cycle, ArrowError> {
        let parts: Vec<&Part> = self
            .parts
            .iter()
            .filter(|part| !partitions.contains(&part.partition))
            .collect();
        let mut kept: Vec<Part> = parts.iter().map(|part| **part).collect();
        let mut tables = self.tables.clone();
        for (index, table) in tables.iter_mut().enumerate() {
            let mut at = 0;
            let mut slices = Vec::with_capacity(kept.len());
            for part in &mut kept {
                let (begin, end) = part.rows[index];
                slices.push(table.slice(begin, end - begin));
                part.rows[index] = (at, at + end - begin);
                at += end - begin;
            }
            *table = arrow::compute::concat_batches(&table.schema(), &slices)?;
        }
        Ok(Cycle {
            generation: self.generation,
            parts: kept,
            tables,
            traces: self.traces.clone(),
        })
    }
}

/// One column: name, values, whether it may hold NULL.
type Column = (&'static str, ArrayRef, bool);

fn batch(columns: Vec<Column>) -> Result<RecordBatch, ArrowError> {
    RecordBatch::try_from_iter_with_nullable(columns)
}

fn times(values: Vec<i64>) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from(values).with_timezone("UTC"))
}

fn times_or_null(values: Vec<Option<i64>>) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from(values).with_timezone("UTC"))
}

fn decimals(values: impl Into<Decimal128Array>) -> Result<ArrayRef, ArrowError> {
    Ok(Arc::new(values.into().with_precision_and_scale(
        38,
        schemas::money::SCALE as i8,
    )?))
}

/// A text column that grows by copying into one buffer.
#[derive(Debug, Default)]
struct Texts {
    values: Vec<u8>,
    ends: Vec<i32>,
}

impl Texts {
    fn with_capacity(rows: usize, bytes: usize) -> Self {
        Self {
            values: Vec::with_capacity(bytes),
            ends: Vec::with_capacity(rows),
        }
    }

    fn push(&mut self, text: &str) {
        self.push_with(|values| values.extend_from_slice(text.as_bytes()));
    }

    /// Writes a value in place; what is appended must be UTF-8.
    fn push_with(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.values);
        // A cycle is bounded far below 2 GiB; should it not be, building the array fails rather than wraps.
        self.ends
            .push(i32::try_from(self.values.len()).unwrap_or(-1));
    }

    fn finish(self) -> Result<ArrayRef, ArrowError> {
        let offsets = std::iter::once(0).chain(self.ends).collect::<Vec<i32>>();
        if offsets.contains(&-1) {
            return Err(ArrowError::OffsetOverflowError(self.values.len()));
        }
        let offsets = arrow::buffer::OffsetBuffer::new(offsets.into());
        Ok(Arc::new(StringArray::try_new(
            offsets,
            self.values.into(),
            None,
        )?))
    }
}
