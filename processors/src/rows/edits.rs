//! Rows of `edits`: the audit, by position.

use std::sync::Arc;

use arrow::array::{RecordBatch, UInt32Array, UInt64Array};
use arrow::error::ArrowError;
use schemas::{CustomerRef, Event, OrganizationId, Position};

use super::{Stamp, Texts, batch, times};
use crate::fold::Edited;

/// Builds rows of `edits`.
#[derive(Debug, Default)]
pub struct EditRows {
    generations: Vec<u32>,
    partitions: Vec<u32>,
    offsets: Vec<u64>,
    ordinals: Vec<u32>,
    organizations: Texts,
    customers: Texts,
    at: Vec<i64>,
    authors: Texts,
    origins: Texts,
    actions: Texts,
    records: Texts,
    ids: Texts,
    before: Texts,
    after: Texts,
}

impl EditRows {
    pub(super) fn len(&self) -> usize {
        self.offsets.len()
    }

    /// Adds what an event has edited.
    pub fn push(&mut self, position: Position, event: &Event, edits: &[Edited]) {
        let stamp = Stamp {
            version: position.version(),
            at: event.received_at,
            by: &event.source,
        };
        let whose = (&event.organization, &*event.customer_id);
        self.add(position, whose, stamp, edits);
    }

    /// Adds what was edited of a customer by something else than an event.
    pub fn push_at(
        &mut self,
        position: Position,
        customer: &CustomerRef,
        stamp: Stamp<'_>,
        edits: &[Edited],
    ) {
        let whose = (&customer.organization, &*customer.customer_id);
        self.add(position, whose, stamp, edits);
    }

    fn add(
        &mut self,
        position: Position,
        (organization, customer): (&OrganizationId, &str),
        stamp: Stamp<'_>,
        edits: &[Edited],
    ) {
        for (ordinal, edited) in (0..).zip(edits) {
            self.generations.push(position.generation);
            self.partitions.push(position.partition);
            self.offsets.push(position.offset);
            self.ordinals.push(ordinal);
            self.organizations.push(organization.as_str());
            self.customers.push(customer);
            self.at.push(stamp.at.micros());
            self.authors.push(stamp.by);
            self.origins
                .push(edited.origin.as_deref().unwrap_or_default());
            self.actions.push(&edited.action);
            self.records.push(&edited.record);
            self.ids.push(&edited.id);
            self.before.push(&edited.before);
            self.after.push(&edited.after);
        }
    }

    pub(super) fn finish(self) -> Result<RecordBatch, ArrowError> {
        let numbers = |values: Vec<u32>| Arc::new(UInt32Array::from(values));
        batch(vec![
            ("generation", numbers(self.generations), false),
            ("partition", numbers(self.partitions), false),
            ("offset", Arc::new(UInt64Array::from(self.offsets)), false),
            ("ordinal", numbers(self.ordinals), false),
            ("organization", self.organizations.finish()?, false),
            ("customer", self.customers.finish()?, false),
            ("at", times(self.at), false),
            ("author", self.authors.finish()?, false),
            ("origin", self.origins.finish()?, false),
            ("action", self.actions.finish()?, false),
            ("record", self.records.finish()?, false),
            ("id", self.ids.finish()?, false),
            ("before", self.before.finish()?, false),
            ("after", self.after.finish()?, false),
        ])
    }
}
