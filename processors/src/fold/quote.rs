//! Quote: a record like others, but for its end. While it waits for an answer the state keeps what it holds, and a tick
//! at or after its `valid_until` makes it expired.

use std::collections::BTreeMap;
use std::sync::Arc;

use compact_str::CompactString;
use schemas::Timestamp;
use schemas::event::RecordEdit;
use schemas::forms::quote::{EXPIRED, OPEN, RECORD};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Applied, Edited, RecordRow, Refusal, State, micros, user};

/// The reason of a change by which a customer would have too much in open quotes.
pub const TOO_MANY_OPEN: &str = "too_many_open";
/// What the clock does to a quote, in the audit.
const EXPIRE: &str = "quote.expire";
/// Bytes of a customer's open quotes at most: they are part of each row of its state.
const MOST_BYTES: usize = 4 << 20;

/// A quote that waits for an answer until a time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OpenQuote {
    /// Which one.
    pub id: CompactString,
    /// From when on it is expired.
    #[serde(with = "micros")]
    pub valid_until: Timestamp,
    /// What lists are ordered by.
    #[serde(with = "micros")]
    pub at: Timestamp,
    /// Its fields as a JSON object.
    pub fields: Arc<str>,
}

impl OpenQuote {
    /// Bytes held, roughly.
    pub(super) fn weight(&self) -> usize {
        std::mem::size_of::<Self>() + self.id.len() + self.fields.len()
    }
}

/// What of a quote decides whether it waits.
#[derive(Deserialize)]
struct Waiting<'a> {
    status: CompactString,
    #[serde(borrow)]
    valid_until: Option<&'a RawValue>,
}

/// Until when a quote with these fields waits for an answer, if it does.
fn waits_until(fields: &str) -> Option<Timestamp> {
    let waiting: Waiting<'_> = serde_json::from_str(fields).ok()?;
    match OPEN.contains(&waiting.status.as_str()) {
        true => user::time(waiting.valid_until?.get()),
        false => None,
    }
}

/// Notes a quote as it is from now on, where the record is one.
pub(super) fn edited(state: &mut State, edit: &RecordEdit, at: Timestamp) -> Result<(), Refusal> {
    if edit.record != RECORD {
        return Ok(());
    }
    state.quotes.retain(|quote| quote.id != edit.id);
    let Some(after) = &edit.after else {
        return Ok(());
    };
    let Some(valid_until) = waits_until(after.get()) else {
        return Ok(());
    };
    state.quotes.push(OpenQuote {
        id: edit.id.clone(),
        valid_until,
        at,
        fields: after.get().into(),
    });
    let bytes: usize = state.quotes.iter().map(OpenQuote::weight).sum();
    match bytes > MOST_BYTES {
        true => Err(Refusal {
            reason: TOO_MANY_OPEN,
            field: "status".to_owned(),
            detail: "the customer has too many quotes that wait for an answer; settle some of them"
                .to_owned(),
        }),
        false => Ok(()),
    }
}

/// When the first of the open quotes expires.
pub(super) fn next_due(state: &State) -> Option<Timestamp> {
    state.quotes.iter().map(|quote| quote.valid_until).min()
}

/// Makes the quotes expired that were valid until `now` or before.
pub(super) fn expire(state: &mut State, now: Timestamp, applied: &mut Applied) {
    let (mut due, open): (Vec<_>, Vec<_>) = std::mem::take(&mut state.quotes)
        .into_iter()
        .partition(|quote| quote.valid_until <= now);
    state.quotes = open;
    if due.is_empty() {
        return;
    }
    due.sort_by(|a, b| (a.valid_until, &a.id).cmp(&(b.valid_until, &b.id)));
    let edit = state.edits.begin();
    state.edits.note(RECORD);
    for quote in due {
        state.edits.note(&RecordEdit::guard(RECORD, &quote.id));
        let after = expired(&quote.fields);
        applied.edits.push(Edited {
            record: RECORD.into(),
            id: quote.id.clone(),
            action: EXPIRE.into(),
            origin: None,
            before: (&*quote.fields).into(),
            after: after.clone(),
        });
        applied.records.push(RecordRow {
            record: RECORD.into(),
            id: quote.id,
            edit,
            at: quote.at,
            fields: Some(after),
        });
    }
}

