//! Questions to the brokers, and random access. Blocking: called off the event loop.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use rdkafka::TopicPartitionList;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::topic_partition_list::Offset;
use schemas::Position;

use super::{ASK_TIMEOUT, Cluster, QuietContext, ask_error, trace};
use crate::{Bounds, LogError, LogRecord};

/// Looks this often whether the partition ended before what was asked for.
const LOOK: Duration = Duration::from_millis(100);

pub(super) struct Reader {
    cluster: Arc<Cluster>,
    client: BaseConsumer<QuietContext>,
    /// One read at a time: a read assigns the client anew.
    reading: Mutex<()>,
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader")
            .field("cluster", &self.cluster)
            .finish_non_exhaustive()
    }
}

impl Reader {
    pub(super) fn new(cluster: &Arc<Cluster>) -> Result<Self, LogError> {
        let config = cluster.config(&[
            // Needed to assign; the reader never joins it.
            ("group.id", "millrace.reader"),
            ("enable.auto.commit", "false"),
            ("auto.offset.reset", "error"),
            ("allow.auto.create.topics", "false"),
            ("queued.max.messages.kbytes", "16384"),
            ("fetch.message.max.bytes", "4194304"),
        ]);
        let client =
            BaseConsumer::from_config_and_context(&config, QuietContext(cluster.revival()))
                .map_err(|error| ask_error(&error))?;
        Ok(Self {
            cluster: Arc::clone(cluster),
            client,
            reading: Mutex::new(()),
        })
    }

    /// Nobody polls this client while it is only asked: what is wrong with it is told by its answers.
    fn revive(&self, error: &KafkaError) {
        let revival = &self.client.context().0;
        revival.note(error);
        revival.attempt(self.client.client());
    }

    /// How many partitions the topic has; 0 when there is no such topic.
    pub(super) fn partitions(&self, timeout: Duration) -> Result<usize, LogError> {
        let metadata = self
            .client
            .fetch_metadata(Some(&self.cluster.topic), timeout)
            .inspect_err(|error| self.revive(error))
            .map_err(|error| LogError::Unavailable(format!("{}: {error}", self.cluster.brokers)))?;
        let topic = metadata
            .topics()
            .iter()
            .find(|topic| topic.name() == self.cluster.topic);
        Ok(topic.map_or(0, |topic| topic.partitions().len()))
    }

    /// Whether the topic is there and every partition has a leader.
    pub(super) fn check(&self, timeout: Duration) -> Result<(), LogError> {
        let metadata = self
            .client
            .fetch_metadata(Some(&self.cluster.topic), timeout)
            .inspect_err(|error| self.revive(error))
            .map_err(|error| ask_error(&error))?;
        let topic = metadata
            .topics()
            .iter()
            .find(|topic| topic.name() == self.cluster.topic);
        let led = topic.map_or(0, |topic| {
            topic
                .partitions()
                .iter()
                .filter(|part| part.leader() >= 0)
                .count()
        });
        let partitions = self.cluster.options.partitions as usize;
        if led == partitions {
            return Ok(());
        }
        Err(LogError::Unavailable(format!(
            "{led} of {partitions} partitions of {} have a leader",
            self.cluster.topic
        )))
    }

    pub(super) fn bounds_of(&self, partition: u32) -> Result<Bounds, LogError> {
        let (start, end) = self
            .client
            .fetch_watermarks(&self.cluster.topic, partition.cast_signed(), ASK_TIMEOUT)
            .inspect_err(|error| self.revive(error))
            .map_err(|error| ask_error(&error))?;
        Ok(Bounds {
            partition,
            start: u64::try_from(start).unwrap_or_default(),
            end: u64::try_from(end).unwrap_or_default(),
        })
    }

    pub(super) fn bounds(&self) -> Result<Vec<Bounds>, LogError> {
        (0..self.cluster.options.partitions)
            .map(|partition| self.bounds_of(partition))
            .collect()
    }

