//! From parsed events to a durable append and a verdict each.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use compact_str::CompactString;
use control::Principal;
use schemas::crash::{Point, point};
use schemas::json::write_string;
use schemas::record::encode_event;
use schemas::{
    Code, Event, FieldError, Position, Problem, ProblemKind, Record, Timestamp, TraceContext,
    bucket,
};
use stream::{AppendError, Log, NewRecord};

use crate::batch::Batch;
use crate::metrics as names;

/// Which verdicts an answer lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Verdicts {
    /// Every event.
    #[default]
    All,
    /// Rejected events, and those whose id the server made.
    Rejected,
}

/// What became of one event.
#[derive(Debug)]
struct Verdict {
    event_id: Option<CompactString>,
    made_here: bool,
    result: Result<Position, FieldError>,
}

/// Microseconds since 1970, by this machine's clock.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

/// Appends what can be appended and answers for every event. Also says how many could not be made durable.
pub(crate) async fn submit(
    log: &dyn Log,
    principal: &Principal,
    received_at: Timestamp,
    batch: Batch,
    listed: Verdicts,
    trace: Option<TraceContext>,
) -> (Response, u64) {
    metrics::histogram!(names::BATCH).record(batch.events.len() as f64);
    // What follows on the append in other processes finds it in the records.
    let append = trace.map(|trace| Arc::new(trace.follow("append", 0)));
    let (records, mut verdicts) = encode(log.partitions(), principal, received_at, batch, &append);
    if !records.is_empty() {
        point(Point::IngestBeforeAppend);
        let (began, started, count) = (now(), Instant::now(), records.len());
        let results = log.append(records).await;
        point(Point::IngestAfterAppend);
        metrics::histogram!(names::APPEND_SECONDS).record(started.elapsed().as_secs_f64());
        if let (Some(append), Some(trace)) = (&append, trace) {
            let took = started.elapsed();
            stream::span("append", append, trace.span_id, began, took, count);
        }
        warn_of(&results);
        let mut results = results.into_iter();
        for verdict in verdicts.iter_mut().filter(|verdict| verdict.result.is_ok()) {
            verdict.result = match results.next() {
                Some(result) => result.map_err(refusal),
                None => Err(unavailable("the log gave no answer")),
            };
        }
    }
    let away = count(&verdicts);
    let answer = answer(&verdicts, listed);
    point(Point::IngestBeforeAnswer);
    (answer, away)
}

/// A record for each good event, and a verdict for each event (its position is filled in later).
fn encode(
    partitions: u32,
    principal: &Principal,
    received_at: Timestamp,
    batch: Batch,
    trace: &Option<Arc<TraceContext>>,
) -> (Vec<NewRecord>, Vec<Verdict>) {
    let source: Arc<str> = principal.name().into();
    let pending = Position {
        generation: 0,
        partition: 0,
        offset: 0,
    };
    let mut verdicts = Vec::with_capacity(batch.events.len());
    let mut events = Vec::with_capacity(batch.events.len());
    // All payloads of a request share one allocation: each record holds a slice of it.
    let mut payloads = Vec::with_capacity(batch.body.len() + 320 * batch.events.len());
    for parsed in batch.events {
        let draft = match parsed.draft {
            Ok(draft) => draft,
            Err(error) => {
                verdicts.push(Verdict {
                    event_id: parsed.refused_id,
                    made_here: false,
                    result: Err(error),
                });
                continue;
            }
        };
        let made_here = draft.event_id.is_none();
        let make = || CompactString::from(uuid::Uuid::now_v7().simple().to_string());
        let event: Event = draft.into_event(
            principal.organization.clone(),
            make,
            received_at,
            source.clone(),
            0,
        );
        let start = payloads.len();
        // The body was checked to be UTF-8 when it was cut into events.
        let stated = std::str::from_utf8(&batch.body[parsed.at]).unwrap_or_default();
        encode_event(&mut payloads, &event, principal.currency, stated);
        verdicts.push(Verdict {
            event_id: Some(event.event_id.clone()),
            made_here,
            result: Ok(pending),
        });
        events.push((start..payloads.len(), event));
    }
    let payloads = Bytes::from(payloads);
    let records = events
        .into_iter()
        .map(|(at, event)| NewRecord {
            partition: u32::from(bucket(&event.organization, &event.customer_id)) % partitions,
            payload: payloads.slice(at),
            decoded: Some(Arc::new(Record::Event(event))),
            trace: trace.clone(),
        })
        .collect();
    (records, verdicts)
}

fn unavailable(reason: &str) -> FieldError {
    FieldError::new(
        "",
        Code::Unavailable,
        format!("it could not be made durable ({reason}); send it again with the same event_id"),
    )
}

/// One line a second at the most, however many requests fail: a log may be away for long.
fn warn_of(results: &[Result<Position, AppendError>]) {
    static EVENTS: AtomicUsize = AtomicUsize::new(0);
    static WARNED_AT: AtomicI64 = AtomicI64::new(0);
    let failed =
        |result: &&Result<_, AppendError>| matches!(result, Err(error) if error.is_retryable());
    if let Some(Err(error)) = results.iter().find(failed) {
        EVENTS.fetch_add(results.iter().filter(failed).count(), Ordering::Relaxed);
        let second = now().micros() / 1_000_000;
        if WARNED_AT.swap(second, Ordering::Relaxed) != second {
            let events = EVENTS.swap(0, Ordering::Relaxed);
            tracing::warn!(%error, events, "the log did not take events; look at its health");
        }
    }
}

