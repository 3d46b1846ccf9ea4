//! Log records: an envelope around the event exactly as it was stated, or a control record.
//!
//! Written without building a tree: the client's own bytes are copied behind the envelope, and
//! reading parses them again by the same rules, so that a record means the same for ever.

use std::sync::Arc;

use bytes::Bytes;
use compact_str::CompactString;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::definition::Define;
use crate::error::{Code, FieldError};
use crate::event::{Draft, Event, Kind, MAX_AHEAD_MICROS, ParseContext};
use crate::ids::OrganizationId;
use crate::json::write_string;
use crate::money::Currency;
use crate::time::Timestamp;

/// The form written today.
pub const SCHEMA_VERSION: u32 = 1;

/// What is at one position of the log.
#[derive(Debug, Clone, PartialEq)]
pub enum Record {
    /// A client's event.
    Event(Event),
    /// Written by Millrace itself.
    Control(Control),
}

/// A record that is no event: counted as internal, not archived.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Control {
    /// A definition, which holds from here on.
    Define {
        /// What is defined.
        define: Define,
    },
    /// It is now at least this late: timers up to it are due.
    Tick {
        /// The time.
        at: Timestamp,
    },
    /// Who of a bucket's customers is in which of the organization's segments is looked at again.
    Evaluate {
        /// Whose.
        organization: OrganizationId,
        /// 0 to 255, of the partition that the record is in.
        bucket: u16,
        /// It is at least so late then.
        at: Timestamp,
    },
    /// Proof that the log takes records.
    Probe,
}

impl Control {
    /// Its kind, as a record names it.
    pub fn kind(&self) -> &'static str {
        match self {
            Control::Define { .. } => "define",
            Control::Tick { .. } => "tick",
            Control::Evaluate { .. } => "evaluate",
            Control::Probe => "probe",
        }
    }

    /// As a log record's payload.
    pub fn encode(&self) -> Bytes {
        #[derive(Serialize)]
        struct Versioned<'a> {
            v: u32,
            #[serde(flatten)]
            control: &'a Control,
        }
        // Plain data with string keys always serialises.
        serde_json::to_vec(&Versioned {
            v: SCHEMA_VERSION,
            control: self,
        })
        .unwrap_or_default()
        .into()
    }
}

/// Why a record cannot be read: it becomes a rejection, never a blocked partition.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum DecodeError {
    /// Not an envelope.
    #[error("not a record of this log: {0}")]
    Envelope(String),
    /// Written by a later Millrace.
    #[error("schema version {0} is newer than this program; upgrade it")]
    Version(u32),
    /// The event inside breaks a rule.
    #[error("{0}")]
    Event(FieldError, Box<Envelope>),
}

/// What the envelope of an undecodable event still tells.
#[derive(Debug, Clone, PartialEq)]
pub struct Envelope {
    /// The tenant.
    pub organization: OrganizationId,
    /// The customer.
    pub customer_id: CompactString,
    /// The event.
    pub event_id: CompactString,
    /// Its kind.
    pub kind: Kind,
    /// When it was received.
    pub received_at: Timestamp,
    /// The operator's attempt.
    pub attempt: u32,
}

/// Appends the payload of an event to `out`: envelope, then `stated` as it is.
///
/// `currency` is the organization's, for purchases that state none. `stated` must be the JSON object the event was parsed from.
pub fn encode_event(out: &mut Vec<u8>, event: &Event, currency: Currency, stated: &str) {
    out.reserve(stated.len() + 320);
    out.extend_from_slice(b"{\"v\":1,\"kind\":\"");
    out.extend_from_slice(event.kind().as_str().as_bytes());
    out.extend_from_slice(b"\",\"organization\":");
    write_string(out, event.organization.as_str());
    out.extend_from_slice(b",\"customer_id\":");
    write_string(out, &event.customer_id);
    out.extend_from_slice(b",\"event_id\":");
    write_string(out, &event.event_id);
    write_number(out, b",\"occurred_us\":", event.occurred_at.micros());
    write_number(out, b",\"received_us\":", event.received_at.micros());
    out.extend_from_slice(b",\"source\":");
    write_string(out, &event.source);
    out.extend_from_slice(b",\"currency\":\"");
    out.extend_from_slice(currency.as_str().as_bytes());
    out.push(b'"');
    if event.attempt > 0 {
        write_number(out, b",\"attempt\":", i64::from(event.attempt));
    }
    out.extend_from_slice(b",\"event\":");
    out.extend_from_slice(stated.as_bytes());
    out.push(b'}');
}

