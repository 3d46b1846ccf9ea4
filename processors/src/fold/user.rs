//! User: the profile. The later in the log wins, field by field; null clears.

use std::collections::BTreeMap;
use std::sync::Arc;

use compact_str::CompactString;
use schemas::{Timestamp, User};
use serde_json::value::RawValue;

use super::State;

pub(super) fn apply(state: &mut State, user: &User, attributes: &str) {
    let profile = Arc::make_mut(&mut state.profile);
    for (name, value) in &user.fields.0 {
        set(&mut profile.fields, name, value.as_deref());
    }
    if !attributes.is_empty() {
        // The parser has checked that it is one JSON object.
        let stated: BTreeMap<CompactString, Box<RawValue>> =
            serde_json::from_str(attributes).unwrap_or_default();
        for (name, value) in &stated {
            set(
                &mut profile.attributes,
                name,
                Some(value.get()).filter(|json| *json != "null"),
            );
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
}

fn set(map: &mut BTreeMap<CompactString, Box<str>>, name: &str, value: Option<&str>) {
    match value {
        Some(json) => {
            map.insert(name.into(), json.into());
        }
        None => {
            map.remove(name);
        }
    }
}

/// A time as clients state it: RFC 3339 text or epoch milliseconds.
pub(super) fn time(json: &str) -> Option<Timestamp> {
    match serde_json::from_str(json).ok()? {
        serde_json::Value::String(text) => Timestamp::parse(&text).ok(),
        serde_json::Value::Number(millis) => Timestamp::from_millis(millis.as_i64()?),
        _ => None,
    }
}
