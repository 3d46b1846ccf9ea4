//! Change: what staff state. Refused as a whole where it rests on what is no longer so.

use std::sync::Arc;

use schemas::event::change::{Json, LEAD_SCORE, LOYALTY, PROFILE};
use schemas::event::{Effects, RecordEdit};
use schemas::{Change, Event};

use super::state::{Profile, Status, StatusReason};
use super::{Applied, Edited, RecordRow, Refusal, State, loyalty, quote, segments, user};

/// The reason of a change of a customer that is not there.
pub const UNKNOWN_CUSTOMER: &str = "unknown_customer";
/// The reason of a customer made twice.
pub const EXISTS: &str = "exists";
/// The reason of a change whose author had not seen an edit.
pub const STALE: &str = "stale";
/// The reason of a step that no customer's life has.
pub const ILLEGAL_STATUS: &str = "illegal_status";

fn refusal(reason: &'static str, field: &str, detail: impl Into<String>) -> Refusal {
    Refusal {
        reason,
        field: field.to_owned(),
        detail: detail.into(),
    }
}

pub(super) fn apply(state: &mut State, event: &Event, change: &Change) -> Result<Applied, Refusal> {
    let effects = &change.effects;
    check(state, effects)?;
    let count = state.edits.begin();
    let before = Arc::clone(&state.profile);
    let mut applied = Applied::default();
    if let Some(edited) = profile(state, effects)? {
        state.edits.note(PROFILE);
        applied.edits.push(edited);
    }
    for edit in &effects.records {
        let computed = edit.record == LEAD_SCORE;
        if !computed {
            state.edits.note(&edit.record);
            state.edits.note(&RecordEdit::guard(&edit.record, &edit.id));
        }
        let text = |json: &Option<Json>| json.as_ref().map(|json| Box::from(json.get()));
        let at = edit.at.unwrap_or(event.occurred_at);
        quote::edited(state, edit, at)?;
        applied.records.push(RecordRow {
            record: edit.record.clone(),
            id: edit.id.clone(),
            edit: count,
            at,
            fields: text(&edit.after),
        });
        if computed {
            continue;
        }
        applied.edits.push(Edited {
            record: edit.record.clone(),
            id: edit.id.clone(),
            action: effects.action.clone(),
            origin: effects.origin.clone(),
            before: text(&edit.before).unwrap_or_default(),
            after: text(&edit.after).unwrap_or_default(),
        });
    }
    segments::assign(state, effects, &mut applied);
    if effects.deletes {
        state.edits.note(PROFILE);
        applied.points = loyalty::close(&mut state.loyalty);
        state.delete();
        applied.edits.push(Edited {
            record: "customer".into(),
            id: "".into(),
            action: effects.action.clone(),
            origin: effects.origin.clone(),
            before: whole(&before),
            after: Box::default(),
        });
    } else {
        if effects.creates {
            state.is_deleted = false;
        }
        account(state, event, effects, &mut applied)?;
    }
    Ok(applied)
}

/// Moves points and gives tiers.
fn account(
    state: &mut State,
    event: &Event,
    effects: &Effects,
    applied: &mut Applied,
) -> Result<(), Refusal> {
    if effects.points.is_none() && effects.tier.is_none() {
        return Ok(());
    }
    let before = state.loyalty.shown();
    if let Some(points) = &effects.points {
        applied.points = loyalty::staff(&mut state.loyalty, points, event.occurred_at)?;
    }
    if let Some(tier) = &effects.tier {
        loyalty::give_tier(&mut state.loyalty, tier);
    }
    state.edits.note(LOYALTY);
    applied.edits.push(Edited {
        record: LOYALTY.into(),
        id: "".into(),
        action: effects.action.clone(),
        origin: effects.origin.clone(),
        before,
        after: state.loyalty.shown(),
    });
    Ok(())
}

