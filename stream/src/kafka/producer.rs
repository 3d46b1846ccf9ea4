//! Appending to Kafka.
//!
//! One answer per append call: the delivery reports of its records count down and the last one sends it. A
//! delivery report costs a lock nobody waits for and one freed box.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};
use rdkafka::client::ClientContext;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use schemas::Position;
use tokio::sync::oneshot;

use super::gather::{self, Flight, Gatherer, LONGEST_WAIT};
use super::revival::Revival;
use super::{ASK_TIMEOUT, Cluster, ask_error, trace, trace_client};
use crate::metrics::Meters;
use crate::room::{Room, Rooms};
use crate::{AppendError, LogError, NewRecord};

/// Looks this often whether to stop.
const POLL: Duration = Duration::from_millis(100);
/// What librdkafka keeps for a queued record beside its payload.
const RECORD_OVERHEAD: usize = 256;

type Results = Vec<Result<Position, AppendError>>;

pub(super) struct Appender {
    cluster: Arc<Cluster>,
    producer: Arc<BaseProducer<Reports>>,
    gatherer: Arc<Gatherer<Call>>,
    room: Rooms,
    meters: Meters,
    stop: Arc<AtomicBool>,
}

impl fmt::Debug for Appender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Appender")
            .field("cluster", &self.cluster)
            .finish_non_exhaustive()
    }
}

/// An append call to be sent.
struct Call {
    records: Vec<NewRecord>,
    batch: Arc<Batch>,
}

/// An append call under way.
struct Batch {
    state: Mutex<BatchState>,
}

struct BatchState {
    results: Results,
    /// Records without a report yet, and one for the call itself until it has sent them all.
    left: usize,
    answer: Option<oneshot::Sender<Results>>,
    room: Option<Room>,
    /// Ends with the call.
    flight: Option<Arc<Flight<Call>>>,
}

impl Batch {
    fn settle(&self, index: usize, result: Result<Position, AppendError>) {
        let mut state = self.state.lock();
        state.results[index] = result;
        self.count_down(state);
    }

    fn count_down(&self, mut state: MutexGuard<'_, BatchState>) {
        state.left -= 1;
        if state.left > 0 {
            return;
        }
        state.room = None;
        let flight = state.flight.take();
        if let Some(answer) = state.answer.take() {
            // Nobody waits any more: the client went away, the record stays.
            let _ = answer.send(std::mem::take(&mut state.results));
        }
        drop(state);
        // It may send what has gathered.
        drop(flight);
    }
}

/// What a delivery report carries back.
struct Ticket {
    batch: Arc<Batch>,
    index: usize,
}

/// Takes delivery reports.
struct Reports {
    generation: u32,
    limit: usize,
    revival: Revival,
}

impl ClientContext for Reports {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        trace_client(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::warn!(%error, reason, "kafka producer");
        self.revival.note(&error);
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = Box<Ticket>;

    fn delivery(&self, delivered: &DeliveryResult<'_>, ticket: Box<Ticket>) {
        let result = match delivered {
            Ok(message) => Ok(Position {
                generation: self.generation,
                partition: u32::try_from(message.partition()).unwrap_or_default(),
                offset: u64::try_from(message.offset()).unwrap_or_default(),
            }),
            Err((error, message)) => Err(append_error(error, message.payload_len(), self.limit)),
        };
        ticket.batch.settle(ticket.index, result);
    }
}

impl Appender {
    pub(super) fn new(cluster: &Arc<Cluster>) -> Result<Self, LogError> {
        let options = &cluster.options;
        let timeout = options.append_timeout.as_millis().to_string();
        let queue_kb = (2 * options.queue_bytes / 1024).to_string();
        let largest = (options.max_record_bytes + 64 * 1024).to_string();
        let config = cluster.config(&[
            ("enable.idempotence", "true"),
            ("acks", "all"),
            ("compression.codec", "lz4"),
            ("message.timeout.ms", &timeout),
            ("message.max.bytes", &largest),
            ("batch.size", "1000000"),
            ("batch.num.messages", "10000"),
            ("queue.buffering.max.kbytes", &queue_kb),
            ("queue.buffering.max.messages", "0"),
            // Send at once; what arrives while the requests in flight are answered goes together.
            ("linger.ms", "0"),
            ("max.in.flight.requests.per.connection", "5"),
            ("retry.backoff.ms", "20"),
            ("retry.backoff.max.ms", "500"),
        ]);
        let reports = Reports {
            generation: options.generation,
            limit: options.max_record_bytes,
            revival: cluster.revival(),
        };
        let producer: BaseProducer<Reports> =
            BaseProducer::from_config_and_context(&config, reports)
                .map_err(|error| ask_error(&error))?;
        let producer = Arc::new(producer);
        let stop = Arc::new(AtomicBool::new(false));
        let (polled, stopped) = (Arc::clone(&producer), Arc::clone(&stop));
        std::thread::Builder::new()
            .name("log-reports".to_owned())
            .spawn(move || {
                while !stopped.load(Ordering::Acquire) {
                    polled.poll(POLL);
                    polled.context().revival.attempt(polled.client());
                }
            })
            .map_err(|error| {
                LogError::Unavailable(format!("no thread for delivery reports: {error}"))
            })?;
        let sender = Sender {
            cluster: Arc::clone(cluster),
            producer: Arc::clone(&producer),
        };
        Ok(Self {
            cluster: Arc::clone(cluster),
            producer,
            gatherer: Gatherer::new(Box::new(sender)),
            room: Rooms::new(options.queue_bytes),
            meters: Meters::new(),
            stop,
        })
    }

