//! What a cycle must know from the warehouse before it can be folded: found out in one pass, looked up in one go.

use hashbrown::{HashMap, HashSet};
use schemas::{Body, Control, CustomerRef, Event, Position, Record};

use super::Engine;
use super::customers::{Slot, StoredBucket, StoredState};
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
}

impl Needs {
    /// Whether there is nothing to look up.
    pub fn is_empty(&self) -> bool {
        self.claims.is_empty() && self.customers.is_empty() && self.buckets.is_empty()
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
}

impl Engine {
    /// What these records need. They must follow on [`Engine::next`].
    pub fn needs(&self, records: &[Prepared]) -> Needs {
        let mut needs = Needs::default();
        let mut asked = HashSet::new();
        let mut asked_buckets = HashSet::new();
        for record in records {
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
                            if !self.customers.contains(key)
                                && asked.insert(key)
                                && let Some(customer) = self.timers.customer(key)
                            {
                                needs.customers.push((key, customer.clone()));
                            }
                        }
                    }
                }
                Content::Undecodable(_) => {}
            }
        }
        needs
    }

    /// Takes in what was found of `needs`. Returns whether a state is ahead of this engine, which then has to know
    /// what rejections have landed (see [`Engine::load_rejections`]).
    pub fn supply(
        &mut self,
        needs: &Needs,
        states: Vec<StoredState>,
        buckets: Vec<StoredBucket>,
    ) -> bool {
        let next = self.position(self.next).version();
        let mut ahead = false;
        for stored in states {
            let key = stored.key();
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
        ahead
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
