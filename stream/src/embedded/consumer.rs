//! A member of a group that follows the embedded log.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use async_trait::async_trait;

use super::group::Group;
use super::shared::Shared;
use super::tail;
use crate::{Consumer, Delivery, Limits, LogError};

/// Looks at least this often whether a member that does not let go has lost its partitions.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);

pub(super) struct EmbeddedConsumer {
    shared: Arc<Shared>,
    group: String,
    member: u64,
    /// Next offset of each partition that is ours; `None` until it is started.
    owned: BTreeMap<u32, Option<u64>>,
    /// The partition to begin with, so that none is starved by a busy one.
    turn: u32,
}

impl EmbeddedConsumer {
    pub(super) fn join(shared: Arc<Shared>, group: &str) -> Self {
        let member = shared.members.fetch_add(1, Ordering::Relaxed);
        let partitions = shared.options.partitions;
        shared
            .groups
            .lock()
            .entry(group.to_owned())
            .or_insert_with(|| Group::new(partitions))
            .join(member, Instant::now());
        shared.changed.notify_waiters();
        Self {
            shared,
            group: group.to_owned(),
            member,
            owned: BTreeMap::new(),
            turn: 0,
        }
    }

    /// Rebalances that concern this member.
    fn events(&mut self) -> Vec<Delivery> {
        let timeout = self.shared.options.revoke_timeout;
        let (events, changed) = match self.shared.groups.lock().get_mut(&self.group) {
            Some(group) => group.poll(self.member, Instant::now(), timeout),
            None => (Vec::new(), false),
        };
        if changed {
            self.shared.changed.notify_waiters();
        }
        for event in &events {
            match event {
                Delivery::Assigned(partitions) => {
                    self.owned
                        .extend(partitions.iter().map(|partition| (*partition, None)));
                }
                Delivery::Revoked(partitions) => {
                    let mut tail = self.shared.tail.lock();
                    for partition in partitions {
                        self.owned.remove(partition);
                        // Its next owner may begin before where we are.
                        tail.advance(&self.group, *partition, None);
                    }
                }
                Delivery::Lost(partitions) => self
                    .owned
                    .retain(|partition, _| !partitions.contains(partition)),
                Delivery::Records { .. } => {}
            }
        }
        events
    }

    /// Records that are there, each partition in its turn. What is in memory comes together; what is on disk comes
    /// one partition a poll. Dropping the future loses nothing: cursors move only where nothing is awaited after.
    async fn records(&mut self, limits: &Limits) -> Result<Vec<Delivery>, LogError> {
        let started: Vec<(u32, u64)> = self
            .owned
            .iter()
            .filter_map(|(partition, next)| Some((*partition, (*next)?)))
            .collect();
        let behind = started.partition_point(|(partition, _)| *partition < self.turn);
        let mut deliveries = Vec::new();
        let (mut records_left, mut bytes_left) = (limits.max_records.max(1), limits.max_bytes);
        for (partition, from) in started[behind..].iter().chain(&started[..behind]).copied() {
            if self.shared.ends[partition as usize].load(Ordering::Acquire) <= from {
                continue;
            }
            if records_left == 0 || (bytes_left == 0 && !deliveries.is_empty()) {
                self.turn = partition;
                break;
            }
            let (taken, next_held) = {
                let mut tail = self.shared.tail.lock();
                let any_size = deliveries.is_empty();
                let taken = tail.take(
                    &self.group,
                    partition,
                    from,
                    records_left,
                    bytes_left,
                    any_size,
                );
                (taken, tail.next_held(partition, from))
            };
            let records = if !taken.is_empty() {
                tail::unpack(taken)
            } else if deliveries.is_empty() {
                self.turn = partition + 1;
                let most = next_held.map_or(usize::MAX, |first| (first - from) as usize);
                let records = self
                    .shared
                    .read_disk(partition, from, records_left.min(most), bytes_left)
                    .await?;
                let next = from + records.len() as u64;
                self.shared
                    .tail
                    .lock()
                    .advance(&self.group, partition, Some(next));
                bytes_left = 0;
                records
            } else {
                self.turn = partition;
                break;
            };
            if records.is_empty() {
                continue;
            }
            self.owned
                .insert(partition, Some(from + records.len() as u64));
            records_left -= records.len().min(records_left);
            let bytes: usize = records.iter().map(|record| record.payload.len()).sum();
            bytes_left -= bytes.min(bytes_left);
            deliveries.push(Delivery::Records { partition, records });
        }
        Ok(deliveries)
    }
}

#[async_trait]
impl Consumer for EmbeddedConsumer {
    async fn poll(&mut self, limits: &Limits) -> Result<Vec<Delivery>, LogError> {
        let deadline = Instant::now() + limits.wait;
        let shared = Arc::clone(&self.shared);
        loop {
            let mut changed = std::pin::pin!(shared.changed.notified());
            changed.as_mut().enable();
            self.shared.check_open()?;
            let mut deliveries = self.events();
            if deliveries.is_empty() {
                deliveries = self.records(limits).await?;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if !deliveries.is_empty() || left.is_zero() {
                return Ok(deliveries);
            }
            let _ = tokio::time::timeout(left.min(LONGEST_SLEEP), changed).await;
        }
    }

    async fn start(&mut self, partition: u32, offset: u64) -> Result<(), LogError> {
        let store = self.shared.store()?;
        let Some(next) = self.owned.get_mut(&partition) else {
            return Err(LogError::NotAssigned { partition });
        };
        let start = store.starts()[partition as usize];
        let end = self.shared.ends[partition as usize].load(Ordering::Acquire);
        if offset < start || offset > end {
            return Err(LogError::OutOfRange {
                partition,
                offset,
                start,
                end,
            });
        }
        *next = Some(offset);
        self.shared
            .tail
            .lock()
            .advance(&self.group, partition, Some(offset));
        Ok(())
    }

    fn note_progress(&mut self, _progress: &[(u32, u64)]) {
        // There are no lag tools for a log inside the process: its own metrics tell the lag.
    }
}

impl Drop for EmbeddedConsumer {
    fn drop(&mut self) {
        let mut groups = self.shared.groups.lock();
        if let Some(group) = groups.get_mut(&self.group) {
            group.leave(self.member, Instant::now());
            if group.is_empty() {
                groups.remove(&self.group);
                self.shared.tail.lock().leave(&self.group);
            }
        }
        drop(groups);
        self.shared.changed.notify_waiters();
    }
}
