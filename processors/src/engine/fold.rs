//! The cycle, record by record.

use std::panic::{AssertUnwindSafe, catch_unwind};

use hashbrown::HashMap;
use schemas::criteria::Aspects;
use schemas::record::{DecodeError, Envelope};
use schemas::{Control, CustomerRef, Event, Position, Record, Timestamp, bucket};

use super::customers::Slot;
use super::segments::Look;
use super::{Engine, EngineError, Part};
use crate::claims::Claim;
use crate::fold::{self, Applied, Cause, DayDelta, DayKey, Refusal, State};
use crate::prepare::{Content, CustomerKey, Prepared, record_hash};
use crate::rows::{Output, Rejection, Stamp};

/// The reason of a rejection whose event id counts already.
pub const DUPLICATE: &str = "duplicate";
/// The reason of a rejection that Millrace itself is to blame for.
pub const INTERNAL: &str = "internal";
/// The reason of a rejection that is no record this program reads.
pub const UNDECODABLE: &str = "undecodable";

/// The reason of a rejection of an event in another partition than its customer's.
pub const MISPLACED: &str = "misplaced";

/// Who does what comes with time alone.
const CLOCK: &str = "clock";

/// What a cycle has changed so far.
#[derive(Default)]
pub(super) struct Touched {
    customers: Vec<CustomerKey>,
    buckets: Vec<(CustomerKey, DayKey)>,
}

impl Engine {
    /// Folds records, which must follow on [`Engine::next`]. `held` has the stored holders of the claims that
    /// [`Engine::needs`] named. Rows go to `out`; `None` where there were no records.
    ///
    /// # Errors
    /// When this program cannot go on with the partition at all.
    pub fn fold(
        &mut self,
        records: &[Prepared],
        held: &HashMap<Claim, Position>,
        out: &mut Output,
    ) -> Result<Option<Part>, EngineError> {
        let Some(last) = records.last() else {
            return Ok(None);
        };
        self.customers.begin_cycle();
        let from = self.next;
        let begin = out.lengths();
        let mut touched = Touched::default();
        for record in records {
            self.progress.records += 1;
            match &record.content {
                Content::Undecodable(error) => self.undecodable(record, error, out),
                Content::Control(control) => {
                    self.control(record.offset, control, &mut touched, out)?
                }
                Content::Event(_, key, claim) => {
                    if let Some(event) = record.content.event() {
                        self.event(record, event, *key, *claim, held, &mut touched, out);
                    }
                }
            }
        }
        self.write_touched(touched, out);
        self.next = last.offset + 1;
        self.progress.next = self.next;
        self.progress.record_hash = record_hash(&last.payload);
        let end = out.lengths();
        let rows = std::array::from_fn(|table| (begin[table], end[table]));
        Ok(Some(Part {
            partition: self.setup.partition,
            from,
            progress: self.progress,
            appended_at: last.appended_at,
            rows,
        }))
    }

    fn undecodable(&mut self, record: &Prepared, error: &DecodeError, out: &mut Output) {
        self.progress.rejections += 1;
        let position = self.position(record.offset);
        let (reason, field, detail, envelope): (_, _, _, Option<&Envelope>) = match error {
            DecodeError::Event(error, envelope) => (
                error.code.as_str(),
                error.field.as_str(),
                error.detail.to_string(),
                Some(envelope),
            ),
            other => (UNDECODABLE, "", other.to_string(), None),
        };
        out.rejections.push(&Rejection {
            position,
            organization: envelope.map_or("", |envelope| envelope.organization.as_str()),
            customer_id: envelope.map_or("", |envelope| &envelope.customer_id),
            event_id: envelope.map_or("", |envelope| &envelope.event_id),
            kind: envelope.map_or("", |envelope| envelope.kind.as_str()),
            attempt: envelope.map_or(0, |envelope| envelope.attempt),
            received_at: envelope.map_or(
                Timestamp::from_micros(record.appended_at).kept(),
                |envelope| envelope.received_at,
            ),
            reason,
            field,
            detail: &detail,
            first: None,
            payload: &record.payload,
        });
    }

