//! Windows: the daily buckets that evaluating a customer's segments needs, asked for and taken in.

use hashbrown::{HashMap, HashSet};
use schemas::{Control, CustomerRef, Define, OrganizationId, Record, Timestamp};

use super::Engine;
use super::customers::StoredBucket;
use super::needs::{Home, Needs, Recount};
use super::segments::first_day;
use crate::fold::segments::Rules;
use crate::prepare::{Content, CustomerKey, Prepared};

/// What windows need of the records of a cycle, while they are gone through in order.
pub(super) struct Windows<'a> {
    engine: &'a Engine,
    /// The longest windows that there are anywhere in the cycle, in days; empty where no segment is defined in it.
    coming: HashMap<OrganizationId, u32>,
    /// The last tick so far.
    tick: Timestamp,
    now: Timestamp,
    needed: HashMap<CustomerKey, (CustomerRef, i32)>,
}

impl<'a> Windows<'a> {
    pub(super) fn new(engine: &'a Engine, records: &[Prepared]) -> Self {
        let mut coming: HashMap<OrganizationId, u32> = HashMap::new();
        for record in records {
            if let Content::Control(control) = &record.content
                && let Record::Control(Control::Define {
                    define:
                        Define::Segment {
                            organization,
                            id,
                            version,
                            criteria,
                            is_active,
                        },
                }) = &**control
            {
                let mut rules = Rules::default();
                rules.define(id, *version, criteria, *is_active);
                let days = coming
                    .entry(organization.clone())
                    .or_insert_with(|| engine.window(organization));
                *days = rules.days().max(*days);
            }
        }
        let tick = Timestamp::from_micros(engine.progress.tick);
        Self {
            engine,
            coming,
            tick,
            now: tick,
            needed: HashMap::new(),
        }
    }

    /// Goes on to a record, and to the time that it is there.
    pub(super) fn pass(&mut self, record: &Prepared) {
        match &record.content {
            Content::Event(..) => {
                let received = record.content.event().map(|event| event.received_at);
                self.now = received.map_or(self.tick, |received| received.max(self.tick));
            }
            Content::Control(control) => {
                if let Record::Control(Control::Tick { at } | Control::Evaluate { at, .. }) =
                    &**control
                {
                    self.tick = self.tick.max(*at);
                }
                self.now = self.tick;
            }
            Content::Undecodable(_) => {}
        }
    }

    fn from(&self, organization: &OrganizationId) -> Option<i32> {
        let days = match self.coming.get(organization) {
            Some(days) => *days,
            None => self.engine.window(organization),
        };
        first_day(days, self.now)
    }

    /// Notes a customer that will be looked at.
    pub(super) fn add(
        &mut self,
        key: CustomerKey,
        organization: &OrganizationId,
        customer: impl FnOnce() -> CustomerRef,
    ) {
        let Some(from) = self.from(organization) else {
            return;
        };
        let customers = &self.engine.customers;
        let lacks = match customers.get(key) {
            Some(slot) => slot.lacks_from(from),
            None => customers.must_look_up(key),
        };
        if lacks {
            let entry = self.needed.entry(key).or_insert_with(|| (customer(), from));
            entry.1 = entry.1.min(from);
        }
    }

    /// Notes everybody in a bucket.
    pub(super) fn home(&mut self, organization: &OrganizationId, bucket: u16) -> Home {
        let from = self.from(organization);
        if from.is_some() {
            for key in self.engine.customers.living_in(organization, bucket) {
                let slot = self.engine.customers.get(key);
                let customer = || slot.map(|slot| slot.customer.clone());
                if let Some(customer) = customer() {
                    self.add(key, organization, || customer);
                }
            }
        }
        Home {
            organization: organization.clone(),
            bucket,
            from,
        }
    }

    pub(super) fn finish(self) -> Vec<(CustomerKey, CustomerRef, i32)> {
        self.needed
            .into_iter()
            .map(|(key, (customer, from))| (key, customer, from))
            .collect()
    }
}

impl Engine {
    /// Takes buckets into memory. Returns the customers of whom the warehouse counts more than their state does: somebody
    /// else is ahead, or was cut off between the two.
    pub(super) fn supply_windows(
        &mut self,
        needs: &Needs,
        buckets: Vec<StoredBucket>,
    ) -> Vec<Recount> {
        let mut wanted: HashMap<CustomerKey, i32> = needs
            .windows
            .iter()
            .map(|(key, _, from)| (*key, *from))
            .collect();
        for home in &needs.homes {
            let Some(from) = home.from else { continue };
            for key in self.customers.living_in(&home.organization, home.bucket) {
                if self
                    .customers
                    .get(key)
                    .is_some_and(|slot| slot.lacks_from(from))
                {
                    let known = wanted.entry(key).or_insert(from);
                    *known = from.min(*known);
                }
            }
        }
        let mut behind: HashSet<CustomerKey> = HashSet::new();
        for stored in &buckets {
            let key = stored.customer_key();
            let Some(&from) = wanted.get(&key) else {
                continue;
            };
            let Some(slot) = self.customers.get_mut(key) else {
                continue;
            };
            if stored.key.day < from {
                continue;
            }
            if stored.totals.version > slot.state.version {
                behind.insert(key);
            } else if slot.supply(stored, false) {
                self.customers.bucket_added();
            }
        }
        let mut recounts = Vec::new();
        for (key, from) in wanted {
            let Some(slot) = self.customers.get_mut(key) else {
                continue;
            };
            if !behind.contains(&key) && !slot.is_behind(from) {
                slot.is_whole_from(from);
                continue;
            }
            recounts.push(Recount {
                key,
                customer: slot.customer.clone(),
                from,
                version: slot.state.version,
            });
        }
        recounts
    }

    /// Takes in what was counted again.
    pub fn supply_recounted(&mut self, recounts: &[Recount], buckets: &[StoredBucket]) {
        for recount in recounts {
            if let Some(slot) = self.customers.get_mut(recount.key) {
                slot.forget_ahead(recount.from);
                slot.is_whole_from(recount.from);
            }
        }
        for stored in buckets {
            let key = stored.customer_key();
            if let Some(slot) = self.customers.get_mut(key)
                && slot.supply(stored, true)
            {
                self.customers.bucket_added();
            }
        }
    }
}
