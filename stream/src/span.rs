//! Steps of a trace, told as lines of the log that one search for the trace's id finds.

use std::time::Duration;

use schemas::{Timestamp, TraceContext};

/// Tells of a step that is over: one line of level info and target `millrace::trace`, with ids as W3C Trace Context writes
/// them, so that whatever collects logs can make spans of them. `parent` is 0 for the first step.
pub fn span(
    step: &'static str,
    context: &TraceContext,
    parent: u64,
    began: Timestamp,
    took: Duration,
    records: usize,
) {
    tracing::info!(
        target: "millrace::trace",
        trace_id = format!("{:032x}", context.trace_id),
        span_id = format!("{:016x}", context.span_id),
        parent_id = format!("{parent:016x}"),
        step,
        began_us = began.micros(),
        took_us = took.as_micros() as u64,
        records,
        "span"
    );
}
