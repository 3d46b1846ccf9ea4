//! Names of the log's metrics, and handles on those that every append touches.

use metrics::{Counter, Gauge, Histogram, Unit};
use schemas::Position;

use crate::AppendError;

/// Records appended.
const RECORDS: &str = "millrace_log_appended_records_total";
/// Payload bytes appended.
const BYTES: &str = "millrace_log_appended_bytes_total";
/// Records not appended, by `outcome`: refused, unavailable (certainly not in the log) or unknown.
const FAILURES: &str = "millrace_log_append_failures_total";
/// Time until records written together were durable, in seconds: a group commit's fsync, or an append's way to Kafka and back.
const COMMIT_SECONDS: &str = "millrace_log_commit_seconds";
/// Records written together.
const COMMIT_RECORDS: &str = "millrace_log_commit_records";
/// Bytes of appends that wait or are under way.
const QUEUE_BYTES: &str = "millrace_log_queue_bytes";
/// Bytes of records in memory for the readers of this process.
const READ_AHEAD_BYTES: &str = "millrace_log_read_ahead_bytes";
/// Bytes of the embedded log on disk.
const DISK_BYTES: &str = "millrace_log_disk_bytes";

fn describe() {
    use metrics::{describe_counter, describe_gauge, describe_histogram};
    describe_counter!(RECORDS, Unit::Count, "Records appended to the log");
    describe_counter!(BYTES, Unit::Bytes, "Payload bytes appended to the log");
    describe_counter!(
        FAILURES,
        Unit::Count,
        "Records not appended, by outcome: refused, unavailable or unknown"
    );
    describe_histogram!(
        COMMIT_SECONDS,
        Unit::Seconds,
        "Time until records written together were durable"
    );
    describe_histogram!(
        COMMIT_RECORDS,
        Unit::Count,
        "Records written to the log together"
    );
    describe_gauge!(
        QUEUE_BYTES,
        Unit::Bytes,
        "Appends that wait or are under way"
    );
    describe_gauge!(
        READ_AHEAD_BYTES,
        Unit::Bytes,
        "Records in memory for the readers of this process"
    );
    describe_gauge!(DISK_BYTES, Unit::Bytes, "The embedded log on disk");
}

/// What an adapter measures. Looked up once, when the log is opened: appends are on the path of every event.
pub(crate) struct Meters {
    records: Counter,
    bytes: Counter,
    commit_seconds: Histogram,
    commit_records: Histogram,
    disk_bytes: Gauge,
}

impl Meters {
    pub(crate) fn new() -> Self {
        describe();
        Self {
            records: metrics::counter!(RECORDS),
            bytes: metrics::counter!(BYTES),
            commit_seconds: metrics::histogram!(COMMIT_SECONDS),
            commit_records: metrics::histogram!(COMMIT_RECORDS),
            disk_bytes: metrics::gauge!(DISK_BYTES),
        }
    }

    /// Notes what became of an append of so many payload bytes.
    pub(crate) fn appended(&self, bytes: usize, results: &[Result<Position, AppendError>]) {
        let mut appended = 0;
        for result in results {
            match result {
                Ok(_) => appended += 1,
                Err(error) => {
                    metrics::counter!(FAILURES, "outcome" => outcome(error)).increment(1);
                }
            }
        }
        if appended > 0 {
            self.records.increment(appended);
            self.bytes.increment(bytes as u64);
        }
    }

    /// Notes that so many records are durable, together, after so long.
    pub(crate) fn committed(&self, records: usize, took: std::time::Duration) {
        self.commit_records.record(records as f64);
        self.commit_seconds.record(took.as_secs_f64());
    }

    pub(crate) fn on_disk(&self, bytes: u64) {
        self.disk_bytes.set(bytes as f64);
    }
}

fn outcome(error: &AppendError) -> &'static str {
    match error {
        AppendError::Unknown { .. } => "unknown",
        AppendError::Unavailable { .. } | AppendError::Closed => "unavailable",
        _ => "refused",
    }
}

pub(crate) fn queue_bytes() -> Gauge {
    metrics::gauge!(QUEUE_BYTES)
}

pub(crate) fn read_ahead_bytes() -> Gauge {
    metrics::gauge!(READ_AHEAD_BYTES)
}
