//! What holds of every interaction that staff write down or change.

use schemas::field::Type;
use schemas::form::{Form, Members};
use schemas::forms::interaction::FORM;
use schemas::{Code, FieldError, Problem, ProblemKind, Timestamp};

use crate::api::App;
use crate::http::body::refuse;
use crate::http::caller::Editor;
use crate::models::authoring::field_problem;
use crate::models::interactions::{Circle, flag, set, text, time};
use crate::models::sight::Sight;
use crate::routes::contacts;
use crate::routes::customer_edits::check_assignee;

/// What was filled in, its times as RFC 3339 whichever way they were stated.
pub(super) fn read(body: &str, whole: bool) -> Result<Members, Problem> {
    let Form { table, .. } = FORM;
    let filled = match whole {
        true => FORM.read(body),
        false => FORM.read_part(body),
    };
    let mut fields = filled.map_err(field_problem)?.fields;
    for field in table.iter().filter(|field| field.ty == Type::Time) {
        let stated = fields.get(field.name).map(|json| json.get().to_owned());
        let Some(stated) = stated.filter(|json| json != "null") else {
            continue;
        };
        let millis = stated.parse().ok().and_then(Timestamp::from_millis);
        let at = millis.or_else(|| time(&fields, field.name));
        let at = at.filter(|at| *at == at.kept()).ok_or_else(|| {
            let detail = "must lie between the years 1900 and 2299";
            field_problem(FieldError::new(field.name, Code::OutOfRange, detail))
        })?;
        set(&mut fields, field.name, &at)?;
    }
    if text(&fields, "subject").is_some_and(|subject| subject.trim().is_empty()) {
        return Err(refuse("subject", "required", "must not be empty"));
    }
    Ok(fields)
}

/// A rule that forbids it.
pub(super) fn rule(field: &str, code: &str, detail: &str) -> Problem {
    Problem::new(ProblemKind::Unprocessable, format!("{field}: {detail}"))
        .field(field)
        .with("code", code.into())
}

/// Channel and kind where they were not stated.
pub(super) fn complete(fields: &mut Members) -> Result<(), Problem> {
    let channel = text(fields, "channel");
    let kind = text(fields, "kind").unwrap_or_else(|| {
        let kind = match channel.as_deref() {
            _ if fields.contains_key("support_category") => "support",
            Some("phone") => "call",
            Some("email") => "email",
            _ => "other",
        };
        kind.to_owned()
    });
    let channel = channel.unwrap_or_else(|| {
        let channel = match kind.as_str() {
            "call" => "phone",
            "email" => "email",
            "meeting" | "visit" => "in_person",
            _ => "other",
        };
        channel.to_owned()
    });
    set(fields, "kind", &kind)?;
    set(fields, "channel", &channel)
}

/// Follow-ups have a time, and the times of a support case come one after the other.
pub(super) fn check_times(fields: &mut Members) -> Result<(), Problem> {
    if fields.contains_key("follow_up_at") && !fields.contains_key("requires_follow_up") {
        set(fields, "requires_follow_up", &true)?;
    }
    if flag(fields, "requires_follow_up") && !fields.contains_key("follow_up_at") {
        return Err(rule(
            "follow_up_at",
            "required",
            "say when it is to be followed up",
        ));
    }
    let opened = time(fields, "opened_at").or_else(|| time(fields, "occurred_at"));
    for later in ["first_response_at", "resolved_at"] {
        if time(fields, later)
            .zip(opened)
            .is_some_and(|(later, opened)| later < opened)
        {
            return Err(rule(
                later,
                "out_of_range",
                "must not lie before the case was opened",
            ));
        }
    }
    Ok(())
}

/// What lies ahead is not completed yet.
pub(super) fn check_completed(fields: &Members, now: Timestamp) -> Result<(), Problem> {
    let ahead = time(fields, "occurred_at").is_some_and(|at| at > now);
    match ahead && text(fields, "status").as_deref() == Some("completed") {
        true => Err(rule(
            "status",
            "illegal_status",
            "it lies ahead and is not completed yet",
        )),
        false => Ok(()),
    }
}

/// The person it is about is one of the customer's.
pub(super) async fn check_contact(
    app: &App,
    editor: &Editor,
    customer: &str,
    fields: &Members,
) -> Result<(), Problem> {
    let Some(id) = text(fields, "contact_id") else {
        return Ok(());
    };
    let all = contacts::all(app, &editor.principal.organization, customer).await?;
    match all.iter().any(|contact| contact.id == id) {
        true => Ok(()),
        false => Err(rule(
            "contact_id",
            "unknown_contact",
            "the customer has no such contact",
        )),
    }
}

/// Who is to be responsible is active; a role that does not reach all chooses among its team.
pub(super) async fn check_responsible(
    app: &App,
    editor: &Editor,
    circle: &Circle,
    fields: &Members,
) -> Result<(), Problem> {
    let Some(user) = text(fields, "assigned_to") else {
        return Ok(());
    };
    let may = match circle.is_colleague(&user) {
        true => Sight::All,
        false => editor.may.clone(),
    };
    let trusted = Editor {
        principal: editor.principal.clone(),
        sees: editor.sees.clone(),
        may,
    };
    check_assignee(app, &trusted, "assigned_to", &user).await
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn completed(body: &str) -> (String, String) {
        let mut fields = read(body, true).unwrap();
        complete(&mut fields).unwrap();
        (
            text(&fields, "kind").unwrap(),
            text(&fields, "channel").unwrap(),
        )
    }

    #[test]
    fn kind_and_channel_follow_from_each_other() {
        for (stated, kind, channel) in [
            (r#"{"subject":"a"}"#, "other", "other"),
            (r#"{"subject":"a","kind":"call"}"#, "call", "phone"),
            (r#"{"subject":"a","kind":"visit"}"#, "visit", "in_person"),
            (r#"{"subject":"a","channel":"phone"}"#, "call", "phone"),
            (r#"{"subject":"a","channel":"chat"}"#, "other", "chat"),
            (
                r#"{"subject":"a","channel":"email","support_category":"bug"}"#,
                "support",
                "email",
            ),
        ] {
            assert_eq!(
                completed(stated),
                (kind.to_owned(), channel.to_owned()),
                "{stated}"
            );
        }
    }

    #[test]
    fn times_are_written_in_one_form_and_in_order() {
        let stated = r#"{"subject":"a","occurred_at":1767225600000}"#;
        let fields = read(stated, true).unwrap();
        assert!(
            text(&fields, "occurred_at")
                .unwrap()
                .starts_with("2026-01-01T00:00:00")
        );
        let mut early = read(
            r#"{"subject":"a","opened_at":"2026-01-02T00:00:00Z","resolved_at":"2026-01-01T00:00:00Z"}"#,
            true,
        )
        .unwrap();
        assert_eq!(
            check_times(&mut early).unwrap_err().more["field"],
            "resolved_at"
        );
        let mut open = read(r#"{"subject":"a","requires_follow_up":true}"#, true).unwrap();
        assert_eq!(
            check_times(&mut open).unwrap_err().more["field"],
            "follow_up_at"
        );
        let far = read(
            r#"{"subject":"a","follow_up_at":"0001-01-01T00:00:00Z"}"#,
            true,
        );
        assert_eq!(far.unwrap_err().more["field"], "follow_up_at");
    }
}
