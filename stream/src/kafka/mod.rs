//! The log on Kafka.
//!
//! The topic is `NAME.gGENERATION`: a new generation is a new topic, so that offsets of different logs can never be
//! taken for each other. It is created, if it does not exist, with `LogAppendTime` and without a retention of its
//! own: [`Log::release`] and the retention by age of [`Options`] decide, through Kafka's delete-records. An existing topic
//! keeps its settings; then its owner answers for a retention that spares what is not released.
//!
//! Producer: idempotent, `acks=all`, lz4, explicit partitions. Consumers: one client that is in the group and one that fetches.

mod consumer;
mod fetcher;
mod gather;
mod inbox;
mod member;
mod producer;
mod reader;
mod revival;
mod topic;
mod trace;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;
use schemas::Position;
use tokio::sync::Notify;
use tokio::task::{JoinHandle, spawn_blocking};

use self::consumer::KafkaConsumer;
use self::producer::Appender;
use self::reader::Reader;
use self::revival::Revival;
use crate::{AppendError, Bounds, Consumer, Log, LogError, LogRecord, NewRecord, Options};

/// Longest wait for an answer of the brokers to a question.
const ASK_TIMEOUT: Duration = Duration::from_secs(10);
const HEALTH_TIMEOUT: Duration = Duration::from_secs(3);

/// The log on Kafka.
#[derive(Debug)]
pub struct KafkaLog {
    cluster: Arc<Cluster>,
    appender: Appender,
    reader: Arc<Reader>,
    retention: Mutex<Option<JoinHandle<()>>>,
}

/// Where the log is, and what all its clients share.
#[derive(Debug)]
struct Cluster {
    brokers: String,
    topic: String,
    options: Options,
    released: Vec<AtomicU64>,
    closed: AtomicBool,
    /// Wakes polls when the log is closed.
    closing: Notify,
}

impl Cluster {
    /// What every client is configured with; the operator's own properties come last and win.
    fn config(&self, own: &[(&str, &str)]) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.brokers);
        config.set("client.id", "millrace");
        config.set("reconnect.backoff.max.ms", "1000");
        config.set("topic.metadata.refresh.interval.ms", "30000");
        for (key, value) in own {
            config.set(*key, *value);
        }
        for (key, value) in &self.options.kafka.properties {
            config.set(key, value);
        }
        config
    }

    fn revival(&self) -> Revival {
        Revival::new(&self.brokers)
    }

    fn check_open(&self) -> Result<(), LogError> {
        if self.closed.load(Ordering::Acquire) {
            Err(LogError::Closed)
        } else {
            Ok(())
        }
    }

    fn check_partition(&self, partition: u32) -> Result<(), LogError> {
        let partitions = self.options.partitions;
        if partition < partitions {
            return Ok(());
        }
        Err(LogError::Misconfigured(format!(
            "the log has no partition {partition}, it has {partitions}"
        )))
    }
}

impl KafkaLog {
    /// Opens the log on `topic` of the cluster at `brokers` (`host:port,host:port`), and creates the topic if there
    /// is none.
    ///
    /// # Errors
    /// [`LogError::Unavailable`] when no broker answers, [`LogError::Mismatch`] when the topic has another partition
    /// count.
    pub async fn open(brokers: &str, topic: &str, options: Options) -> Result<Self, LogError> {
        let cluster = Arc::new(Cluster {
            brokers: brokers.to_owned(),
            topic: format!("{topic}.g{}", options.generation),
            released: (0..options.partitions).map(|_| AtomicU64::new(0)).collect(),
            closed: AtomicBool::new(false),
            closing: Notify::new(),
            options,
        });
        topic::ensure(&cluster).await?;
        let appender = Appender::new(&cluster)?;
        let reader = Arc::new(Reader::new(&cluster)?);
        let retention = tokio::spawn(topic::retain(Arc::clone(&cluster), Arc::clone(&reader)));
        Ok(Self {
            cluster,
            appender,
            reader,
            retention: Mutex::new(Some(retention)),
        })
    }

