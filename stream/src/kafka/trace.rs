//! The trace context of a record: Kafka's record header `traceparent`, as other programs write and read it.

use std::sync::Arc;

use rdkafka::message::{BorrowedMessage, Header, Headers, Message, OwnedHeaders};
use schemas::TraceContext;

const TRACEPARENT: &str = "traceparent";

pub(super) fn header(trace: &TraceContext) -> OwnedHeaders {
    OwnedHeaders::new_with_capacity(1).insert(Header {
        key: TRACEPARENT,
        value: Some(&trace.traceparent()),
    })
}

pub(super) fn of(message: &BorrowedMessage<'_>) -> Option<Arc<TraceContext>> {
    let headers = message.headers()?;
    let header = headers.iter().find(|header| header.key == TRACEPARENT)?;
    let text = std::str::from_utf8(header.value?).ok()?;
    TraceContext::parse(text).map(Arc::new)
}