    /// By partition: the first offset appended at `time` since the epoch or after it, if there is one.
    pub(super) fn offsets_at(&self, time: Duration) -> Result<Vec<Option<u64>>, LogError> {
        let millis = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        let mut times = TopicPartitionList::new();
        for partition in 0..self.cluster.options.partitions {
            times
                .add_partition_offset(
                    &self.cluster.topic,
                    partition.cast_signed(),
                    Offset::Offset(millis),
                )
                .map_err(|error| ask_error(&error))?;
        }
        let offsets = self
            .client
            .offsets_for_times(times, ASK_TIMEOUT)
            .map_err(|error| ask_error(&error))?;
        let of = |partition: u32| {
            let found = offsets.find_partition(&self.cluster.topic, partition.cast_signed())?;
            match found.offset() {
                Offset::Offset(offset) => u64::try_from(offset).ok(),
                _ => None,
            }
        };
        Ok((0..self.cluster.options.partitions).map(of).collect())
    }

    pub(super) fn read(
        &self,
        partition: u32,
        from: u64,
        max_records: usize,
        max_bytes: usize,
    ) -> Result<Vec<LogRecord>, LogError> {
        let Bounds { start, end, .. } = self.bounds_of(partition)?;
        if from < start || from > end {
            return Err(LogError::OutOfRange {
                partition,
                offset: from,
                start,
                end,
            });
        }
        if from == end || max_records == 0 {
            return Ok(Vec::new());
        }
        let _reading = self.reading.lock();
        let mut assignment = TopicPartitionList::new();
        assignment
            .add_partition_offset(
                &self.cluster.topic,
                partition.cast_signed(),
                Offset::Offset(from.cast_signed()),
            )
            .and_then(|()| self.client.assign(&assignment))
            .map_err(|error| ask_error(&error))?;
        let records = self.collect(partition, from..end, max_records, max_bytes);
        self.client.unassign().map_err(|error| ask_error(&error))?;
        records
    }

    fn collect(
        &self,
        partition: u32,
        range: std::ops::Range<u64>,
        max_records: usize,
        max_bytes: usize,
    ) -> Result<Vec<LogRecord>, LogError> {
        let begun = Instant::now();
        let mut records: Vec<LogRecord> = Vec::new();
        let mut bytes = 0;
        loop {
            let message = match self.client.poll(LOOK) {
                Some(Ok(message)) => message,
                Some(Err(KafkaError::MessageConsumption(code))) if records.is_empty() => {
                    tracing::debug!(%code, "reading the log");
                    check_time(begun)?;
                    continue;
                }
                Some(Err(error)) => return Err(ask_error(&error)),
                None if records.is_empty() => {
                    check_time(begun)?;
                    continue;
                }
                None => return Ok(records),
            };
            let offset = u64::try_from(message.offset()).unwrap_or_default();
            if message.partition() != partition.cast_signed() || !range.contains(&offset) {
                continue;
            }
            let payload = Bytes::copy_from_slice(message.payload().unwrap_or_default());
            if !records.is_empty() && bytes + payload.len() > max_bytes {
                return Ok(records);
            }
            bytes += payload.len();
            records.push(LogRecord {
                position: Position {
                    generation: self.cluster.options.generation,
                    partition,
                    offset,
                },
                payload,
                decoded: None,
                appended_at: message
                    .timestamp()
                    .to_millis()
                    .unwrap_or_default()
                    .saturating_mul(1000),
                trace: trace::of(&message),
            });
            if records.len() >= max_records || offset + 1 >= range.end {
                return Ok(records);
            }
        }
    }
}

fn check_time(begun: Instant) -> Result<(), LogError> {
    if begun.elapsed() > ASK_TIMEOUT {
        Err(LogError::Timeout(ASK_TIMEOUT))
    } else {
        Ok(())
    }
}