    /// Asks the brokers something, off the event loop.
    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Reader) -> Result<T, LogError> + Send + 'static,
    ) -> Result<T, LogError> {
        self.cluster.check_open()?;
        let reader = Arc::clone(&self.reader);
        let asked = spawn_blocking(move || question(&reader));
        asked
            .await
            .map_err(|error| LogError::Unavailable(error.to_string()))?
    }
}

#[async_trait]
impl Log for KafkaLog {
    fn generation(&self) -> u32 {
        self.cluster.options.generation
    }

    fn partitions(&self) -> u32 {
        self.cluster.options.partitions
    }

    async fn append(&self, records: Vec<NewRecord>) -> Vec<Result<Position, AppendError>> {
        if self.cluster.closed.load(Ordering::Acquire) {
            return vec![Err(AppendError::Closed); records.len()];
        }
        self.appender.append(records).await
    }

    async fn subscribe(&self, group: &str) -> Result<Box<dyn Consumer>, LogError> {
        self.cluster.check_open()?;
        let consumer = KafkaConsumer::join(&self.cluster, Arc::clone(&self.reader), group)?;
        Ok(Box::new(consumer))
    }

    async fn bounds(&self) -> Result<Vec<Bounds>, LogError> {
        self.ask(Reader::bounds).await
    }

    async fn read(
        &self,
        partition: u32,
        from: u64,
        max_records: usize,
        max_bytes: usize,
    ) -> Result<Vec<LogRecord>, LogError> {
        self.cluster.check_partition(partition)?;
        self.ask(move |reader| reader.read(partition, from, max_records, max_bytes))
            .await
    }

    async fn release(&self, below: &[(u32, u64)]) -> Result<(), LogError> {
        self.cluster.check_open()?;
        for (partition, _) in below {
            self.cluster.check_partition(*partition)?;
        }
        for (partition, offset) in below {
            self.cluster.released[*partition as usize].fetch_max(*offset, Ordering::AcqRel);
        }
        Ok(())
    }

    async fn healthy(&self) -> Result<(), LogError> {
        self.ask(|reader| reader.check(HEALTH_TIMEOUT)).await
    }

    async fn close(&self) -> Result<(), LogError> {
        if self.cluster.closed.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        self.cluster.closing.notify_waiters();
        if let Some(retention) = self.retention.lock().take() {
            retention.abort();
        }
        self.appender.close().await
    }
}

impl Drop for KafkaLog {
    fn drop(&mut self) {
        self.cluster.closed.store(true, Ordering::Release);
        self.cluster.closing.notify_waiters();
        if let Some(retention) = self.retention.lock().take() {
            retention.abort();
        }
    }
}

/// Sends librdkafka's own log where ours goes.
#[derive(Debug)]
struct QuietContext(Revival);

impl ClientContext for QuietContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        trace_client(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::warn!(%error, reason, "kafka client");
        self.0.note(&error);
    }
}

impl ConsumerContext for QuietContext {}

/// What the client logs is about connections that come and go; it retries by itself.
fn trace_client(level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        RDKafkaLogLevel::Emerg
        | RDKafkaLogLevel::Alert
        | RDKafkaLogLevel::Critical
        | RDKafkaLogLevel::Error => {
            tracing::warn!(facility, message, "kafka client");
        }
        RDKafkaLogLevel::Warning | RDKafkaLogLevel::Notice => {
            tracing::debug!(facility, message, "kafka client")
        }
        RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug => {
            tracing::trace!(facility, message, "kafka client")
        }
    }
}

/// Errors of questions to the brokers.
fn ask_error(error: &KafkaError) -> LogError {
    match error {
        KafkaError::ClientConfig(_, text, key, value) => {
            LogError::Misconfigured(format!("kafka property {key} = {value}: {text}"))
        }
        KafkaError::ClientCreation(text) => {
            LogError::Misconfigured(format!("kafka client: {text}"))
        }
        other => LogError::Unavailable(other.to_string()),
    }
}
