//! Fetching: a client that is in no group and reads what it is told to.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rdkafka::TopicPartitionList;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::topic_partition_list::Offset;
use schemas::{Position, TraceContext};

use super::inbox::{Inbox, Order};
use super::{Cluster, QuietContext, ask_error, trace};
use crate::{LogError, LogRecord};

/// Looks this often for orders.
const LOOK: Duration = Duration::from_millis(20);
/// Handed on together, at most.
const BATCH_RECORDS: usize = 4_096;
const BATCH_BYTES: usize = 1 << 20;

pub(super) struct Fetcher {
    client: BaseConsumer<QuietContext>,
    inbox: Arc<Inbox>,
    topic: String,
    generation: u32,
    /// What is fetched: the epoch of its start and the first offset wanted.
    started: HashMap<u32, (u64, u64)>,
}

/// A record whose payload ends at `end` of the buffer.
struct Fetched {
    offset: u64,
    appended_at: i64,
    end: usize,
    trace: Option<Arc<TraceContext>>,
}

/// Records of one partition, their payloads in one buffer.
#[derive(Default)]
struct Batch {
    payloads: Vec<u8>,
    records: Vec<Fetched>,
}

impl Fetcher {
    pub(super) fn new(
        cluster: &Cluster,
        inbox: &Arc<Inbox>,
        group: &str,
    ) -> Result<Self, LogError> {
        let options = &cluster.options;
        let ahead_kb = (options.kafka.fetch_bytes / 1024).max(64).to_string();
        let fetch = options.kafka.fetch_bytes.clamp(1 << 20, 16 << 20);
        let per_partition = (options.max_record_bytes + 64 * 1024)
            .max(1 << 20)
            .to_string();
        let fetch = fetch.max(options.max_record_bytes + 64 * 1024).to_string();
        let config = cluster.config(&[
            // Needed to assign; the fetcher never joins it.
            ("group.id", &format!("{group}.fetcher")),
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
            ("auto.offset.reset", "error"),
            ("allow.auto.create.topics", "false"),
            ("isolation.level", "read_committed"),
            ("check.crcs", "true"),
            ("fetch.wait.max.ms", "100"),
            ("fetch.error.backoff.ms", "50"),
            ("fetch.max.bytes", &fetch),
            ("fetch.message.max.bytes", &per_partition),
            ("queued.min.messages", "50000"),
            ("queued.max.messages.kbytes", &ahead_kb),
            ("fetch.queue.backoff.ms", "20"),
        ]);
        let client =
            BaseConsumer::from_config_and_context(&config, QuietContext(cluster.revival()))
                .map_err(|error| ask_error(&error))?;
        Ok(Self {
            client,
            inbox: Arc::clone(inbox),
            topic: cluster.topic.clone(),
            generation: options.generation,
            started: HashMap::new(),
        })
    }

    /// Runs until the inbox is closed.
    pub(super) fn run(mut self) {
        while !self.inbox.is_closed() {
            for order in self.inbox.orders() {
                if let Err(error) = self.follow(order) {
                    self.inbox.fail(ask_error(&error));
                }
            }
            if self.inbox.wait_for_room(LOOK) {
                self.fetch();
            }
        }
    }

    fn follow(&mut self, order: Order) -> Result<(), KafkaError> {
        let (Order::Start { partition, .. } | Order::Stop { partition }) = order;
        if self.started.remove(&partition).is_some() {
            self.client
                .incremental_unassign(&self.list(partition, Offset::Invalid)?)?;
        }
        if let Order::Start {
            partition,
            offset,
            epoch,
        } = order
        {
            self.client
                .incremental_assign(&self.list(partition, Offset::Offset(offset.cast_signed()))?)?;
            self.started.insert(partition, (epoch, offset));
        }
        Ok(())
    }

    fn list(&self, partition: u32, offset: Offset) -> Result<TopicPartitionList, KafkaError> {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&self.topic, partition.cast_signed(), offset)?;
        Ok(list)
    }

    /// Takes what has arrived, and waits a little for the first.
    fn fetch(&self) {
        let mut batches: HashMap<u32, Batch> = HashMap::new();
        let (mut records, mut bytes) = (0, 0);
        let mut wait = LOOK;
        self.client.context().0.attempt(self.client.client());
        while records < BATCH_RECORDS && bytes < BATCH_BYTES {
            match self.client.poll(wait) {
                None => break,
                Some(Ok(message)) => {
                    records += 1;
                    bytes += message.payload_len();
                    let partition = u32::try_from(message.partition()).unwrap_or_default();
                    batches.entry(partition).or_default().push(&message);
                }
                Some(Err(error)) => {
                    if let Some(failure) = fetch_error(&error) {
                        self.inbox.fail(failure);
                    }
                    break;
                }
            }
            wait = Duration::ZERO;
        }
        for (partition, batch) in batches {
            let Some((epoch, from)) = self.started.get(&partition) else {
                continue;
            };
            let records = batch.records(self.generation, partition, *from);
            if !records.is_empty() {
                self.inbox.fetched(partition, *epoch, records);
            }
        }
    }
}

impl Batch {
    fn push(&mut self, message: &BorrowedMessage<'_>) {
        self.payloads
            .extend_from_slice(message.payload().unwrap_or_default());
        let offset = u64::try_from(message.offset()).unwrap_or_default();
        let appended_at = message
            .timestamp()
            .to_millis()
            .unwrap_or_default()
            .saturating_mul(1000);
        self.records.push(Fetched {
            offset,
            appended_at,
            end: self.payloads.len(),
            trace: trace::of(message),
        });
    }

    fn records(self, generation: u32, partition: u32, from: u64) -> Vec<LogRecord> {
        let payloads = Bytes::from(self.payloads);
        let mut begin = 0;
        let mut records = Vec::with_capacity(self.records.len());
        for fetched in self.records {
            let Fetched {
                offset,
                appended_at,
                end,
                trace,
            } = fetched;
            let payload = payloads.slice(begin..end);
            begin = end;
            if offset >= from {
                let position = Position {
                    generation,
                    partition,
                    offset,
                };
                records.push(LogRecord {
                    position,
                    payload,
                    decoded: None,
                    appended_at,
                    trace,
                });
            }
        }
        records
    }
}

/// What the processor should know of. The client goes on by itself when brokers come and go.
fn fetch_error(error: &KafkaError) -> Option<LogError> {
    match error.rdkafka_error_code()? {
        RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange => {
            Some(LogError::Damaged(format!(
                "the topic does not hold the offset to go on from ({error})"
            )))
        }
        RDKafkaErrorCode::BadMessage | RDKafkaErrorCode::BadCompression => {
            Some(LogError::Damaged(error.to_string()))
        }
        RDKafkaErrorCode::TopicAuthorizationFailed => {
            Some(LogError::Misconfigured(error.to_string()))
        }
        code => {
            tracing::debug!(%code, "fetching from the log");
            None
        }
    }
}
