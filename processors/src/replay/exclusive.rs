//! Ownership of every partition, by the means of the processors themselves: membership in their group.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use stream::{Consumer, Delivery, Limits, Log, LogError};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use super::ReplayError;
use crate::handle::{Handle, Hold};

/// How long others are given to let go. Members that are gone are noticed by a broker within this time.
const PATIENCE: Duration = Duration::from_secs(90);

/// While it lives, nobody else owns a partition; then the processors take them over anew.
pub(super) struct Exclusive {
    owned: watch::Receiver<BTreeSet<u32>>,
    partitions: u32,
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
        let partitions = log.partitions();
        let consumer = log.subscribe(group).await?;
        let (told, mut owned) = watch::channel(BTreeSet::new());
        let member = AbortOnDropHandle::new(tokio::spawn(stay(consumer, told)));
        let all = owned.wait_for(|owned| owned.len() as u32 == partitions);
        match tokio::time::timeout(PATIENCE, all).await {
            Ok(Ok(_)) => {}
            Ok(Err(_)) => return Err(LogError::Closed.into()),
            Err(_) => return Err(ReplayError::Busy),
        }
        Ok(Self {
            owned,
            partitions,
            _member: member,
            _held: held,
        })
    }

    /// Whether it still is so.
    pub(super) fn check(&self) -> Result<(), ReplayError> {
        match self.owned.borrow().len() as u32 == self.partitions {
            true => Ok(()),
            false => Err(ReplayError::Busy),
        }
    }
}

/// Stays in the group without reading anything, and tells what it owns.
async fn stay(mut consumer: Box<dyn Consumer>, told: watch::Sender<BTreeSet<u32>>) {
    let limits = Limits {
        wait: Duration::from_millis(200),
        ..Limits::default()
    };
    loop {
        match consumer.poll(&limits).await {
            Ok(deliveries) => told.send_modify(|owned| {
                for delivery in deliveries {
                    match delivery {
                        Delivery::Assigned(partitions) => owned.extend(partitions),
                        Delivery::Revoked(partitions) | Delivery::Lost(partitions) => {
                            owned.retain(|partition| !partitions.contains(partition));
                        }
                        Delivery::Records { .. } => {}
                    }
                }
            }),
            Err(error) if error.is_retryable() => {
                tracing::warn!(%error, "the log did not answer; trying again");
                tokio::time::sleep(limits.wait).await;
            }
            Err(error) => {
                tracing::warn!(%error, "the replay has lost its place among the processors");
                told.send_modify(BTreeSet::clear);
                return;
            }
        }
    }
}
