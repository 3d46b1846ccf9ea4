//! Sends at once, and gathers while that is under way.
//!
//! One group of appends is in flight; what is appended meanwhile waits and goes together when it is through. A lone
//! append does not wait, and many small ones share requests and wake-ups. A group that takes long, because one
//! partition's broker is away, holds nobody up for more than [`LONGEST_WAIT`].

use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;

/// Groups in flight before others gather. Two cost more CPU an event with single appends, and were no faster.
const GROUPS: usize = 1;
/// What has gathered so long goes anyway.
pub(super) const LONGEST_WAIT: Duration = Duration::from_millis(20);

/// Sends what it is given. Each item's sending is over when it has dropped its [`Flight`].
pub(super) trait Send<T>: std::marker::Send + Sync {
    fn send(&self, item: T, flight: Arc<Flight<T>>);
}

pub(super) struct Gatherer<T> {
    state: Mutex<State<T>>,
    sender: Box<dyn Send<T>>,
    this: Weak<Self>,
}

struct State<T> {
    groups: usize,
    waiting: Vec<T>,
}

/// A group under way: gone when all its items are through.
pub(super) struct Flight<T> {
    gatherer: Weak<Gatherer<T>>,
}

impl<T> Drop for Flight<T> {
    fn drop(&mut self) {
        if let Some(gatherer) = self.gatherer.upgrade() {
            gatherer.landed();
        }
    }
}

impl<T> Gatherer<T> {
    pub(super) fn new(sender: Box<dyn Send<T>>) -> Arc<Self> {
        let state = Mutex::new(State {
            groups: 0,
            waiting: Vec::new(),
        });
        Arc::new_cyclic(|this| Self {
            state,
            sender,
            this: Weak::clone(this),
        })
    }

    /// Sends the item, or lets it wait for the next group. True when it has been sent.
    pub(super) fn offer(&self, item: T) -> bool {
        let mut state = self.state.lock();
        if state.groups >= GROUPS {
            state.waiting.push(item);
            return false;
        }
        state.groups += 1;
        drop(state);
        self.fly(vec![item]);
        true
    }

    /// Sends what waits, however much is in flight.
    pub(super) fn hurry(&self) {
        let mut state = self.state.lock();
        let waiting = std::mem::take(&mut state.waiting);
        if waiting.is_empty() {
            return;
        }
        state.groups += 1;
        drop(state);
        self.fly(waiting);
    }

    fn landed(&self) {
        let mut state = self.state.lock();
        state.groups -= 1;
        if state.waiting.is_empty() || state.groups >= GROUPS {
            return;
        }
        state.groups += 1;
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        self.fly(waiting);
    }

    fn fly(&self, items: Vec<T>) {
        let flight = Arc::new(Flight {
            gatherer: Weak::clone(&self.this),
        });
        for item in items {
            self.sender.send(item, Arc::clone(&flight));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Flights = Arc<Mutex<Vec<(u32, Arc<Flight<u32>>)>>>;

    struct Recorder(Flights);

    impl Send<u32> for Recorder {
        fn send(&self, item: u32, flight: Arc<Flight<u32>>) {
            self.0.lock().push((item, flight));
        }
    }

    /// What is in flight now, landed.
    fn land(flights: &Flights) -> Vec<u32> {
        let landed = std::mem::take(&mut *flights.lock());
        landed.into_iter().map(|(item, _)| item).collect()
    }

    #[test]
    fn what_comes_while_a_group_is_in_flight_goes_together() {
        let flights = Flights::default();
        let gatherer = Gatherer::new(Box::new(Recorder(Arc::clone(&flights))));
        assert!(gatherer.offer(1));
        for item in 2..=5 {
            assert!(!gatherer.offer(item));
        }
        assert_eq!(land(&flights), [1]);
        assert_eq!(land(&flights), [2, 3, 4, 5], "one group");
        assert!(gatherer.offer(6), "all have landed");
    }

    #[test]
    fn a_stuck_group_holds_nobody_up() {
        let flights = Flights::default();
        let gatherer = Gatherer::new(Box::new(Recorder(Arc::clone(&flights))));
        for item in 1..=3 {
            gatherer.offer(item);
        }
        gatherer.hurry();
        let flying: Vec<u32> = flights.lock().iter().map(|(item, _)| *item).collect();
        assert_eq!(flying, [1, 2, 3]);
        assert!(!gatherer.offer(4), "two are in flight");
        assert_eq!(land(&flights), [1, 2, 3]);
        assert_eq!(land(&flights), [4]);
    }
}
