//! Ownership of every partition, by the means of the processors themselves: membership in their group.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use stream::{Consumer, Delivery, Limits, Log, LogError};
use tokio::sync::{Mutex, OwnedMutexGuard, watch};
use tokio_util::task::AbortOnDropHandle;

use super::ReplayError;
use crate::handle::{Handle, Hold};

/// How long others are given to let go. Members that are gone are noticed by a broker within this time.
const PATIENCE: Duration = Duration::from_secs(90);

/// What a member of the group owns.
#[derive(Debug, Default)]
struct Owned {
    partitions: BTreeSet<u32>,
    /// Whether it owned all once.
    whole: bool,
    /// Whether it lost any after that, even if it came back.
    lost: bool,
}

/// While it lives, nobody else owns a partition; then the processors take them over anew.
pub(super) struct Exclusive {
    owned: watch::Receiver<Owned>,
    /// Held while the group is polled: a partition is handed over at no other time.
    turn: Arc<Mutex<()>>,
    /// In this order: who gets the partitions next is to find the group without this member.
    _member: AbortOnDropHandle<()>,
    _held: Option<Hold>,
}

impl Exclusive {
    /// Waits until every partition is this member's.
    pub(super) async fn take(
        log: &Arc<dyn Log>,
        group: &str,
        processor: Option<&Handle>,
    ) -> Result<Self, ReplayError> {
        let held = match processor {
            Some(processor) => Some(processor.hold().await),
            None => None,
        };
        let consumer = log.subscribe(group).await?;
        let (told, mut owned) = watch::channel(Owned::default());
        let turn = Arc::<Mutex<()>>::default();
        let member = stay(consumer, log.partitions() as usize, turn.clone(), told);
        let member = AbortOnDropHandle::new(tokio::spawn(member));
        let all = owned.wait_for(|owned| owned.whole);
        match tokio::time::timeout(PATIENCE, all).await {
            Ok(Ok(_)) => {}
            Ok(Err(_)) => return Err(LogError::Closed.into()),
            Err(_) => return Err(ReplayError::Busy),
        }
        Ok(Self {
            owned,
            turn,
            _member: member,
            _held: held,
        })
    }

    /// Hands over nothing from now on, for as long as brokers wait for a member; fails if anything was handed over before.
    pub(super) async fn keep(&self) -> Result<OwnedMutexGuard<()>, ReplayError> {
        let turn = self.turn.clone().lock_owned().await;
        match self.owned.borrow().lost {
            false => Ok(turn),
            true => Err(ReplayError::Busy),
        }
    }
}

/// Stays in the group without reading anything, and tells what it owns.
async fn stay(
    mut consumer: Box<dyn Consumer>,
    partitions: usize,
    turn: Arc<Mutex<()>>,
    told: watch::Sender<Owned>,
) {
    let limits = Limits {
        wait: Duration::from_millis(200),
        ..Limits::default()
    };
    loop {
        let polling = turn.lock().await;
        let polled = consumer.poll(&limits).await;
        match polled {
            Ok(deliveries) => told.send_modify(|owned| owned.hear(deliveries, partitions)),
            Err(error) if error.is_retryable() => {
                tracing::warn!(%error, "the log did not answer; trying again");
                tokio::time::sleep(limits.wait).await;
            }
            Err(error) => {
                tracing::warn!(%error, "the replay has lost its place among the processors");
                told.send_modify(|owned| owned.lost = true);
                return;
            }
        }
        drop(polling);
    }
}

impl Owned {
    fn hear(&mut self, deliveries: Vec<Delivery>, all: usize) {
        for delivery in deliveries {
            match delivery {
                Delivery::Assigned(partitions) => self.partitions.extend(partitions),
                Delivery::Revoked(partitions) | Delivery::Lost(partitions) => {
                    self.partitions
                        .retain(|partition| !partitions.contains(partition));
                    self.lost |= self.whole;
                }
                Delivery::Records { .. } => {}
            }
        }
        self.whole |= self.partitions.len() == all;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_lost_once_is_lost_though_it_comes_back() {
        let mut owned = Owned::default();
        owned.hear(vec![Delivery::Assigned(vec![0])], 2);
        owned.hear(vec![Delivery::Revoked(vec![0])], 2);
        assert!(!owned.whole && !owned.lost, "others had the rest anyway");
        owned.hear(vec![Delivery::Assigned(vec![0, 1])], 2);
        assert!(owned.whole && !owned.lost);
        owned.hear(
            vec![Delivery::Revoked(vec![1]), Delivery::Assigned(vec![1])],
            2,
        );
        assert!(owned.lost);
    }
}