/// Whether a payload is a change: somebody waits for what becomes of it.
pub fn is_change(payload: &[u8]) -> bool {
    payload.starts_with(b"{\"v\":1,\"kind\":\"change\"")
}

/// Whether a payload is a [`Control::Evaluate`]: all customers of a bucket are needed for it.
pub fn is_evaluate(payload: &[u8]) -> bool {
    payload.starts_with(b"{\"v\":1,\"kind\":\"evaluate\"")
}

fn write_number(out: &mut Vec<u8>, name: &[u8], number: i64) {
    use std::io::Write;
    out.extend_from_slice(name);
    // Writing to a Vec cannot fail.
    let _ = write!(out, "{number}");
}

#[derive(Deserialize)]
struct Wire<'a> {
    v: u32,
    #[serde(borrow)]
    kind: std::borrow::Cow<'a, str>,
    #[serde(default)]
    organization: Option<String>,
    #[serde(default)]
    customer_id: Option<CompactString>,
    #[serde(default)]
    event_id: Option<CompactString>,
    #[serde(default)]
    received_us: i64,
    #[serde(default)]
    source: Option<String>,
    #[serde(default)]
    currency: Option<Currency>,
    #[serde(default)]
    attempt: u32,
    #[serde(borrow, default)]
    event: Option<&'a RawValue>,
}

impl<'a> Wire<'a> {
    fn read(payload: &'a [u8]) -> Result<Self, DecodeError> {
        let wire: Wire<'a> = serde_json::from_slice(payload)
            .map_err(|error| DecodeError::Envelope(error.to_string()))?;
        match wire.v > SCHEMA_VERSION {
            true => Err(DecodeError::Version(wire.v)),
            false => Ok(wire),
        }
    }

    fn envelope(&mut self, kind: Kind) -> Result<Envelope, DecodeError> {
        let missing = |field: &str| DecodeError::Envelope(format!("an event without {field}"));
        let organization = self.organization.take().filter(|text| !text.is_empty());
        let received_at = Timestamp::from_micros(self.received_us);
        // Beyond these no table keeps a time, and one such record would hold up all others.
        let times = Timestamp::EARLIEST..=Timestamp::LATEST.plus_micros(-MAX_AHEAD_MICROS);
        if !times.contains(&received_at) {
            return Err(DecodeError::Envelope(
                "an event received before 1900 or after 2299".to_owned(),
            ));
        }
        Ok(Envelope {
            organization: OrganizationId::from_text(
                organization.ok_or_else(|| missing("organization"))?,
            ),
            customer_id: self
                .customer_id
                .take()
                .ok_or_else(|| missing("customer_id"))?,
            event_id: self.event_id.take().ok_or_else(|| missing("event_id"))?,
            kind,
            received_at,
            attempt: self.attempt,
        })
    }

    /// The event of an envelope around `stated`.
    fn parse(&mut self, envelope: Envelope, stated: &str) -> Result<Event, DecodeError> {
        let context = ParseContext {
            received_at: envelope.received_at,
            currency: self.currency(),
        };
        match Draft::parse(envelope.kind, stated, &context) {
            Err(error) => Err(DecodeError::Event(error, Box::new(envelope))),
            Ok(draft) => Ok(Event {
                organization: envelope.organization,
                customer_id: envelope.customer_id,
                event_id: envelope.event_id,
                occurred_at: draft.occurred_at,
                received_at: envelope.received_at,
                source: Arc::from(self.source.take().unwrap_or_default()),
                attempt: envelope.attempt,
                body: draft.body,
                attributes: draft.attributes,
            }),
        }
    }

    fn currency(&self) -> Currency {
        self.currency.unwrap_or(Currency::USD)
    }
}

