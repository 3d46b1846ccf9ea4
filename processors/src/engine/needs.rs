//! What a cycle must know from the warehouse before it can be folded: found out in one pass, looked up in one go.

use hashbrown::{HashMap, HashSet};
use schemas::{Body, Control, CustomerRef, Event, OrganizationId, Position, Record};

use super::Engine;
use super::customers::{Slot, StoredBucket, StoredState};
use super::windows::Windows;
use crate::claims::Claim;
use crate::fold::{DayKey, next_due};
use crate::prepare::{Content, CustomerKey, Prepared};

/// What to look up.
#[derive(Debug, Default)]
pub struct Needs {
    /// Claims that the warehouse may hold.
    pub claims: Vec<Claim>,
    /// Customers that are not in memory and may exist.
    pub customers: Vec<(CustomerKey, CustomerRef)>,
    /// Buckets that are not in memory and may exist.
    pub buckets: Vec<(CustomerKey, CustomerRef, DayKey)>,
    /// Customers of whom every bucket of a day and later ones is needed.
    pub windows: Vec<(CustomerKey, CustomerRef, i32)>,
    /// Everybody is needed who lives in a bucket of an organization, with the daily buckets of a day and later ones.
    pub homes: Vec<Home>,
}

/// The customers of an organization that live in a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    /// The organization.
    pub organization: OrganizationId,
    /// The bucket.
    pub bucket: u16,
    /// The first day of which their daily buckets are needed; none where no window is asked for.
    pub from: Option<i32>,
}

/// A customer whose buckets in the warehouse count more than its state does: what they had counted up to a version is to
/// be counted again, from the events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recount {
    /// Which customer.
    pub key: CustomerKey,
    /// Whose.
    pub customer: CustomerRef,
    /// The first day.
    pub from: i32,
    /// The last version that counts.
    pub version: u64,
}

/// What taking in what was found has shown.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Supplied {
    /// A state is ahead of this engine, which then has to know what rejections have landed (see
    /// [`Engine::load_rejections`]).
    pub ahead: bool,
    /// What is to be counted again (see [`Engine::supply_recounted`]).
    pub recounts: Vec<Recount>,
}

impl Needs {
    /// Whether there is nothing to look up.
    pub fn is_empty(&self) -> bool {
        self.claims.is_empty()
            && self.customers.is_empty()
            && self.buckets.is_empty()
            && self.windows.is_empty()
            && self.homes.is_empty()
    }
}

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    /// The first position that holds each claim found.
    pub claims: HashMap<Claim, Position>,
    /// The latest states.
    pub states: Vec<StoredState>,
    /// The latest buckets.
    pub buckets: Vec<StoredBucket>,
    /// The latest buckets of windows and homes.
    pub windows: Vec<StoredBucket>,
}

impl Engine {
    /// What these records need. They must follow on [`Engine::next`].
    pub fn needs(&self, records: &[Prepared]) -> Needs {
        let mut needs = Needs::default();
        let mut asked = HashSet::new();
        let mut asked_buckets = HashSet::new();
        let mut windows = Windows::new(self, records);
        for record in records {
            windows.pass(record);
            match &record.content {
                Content::Event(_, key, claim) => {
                    if self.claims.in_flight(*claim).is_none() && self.claims.may_be_stored(*claim)
                    {
                        needs.claims.push(*claim);
                    }
                    let Some(event) = record.content.event() else {
                        continue;
                    };
                    let missing = match self.customers.get(*key) {
                        Some(slot) => bucket_key(event).is_some_and(|bucket| slot.lacks(bucket)),
                        None if self.customers.must_look_up(*key) => {
                            if asked.insert(*key) {
                                needs.customers.push((*key, customer(event)));
                            }
                            true
                        }
                        None => false,
                    };
                    windows.add(*key, &event.organization, || customer(event));
                    if missing
                        && let Some(bucket) = bucket_key(event)
                        && asked_buckets.insert((*key, bucket))
                    {
                        needs.buckets.push((*key, customer(event), bucket));
                    }
                }
                Content::Control(control) => {
                    if let Record::Control(Control::Tick { at }) = &**control {
                        for key in self.timers.due(*at) {
                            let Some(customer) = self.timers.customer(key) else {
                                continue;
                            };
                            windows.add(key, &customer.organization, || customer.clone());
                            if !self.customers.contains(key) && asked.insert(key) {
                                needs.customers.push((key, customer.clone()));
                            }
                        }
                    }
                    if let Record::Control(Control::Evaluate {
                        organization,
                        bucket,
                        ..
                    }) = &**control
                    {
                        needs.homes.push(windows.home(organization, *bucket));
                    }
                }
                Content::Undecodable(_) => {}
            }
        }
        needs.windows = windows.finish();
        needs
    }

    /// Takes in what was found of `needs`.
    pub fn supply(&mut self, needs: &Needs, found: Found) -> Supplied {
        let Found {
            states,
            buckets,
            windows,
            ..
        } = found;
        let next = self.position(self.next).version();
        let mut ahead = false;
        for stored in states {
            let key = stored.key();
            if self.customers.contains(key) {
                // Memory is never behind the warehouse of its own doing; of a home everybody is read.
                continue;
            }
            ahead |= stored.state.version >= next;
            self.timers
                .set(key, next_due(&stored.state), || stored.customer.clone());
            self.customers
                .insert(key, Slot::new(stored.customer, stored.state));
        }
        let mut found: HashMap<(CustomerKey, DayKey), StoredBucket> = buckets
            .into_iter()
            .map(|stored| {
                let customer = &stored.customer;
                (
                    (
                        CustomerKey::of(customer.organization.as_str(), &customer.customer_id),
                        stored.key,
                    ),
                    stored,
                )
            })
            .collect();
        for (key, _, bucket_key) in &needs.buckets {
            let stored = found.remove(&(*key, *bucket_key));
            let Some(slot) = self.customers.get_mut(*key) else {
                continue;
            };
            let (bucket, new) = slot.bucket(*bucket_key);
            if let (Some(stored), true) = (stored, new) {
                bucket.totals = stored.totals;
            }
            if new {
                self.customers.bucket_added();
            }
        }
        let recounts = self.supply_windows(needs, windows);
        Supplied { ahead, recounts }
    }
}

fn customer(event: &Event) -> CustomerRef {
    CustomerRef {
        organization: event.organization.clone(),
        customer_id: event.customer_id.clone(),
    }
}

/// The bucket an event counts into, whatever the fold makes of it.
fn bucket_key(event: &Event) -> Option<DayKey> {
    let currency = match &event.body {
        Body::User(_) | Body::Change(_) => return None,
        Body::Purchase(purchase) => Some(purchase.currency),
        Body::Activity(_) | Body::Interaction(_) => None,
    };
    Some(DayKey {
        day: event.occurred_at.day(),
        currency,
    })
}
