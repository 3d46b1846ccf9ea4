//! Names of the processor's metrics. Labels are bounded: partitions are 256 at most, reasons and tables are of this program.

/// Records applied, by `verdict`: event, rejection, duplicate, internal.
pub const RECORDS: &str = "millrace_processor_records_total";
/// Rejections applied, by `reason`; duplicates too.
pub const REJECTIONS: &str = "millrace_processor_rejections_total";
/// Records of owned partitions in the log and not applied, by `partition`.
pub const LAG_RECORDS: &str = "millrace_processor_lag_records";
/// How long the first record that is not applied has been in the log, in seconds, by `partition`.
pub const LAG_SECONDS: &str = "millrace_processor_lag_seconds";
/// Time to fold a cycle, look-ups included, in seconds.
pub const FOLD_SECONDS: &str = "millrace_processor_fold_seconds";
/// Time to write a cycle, repeats included, in seconds.
pub const WRITE_SECONDS: &str = "millrace_processor_write_seconds";
/// Time of one insert, in seconds, by `table`.
pub const INSERT_SECONDS: &str = "millrace_processor_insert_seconds";
/// Rows inserted, by `table`; repeats too.
pub const INSERTED_ROWS: &str = "millrace_processor_inserted_rows_total";
/// Records in a cycle.
pub const CYCLE_RECORDS: &str = "millrace_processor_cycle_records";
/// Inserts that had to be repeated.
pub const INSERT_RETRIES: &str = "millrace_processor_insert_retries_total";
/// Reads that had to be repeated.
pub const STORE_RETRIES: &str = "millrace_processor_read_retries_total";
/// Claims, customers and buckets that had to be looked up in the warehouse, by `kind`.
pub const LOOK_UPS: &str = "millrace_processor_look_ups_total";
/// Events by `result`: hit where the customer's state was in memory or known not to exist, miss where it was looked up.
pub const STATE_REQUESTS: &str = "millrace_processor_state_requests_total";
/// Bytes of state and claims in memory.
pub const MEMORY_BYTES: &str = "millrace_processor_memory_bytes";
/// The next offset to apply, by `partition`.
pub const APPLIED: &str = "millrace_processor_applied_offset";
/// Rows committed to the archive.
pub const ARCHIVED_ROWS: &str = "millrace_archive_rows_total";
/// Rows in a commit to the archive.
pub const ARCHIVE_COMMIT_ROWS: &str = "millrace_archive_commit_rows";
/// Archive commits that failed or were refused.
pub const ARCHIVE_FAILURES: &str = "millrace_archive_failures_total";
/// Time to commit to the archive, in seconds.
pub const ARCHIVE_SECONDS: &str = "millrace_archive_commit_seconds";
/// Records applied and not archived, by `partition`.
pub const ARCHIVE_LAG_RECORDS: &str = "millrace_archive_lag_records";
/// How long the first record that is not archived has been applied, in seconds, by `partition`.
pub const ARCHIVE_LAG_SECONDS: &str = "millrace_archive_lag_seconds";
/// Bytes of rows in memory that wait for the archive.
pub const ARCHIVE_QUEUE_BYTES: &str = "millrace_archive_queue_bytes";
/// 1 while everything adds up at the last reconciliation, else 0.
pub const BALANCED: &str = "millrace_reconciliation_balanced";

/// Describes all of them to the recorder in use.
pub fn describe() {
    use metrics::Unit::{Bytes, Count, Seconds};
    use metrics::{describe_counter, describe_gauge, describe_histogram};
    let counters = [
        (RECORDS, "Records applied, by verdict"),
        (REJECTIONS, "Rejections applied, by reason"),
        (INSERTED_ROWS, "Rows inserted into the warehouse, by table"),
        (INSERT_RETRIES, "Inserts that had to be repeated"),
        (
            STORE_RETRIES,
            "Reads of the warehouse that had to be repeated",
        ),
        (
            LOOK_UPS,
            "Claims, customers and buckets looked up in the warehouse",
        ),
        (
            STATE_REQUESTS,
            "Events whose customer was in memory (hit) or looked up (miss)",
        ),
        (ARCHIVED_ROWS, "Rows committed to the archive"),
        (
            ARCHIVE_FAILURES,
            "Archive commits that failed or were refused",
        ),
    ];
    for (name, help) in counters {
        describe_counter!(name, Count, help);
    }
    // What has not failed yet shows as zero, so that an alert need not tell that from what is not measured.
    for name in [INSERT_RETRIES, STORE_RETRIES, ARCHIVE_FAILURES] {
        metrics::counter!(name).increment(0);
    }
    let histograms = [
        (FOLD_SECONDS, Seconds, "Time to fold a cycle"),
        (WRITE_SECONDS, Seconds, "Time to write a cycle"),
        (INSERT_SECONDS, Seconds, "Time of one insert, by table"),
        (CYCLE_RECORDS, Count, "Records in a cycle"),
        (
            ARCHIVE_COMMIT_ROWS,
            Count,
            "Rows in a commit to the archive",
        ),
        (ARCHIVE_SECONDS, Seconds, "Time to commit to the archive"),
    ];
    for (name, unit, help) in histograms {
        describe_histogram!(name, unit, help);
    }
    let gauges = [
        (
            LAG_RECORDS,
            Count,
            "Records in the log and not applied, by partition",
        ),
        (
            LAG_SECONDS,
            Seconds,
            "How long the first record not applied has been in the log, by partition",
        ),
        (MEMORY_BYTES, Bytes, "State and claims in memory"),
        (APPLIED, Count, "The next offset to apply, by partition"),
        (
            ARCHIVE_LAG_RECORDS,
            Count,
            "Records applied and not archived, by partition",
        ),
        (
            ARCHIVE_LAG_SECONDS,
            Seconds,
            "How long the first record not archived has been applied, by partition",
        ),
        (
            ARCHIVE_QUEUE_BYTES,
            Bytes,
            "Rows in memory that wait for the archive",
        ),
        (
            BALANCED,
            Count,
            "1 while everything adds up at the last reconciliation",
        ),
    ];
    for (name, unit, help) in gauges {
        describe_gauge!(name, unit, help);
    }
}