impl Record {
    /// Reads a payload.
    pub fn decode(payload: &[u8]) -> Result<Record, DecodeError> {
        let mut wire = Wire::read(payload)?;
        let Some(kind) = Kind::from_name(&wire.kind) else {
            let control = serde_json::from_slice(payload)
                .map_err(|error| DecodeError::Envelope(error.to_string()))?;
            return Ok(Record::Control(control));
        };
        let envelope = wire.envelope(kind)?;
        let stated = wire
            .event
            .ok_or_else(|| DecodeError::Envelope("an event without event".to_owned()))?;
        wire.parse(envelope, stated.get()).map(Record::Event)
    }
}

/// What a client stated of the event in a payload, if it holds one.
pub fn stated(payload: &[u8]) -> Option<&str> {
    Wire::read(payload).ok()?.event.map(RawValue::get)
}

/// The event of a payload sent again as `attempt`, with `correction` in place of what was stated: the event and its payload.
///
/// It stays the same event: its customer, id, kind, source and time of receipt are the envelope's.
///
/// # Errors
/// What is still wrong with it, or that the correction is of another event.
pub fn resend(
    payload: &[u8],
    attempt: u32,
    correction: Option<&str>,
) -> Result<(Event, Vec<u8>), DecodeError> {
    let mut wire = Wire::read(payload)?;
    let Some(kind) = Kind::from_name(&wire.kind) else {
        return Err(DecodeError::Envelope("no client's event".to_owned()));
    };
    let envelope = Envelope {
        attempt,
        ..wire.envelope(kind)?
    };
    let stated = correction
        .or(wire.event.map(RawValue::get))
        .ok_or_else(|| DecodeError::Envelope("an event without event".to_owned()))?;
    if let Some(correction) = correction
        && let Some(field) = names_another(correction, &envelope)
    {
        let detail = "a correction is of the same event; send another one as a new event";
        let error = FieldError::new(field, Code::Conflict, detail);
        return Err(DecodeError::Event(error, Box::new(envelope)));
    }
    let event = wire.parse(envelope, stated)?;
    let mut payload = Vec::new();
    encode_event(&mut payload, &event, wire.currency(), stated);
    Ok((event, payload))
}