fn refusal(error: AppendError) -> FieldError {
    match &error {
        AppendError::TooLarge { .. } => FieldError::new("", Code::TooLarge, error.to_string()),
        AppendError::Refused { .. } => FieldError::new("", Code::InvalidValue, error.to_string()),
        _ => unavailable("the log does not answer as it should"),
    }
}

fn count(verdicts: &[Verdict]) -> u64 {
    let (mut accepted, mut away) = (0, 0);
    for verdict in verdicts {
        match &verdict.result {
            Ok(_) => accepted += 1,
            Err(error) if error.code == Code::Unavailable => away += 1,
            Err(error) => {
                metrics::counter!(names::REJECTED, "code" => error.code.as_str()).increment(1)
            }
        }
    }
    metrics::counter!(names::EVENTS, "verdict" => "accepted").increment(accepted);
    metrics::counter!(names::EVENTS, "verdict" => "unavailable").increment(away);
    metrics::counter!(names::EVENTS, "verdict" => "rejected")
        .increment(verdicts.len() as u64 - accepted - away);
    away
}

fn answer(verdicts: &[Verdict], listed: Verdicts) -> Response {
    let accepted = verdicts
        .iter()
        .filter(|verdict| verdict.result.is_ok())
        .count();
    let body = render(verdicts, accepted, listed);
    if accepted > 0 {
        return (
            StatusCode::ACCEPTED,
            [(header::CONTENT_TYPE, "application/json")],
            body,
        )
            .into_response();
    }
    let away = |verdict: &Verdict| matches!(&verdict.result, Err(error) if error.code == Code::Unavailable);
    let mut problem = match verdicts.iter().all(away) {
        true => Problem::new(
            ProblemKind::Unavailable,
            "none of the events could be made durable; send them again after the time in Retry-After",
        ),
        false => Problem::new(
            ProblemKind::BadRequest,
            "none of the events was taken; see results for each one's error",
        ),
    };
    let body: serde_json::Map<_, _> = serde_json::from_slice(&body).unwrap_or_default();
    problem.more.extend(body);
    problem.into_response()
}

/// Writes the answer without a tree: it is on the path of every event.
fn render(verdicts: &[Verdict], accepted: usize, listed: Verdicts) -> Vec<u8> {
    let mut out = Vec::with_capacity(64 + 96 * verdicts.len());
    // Writing to a Vec cannot fail.
    let _ = write!(
        out,
        "{{\"accepted\":{accepted},\"rejected\":{},\"results\":[",
        verdicts.len() - accepted
    );
    let mut first = true;
    for (index, verdict) in verdicts.iter().enumerate() {
        if listed == Verdicts::Rejected && verdict.result.is_ok() && !verdict.made_here {
            continue;
        }
        if !std::mem::take(&mut first) {
            out.push(b',');
        }
        let _ = write!(out, "{{\"index\":{index},\"event_id\":");
        match &verdict.event_id {
            Some(event_id) => write_string(&mut out, event_id),
            None => out.extend_from_slice(b"null"),
        }
        match &verdict.result {
            Ok(position) => {
                let _ = write!(
                    out,
                    ",\"status\":\"accepted\",\"position\":\"{position}\"}}"
                );
            }
            Err(error) => {
                out.extend_from_slice(b",\"status\":\"rejected\",\"error\":");
                let _ = serde_json::to_writer(&mut out, error);
                out.push(b'}');
            }
        }
    }
    out.extend_from_slice(b"]}");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_list_what_was_asked_for() {
        let position = Position {
            generation: 1,
            partition: 2,
            offset: 3,
        };
        let verdicts = [
            Verdict {
                event_id: Some("a\"b".into()),
                made_here: false,
                result: Ok(position),
            },
            Verdict {
                event_id: Some("made".into()),
                made_here: true,
                result: Ok(position),
            },
            Verdict {
                event_id: None,
                made_here: false,
                result: Err(FieldError::new("amount", Code::Required, "x")),
            },
        ];
        let body: serde_json::Value =
            serde_json::from_slice(&render(&verdicts, 2, Verdicts::All)).unwrap_or_default();
        assert_eq!(
            (body["accepted"].as_u64(), body["rejected"].as_u64()),
            (Some(2), Some(1))
        );
        assert_eq!(body["results"][0]["event_id"], "a\"b");
        assert_eq!(body["results"][0]["position"], "1:2:3");
        assert_eq!(body["results"][2]["error"]["field"], "amount");
        let short: serde_json::Value =
            serde_json::from_slice(&render(&verdicts, 2, Verdicts::Rejected)).unwrap_or_default();
        let indexes: Vec<_> = short["results"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|r| r["index"].as_u64())
            .collect();
        assert_eq!(indexes, [Some(1), Some(2)]);
    }
}
