//! What passes between the threads of a Kafka consumer and the one that polls it. Bounded in bytes.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use metrics::Gauge;
use parking_lot::{Condvar, Mutex};
use tokio::sync::Notify;

use crate::{Delivery, Limits, LogError, LogRecord};

/// A record weighs this much beside its payload.
const RECORD_OVERHEAD: usize = 128;

/// What the fetcher is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// Fetch a partition from an offset on; what is fetched carries the epoch.
    Start {
        partition: u32,
        offset: u64,
        epoch: u64,
    },
    Stop {
        partition: u32,
    },
}

#[derive(Debug)]
pub(super) struct Inbox {
    state: Mutex<State>,
    /// Wakes the poll.
    pub(super) arrived: Notify,
    /// Wakes the fetcher: room, or closing.
    room: Condvar,
    /// Wakes the member: a revocation confirmed, or closing.
    confirmed: Condvar,
    capacity: usize,
}

#[derive(Debug)]
struct State {
    /// Rebalances not delivered yet.
    events: VecDeque<Delivery>,
    partitions: BTreeMap<u32, Partition>,
    orders: VecDeque<Order>,
    bytes: usize,
    held: Gauge,
    epochs: u64,
    /// The partition to begin with, so that none is starved by a busy one.
    turn: u32,
    /// How many revocations have been told, delivered and confirmed.
    told: u64,
    delivered: u64,
    done: u64,
    polled_at: Instant,
    failure: Option<LogError>,
    closed: bool,
}

/// A partition that is ours.
#[derive(Debug, Default)]
struct Partition {
    /// Of the latest start; 0 before the first.
    epoch: u64,
    records: VecDeque<LogRecord>,
}

impl Inbox {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            state: Mutex::new(State {
                events: VecDeque::new(),
                partitions: BTreeMap::new(),
                orders: VecDeque::new(),
                bytes: 0,
                held: crate::metrics::read_ahead_bytes(),
                epochs: 0,
                turn: 0,
                told: 0,
                delivered: 0,
                done: 0,
                polled_at: Instant::now(),
                failure: None,
                closed: false,
            }),
            arrived: Notify::new(),
            room: Condvar::new(),
            confirmed: Condvar::new(),
            capacity,
        }
    }

    // The poll's side.

    /// Says that everything delivered so far has been dealt with.
    pub(super) fn confirm(&self) {
        let mut state = self.state.lock();
        state.polled_at = Instant::now();
        if state.done < state.delivered {
            state.done = state.delivered;
            drop(state);
            self.confirmed.notify_all();
        }
    }

    /// The next rebalance if there is one, records otherwise.
    pub(super) fn take(&self, limits: &Limits) -> Result<Vec<Delivery>, LogError> {
        let mut state = self.state.lock();
        state.polled_at = Instant::now();
        if state.closed {
            return Err(LogError::Closed);
        }
        if let Some(event) = state.take_event() {
            return Ok(vec![event]);
        }
        let deliveries = state.take_records(limits);
        if deliveries.is_empty() {
            return state.failure.take().map_or(Ok(deliveries), Err);
        }
        drop(state);
        self.room.notify_all();
        Ok(deliveries)
    }

    /// Fetches an assigned partition from `offset` on.
    pub(super) fn start(&self, partition: u32, offset: u64) -> Result<(), LogError> {
        let mut state = self.state.lock();
        state.epochs += 1;
        let epoch = state.epochs;
        let Some(owned) = state.partitions.get_mut(&partition) else {
            return Err(LogError::NotAssigned { partition });
        };
        owned.epoch = epoch;
        let dropped = std::mem::take(&mut owned.records);
        state.let_go(&dropped);
        state.orders.push_back(Order::Start {
            partition,
            offset,
            epoch,
        });
        drop(state);
        self.room.notify_all();
        Ok(())
    }

    pub(super) fn owns(&self, partition: u32) -> bool {
        self.state.lock().partitions.contains_key(&partition)
    }

    pub(super) fn close(&self) {
        self.state.lock().closed = true;
        self.room.notify_all();
        self.confirmed.notify_all();
        self.arrived.notify_waiters();
    }

    // The member's side.

    pub(super) fn assigned(&self, partitions: Vec<u32>) {
        self.state
            .lock()
            .events
            .push_back(Delivery::Assigned(partitions));
        self.arrived.notify_waiters();
    }

    /// The partitions are gone already.
    pub(super) fn lost(&self, partitions: Vec<u32>) {
        self.state
            .lock()
            .events
            .push_back(Delivery::Lost(partitions));
        self.arrived.notify_waiters();
    }

    /// Tells of a revocation and waits until the next poll after it, but no longer than `timeout`: then the
    /// partitions are lost.
    pub(super) fn revoke(&self, partitions: Vec<u32>, timeout: Duration) {
        let until = Instant::now() + timeout;
        let mut state = self.state.lock();
        state
            .events
            .push_back(Delivery::Revoked(partitions.clone()));
        state.told += 1;
        let revocation = state.told;
        self.arrived.notify_waiters();
        while state.done < revocation && !state.closed {
            if self.confirmed.wait_until(&mut state, until).timed_out() {
                tracing::warn!(
                    ?partitions,
                    "revoked partitions were not let go in time; look what holds up this processor"
                );
                state.events.push_back(Delivery::Lost(partitions));
                drop(state);
                self.arrived.notify_waiters();
                return;
            }
        }
    }

    /// How long nobody has polled.
    pub(super) fn idle(&self) -> Duration {
        self.state.lock().polled_at.elapsed()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.state.lock().closed
    }

    // The fetcher's side.

    /// What to start and stop, in order.
    pub(super) fn orders(&self) -> Vec<Order> {
        self.state.lock().orders.drain(..).collect()
    }

    /// Waits, at most so long, until there is room for more or something else to do. True when there is room.
    pub(super) fn wait_for_room(&self, wait: Duration) -> bool {
        let mut state = self.state.lock();
        if state.bytes >= self.capacity && state.orders.is_empty() && !state.closed {
            self.room.wait_for(&mut state, wait);
        }
        state.bytes < self.capacity
    }

    /// Takes what was fetched of a partition, unless it has been started anew or is not ours any more.
    pub(super) fn fetched(&self, partition: u32, epoch: u64, records: Vec<LogRecord>) {
        let mut state = self.state.lock();
        let weight: usize = records.iter().map(weight).sum();
        let Some(owned) = state
            .partitions
            .get_mut(&partition)
            .filter(|owned| owned.epoch == epoch)
        else {
            return;
        };
        owned.records.extend(records);
        state.bytes += weight;
        state.held.increment(weight as f64);
        drop(state);
        self.arrived.notify_waiters();
    }

    /// The next poll that finds nothing else says so.
    pub(super) fn fail(&self, error: LogError) {
        self.state.lock().failure = Some(error);
        self.arrived.notify_waiters();
    }
}

