//! Request bodies, plain and packed: never a panic, a verdict for every event and for nothing else, and what is taken
//! means the same once it has been through the log.
//!
//! The first byte chooses what is sent where, the second how it is packed; the rest is the body.

use std::collections::BTreeMap;
use std::io::Write as _;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, header};
use bytes::Bytes;
use futures::executor::block_on;
use ingest::Budget;
use ingest::decoders::{Batch, Format, many, one, read};
use schemas::record::encode_event;
use schemas::{Currency, Draft, Kind, OrganizationId, ParseContext, Record, Timestamp};
use serde_json::value::RawValue;

const BODY_BYTES: usize = 1 << 20;
const EVENTS: usize = 200;

/// How a body is packed: not, or as it comes, or here, so that changes reach what is inside.
enum Packing {
    Plain,
    Sent(&'static str),
    Packed(&'static str),
}

pub(crate) fn check(data: &[u8]) {
    let [place, packing, body @ ..] = data else {
        return;
    };
    let packing = match packing % 5 {
        0 => Packing::Plain,
        1 => Packing::Sent("gzip"),
        2 => Packing::Sent("zstd"),
        3 => Packing::Packed("gzip"),
        _ => Packing::Packed("zstd"),
    };
    let Some(body) = inflated(packing, body) else {
        return;
    };
    let context = context();
    let (batch, expected) = match place % 6 {
        0 => (
            many(body.clone(), Format::Json, EVENTS, &context),
            array(&body),
        ),
        1 => (
            many(body.clone(), Format::Lines, EVENTS, &context),
            lines(&body),
        ),
        kind => (
            one(body.clone(), Kind::ALL[usize::from(kind) - 2], &context),
            Some(1),
        ),
    };
    match batch {
        Ok(batch) => {
            assert_eq!(batch.body, body);
            if let Some(expected) = expected {
                assert_eq!(batch.events.len(), expected, "a verdict for every event");
            }
            keeps_its_meaning(&batch, &context);
        }
        Err(problem) => assert!((400..500).contains(&problem.kind().status().as_u16())),
    }
}

fn context() -> ParseContext {
    ParseContext {
        received_at: Timestamp::from_micros(1_772_323_200_000_000),
        currency: Currency::USD,
    }
}

/// The body as the server reads it; none where it refuses it.
fn inflated(packing: Packing, body: &[u8]) -> Option<Bytes> {
    let (coding, sent) = match packing {
        Packing::Plain => (None, body.to_vec()),
        Packing::Sent(coding) => (Some(coding), body.to_vec()),
        Packing::Packed(coding) => (Some(coding), packed(coding, body)),
    };
    let mut headers = HeaderMap::new();
    if let Some(coding) = coding {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding));
    }
    let mut share = Budget::new(4 * BODY_BYTES).share();
    let read = block_on(read(&headers, Body::from(sent), BODY_BYTES, &mut share));
    match (read, packing) {
        (Ok(found), Packing::Plain | Packing::Packed(_)) => {
            assert_eq!(found, body);
            Some(found)
        }
        (Ok(found), Packing::Sent(_)) => {
            assert!(found.len() <= BODY_BYTES, "never more than allowed");
            Some(found)
        }
        (Err(_), Packing::Sent(_)) => None,
        (Err(_), _) => {
            assert!(body.len() > BODY_BYTES, "what was packed here is whole");
            None
        }
    }
}

fn packed(coding: &str, body: &[u8]) -> Vec<u8> {
    if coding == "zstd" {
        return zstd::encode_all(body, 1).expect("memory takes everything");
    }
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(body).expect("memory takes everything");
    encoder.finish().expect("memory takes everything")
}

/// How many events another reader finds in a batch, where it can read it.
fn array(body: &[u8]) -> Option<usize> {
    let count = |text: &[u8]| Some(serde_json::from_slice::<Vec<&RawValue>>(text).ok()?.len());
    let wrapped: Option<BTreeMap<String, &RawValue>> = serde_json::from_slice(body).ok();
    match wrapped {
        Some(wrapped) => count(wrapped.get("events")?.get().as_bytes()),
        None => count(body),
    }
}

fn lines(body: &[u8]) -> Option<usize> {
    let lines = body.split(|byte| *byte == b'\n');
    Some(lines.filter(|line| !line.trim_ascii().is_empty()).count())
}

fn keeps_its_meaning(batch: &Batch, context: &ParseContext) {
    assert!((1..=EVENTS).contains(&batch.events.len()));
    let mut before = 0;
    for parsed in &batch.events {
        assert!(
            parsed.at.start >= before,
            "events stand one after the other"
        );
        before = parsed.at.end;
        let stated = &batch.body[parsed.at.clone()];
        let Ok(draft) = &parsed.draft else { continue };
        let stated = std::str::from_utf8(stated).expect("what is taken is text");
        let again = Draft::parse(draft.body.kind(), stated, context);
        assert_eq!(
            again.as_ref(),
            Ok(draft),
            "the event alone is the same event"
        );

        let event = draft.clone().into_event(
            OrganizationId::from_text("org_1"),
            || "made".into(),
            context.received_at,
            "key".into(),
            0,
        );
        let mut payload = Vec::new();
        encode_event(&mut payload, &event, context.currency, stated);
        assert_eq!(Record::decode(&payload), Ok(Record::Event(event)));
    }
}
