//! User: the profile. The later in the log wins, field by field; null clears.

use std::collections::BTreeMap;
use std::sync::Arc;

use compact_str::CompactString;
use schemas::event::change::PROFILE;
use schemas::{Timestamp, User};
use serde_json::value::RawValue;

use super::{Applied, Edited, State};

pub(super) fn apply(state: &mut State, user: &User, attributes: &str) -> Applied {
    let known = !state.is_new();
    let (mut before, mut after) = (String::from("{"), String::from("{"));
    let mut note = |name: &str, was: Option<&str>, is: Option<&str>| {
        if known && was != is {
            for (out, value) in [(&mut before, was), (&mut after, is)] {
                if out.len() > 1 {
                    out.push(',');
                }
                push_member(out, name, value);
            }
        }
    };
    let profile = Arc::make_mut(&mut state.profile);
    for (name, value) in &user.fields.0 {
        note(name, profile.get(name), value.as_deref());
        set(&mut profile.fields, name, value.as_deref());
    }
    if !attributes.is_empty() {
        // The parser has checked that it is one JSON object.
        let stated: BTreeMap<CompactString, Box<RawValue>> =
            serde_json::from_str(attributes).unwrap_or_default();
        for (name, value) in &stated {
            let value = Some(value.get()).filter(|json| *json != "null");
            let was = profile.attributes.get(name).map(|json| &**json);
            note(name, was, value);
            set(&mut profile.attributes, name, value);
        }
    }
    if let Some((_, follow_up)) = user
        .fields
        .0
        .iter()
        .find(|(name, _)| *name == "next_follow_up")
    {
        state.next_due = follow_up.as_deref().and_then(time);
        state.follow_up_due = false;
    }
    // Of a customer's first event the event itself tells everything.
    if before.len() == 1 {
        return Applied::default();
    }
    state.edits.begin();
    state.edits.note(PROFILE);
    before.push('}');
    after.push('}');
    Applied {
        edits: vec![Edited {
            record: "customer".into(),
            id: "".into(),
            action: "customer.event".into(),
            origin: None,
            before: before.into(),
            after: after.into(),
        }],
        ..Applied::default()
    }
}

pub(super) fn set(map: &mut BTreeMap<CompactString, Box<str>>, name: &str, value: Option<&str>) {
    match value {
        Some(json) => {
            map.insert(name.into(), json.into());
        }
        None => {
            map.remove(name);
        }
    }
}

/// Writes a member of a JSON object.
pub(super) fn push_member(out: &mut String, name: &str, value: Option<&str>) {
    // A text always serialises.
    out.push_str(&serde_json::to_string(name).unwrap_or_default());
    out.push(':');
    out.push_str(value.unwrap_or("null"));
}

/// A time as clients state it: RFC 3339 text or epoch milliseconds.
pub(super) fn time(json: &str) -> Option<Timestamp> {
    match serde_json::from_str(json).ok()? {
        serde_json::Value::String(text) => Timestamp::parse(&text).ok(),
        serde_json::Value::Number(millis) => Timestamp::from_millis(millis.as_i64()?),
        _ => None,
    }
}