impl State {
    /// One at a time: what is assigned can be started even if it is taken away again right after.
    fn take_event(&mut self) -> Option<Delivery> {
        let event = self.events.pop_front()?;
        match &event {
            Delivery::Assigned(partitions) => {
                let assigned = partitions
                    .iter()
                    .map(|partition| (*partition, Partition::default()));
                self.partitions.extend(assigned);
            }
            Delivery::Revoked(partitions) | Delivery::Lost(partitions) => {
                for partition in partitions {
                    self.give_up(*partition);
                }
            }
            Delivery::Records { .. } => {}
        }
        if matches!(event, Delivery::Revoked(_)) {
            self.delivered += 1;
        }
        Some(event)
    }

    fn let_go<'a>(&mut self, records: impl IntoIterator<Item = &'a LogRecord>) {
        let bytes: usize = records.into_iter().map(weight).sum();
        self.bytes -= bytes;
        self.held.decrement(bytes as f64);
    }

    fn give_up(&mut self, partition: u32) {
        if let Some(owned) = self.partitions.remove(&partition) {
            self.let_go(&owned.records);
            self.orders.push_back(Order::Stop { partition });
        }
    }

    fn take_records(&mut self, limits: &Limits) -> Vec<Delivery> {
        let mut deliveries = Vec::new();
        let (mut records_left, mut bytes_left) = (limits.max_records.max(1), limits.max_bytes);
        let turn = self.turn;
        let in_turn: Vec<u32> = self
            .partitions
            .range(turn..)
            .chain(self.partitions.range(..turn))
            .filter(|(_, owned)| !owned.records.is_empty())
            .map(|(partition, _)| *partition)
            .collect();
        for partition in in_turn {
            if records_left == 0 || (bytes_left == 0 && !deliveries.is_empty()) {
                self.turn = partition;
                break;
            }
            let Some(owned) = self.partitions.get_mut(&partition) else {
                continue;
            };
            let mut fitting = 0;
            for record in &owned.records {
                let bytes = record.payload.len();
                let first = deliveries.is_empty() && fitting == 0;
                if fitting == records_left || (bytes > bytes_left && !first) {
                    break;
                }
                bytes_left -= bytes.min(bytes_left);
                fitting += 1;
            }
            if fitting == 0 {
                self.turn = partition;
                break;
            }
            records_left -= fitting;
            let records: Vec<LogRecord> = owned.records.drain(..fitting).collect();
            self.let_go(&records);
            deliveries.push(Delivery::Records { partition, records });
        }
        deliveries
    }
}

