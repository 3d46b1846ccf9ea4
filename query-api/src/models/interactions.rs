//! Interactions as records: who sees which, and how they read where something was not stated.

use control::{ControlError, Principal};
use schemas::form::Members;
use schemas::{OrganizationId, Problem, Timestamp, UserId};
use serde::Serialize;
use warehouse::Params;

use super::customers::Found;
use super::records::{RecordJson, Records, missing};
use super::sight::Sight;
use crate::api::{App, internal};
use crate::http::problem::{control_problem, warehouse_problem};
use crate::tables::CUSTOMER;
use crate::tables::rows::Rows;

/// What an interaction is among records.
pub(crate) const RECORD: &str = "interaction";
/// What ids of interactions that staff write down begin with.
pub(crate) const PREFIX: &str = "int";

/// How far one has come.
pub(crate) const STATUS: &str =
    "if(JSONExtractString(fields, 'status') = '', 'pending', JSONExtractString(fields, 'status'))";
/// How urgent one is.
pub(crate) const PRIORITY: &str = "if(JSONExtractString(fields, 'priority') = '', 'medium', JSONExtractString(fields, 'priority'))";
/// Who is responsible for one; empty for nobody.
pub(crate) const ASSIGNED_TO: &str = "JSONExtractString(fields, 'assigned_to')";
/// Whether something is left to do.
pub(crate) const OPEN_FOLLOW_UP: &str = "JSONExtractBool(fields, 'requires_follow_up') AND JSONExtractString(fields, 'status') IN ('', 'pending')";

/// The time that a field of a record holds, or null.
pub(crate) fn time_of(field: &str) -> String {
    format!("parseDateTime64BestEffortOrNull(JSONExtractString(fields, '{field}'), 6, 'UTC')")
}

/// The interactions that a caller sees: those of customers in its sight, and of other customers those that are assigned to
/// it or to somebody of its team.
#[derive(Debug, Clone)]
pub(crate) struct Circle {
    organization: OrganizationId,
    sight: Sight,
    /// The caller and its team. Empty where only customers count.
    colleagues: Vec<String>,
}

impl Circle {
    /// The circle of a caller who sees these customers.
    pub(crate) async fn of(
        app: &App,
        principal: &Principal,
        sight: &Sight,
    ) -> Result<Self, Problem> {
        let colleagues = match sight {
            Sight::Assigned(user) => {
                let mut team = colleagues(app, principal).await?;
                if !team.contains(user) {
                    team.push(user.clone());
                }
                team
            }
            // The first sees all, the other one is a customer.
            Sight::All | Sight::Own(_) => Vec::new(),
        };
        Ok(Self {
            organization: principal.organization.clone(),
            sight: sight.clone(),
            colleagues,
        })
    }

    /// All interactions in it.
    pub(crate) fn records(&self) -> Records {
        let all = Records::of(&self.organization, RECORD, &Sight::All);
        all.narrowed(|params| self.condition(params))
    }

    fn condition(&self, params: Params) -> (Option<String>, Params) {
        match self.sight.condition(params) {
            (Some(condition), params) if !self.colleagues.is_empty() => {
                let either =
                    format!("({condition} OR {ASSIGNED_TO} IN {{colleagues:Array(String)}})");
                let params = params.with("colleagues", self.colleagues.clone());
                (Some(either), params)
            }
            both => both,
        }
    }

    /// One interaction, of this customer where that is known.
    pub(crate) async fn find(
        &self,
        app: &App,
        customer: Option<&str>,
        id: &str,
    ) -> Result<RecordJson, Problem> {
        // By its customer it is found without looking at all of them.
        let owner = match customer {
            Some(_) => None,
            None => whose(app, &self.organization, id).await?,
        };
        let customer = customer.or(owner.as_deref());
        let customer = customer.ok_or_else(|| missing("interaction"))?;
        let records = self.records().of_customer(customer).with_id(id);
        let found = records.one(&*app.api.warehouse).await;
        let found = found.map_err(|error| warehouse_problem(&error))?;
        found.map(shown).ok_or_else(|| missing("interaction"))
    }

    /// Whether somebody of the caller's team, or the caller, has this id.
    pub(crate) fn is_colleague(&self, user: &str) -> bool {
        self.colleagues.iter().any(|colleague| colleague == user)
    }
}

/// Whether a caller may change an interaction: it may change the customer in this way, or is responsible for it.
pub(crate) fn may_edit(may: &Sight, found: &Found, interaction: &RecordJson) -> bool {
    let own = match may {
        Sight::Assigned(user) => interaction.text("assigned_to").as_ref() == Some(user),
        Sight::All | Sight::Own(_) => false,
    };
    own || may.includes(found)
}

/// Those who are in the caller's team, the caller among them.
async fn colleagues(app: &App, principal: &Principal) -> Result<Vec<String>, Problem> {
    let Some(user) = &principal.user else {
        return Ok(Vec::new());
    };
    let control = &app.api.control;
    let user = match control.user_of(&principal.organization, user).await {
        Ok(user) => user,
        // A user of an outside service is in no team.
        Err(ControlError::NotFound { .. }) => return Ok(Vec::new()),
        Err(error) => return Err(control_problem(error)),
    };
    match user.team {
        Some(team) => members(app, principal, team.as_str()).await,
        None => Ok(Vec::new()),
    }
}

