//! Segments: which of its organization's a customer is in, looked at after everything that happens to it.
//!
//! An event asks only the segments that look at what it has changed, and time asks only when it may have changed
//! something: the customer's state says from when on.

mod facts;
mod membership;
mod rules;

pub use facts::{Days, View};
pub use membership::{Member, Memberships};
pub use rules::{Rule, Rules};

use compact_str::CompactString;
use schemas::criteria::Aspects;
use schemas::event::Effects;
use schemas::{Body, Currency, Event, Timestamp};

use super::{Applied, Edited, State};
use facts::Address;

/// A customer that has entered or left a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentChange {
    /// The segment.
    pub segment: CompactString,
    /// Entered, or left.
    pub entered: bool,
    /// The version of the segment by which.
    pub rule_version: u64,
    /// The time that it was then.
    pub at: Timestamp,
}

/// Why it was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause<'a> {
    /// An event, by its id.
    Event(&'a str),
    /// Time.
    Tick,
    /// The segment's rule.
    Rule,
    /// Staff asked for this customer, by an event.
    Assign(&'a str),
}

impl<'a> Cause<'a> {
    /// The cause that an event is.
    pub fn of(event: &'a Event) -> Self {
        match assigns(event) {
            true => Cause::Assign(&event.event_id),
            false => Cause::Event(&event.event_id),
        }
    }

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Cause::Event(_) => "event",
            Cause::Tick => "tick",
            Cause::Rule => "rule",
            Cause::Assign(_) => "assign",
        }
    }

    /// The event, where it was one.
    pub fn event_id(self) -> &'a str {
        match self {
            Cause::Event(id) | Cause::Assign(id) => id,
            Cause::Tick | Cause::Rule => "",
        }
    }
}

/// Decides of segments what staff have decided. Who is in them is looked at after the whole change.
pub(super) fn assign(state: &mut State, effects: &Effects, applied: &mut Applied) {
    let text = |held: Option<bool>| match held {
        Some(held) => format!("{{\"member\":{held}}}").into(),
        None => Box::default(),
    };
    for assign in &effects.assign {
        let before = state.segments.hold(&assign.segment, assign.member);
        if before == assign.member {
            continue;
        }
        applied.edits.push(Edited {
            record: "segment".into(),
            id: assign.segment.clone(),
            action: effects.action.clone(),
            origin: effects.origin.clone(),
            before: text(before),
            after: text(assign.member),
        });
    }
}

/// Whether staff ask for the customer's segments.
fn assigns(event: &Event) -> bool {
    matches!(&event.body, Body::Change(change) if !change.effects.assign.is_empty())
}

/// What an event has changed of a customer.
pub fn changed(event: &Event, before: &State, after: &State) -> Aspects {
    if before.is_new() || after.is_deleted || assigns(event) {
        return Aspects::ALL;
    }
    let money = before.orders != after.orders
        || before.refunds != after.refunds
        || before.last_order != after.last_order
        || before.money != after.money;
    let seen = before.first_seen != after.first_seen || before.last_seen != after.last_seen;
    let touched = before.interactions != after.interactions;
    Aspects::NONE
        .with_if(
            !std::sync::Arc::ptr_eq(&before.profile, &after.profile),
            Aspects::PROFILE,
        )
        .with_if(before.status != after.status, Aspects::STATUS)
        .with_if(before.loyalty != after.loyalty, Aspects::LOYALTY)
        .with_if(money, Aspects::MONEY)
        .with_if(before.activities != after.activities, Aspects::ACTIVITY)
        .with_if(
            touched || before.last_contact != after.last_contact,
            Aspects::INTERACTION,
        )
        .with_if(seen, Aspects::SEEN)
}

/// Looks at the segments that `asked` concerns, or all where it is [`Aspects::ALL`], in the order of the rules. Returns who
/// entered and left.
pub fn evaluate(
    rules: &Rules,
    state: &mut State,
    days: &impl Days,
    currency: Currency,
    asked: Aspects,
    now: Timestamp,
) -> Vec<SegmentChange> {
    let mut memberships = std::mem::take(&mut state.segments);
    let mut changes = Vec::new();
    let all = asked == Aspects::ALL;
    if all {
        leave_others(rules, state, &mut memberships, now, &mut changes);
    }
    if !state.is_deleted {
        let pass = Pass {
            state,
            days,
            currency,
            asked,
            now,
        };
        pass.ask(rules, &mut memberships, &mut changes);
    }
    state.segments = memberships;
    changes
}

/// Of a segment that is no more, nobody is a member, and somebody who is deleted is in none.
fn leave_others(
    rules: &Rules,
    state: &State,
    memberships: &mut Memberships,
    now: Timestamp,
    changes: &mut Vec<SegmentChange>,
) {
    let left: Vec<CompactString> = memberships
        .iter()
        .map(|(segment, _)| segment)
        .filter(|segment| state.is_deleted || !rules.has(segment))
        .cloned()
        .collect();
    for segment in left {
        memberships.leave(&segment);
        changes.push(SegmentChange {
            entered: false,
            rule_version: rules.version(&segment),
            at: now,
            segment,
        });
    }
    match state.is_deleted {
        true => *memberships = Memberships::default(),
        false => memberships.release(|segment| rules.has(segment)),
    }
}

/// One look at a customer.
struct Pass<'a, D> {
    state: &'a State,
    days: &'a D,
    currency: Currency,
    asked: Aspects,
    now: Timestamp,
}

impl<D: Days> Pass<'_, D> {
    fn ask(&self, rules: &Rules, memberships: &mut Memberships, changes: &mut Vec<SegmentChange>) {
        let Self { asked, now, .. } = *self;
        let all = asked == Aspects::ALL;
        let overdue = memberships.due.is_some_and(|due| due <= now);
        let asked = asked.with_if(overdue, Aspects::TIME);
        // One that is too early does no harm: then all that time may change is asked.
        let mut due = memberships.due.filter(|_| !all && !overdue);
        let address = Address::default();
        let mut moved: Vec<usize> = Vec::new();
        for (index, rule) in rules.iter().enumerate() {
            let concerned = rule.aspects.meets(asked)
                || all
                || rule.refers.iter().any(|other| moved.contains(other));
            if !concerned {
                continue;
            }
            let view = View {
                state: self.state,
                days: self.days,
                currency: self.currency,
                memberships,
                address: &address,
            };
            let held = memberships.held_in(&rule.id);
            let holds = match (&rule.criteria, held) {
                (_, Some(held)) => held,
                (None, None) => false,
                (Some(criteria), None) => {
                    if rule.aspects.meets(Aspects::TIME) {
                        let next = criteria.next_change(&view, now);
                        due = due.into_iter().chain(next).min();
                    }
                    criteria.matches(&view, now)
                }
            };
            if holds == memberships.has(&rule.id) {
                continue;
            }
            match holds {
                true => memberships.enter(&rule.id, rule.version, now),
                false => memberships.leave(&rule.id),
            }
            if rules.any_refers() {
                moved.push(index);
            }
            changes.push(SegmentChange {
                segment: rule.id.clone(),
                entered: holds,
                rule_version: rule.version,
                at: now,
            });
        }
        memberships.due = due;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