fn weight(record: &LogRecord) -> usize {
    record.payload.len() + RECORD_OVERHEAD
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use bytes::Bytes;
    use schemas::Position;

    use super::*;

    fn records(partition: u32, offsets: std::ops::Range<u64>) -> Vec<LogRecord> {
        offsets
            .map(|offset| LogRecord {
                position: Position {
                    generation: 1,
                    partition,
                    offset,
                },
                payload: Bytes::from_static(&[0; 100]),
                decoded: None,
                appended_at: 0,
                trace: None,
            })
            .collect()
    }

    fn offsets(deliveries: &[Delivery]) -> Vec<(u32, Vec<u64>)> {
        deliveries
            .iter()
            .map(|delivery| match delivery {
                Delivery::Records { partition, records } => (
                    *partition,
                    records
                        .iter()
                        .map(|record| record.position.offset)
                        .collect(),
                ),
                other => panic!("{other:?}"),
            })
            .collect()
    }

    fn owning(partitions: &[u32]) -> Inbox {
        let inbox = Inbox::new(10_000);
        inbox.assigned(partitions.to_vec());
        inbox.take(&Limits::default()).unwrap();
        inbox
    }

    #[test]
    fn what_an_earlier_start_fetched_is_dropped() {
        let inbox = owning(&[0]);
        inbox.start(0, 5).unwrap();
        inbox.fetched(0, 1, records(0, 5..7));
        inbox.start(0, 2).unwrap();
        inbox.fetched(0, 1, records(0, 7..9));
        inbox.fetched(0, 2, records(0, 2..4));
        assert_eq!(
            offsets(&inbox.take(&Limits::default()).unwrap()),
            [(0, vec![2, 3])]
        );
        assert_eq!(inbox.state.lock().bytes, 0);
    }

    #[test]
    fn limits_hold_and_turns_change() {
        let inbox = owning(&[0, 1]);
        inbox.start(0, 0).unwrap();
        inbox.start(1, 0).unwrap();
        inbox.fetched(0, 1, records(0, 0..4));
        inbox.fetched(1, 2, records(1, 0..4));
        let limits = Limits {
            max_records: 100,
            max_bytes: 250,
            wait: Duration::ZERO,
        };
        assert_eq!(offsets(&inbox.take(&limits).unwrap()), [(0, vec![0, 1])]);
        assert_eq!(offsets(&inbox.take(&limits).unwrap()), [(1, vec![0, 1])]);
        let limits = Limits {
            max_records: 3,
            ..limits
        };
        let limits = Limits {
            max_bytes: 1_000,
            ..limits
        };
        assert_eq!(
            offsets(&inbox.take(&limits).unwrap())
                .iter()
                .map(|(_, o)| o.len())
                .sum::<usize>(),
            3
        );
    }

    #[test]
    fn nothing_of_a_revoked_partition_is_delivered() {
        let inbox = owning(&[0, 1]);
        inbox.start(0, 0).unwrap();
        inbox.fetched(0, 1, records(0, 0..4));
        std::thread::scope(|scope| {
            let revoking = scope.spawn(|| inbox.revoke(vec![0], Duration::from_secs(30)));
            let delivered = loop {
                let taken = inbox
                    .take(&Limits {
                        max_records: 1,
                        ..Limits::default()
                    })
                    .unwrap();
                if matches!(taken.first(), Some(Delivery::Revoked(_))) {
                    break taken;
                }
            };
            assert_eq!(delivered.len(), 1);
            assert!(!revoking.is_finished(), "not before the next poll");
            inbox.confirm();
            revoking.join().unwrap();
        });
        assert!(inbox.take(&Limits::default()).unwrap().is_empty());
        assert!(matches!(
            inbox.start(0, 0),
            Err(LogError::NotAssigned { partition: 0 })
        ));
        assert_eq!(inbox.orders().last(), Some(&Order::Stop { partition: 0 }));
    }

    #[test]
    fn who_does_not_let_go_in_time_loses() {
        let inbox = owning(&[0]);
        inbox.revoke(vec![0], Duration::from_millis(5));
        let taken = inbox.take(&Limits::default()).unwrap();
        assert!(matches!(&taken[..], [Delivery::Revoked(_)]));
        let taken = inbox.take(&Limits::default()).unwrap();
        assert!(matches!(&taken[..], [Delivery::Lost(lost)] if *lost == [0]));
    }
}