/// The ids of those in a team.
pub(crate) async fn members(
    app: &App,
    principal: &Principal,
    team: &str,
) -> Result<Vec<String>, Problem> {
    // PostgreSQL refuses NUL in text, and no id has it.
    let team = schemas::TeamId::from_text(team.replace('\0', " "));
    let control = &app.api.control;
    let users = control.users_of_team(&principal.organization, &team).await;
    let users = users.map_err(control_problem)?;
    Ok(users.into_iter().map(|user| user.id.to_string()).collect())
}

/// A user id from a path or a body.
pub(crate) fn user_id(id: &str) -> UserId {
    UserId::from_text(id.replace('\0', " "))
}

/// Whose an interaction of this id is or was.
pub(crate) async fn whose(
    app: &App,
    organization: &OrganizationId,
    id: &str,
) -> Result<Option<String>, Problem> {
    let sql = format!(
        "SELECT {CUSTOMER} AS c_customer FROM customer_records WHERE organization = {{organization:String}} \
         AND record = {{record:String}} AND id = {{id:String}} ORDER BY is_deleted, at DESC LIMIT 1"
    );
    let params = Params::new()
        .with("organization", organization.as_str())
        .with("record", RECORD)
        .with("id", id);
    let read = async {
        let mut found = None;
        for batch in app.api.warehouse.query(&sql, &params).await? {
            found = Rows::new(&batch).texts("c_customer")?.pop().or(found);
        }
        Ok(found)
    };
    read.await.map_err(|error| warehouse_problem(&error))
}

/// The time that a field holds.
pub(crate) fn time(fields: &Members, name: &str) -> Option<Timestamp> {
    let text: String = serde_json::from_str(fields.get(name)?.get()).ok()?;
    Timestamp::parse(&text).ok()
}

/// The text that a field holds.
pub(crate) fn text(fields: &Members, name: &str) -> Option<String> {
    serde_json::from_str(fields.get(name)?.get()).ok()
}

/// Whether a field is true.
pub(crate) fn flag(fields: &Members, name: &str) -> bool {
    fields.get(name).is_some_and(|json| json.get() == "true")
}

/// Sets a field.
pub(crate) fn set<T: Serialize + ?Sized>(
    fields: &mut Members,
    name: &str,
    value: &T,
) -> Result<(), Problem> {
    let value = serde_json::value::to_raw_value(value)
        .map_err(|error| internal("a value does not serialise", &error))?;
    fields.insert(name.to_owned(), value);
    Ok(())
}

/// An interaction as it reads: with what holds where nothing was stated, for clients state little.
pub(crate) fn shown(mut interaction: RecordJson) -> RecordJson {
    let made_by_staff = interaction.id.starts_with("int_");
    let fields = &mut interaction.fields;
    // What tells a repeated request is no part of what its author wrote.
    let is_ours = |json: &str| json.starts_with("{\"request\":") && made_by_staff;
    fields.retain(|name, json| {
        json.get() != "null" && !(name == "attributes" && is_ours(json.get()))
    });
    let defaults = [
        ("priority", "\"medium\""),
        ("status", "\"pending\""),
        ("requires_follow_up", "false"),
    ];
    for (name, json) in defaults {
        if !fields.contains_key(name)
            && let Ok(json) = serde_json::value::RawValue::from_string(json.to_owned())
        {
            fields.insert(name.to_owned(), json);
        }
    }
    if text(fields, "status").as_deref() == Some("completed")
        && !fields.contains_key("completed_at")
        && let Some(at) = fields
            .get("resolved_at")
            .or_else(|| fields.get("occurred_at"))
            .cloned()
    {
        fields.insert("completed_at".to_owned(), at);
    }
    interaction
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn record(id: &str, fields: &str) -> RecordJson {
        RecordJson {
            id: id.to_owned(),
            customer_id: "c".to_owned(),
            fields: serde_json::from_str(fields).unwrap(),
            updated_at: None,
            updated_by: String::new(),
            edit: 0,
            record: RECORD.to_owned(),
            at: None,
        }
    }

    #[test]
    fn what_clients_leave_out_reads_as_its_default() {
        let client = record(
            "i1",
            r#"{"kind":"call","outcome":null,"attributes":{"request":"x"}}"#,
        );
        let client = shown(client);
        assert_eq!(client.text("status").unwrap(), "pending");
        assert_eq!(client.text("priority").unwrap(), "medium");
        assert!(!flag(&client.fields, "requires_follow_up"));
        assert!(!client.fields.contains_key("outcome") && client.fields.contains_key("attributes"));
        let staff = r#"{"status":"completed","occurred_at":"2026-01-02T00:00:00Z","attributes":{"request":"x"}}"#;
        let staff = shown(record("int_1", staff));
        assert_eq!(staff.text("completed_at").unwrap(), "2026-01-02T00:00:00Z");
        assert!(!staff.fields.contains_key("attributes"));
    }
}