    fn control(
        &mut self,
        offset: u64,
        record: &Record,
        touched: &mut Touched,
        out: &mut Output,
    ) -> Result<(), EngineError> {
        self.progress.internal += 1;
        let position = self.position(offset);
        let Record::Control(control) = record else {
            return Ok(());
        };
        match control {
            Control::Probe => {}
            Control::Define { define } => {
                if self.setup.rules.definitions_from_log {
                    self.definitions
                        .define(define)
                        .map_err(|source| EngineError::UnknownFold { position, source })?;
                }
                out.controls.push(position, control);
            }
            Control::Tick { at } => {
                out.controls.push(position, control);
                self.progress.tick = self.progress.tick.max(at.micros());
                for key in self.timers.due(*at) {
                    self.fire(key, *at, position, touched, out);
                }
            }
            Control::Evaluate {
                organization,
                bucket,
                at,
            } => {
                out.controls.push(position, control);
                self.progress.tick = self.progress.tick.max(at.micros());
                self.look_at_all(organization, *bucket, position, touched, out);
            }
        }
        Ok(())
    }

    fn fire(
        &mut self,
        key: CustomerKey,
        now: Timestamp,
        position: Position,
        touched: &mut Touched,
        out: &mut Output,
    ) {
        let version = position.version();
        let Some(slot) = self.customers.get_mut(key) else {
            return;
        };
        if slot.state.version >= version {
            return;
        }
        let before = slot.state.weight();
        let organization = &slot.customer.organization;
        let fired = fold::tick(&self.definitions, organization, &mut slot.state, now);
        let mut asked = Aspects::NONE;
        let mut changed = fired.is_some();
        if let Some(fired) = fired {
            let customer = &slot.customer;
            let stamp = Stamp {
                version,
                at: now.kept(),
                by: CLOCK,
            };
            let bucket = bucket(&customer.organization, &customer.customer_id);
            for row in &fired.records {
                out.records.push(customer, bucket, stamp, row);
            }
            out.edits.push_at(position, customer, stamp, &fired.edits);
            if let Some(movement) = &fired.points {
                out.ledger.push(position, customer, now, "", movement);
                asked = Aspects::LOYALTY;
            }
            let after = slot.state.weight();
            let due = fold::next_due(&slot.state);
            self.timers.set(key, due, || customer.clone());
            self.customers.resized(before, after);
        }
        let look = Look {
            asked,
            cause: Cause::Tick,
            now: self.now_at(now),
            position,
        };
        changed |= self.look(key, look, out);
        if changed {
            self.touch_at(key, version, touched);
        }
    }