    pub(super) async fn append(&self, records: Vec<NewRecord>) -> Results {
        let (count, begun) = (records.len(), Instant::now());
        if count == 0 {
            return Vec::new();
        }
        let bytes = records.iter().map(|record| record.payload.len()).sum();
        let results = self.send(records, bytes).await;
        self.meters.appended(bytes, &results);
        self.meters.committed(count, begun.elapsed());
        results
    }

    async fn send(&self, records: Vec<NewRecord>, bytes: usize) -> Results {
        let count = records.len();
        let all = |error: AppendError| vec![Err(error); count];
        let room = self.room.take(bytes + count * RECORD_OVERHEAD);
        let room = match tokio::time::timeout(self.cluster.options.room_wait(), room).await {
            Ok(Ok(room)) => room,
            Ok(Err(_)) => return all(AppendError::Closed),
            Err(_) => return all(AppendError::unavailable("the append queue is full")),
        };
        let (answer, mut answered) = oneshot::channel();
        let pending = AppendError::unknown("the brokers did not confirm in time");
        let batch = Arc::new(Batch {
            state: Mutex::new(BatchState {
                results: all(pending.clone()),
                left: count + 1,
                answer: Some(answer),
                room: Some(room),
                flight: None,
            }),
        });
        if !self.gatherer.offer(Call { records, batch }) {
            match tokio::time::timeout(LONGEST_WAIT, &mut answered).await {
                Ok(results) => return results.unwrap_or_else(|_| all(pending)),
                Err(_) => self.gatherer.hurry(),
            }
        }
        // librdkafka reports every record within message.timeout.ms, and looks for late ones once a second.
        answered.await.unwrap_or_else(|_| all(pending))
    }

    /// Waits for what is under way.
    pub(super) async fn close(&self) -> Result<(), LogError> {
        self.room.close();
        self.gatherer.hurry();
        let producer = Arc::clone(&self.producer);
        let wait = self.cluster.options.append_timeout + ASK_TIMEOUT;
        let flushed = tokio::task::spawn_blocking(move || producer.flush(wait)).await;
        flushed
            .map_err(|error| LogError::Unavailable(error.to_string()))?
            .map_err(|error| {
                LogError::Unavailable(format!("records were left unconfirmed: {error}"))
            })
    }
}

impl Drop for Appender {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
    }
}

struct Sender {
    cluster: Arc<Cluster>,
    producer: Arc<BaseProducer<Reports>>,
}

impl gather::Send<Call> for Sender {
    fn send(&self, call: Call, flight: Arc<Flight<Call>>) {
        call.batch.state.lock().flight = Some(flight);
        for (index, record) in call.records.iter().enumerate() {
            let batch = Arc::clone(&call.batch);
            self.send_record(record, Ticket { batch, index });
        }
        call.batch.count_down(call.batch.state.lock());
    }
}

impl Sender {
    fn send_record(&self, record: &NewRecord, ticket: Ticket) {
        let options = &self.cluster.options;
        let refuse = |ticket: Ticket, error| ticket.batch.settle(ticket.index, Err(error));
        let (bytes, limit) = (record.payload.len(), options.max_record_bytes);
        if bytes > limit {
            return refuse(ticket, AppendError::TooLarge { bytes, limit });
        }
        let (partition, partitions) = (record.partition, options.partitions);
        if partition >= partitions {
            return refuse(
                ticket,
                AppendError::NoSuchPartition {
                    partition,
                    partitions,
                },
            );
        }
        let mut message =
            BaseRecord::<(), [u8], _>::with_opaque_to(&self.cluster.topic, Box::new(ticket))
                .partition(partition.cast_signed())
                .payload(&record.payload);
        if let Some(trace) = &record.trace {
            message = message.headers(trace::header(trace));
        }
        if let Err((error, message)) = self.producer.send(message) {
            let error = match append_error(&error, bytes, limit) {
                // It has not even been queued.
                AppendError::Unknown { reason } => AppendError::Unavailable { reason },
                certain => certain,
            };
            refuse(*message.delivery_opaque, error);
        }
    }
}

/// What a failed delivery means. Only what certainly did not land is called that.
fn append_error(error: &KafkaError, bytes: usize, limit: usize) -> AppendError {
    let reason = error.to_string();
    match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::MessageSizeTooLarge | RDKafkaErrorCode::InvalidMessageSize) => {
            AppendError::TooLarge { bytes, limit }
        }
        Some(RDKafkaErrorCode::InvalidRecord) => AppendError::Refused { reason },
        // What an operator has set up and sets right says nothing about the record.
        Some(
            RDKafkaErrorCode::TopicAuthorizationFailed
            | RDKafkaErrorCode::ClusterAuthorizationFailed
            | RDKafkaErrorCode::InvalidTopic
            | RDKafkaErrorCode::PolicyViolation
            | RDKafkaErrorCode::QueueFull
            | RDKafkaErrorCode::PurgeQueue
            | RDKafkaErrorCode::NotEnoughReplicas
            | RDKafkaErrorCode::UnknownTopicOrPartition
            | RDKafkaErrorCode::UnknownTopic
            | RDKafkaErrorCode::UnknownPartition,
        ) => AppendError::Unavailable { reason },
        _ => AppendError::Unknown { reason },
    }
}