/// The field by which a stated event differs from an envelope.
fn names_another(stated: &str, envelope: &Envelope) -> Option<&'static str> {
    #[derive(Deserialize)]
    struct Names<'a> {
        #[serde(rename = "type", borrow, default)]
        kind: Option<std::borrow::Cow<'a, str>>,
        #[serde(default)]
        customer_id: Option<CompactString>,
        #[serde(default)]
        event_id: Option<CompactString>,
    }
    // What cannot be read at all is refused with its reason where it is parsed.
    let names: Names<'_> = serde_json::from_str(stated).ok()?;
    let other = |stated: Option<&str>, own: &str| stated.is_some_and(|stated| stated != own);
    [
        ("type", names.kind.as_deref(), envelope.kind.as_str()),
        (
            "customer_id",
            names.customer_id.as_deref(),
            &*envelope.customer_id,
        ),
        ("event_id", names.event_id.as_deref(), &*envelope.event_id),
    ]
    .into_iter()
    .find(|(_, stated, own)| other(*stated, own))
    .map(|(field, ..)| field)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_event_means_the_same_after_the_log() {
        let stated = r#"{"customer_id":"c\"1","amount":"5.10","items":[{"product_id":"p","quantity":2}],"note":"é"}"#;
        let received_at = Timestamp::parse("2026-03-01T00:00:00.000001Z").unwrap();
        let currency = Currency::parse("EUR").unwrap();
        let event = Draft::parse(
            Kind::Purchase,
            stated,
            &ParseContext {
                received_at,
                currency,
            },
        )
        .unwrap()
        .into_event(
            OrganizationId::from_text("org_1"),
            || "made".into(),
            received_at,
            "key_1".into(),
            0,
        );
        let mut payload = Vec::new();
        encode_event(&mut payload, &event, currency, stated);
        assert_eq!(Record::decode(&payload).unwrap(), Record::Event(event));
    }

    #[test]
    fn control_records_round_trip() {
        for control in [
            Control::Probe,
            Control::Tick {
                at: Timestamp::from_micros(5_000_000),
            },
            Control::Evaluate {
                organization: OrganizationId::from_text("org_1"),
                bucket: 255,
                at: Timestamp::from_micros(7),
            },
            Control::Define {
                define: Define::Fold { version: 1 },
            },
            Control::Define {
                define: Define::Segment {
                    organization: OrganizationId::from_text("org_1"),
                    id: "seg_1".into(),
                    version: 3,
                    criteria: crate::definition::MANUAL.to_owned(),
                    is_active: true,
                },
            },
            Control::Define {
                define: Define::Loyalty {
                    organization: OrganizationId::from_text("org_1"),
                    tiers: crate::default_tiers(),
                    points_per_unit: 1,
                    points_expire_days: 365,
                },
            },
        ] {
            assert_eq!(
                Record::decode(&control.encode()).unwrap(),
                Record::Control(control.clone())
            );
            let evaluates = matches!(control, Control::Evaluate { .. });
            assert_eq!(is_evaluate(&control.encode()), evaluates);
        }
    }

    #[test]
    fn what_is_no_record_says_why() {
        assert!(matches!(
            Record::decode(b"junk"),
            Err(DecodeError::Envelope(_))
        ));
        assert!(matches!(
            Record::decode(br#"{"v":99,"kind":"probe"}"#),
            Err(DecodeError::Version(99))
        ));
        assert!(matches!(
            Record::decode(br#"{"v":1,"kind":"dance"}"#),
            Err(DecodeError::Envelope(_))
        ));
        let poison = br#"{"v":1,"kind":"activity","organization":"o","customer_id":"c","event_id":"e","received_us":1,"event":{"customer_id":"c"}}"#;
        match Record::decode(poison) {
            Err(DecodeError::Event(error, envelope)) => {
                assert_eq!(
                    (error.field.as_str(), envelope.event_id.as_str()),
                    ("name", "e")
                );
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_time_no_table_keeps_is_no_record() {
        for received in [
            i64::MIN,
            -2_208_988_800_000_001,
            10_413_705_600_000_000,
            i64::MAX,
        ] {
            let payload = format!(
                r#"{{"v":1,"kind":"activity","organization":"o","customer_id":"c","event_id":"e","received_us":{received},"event":{{"customer_id":"c","name":"login"}}}}"#
            );
            assert!(
                matches!(
                    Record::decode(payload.as_bytes()),
                    Err(DecodeError::Envelope(_))
                ),
                "{received}"
            );
        }
    }

    #[test]
    fn a_rejected_event_is_sent_again_as_itself() {
        let payload = br#"{"v":1,"kind":"purchase","organization":"o","customer_id":"c","event_id":"e","received_us":5000000,"source":"key_1","currency":"EUR","event":{"customer_id":"c","event_id":"e","amount":"x"}}"#;
        assert_eq!(
            stated(payload),
            Some(r#"{"customer_id":"c","event_id":"e","amount":"x"}"#)
        );
        assert!(matches!(
            resend(payload, 1, None),
            Err(DecodeError::Event(error, _)) if error.field == "amount"
        ));
        let (event, resent) =
            resend(payload, 1, Some(r#"{"amount":"5.10","customer_id":"c"}"#)).unwrap();
        assert_eq!(
            Record::decode(&resent).unwrap(),
            Record::Event(event.clone())
        );
        assert_eq!(
            (event.attempt, &*event.event_id, &*event.source),
            (1, "e", "key_1")
        );
        assert_eq!(event.occurred_at, Timestamp::from_micros(5_000_000));
        assert_eq!(event.body.purchase().unwrap().currency.as_str(), "EUR");

        for (other, field) in [
            (r#"{"amount":"1","customer_id":"d"}"#, "customer_id"),
            (
                r#"{"amount":"1","customer_id":"c","event_id":"f"}"#,
                "event_id",
            ),
            (r#"{"amount":"1","customer_id":"c","type":"user"}"#, "type"),
        ] {
            match resend(payload, 1, Some(other)) {
                Err(DecodeError::Event(error, _)) => assert_eq!(error.field, field),
                found => panic!("{other}: {found:?}"),
            }
        }
        assert!(resend(&Control::Probe.encode(), 1, None).is_err());
        assert!(resend(b"junk", 1, None).is_err());
    }
}