/// The fields of a quote, expired; all others as they were, digit for digit.
fn expired(fields: &str) -> Box<str> {
    // It was read when it was noted.
    let mut members: BTreeMap<CompactString, Box<RawValue>> =
        serde_json::from_str(fields).unwrap_or_default();
    if let Ok(status) = serde_json::value::to_raw_value(EXPIRED) {
        members.insert("status".into(), status);
    }
    serde_json::to_string(&members).unwrap_or_default().into()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use schemas::event::change::Json;

    use super::*;
    use crate::fold::next_due as first_due;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    fn quote(id: &str, status: &str, seconds: i64) -> RecordEdit {
        let fields = format!(
            r#"{{"number":"Q-1","status":"{status}","total":"1.50","valid_until":"{}"}}"#,
            at(seconds)
        );
        RecordEdit {
            record: RECORD.into(),
            id: id.into(),
            at: None,
            before: None,
            after: Some(
                Json::of(&serde_json::from_str::<Box<RawValue>>(&fields).unwrap()).unwrap(),
            ),
        }
    }

    fn state(quotes: &[(&str, &str, i64)]) -> State {
        let mut state = State::new(at(0), at(0));
        for (id, status, seconds) in quotes {
            edited(&mut state, &quote(id, status, *seconds), at(1)).unwrap();
        }
        state
    }

    fn ticked(state: &mut State, now: Timestamp) -> Option<Applied> {
        let organization = schemas::OrganizationId::from_text("org_1");
        crate::fold::tick(
            &crate::fold::Definitions::default(),
            &organization,
            state,
            now,
        )
    }

    #[test]
    fn what_waits_expires_in_its_time() {
        let mut state = state(&[
            ("late", "sent", 30),
            ("b", "viewed", 20),
            ("a", "sent", 20),
            ("draft", "draft", 10),
            ("accepted", "accepted", 10),
        ]);
        assert_eq!(first_due(&state), Some(at(20)));
        assert_eq!(ticked(&mut state, at(19)), None);
        let seen = state.edits.count;
        let fired = ticked(&mut state, at(25)).unwrap();
        let ids: Vec<&str> = fired.records.iter().map(|row| row.id.as_str()).collect();
        assert_eq!(ids, ["a", "b"]);
        assert_eq!(
            fired.records[0].fields.as_deref(),
            Some(
                r#"{"number":"Q-1","status":"expired","total":"1.50","valid_until":"1970-01-01T00:00:20Z"}"#
            )
        );
        assert_eq!(
            (fired.records[0].edit, fired.records[0].at),
            (seen + 1, at(1))
        );
        assert!(fired.edits[0].before.contains("sent") && fired.edits[0].after.contains("expired"));
        assert!(state.edits.since(seen, "quote/a") && state.edits.since(seen, "quote/b"));
        assert!(!state.edits.since(seen, "quote/late"));
        assert_eq!(first_due(&state), Some(at(30)));
        assert_eq!(ticked(&mut state, at(29)), None, "once");
    }

    #[test]
    fn an_answer_ends_the_waiting() {
        let mut state = state(&[("a", "sent", 20), ("b", "sent", 20), ("c", "sent", 25)]);
        edited(&mut state, &quote("a", "accepted", 20), at(1)).unwrap();
        let mut deleted = quote("b", "sent", 20);
        deleted.after = None;
        edited(&mut state, &deleted, at(1)).unwrap();
        // Sent again it counts once.
        edited(&mut state, &quote("c", "viewed", 40), at(1)).unwrap();
        assert_eq!(first_due(&state), Some(at(40)));
        assert_eq!(ticked(&mut state, at(50)).unwrap().records.len(), 1);
        assert!(state.quotes.is_empty());
    }

    #[test]
    fn a_follow_up_and_a_quote_share_the_timer() {
        let mut state = state(&[("a", "sent", 20)]);
        state.next_due = Some(at(10));
        assert_eq!(first_due(&state), Some(at(10)));
        assert_eq!(ticked(&mut state, at(10)), Some(Applied::default()));
        assert!(state.follow_up_due);
        assert_eq!(first_due(&state), Some(at(20)));
        state.next_due = Some(at(21));
        assert_eq!(ticked(&mut state, at(21)).unwrap().edits.len(), 1);
        assert_eq!(first_due(&state), None);
    }

    #[test]
    fn open_quotes_of_a_customer_are_bounded() {
        let mut state = State::new(at(0), at(0));
        let mut large = quote("a", "sent", 20);
        let notes = "x".repeat(MOST_BYTES / 2);
        let fields = serde_json::json!({"status": "sent", "valid_until": at(20), "notes": notes});
        large.after = Some(Json::of(&fields).unwrap());
        edited(&mut state, &large, at(1)).unwrap();
        edited(&mut state, &large, at(1)).unwrap();
        large.id = "b".into();
        let refused = edited(&mut state, &large, at(1)).unwrap_err();
        assert_eq!(
            (refused.reason, refused.field.as_str()),
            (TOO_MANY_OPEN, "status")
        );
    }
}
