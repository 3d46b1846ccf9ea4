//! A member of a group that follows the log on Kafka: two threads and what passes between them and the poll.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;

use super::Cluster;
use super::fetcher::Fetcher;
use super::inbox::Inbox;
use super::member::{self, Member};
use super::reader::Reader;
use crate::{Consumer, Delivery, Limits, LogError};

/// A waiting poll shows this often that it is there.
const LONGEST_SLEEP: Duration = Duration::from_secs(5);

pub(super) struct KafkaConsumer {
    cluster: Arc<Cluster>,
    reader: Arc<Reader>,
    inbox: Arc<Inbox>,
    member: Arc<Member>,
}

impl KafkaConsumer {
    pub(super) fn join(
        cluster: &Arc<Cluster>,
        reader: Arc<Reader>,
        group: &str,
    ) -> Result<Self, LogError> {
        let inbox = Arc::new(Inbox::new(cluster.options.kafka.fetch_bytes));
        let fetcher = Fetcher::new(cluster, &inbox, group)?;
        let member = Arc::new(member::join(cluster, &inbox, group)?);
        let consumer = Self {
            cluster: Arc::clone(cluster),
            reader,
            inbox: Arc::clone(&inbox),
            member: Arc::clone(&member),
        };
        spawn("log-fetcher", move || fetcher.run())?;
        let max_idle = cluster.options.kafka.max_poll_interval;
        spawn("log-member", move || {
            member::follow(&member, &inbox, max_idle)
        })?;
        Ok(consumer)
    }
}

#[async_trait]
impl Consumer for KafkaConsumer {
    async fn poll(&mut self, limits: &Limits) -> Result<Vec<Delivery>, LogError> {
        self.inbox.confirm();
        let deadline = Instant::now() + limits.wait;
        loop {
            let mut arrived = std::pin::pin!(self.inbox.arrived.notified());
            let mut closing = std::pin::pin!(self.cluster.closing.notified());
            arrived.as_mut().enable();
            closing.as_mut().enable();
            self.cluster.check_open()?;
            let deliveries = self.inbox.take(limits)?;
            let left = deadline.saturating_duration_since(Instant::now());
            if !deliveries.is_empty() || left.is_zero() {
                return Ok(deliveries);
            }
            tokio::select! {
                () = arrived => {}
                () = closing => {}
                () = tokio::time::sleep(left.min(LONGEST_SLEEP)) => {}
            }
        }
    }

    async fn start(&mut self, partition: u32, offset: u64) -> Result<(), LogError> {
        self.cluster.check_open()?;
        if !self.inbox.owns(partition) {
            return Err(LogError::NotAssigned { partition });
        }
        let reader = Arc::clone(&self.reader);
        let asked = tokio::task::spawn_blocking(move || reader.bounds_of(partition)).await;
        let bounds = asked.map_err(|error| LogError::Unavailable(error.to_string()))??;
        if offset < bounds.start || offset > bounds.end {
            let (start, end) = (bounds.start, bounds.end);
            return Err(LogError::OutOfRange {
                partition,
                offset,
                start,
                end,
            });
        }
        self.inbox.start(partition, offset)
    }

    fn note_progress(&mut self, progress: &[(u32, u64)]) {
        member::note(&self.member, &self.cluster.topic, progress);
    }
}

impl Drop for KafkaConsumer {
    fn drop(&mut self) {
        // The threads leave the group and end by themselves.
        self.inbox.close();
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<(), LogError> {
    let spawned = std::thread::Builder::new().name(name.to_owned()).spawn(run);
    spawned.map(drop).map_err(|error| {
        LogError::Unavailable(format!("no thread for the log's consumer: {error}"))
    })
}
