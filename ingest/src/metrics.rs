//! Names of what this role measures.

/// Events by verdict: label `verdict` is accepted, rejected or unavailable.
pub(crate) const EVENTS: &str = "millrace_ingest_events_total";
/// Bytes of inflated request bodies.
pub(crate) const BYTES: &str = "millrace_ingest_body_bytes_total";
/// Seconds from the parsed request to the durable append.
pub(crate) const APPEND_SECONDS: &str = "millrace_ingest_append_seconds";
/// Requests turned away because bodies in memory reached their bound.
pub(crate) const OVERLOADED: &str = "millrace_ingest_overloaded_total";
/// Bytes of bodies in memory.
pub(crate) const HELD: &str = "millrace_ingest_bodies_bytes";
/// Events in a request.
pub(crate) const BATCH: &str = "millrace_ingest_batch_events";
/// Rejected events by error code.
pub(crate) const REJECTED: &str = "millrace_ingest_rejected_total";

/// Requests refused whole, by the kind of problem.
pub(crate) const REFUSED: &str = "millrace_ingest_refused_requests_total";
/// Requests over the quota of their key; label `policy` is rate or day.
pub(crate) const THROTTLED: &str = "millrace_ingest_throttled_requests_total";

pub(crate) fn describe() {
    metrics::describe_counter!(EVENTS, "events received, by verdict");
    metrics::describe_counter!(BYTES, metrics::Unit::Bytes, "inflated request bodies");
    metrics::describe_histogram!(
        APPEND_SECONDS,
        metrics::Unit::Seconds,
        "time to a durable append"
    );
    metrics::describe_counter!(
        OVERLOADED,
        "requests turned away because bodies in memory reached their bound"
    );
    metrics::describe_gauge!(
        HELD,
        metrics::Unit::Bytes,
        "room taken by request bodies in memory"
    );
    metrics::describe_histogram!(BATCH, metrics::Unit::Count, "events in a request");
    metrics::counter!(OVERLOADED).increment(0);
    metrics::describe_counter!(REFUSED, "requests refused whole, by the kind of problem");
    metrics::describe_counter!(THROTTLED, "requests over the quota of their key, by policy");
    metrics::describe_counter!(REJECTED, "rejected events, by error code");
}
