//! Names of this crate's metrics.

use std::time::Duration;

/// How long queries of reports, forecasts, recommendations and callers took, their wait included, in seconds.
pub(crate) const QUERY_SECONDS: &str = "millrace_query_seconds";
/// How long training a recommender took, in seconds.
pub(crate) const TRAIN_SECONDS: &str = "millrace_recommender_train_seconds";
/// Log-ins refused because there had been too many failures.
pub(crate) const LOGINS_THROTTLED: &str = "millrace_logins_throttled_total";

/// Says what the metrics are.
pub(crate) fn describe() {
    metrics::describe_histogram!(
        QUERY_SECONDS,
        metrics::Unit::Seconds,
        "Queries, by what they were for"
    );
    metrics::describe_histogram!(
        TRAIN_SECONDS,
        metrics::Unit::Seconds,
        "Training of recommenders"
    );
    metrics::describe_counter!(LOGINS_THROTTLED, "Log-ins refused after too many failures");
}

/// Notes a query's time.
pub(crate) fn query(what: &'static str, took: Duration) {
    metrics::histogram!(QUERY_SECONDS, "what" => what).record(took.as_secs_f64());
}

/// Notes the time of a training.
pub(crate) fn trained(took: Duration) {
    metrics::histogram!(TRAIN_SECONDS).record(took.as_secs_f64());
}

/// Notes a refused log-in.
pub(crate) fn login_throttled() {
    metrics::counter!(LOGINS_THROTTLED).increment(1);
}
