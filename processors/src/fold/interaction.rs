//! Interaction: counted, and the customer has been in touch. It is a record too, which staff go on with.

use schemas::event::Fields;
use schemas::event::interaction::TABLE;
use schemas::field::Type;
use schemas::{Event, Interaction};

use super::{Applied, DayDelta, DayKey, DayTotals, RecordRow, State, user};

pub(super) fn apply(state: &mut State, event: &Event, interaction: &Interaction) -> Applied {
    state.interactions += 1;
    state.last_contact = state.last_contact.max(Some(event.occurred_at));
    let delta = DayDelta {
        key: DayKey {
            day: event.occurred_at.day(),
            currency: None,
        },
        add: DayTotals {
            interactions: 1,
            ..DayTotals::default()
        },
    };
    Applied {
        day: Some(delta),
        records: vec![RecordRow {
            record: "interaction".into(),
            id: event.event_id.clone(),
            edit: 0,
            at: event.occurred_at,
            fields: Some(fields(event, interaction)),
        }],
        ..Applied::default()
    }
}

/// The record as its readers see it: what was stated, times as RFC 3339 whichever way they were.
fn fields(event: &Event, interaction: &Interaction) -> Box<str> {
    let is_time = |name: &str| {
        let field = TABLE.iter().find(|field| field.name == name);
        field.is_some_and(|field| field.ty == Type::Time)
    };
    let json = |text: &str| serde_json::to_string(text).unwrap_or_default();
    let stated = interaction.fields.0.iter().map(|(name, value)| {
        let time = value.as_deref().filter(|_| is_time(name));
        let value = match time.and_then(user::time) {
            Some(time) => Some(json(&time.to_string()).into()),
            None => value.clone(),
        };
        (*name, value)
    });
    let mut out = Fields(stated.collect()).to_json();
    out.pop();
    let mut add = |name: &str, json: &str| {
        if out.len() > 1 {
            out.push(',');
        }
        user::push_member(&mut out, name, Some(json));
    };
    if !event.attributes.is_empty() {
        add("attributes", &event.attributes);
    }
    add("occurred_at", &json(&event.occurred_at.to_string()));
    add("created_at", &json(&event.received_at.to_string()));
    add("created_by", &json(&event.source));
    out.push('}');
    out.into()
}
