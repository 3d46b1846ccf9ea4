//! Timers of the customers of a partition, in memory or not.

use std::collections::BTreeSet;

use hashbrown::HashMap;
use schemas::{CustomerRef, Timestamp};

use crate::prepare::CustomerKey;

#[derive(Debug, Default)]
pub(super) struct Timers {
    by_time: BTreeSet<(Timestamp, CustomerKey)>,
    by_customer: HashMap<CustomerKey, (Timestamp, CustomerRef)>,
}

impl Timers {
    /// Sets or clears a customer's timer.
    pub(super) fn set(
        &mut self,
        key: CustomerKey,
        due: Option<Timestamp>,
        customer: impl FnOnce() -> CustomerRef,
    ) {
        if due.is_none() && self.by_customer.is_empty() {
            return;
        }
        if let Some((before, _)) = self.by_customer.remove(&key) {
            self.by_time.remove(&(before, key));
        }
        if let Some(due) = due {
            self.by_time.insert((due, key));
            self.by_customer.insert(key, (due, customer()));
        }
    }

    /// The earliest.
    pub(super) fn first(&self) -> Option<Timestamp> {
        self.by_time.first().map(|(due, _)| *due)
    }

    /// The customers whose timers are due at `now`, in the order they fell due.
    pub(super) fn due(&self, now: Timestamp) -> Vec<CustomerKey> {
        self.by_time
            .iter()
            .take_while(|(due, _)| *due <= now)
            .map(|(_, key)| *key)
            .collect()
    }

    /// Who it is.
    pub(super) fn customer(&self, key: CustomerKey) -> Option<&CustomerRef> {
        self.by_customer.get(&key).map(|(_, customer)| customer)
    }

    pub(super) fn weight(&self) -> usize {
        self.by_customer.len() * 160
    }
}
