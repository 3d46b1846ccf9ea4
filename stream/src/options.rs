//! Options of the log. `Default` gives what a single node wants.

use std::time::Duration;

use crate::LogError;

/// Customers live in this many buckets for ever; partitions divide it.
const BUCKETS: u32 = 256;

/// Options of both adapters.
#[derive(Debug, Clone)]
pub struct Options {
    /// Which log this is. Stored in an embedded log at its creation; for Kafka the owner of the topic says.
    pub generation: u32,
    /// Partitions of a log that does not exist yet, and the count expected of one that does. Divides 256.
    pub partitions: u32,
    /// Largest payload of a record, in bytes.
    pub max_record_bytes: usize,
    /// Most payload bytes waiting to be appended; more wait, up to a quarter of `append_timeout`.
    pub queue_bytes: usize,
    /// Longest time to an answer of an append. Keep it below the HTTP time-out.
    pub append_timeout: Duration,
    /// How long a consumer may take to let go of a revoked partition.
    pub revoke_timeout: Duration,
    /// Released records older than this may go.
    pub retention_age: Duration,
    /// Released records may go while the log is larger than this, in bytes on disk. Kafka does not tell how large a
    /// partition is: there the topic's own `retention.bytes` is the means.
    pub retention_bytes: u64,
    /// How often retention runs.
    pub retention_interval: Duration,
    /// What only the embedded log needs.
    pub embedded: EmbeddedOptions,
    /// What only Kafka needs.
    pub kafka: KafkaOptions,
}

/// Options of the embedded log.
#[derive(Debug, Clone)]
pub struct EmbeddedOptions {
    /// Memory for appended records that readers have not taken yet, in bytes; what is more they read from disk.
    pub tail_bytes: usize,
    /// Size of a segment, the unit of retention, in bytes on disk.
    pub segment_bytes: u64,
    /// Memory for blocks read from disk, in bytes.
    pub cache_bytes: u64,
}

/// Options of the Kafka adapter.
#[derive(Debug, Clone)]
pub struct KafkaOptions {
    /// Topic, when the URL names none.
    pub topic: String,
    /// Replicas of a topic that does not exist yet.
    pub replication: i32,
    /// Most bytes a consumer fetches ahead.
    pub fetch_bytes: usize,
    /// Longest time a consumer may go without polling before the group gives its partitions away.
    pub max_poll_interval: Duration,
    /// Further librdkafka properties, for instance TLS and SASL. They win over this adapter's own.
    pub properties: Vec<(String, String)>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            generation: 1,
            partitions: 8,
            max_record_bytes: 2 << 20,
            queue_bytes: 64 << 20,
            append_timeout: Duration::from_secs(8),
            revoke_timeout: Duration::from_secs(20),
            retention_age: Duration::from_secs(7 * 24 * 3600),
            retention_bytes: 20 << 30,
            retention_interval: Duration::from_secs(30),
            embedded: EmbeddedOptions::default(),
            kafka: KafkaOptions::default(),
        }
    }
}

impl Default for EmbeddedOptions {
    fn default() -> Self {
        Self {
            tail_bytes: 128 << 20,
            segment_bytes: 128 << 20,
            cache_bytes: 16 << 20,
        }
    }
}

impl Default for KafkaOptions {
    fn default() -> Self {
        Self {
            topic: "millrace".to_owned(),
            replication: 1,
            fetch_bytes: 64 << 20,
            max_poll_interval: Duration::from_secs(300),
            properties: Vec::new(),
        }
    }
}

impl Options {
    /// How much of an append's time may be spent waiting for room in the queue.
    pub(crate) fn room_wait(&self) -> Duration {
        self.append_timeout / 4
    }

    /// Refuses what cannot work.
    pub(crate) fn check(&self) -> Result<(), LogError> {
        let refuse = |text: String| Err(LogError::Misconfigured(text));
        if !BUCKETS.is_multiple_of(self.partitions) {
            return refuse(format!(
                "the log cannot have {} partitions; choose a divisor of {BUCKETS}: 1, 2, 4, 8, … {BUCKETS}",
                self.partitions
            ));
        }
        if self.generation == 0 || self.generation >= 1 << 15 {
            // The state's version is generation << 48 | offset, in a signed 64-bit number.
            return refuse(format!(
                "the log cannot have generation {}; choose 1 to 32767",
                self.generation
            ));
        }
        if self.max_record_bytes == 0 || self.max_record_bytes > 64 << 20 {
            return refuse("the largest record must have between 1 byte and 64 MB".to_owned());
        }
        if self.queue_bytes < self.max_record_bytes {
            return refuse(format!(
                "the append queue ({} bytes) must hold at least one record of the largest size ({} bytes)",
                self.queue_bytes, self.max_record_bytes
            ));
        }
        if self.embedded.segment_bytes < 1 << 20 {
            return refuse("a segment of the log must have at least 1 MB".to_owned());
        }
        Ok(())
    }
}