/// All that a profile holds, as one JSON object.
fn whole(profile: &Profile) -> Box<str> {
    let mut out = String::from("{");
    for (name, value) in profile.fields.iter().chain(&profile.attributes) {
        if out.len() > 1 {
            out.push(',');
        }
        user::push_member(&mut out, name, Some(value));
    }
    out.push('}');
    out.into()
}

fn check(state: &State, effects: &Effects) -> Result<(), Refusal> {
    match (effects.creates, state.is_new()) {
        (true, false) => {
            return Err(refusal(
                EXISTS,
                "customer_id",
                "there is such a customer already",
            ));
        }
        (false, true) => {
            return Err(refusal(
                UNKNOWN_CUSTOMER,
                "customer_id",
                "there is no such customer",
            ));
        }
        _ => {}
    }
    let stale = |guard: &str| state.edits.since(effects.seen, guard);
    match effects.guards.iter().find(|guard| stale(guard)) {
        Some(guard) => Err(refusal(
            STALE,
            guard,
            "it was edited meanwhile; read it again and decide again",
        )),
        None => Ok(()),
    }
}

/// Sets the profile and the status. What it was before is told where anything is stated of it.
fn profile(state: &mut State, effects: &Effects) -> Result<Option<Edited>, Refusal> {
    if effects.profile.is_empty()
        && effects.attributes.is_empty()
        && effects.status.is_none()
        && !effects.creates
    {
        return Ok(None);
    }
    let before = stated(&state.profile, effects, state.status);
    let profile = Arc::make_mut(&mut state.profile);
    for (name, value) in &effects.profile {
        user::set(&mut profile.fields, name, not_null(value));
        if name == "next_follow_up" {
            state.next_due = not_null(value).and_then(user::time);
            state.follow_up_due = false;
        }
    }
    for (name, value) in &effects.attributes {
        user::set(&mut profile.attributes, name, not_null(value));
    }
    if let Some(step) = &effects.status {
        let to = Status::from_name(&step.to)
            .ok_or_else(|| refusal(ILLEGAL_STATUS, "status", "no such status"))?;
        let reason = step.reason.as_deref().map(StatusReason::from_name);
        if reason == Some(None) {
            return Err(refusal(ILLEGAL_STATUS, "status_reason", "no such reason"));
        }
        // A customer begins where its author says.
        if !effects.creates && !state.status.leads_to(to) {
            let detail = format!(
                "a customer does not go from {} to {}; from there it goes to {}",
                state.status.as_str(),
                to.as_str(),
                state
                    .status
                    .next()
                    .iter()
                    .map(|status| status.as_str())
                    .collect::<Vec<_>>()
                    .join(" or "),
            );
            return Err(refusal(ILLEGAL_STATUS, "status", detail));
        }
        state.status = to;
        state.status_reason = reason.flatten();
    }
    let after = stated(&state.profile, effects, state.status);
    Ok(Some(Edited {
        record: "customer".into(),
        id: "".into(),
        action: effects.action.clone(),
        origin: effects.origin.clone(),
        before: if effects.creates {
            Box::default()
        } else {
            before
        },
        after,
    }))
}

fn not_null(value: &Json) -> Option<&str> {
    Some(value.get()).filter(|json| *json != "null")
}

/// What the profile has of what a change states, as one JSON object.
fn stated(profile: &Profile, effects: &Effects, status: Status) -> Box<str> {
    let fields = effects.profile.keys().map(|name| (name, profile.get(name)));
    let attributes = effects.attributes.keys().map(|name| {
        let value = profile.attributes.get(name);
        (name, value.map(|json| &**json))
    });
    let mut out = String::from("{");
    for (name, value) in fields.chain(attributes) {
        if out.len() > 1 {
            out.push(',');
        }
        user::push_member(&mut out, name, value);
    }
    if effects.status.is_some() {
        if out.len() > 1 {
            out.push(',');
        }
        out.push_str("\"status\":\"");
        out.push_str(status.as_str());
        out.push('"');
    }
    out.push('}');
    out.into()
}