    /// Stamps a customer that a record has changed without counting anything.
    pub(super) fn touch_at(&mut self, key: CustomerKey, version: u64, touched: &mut Touched) {
        if let Some(slot) = self.customers.get_mut(key) {
            slot.state.version = version;
            if !std::mem::replace(&mut slot.touched, true) {
                touched.customers.push(key);
            }
        }
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "one record with all that is known of it"
    )]
    fn event(
        &mut self,
        record: &Prepared,
        event: &Event,
        key: CustomerKey,
        claim: Claim,
        held: &HashMap<Claim, Position>,
        touched: &mut Touched,
        out: &mut Output,
    ) {
        let position = self.position(record.offset);
        let rules = self.setup.rules;
        let bucket = bucket(&event.organization, &event.customer_id);

        // Folded here it would race with what its customer's own partition does, and a claim here would not be seen there.
        let partition = u32::from(bucket) % self.setup.partitions;
        if partition != self.setup.partition {
            self.progress.rejections += 1;
            let refusal = Refusal {
                reason: MISPLACED,
                field: "customer_id".to_owned(),
                detail: format!("this customer's events belong into partition {partition}"),
            };
            out.rejections
                .push(&rejection(record, event, position, &refusal, None));
            return;
        }

        // The first position that holds the id wins, whatever became of it there.
        let mine = self
            .claims
            .in_flight(claim)
            .filter(|&offset| match offset >= self.next {
                true => rules.claims_of_this_cycle,
                false => rules.claims_in_flight,
            });
        let holder = mine
            .map(|offset| self.position(offset))
            .or_else(|| held.get(&claim).copied());
        if let Some(first) =
            holder.filter(|first| !rules.own_claim_is_replay || precedes(*first, position))
        {
            self.progress.rejections += 1;
            self.progress.duplicates += 1;
            let refusal = Refusal {
                reason: DUPLICATE,
                field: "event_id".to_owned(),
                detail: format!("this event id counts already, at {first}"),
            };
            out.rejections
                .push(&rejection(record, event, position, &refusal, Some(first)));
            return;
        }

        // What the customer's state has seen has been written already, and only its claim is news to this process.
        let version = position.version();
        if self
            .customers
            .get(key)
            .is_some_and(|slot| slot.state.version >= version)
        {
            if rules.skipped_keep_claim {
                self.claims.claim(claim, record.offset, event.received_at);
            }
            match rules.landed_rejections && self.landed_rejections.contains(&record.offset) {
                true => self.progress.rejections += 1,
                false => self.progress.events += 1,
            }
            if !rules.skipped_emit_nothing {
                out.events.push(position, event);
            }
            return;
        }

        match self.apply(key, event, version, touched) {
            Ok((applied, asked)) => {
                self.progress.events += 1;
                if let Some(asked) = asked {
                    let look = Look {
                        asked,
                        cause: Cause::of(event),
                        now: self.now_at(event.received_at),
                        position,
                    };
                    self.look(key, look, out);
                }
                out.events.push(position, event);
                out.edits.push(position, event, &applied.edits);
                if let Some(movement) = &applied.points
                    && let Some(slot) = self.customers.get(key)
                {
                    let (at, by) = (event.received_at, &*event.source);
                    out.ledger.push(position, &slot.customer, at, by, movement);
                }
                let stamp = Stamp {
                    version,
                    at: event.received_at,
                    by: &event.source,
                };
                if let Some(slot) = self
                    .customers
                    .get(key)
                    .filter(|_| !applied.records.is_empty())
                {
                    for row in &applied.records {
                        out.records.push(&slot.customer, bucket, stamp, row);
                    }
                }
            }
            Err(refusal) => {
                self.progress.rejections += 1;
                out.rejections
                    .push(&rejection(record, event, position, &refusal, None));
                if !rules.rejected_claim {
                    return;
                }
            }
        }
        self.claims.claim(claim, record.offset, event.received_at);
        out.ids.push(claim, bucket, position, event.received_at);
    }

    /// Folds into a copy, so that neither a refusal nor a panic leaves a half-changed state.
    fn apply(
        &mut self,
        key: CustomerKey,
        event: &Event,
        version: u64,
        touched: &mut Touched,
    ) -> Result<(Applied, Option<Aspects>), Refusal> {
        let slot = self.customers.get_mut(key);
        let known = slot.is_some();
        let mut state = match &slot {
            Some(slot) => slot.state.clone(),
            None => State::new(event.occurred_at, event.received_at),
        };
        let (fold, definitions) = (self.setup.fold, &self.definitions);
        let outcome = catch_unwind(AssertUnwindSafe(|| fold(definitions, &mut state, event)));
        let mut applied = outcome.unwrap_or_else(|panic| Err(internal(panic.as_ref())))?;
        state.version = version;

        let due = fold::next_due(&state);
        let rules = self.definitions.segments(&event.organization);
        let asked = rules.map(|_| match &slot {
            Some(slot) => fold::segments::changed(event, &slot.state, &state),
            None => Aspects::ALL,
        });
        let who = || CustomerRef {
            organization: event.organization.clone(),
            customer_id: event.customer_id.clone(),
        };
        match slot {
            Some(slot) => {
                let due_before = fold::next_due(&slot.state);
                // Weighing a profile walks its texts; most events change none.
                let resized = !std::sync::Arc::ptr_eq(&slot.state.profile, &state.profile)
                    || slot.state.money.len() != state.money.len()
                    || slot.state.edits.count != state.edits.count
                    || slot.state.loyalty.lots.len() != state.loyalty.lots.len()
                    || slot.state.segments.weight() != state.segments.weight();
                let sizes = resized.then(|| (slot.state.weight(), state.weight()));
                slot.state = state;
                if let Some((before, after)) = sizes {
                    self.customers.resized(before, after);
                }
                if due_before != due {
                    self.timers.set(key, due, who);
                }
            }
            None => {
                let mut slot = Slot::new(who(), state);
                slot.stored_nothing();
                self.customers.insert(key, slot);
                if due.is_some() {
                    self.timers.set(key, due, who);
                }
            }
        }
        self.touch(key, known, applied.day.take(), version, touched);
        Ok((applied, asked))
    }

    fn touch(
        &mut self,
        key: CustomerKey,
        known: bool,
        delta: Option<DayDelta>,
        version: u64,
        touched: &mut Touched,
    ) {
        let Some(slot) = self.customers.get_mut(key) else {
            return;
        };
        debug_assert!(known || !slot.touched);
        if !std::mem::replace(&mut slot.touched, true) {
            touched.customers.push(key);
        }
        let Some(delta) = delta else { return };
        let (bucket, new) = slot.bucket(delta.key);
        if !self.setup.rules.buckets_know_their_version {
            bucket.totals.version = 0;
        }
        bucket.totals.count(version, &delta.add);
        if !std::mem::replace(&mut bucket.touched, true) {
            touched.buckets.push((key, delta.key));
        }
        if new {
            self.customers.bucket_added();
        }
    }

    /// One row for each customer and bucket that changed, however often it did.
    fn write_touched(&mut self, touched: Touched, out: &mut Output) {
        for key in touched.customers {
            let Some(slot) = self.customers.get_mut(key) else {
                continue;
            };
            slot.touched = false;
            let bucket = bucket(&slot.customer.organization, &slot.customer.customer_id);
            let currency = self.definitions.currency(&slot.customer.organization);
            out.states
                .push(&slot.customer, bucket, currency, &slot.state);
        }
        for (key, day) in touched.buckets {
            let Some(slot) = self.customers.get_mut(key) else {
                continue;
            };
            let (entry, _) = slot.bucket(day);
            entry.touched = false;
            let totals = entry.totals;
            let bucket = bucket(&slot.customer.organization, &slot.customer.customer_id);
            out.days.push(&slot.customer, bucket, day, &totals);
        }
    }
}

/// Whether one position of a customer's comes before another: a customer stays in one partition for a generation.
fn precedes(first: Position, other: Position) -> bool {
    first.version() < other.version()
}

fn rejection<'a>(
    record: &'a Prepared,
    event: &'a Event,
    position: Position,
    refusal: &'a Refusal,
    first: Option<Position>,
) -> Rejection<'a> {
    Rejection {
        position,
        organization: event.organization.as_str(),
        customer_id: &event.customer_id,
        event_id: &event.event_id,
        kind: event.kind().as_str(),
        attempt: event.attempt,
        received_at: event.received_at,
        reason: refusal.reason,
        field: &refusal.field,
        detail: &refusal.detail,
        first,
        // A duplicate's body counts nowhere, and its first sending is kept.
        payload: &record.payload,
    }
}

fn internal(panic: &(dyn std::any::Any + Send)) -> Refusal {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    let detail = format!(
        "the fold failed on this event: {}",
        text.unwrap_or("no message")
    );
    tracing::error!(
        detail,
        "an event was rejected because the fold failed on it; report it and retry the rejection"
    );
    Refusal {
        reason: INTERNAL,
        field: String::new(),
        detail,
    }
}
