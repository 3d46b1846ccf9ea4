//! Segments in the cycle: who is looked at when, and what comes of it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use schemas::criteria::Aspects;
use schemas::{OrganizationId, Position, Timestamp};

use super::Engine;
use super::fold::Touched;
use crate::fold::segments::{Rules, evaluate};
use crate::fold::{Cause, SegmentChange, next_due};
use crate::prepare::CustomerKey;
use crate::rows::Output;

/// A look at a customer's segments.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look<'a> {
    /// What may be other than before.
    pub(super) asked: Aspects,
    /// Why.
    pub(super) cause: Cause<'a>,
    /// The time that is now.
    pub(super) now: Timestamp,
    /// The record because of which.
    pub(super) position: Position,
}

/// The first day of which a customer's buckets are needed to evaluate at a time; none where no window is asked for.
pub(super) fn first_day(days: u32, now: Timestamp) -> Option<i32> {
    // A window has a few thousand days at most.
    let days = i32::try_from(days).ok().filter(|days| *days > 0)?;
    Some(now.day().saturating_sub(days).saturating_add(1))
}

impl Engine {
    /// The time that it is at an event: no earlier than the last tick.
    pub(super) fn now_at(&self, received_at: Timestamp) -> Timestamp {
        received_at.max(Timestamp::from_micros(self.progress.tick))
    }

    /// Looks at a customer's segments and writes down who entered and left. Whether its state has changed.
    pub(super) fn look(&mut self, key: CustomerKey, look: Look<'_>, out: &mut Output) -> bool {
        let Some(slot) = self.customers.get_mut(key) else {
            return false;
        };
        let organization = &slot.customer.organization;
        let Some(rules) = self.definitions.segments(organization) else {
            return false;
        };
        debug_assert!(
            slot.state.version > look.position.version()
                || first_day(rules.days(), look.now).is_none_or(|day| !slot.lacks_from(day))
        );
        let currency = self.definitions.currency(organization);
        let (weight, due) = (slot.state.segments.weight(), next_due(&slot.state));
        let (state, days) = slot.parts();
        let before = state.segments.clone();
        let looked = catch_unwind(AssertUnwindSafe(|| {
            evaluate(rules, state, &days, currency, look.asked, look.now)
        }));
        let changes = looked.unwrap_or_else(|_| {
            tracing::error!(position = %look.position, "segments could not be evaluated; report it; the customer stays where it was");
            state.segments = before.clone();
            Vec::new()
        });
        let changed = state.segments != before;
        self.note(key, look, &changes, out);
        let Some(slot) = self.customers.get_mut(key) else {
            return false;
        };
        let (after, due_after) = (slot.state.segments.weight(), next_due(&slot.state));
        if due_after != due {
            let customer = &slot.customer;
            self.timers.set(key, due_after, || customer.clone());
        }
        if after != weight {
            self.customers.resized(weight, after);
        }
        changed
    }

    fn note(&self, key: CustomerKey, look: Look<'_>, changes: &[SegmentChange], out: &mut Output) {
        if let Some(slot) = self.customers.get(key).filter(|_| !changes.is_empty()) {
            let (position, customer) = (look.position, &slot.customer);
            out.segment_events
                .push(position, customer, look.cause, changes);
            out.segment_members
                .push(position.version(), customer, slot.home, changes);
        }
    }

    /// Looks at everybody in a bucket.
    pub(super) fn look_at_all(
        &mut self,
        organization: &OrganizationId,
        home: u16,
        position: Position,
        touched: &mut Touched,
        out: &mut Output,
    ) {
        for key in self.customers.living_in(organization, home) {
            // What a state has seen was written by who wrote the state.
            let Some(slot) = self.customers.get(key) else {
                continue;
            };
            let (version, updated_at) = (slot.state.version, slot.state.updated_at);
            if version >= position.version() {
                continue;
            }
            let look = Look {
                asked: Aspects::ALL,
                cause: Cause::Rule,
                now: self.now_at(updated_at),
                position,
            };
            if self.look(key, look, out) {
                self.touch_at(key, position.version(), touched);
            }
        }
    }

    /// The longest window of an organization's segments, in days.
    pub(super) fn window(&self, organization: &OrganizationId) -> u32 {
        self.definitions
            .segments(organization)
            .map_or(0, Rules::days)
    }
}
