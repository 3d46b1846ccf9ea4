//! Places to put a log, and what the suites do with one.
#![allow(clippy::unwrap_used, dead_code)]

pub(crate) mod broker;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use stream::{Consumer, Delivery, Limits, Log, LogError, LogRecord, NewRecord, Options, Position};
use tempfile::TempDir;

use self::broker::Broker;

/// Somewhere a log can be opened again and again.
pub(crate) enum Place {
    Folder(TempDir),
    Topic { brokers: String, topic: String },
}

impl Place {
    pub(crate) fn embedded() -> Self {
        Self::Folder(tempfile::tempdir().unwrap())
    }

    pub(crate) fn kafka() -> Self {
        Self::on(Broker::shared())
    }

    pub(crate) fn on(broker: &Broker) -> Self {
        static TOPICS: AtomicU64 = AtomicU64::new(0);
        let topic = format!("log-{}", TOPICS.fetch_add(1, Ordering::Relaxed));
        Self::Topic {
            brokers: broker.address.clone(),
            topic,
        }
    }

    pub(crate) fn url(&self) -> String {
        match self {
            Self::Folder(folder) => format!("file:{}", folder.path().join("log").display()),
            Self::Topic { brokers, topic } => format!("kafka://{brokers}/{topic}"),
        }
    }

    pub(crate) async fn open(&self) -> Arc<dyn Log> {
        self.open_with(&options()).await
    }

    pub(crate) async fn open_with(&self, options: &Options) -> Arc<dyn Log> {
        stream::open(&self.url(), options).await.unwrap()
    }
}

/// Four partitions, and no append that ends without an answer because the machine is slow.
pub(crate) fn options() -> Options {
    Options {
        partitions: 4,
        append_timeout: Duration::from_secs(60),
        ..Options::default()
    }
}

pub(crate) fn record(partition: u32, payload: impl Into<Bytes>) -> NewRecord {
    NewRecord {
        partition,
        payload: payload.into(),
        decoded: None,
        trace: None,
    }
}

/// Records of `partition` that say `prefix` and their number.
pub(crate) fn numbered(
    partition: u32,
    prefix: &str,
    numbers: std::ops::Range<u64>,
) -> Vec<NewRecord> {
    numbers
        .map(|number| record(partition, format!("{prefix}-{number}")))
        .collect()
}

/// Appends, and all must succeed.
pub(crate) async fn append(log: &Arc<dyn Log>, records: Vec<NewRecord>) -> Vec<Position> {
    log.append(records)
        .await
        .into_iter()
        .map(|result| result.unwrap())
        .collect()
}

/// Everything a partition keeps.
pub(crate) async fn read_all(log: &Arc<dyn Log>, partition: u32) -> Vec<LogRecord> {
    let bounds = log.bounds().await.unwrap()[partition as usize];
    let mut records = Vec::new();
    let mut next = bounds.start;
    while next < bounds.end {
        let read = log.read(partition, next, 1_000, 1 << 20).await.unwrap();
        next = read.last().expect("records before the end").position.offset + 1;
        records.extend(read);
    }
    records
}

pub(crate) fn text(record: &LogRecord) -> String {
    String::from_utf8(record.payload.to_vec()).unwrap()
}

pub(crate) fn offsets(records: &[LogRecord]) -> Vec<u64> {
    records
        .iter()
        .map(|record| record.position.offset)
        .collect()
}

pub(crate) const LIMITS: Limits = Limits {
    max_records: 100_000,
    max_bytes: 64 << 20,
    wait: Duration::from_millis(200),
};

/// What a test waits for at most: a loaded machine and a group that has just been founded take their time.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Polls until all `partitions` are assigned.
pub(crate) async fn await_assignment(
    consumer: &mut Box<dyn Consumer>,
    partitions: usize,
) -> Vec<u32> {
    let begun = Instant::now();
    let mut assigned = Vec::new();
    while assigned.len() < partitions {
        assert!(begun.elapsed() < PATIENCE, "assigned only {assigned:?}");
        for delivery in consumer.poll(&LIMITS).await.unwrap() {
            match delivery {
                Delivery::Assigned(partitions) => assigned.extend(partitions),
                other => panic!("before anything was started: {other:?}"),
            }
        }
    }
    assigned.sort_unstable();
    assigned
}

/// Polls until so many records have come.
pub(crate) async fn receive(
    consumer: &mut Box<dyn Consumer>,
    count: usize,
) -> BTreeMap<u32, Vec<LogRecord>> {
    let begun = Instant::now();
    let mut received: BTreeMap<u32, Vec<LogRecord>> = BTreeMap::new();
    while received.values().map(Vec::len).sum::<usize>() < count {
        assert!(begun.elapsed() < PATIENCE, "received only {received:?}");
        for delivery in consumer.poll(&LIMITS).await.unwrap() {
            match delivery {
                Delivery::Records { partition, records } => {
                    assert!(
                        records
                            .iter()
                            .all(|record| record.position.partition == partition)
                    );
                    received.entry(partition).or_default().extend(records);
                }
                other => panic!("{other:?}"),
            }
        }
    }
    received
}

pub(crate) async fn start_all(consumer: &mut Box<dyn Consumer>, partitions: usize, offset: u64) {
    for partition in await_assignment(consumer, partitions).await {
        consumer.start(partition, offset).await.unwrap();
    }
}

/// Waits until `condition` holds.
pub(crate) async fn eventually<F: Future<Output = bool>>(
    what: &str,
    mut condition: impl FnMut() -> F,
) {
    let begun = Instant::now();
    while !condition().await {
        assert!(begun.elapsed() < PATIENCE, "{what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

pub(crate) fn assert_out_of_range<T: std::fmt::Debug>(result: Result<T, LogError>) {
    assert!(
        matches!(result, Err(LogError::OutOfRange { .. })),
        "{result:?}"
    );
}

/// Bytes that do not compress.
pub(crate) fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let mut bytes = Vec::with_capacity(length);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}
