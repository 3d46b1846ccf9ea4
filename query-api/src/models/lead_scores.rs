//! Scores of leads: the facts they are computed from, and the points of their history.
//!
//! A score changes by itself as time passes, so its history is not all it ever was, but what it was whenever staff wrote
//! down a qualification or a status: each time a record `lead_score` is written beside.

use schemas::event::RecordEdit;
use schemas::form::Members;
use schemas::{OrganizationId, Problem, Timestamp};
use serde::Serialize;
use warehouse::{Params, WarehouseError};

use super::customers::Found;
use super::records::Records;
use super::sight::Sight;
use crate::api::{App, now};
use crate::domain::lead_score::{
    CustomerType, Factor, Facts, LeadScore, Qualification, lead_score,
};
use crate::http::problem::warehouse_problem;
use crate::routes::customer_edits::json;
use crate::tables::CUSTOMER;
use crate::tables::rows::Rows;

/// What a point of the history is among records.
pub(crate) use schemas::event::change::LEAD_SCORE as RECORD;
/// What a qualification is among records.
pub(crate) const QUALIFICATION: &str = "qualification";
/// The id of a customer's only qualification.
pub(crate) const BANT: &str = "bant";

const DAY_MICROS: i64 = 24 * 3600 * 1_000_000;
/// Days that count as recent.
const RECENT_DAYS: i64 = 30;

/// What was found out of one criterion. A part of it does not qualify.
fn answer(qualification: &Members, criterion: &str) -> Option<bool> {
    #[derive(serde::Deserialize)]
    struct Criterion {
        status: String,
    }
    let json = qualification.get(criterion)?;
    let stated: Criterion = serde_json::from_str(json.get()).ok()?;
    match stated.status.as_str() {
        "yes" => Some(true),
        "no" => Some(false),
        _ => None,
    }
}

/// The score of a customer as it is now, with this qualification.
pub(crate) async fn score(
    app: &App,
    organization: &OrganizationId,
    found: &Found,
    qualification: &Members,
) -> Result<LeadScore, Problem> {
    let failed = |error: WarehouseError| warehouse_problem(&error);
    let warehouse = &*app.api.warehouse;
    let customer = &found.customer;
    let id = customer.customer_id.as_str();
    let now = now();
    let recent = now.plus_micros(-RECENT_DAYS * DAY_MICROS);
    let of = |record| Records::of(organization, record, &Sight::All).of_customer(id);
    let interactions = of("interaction").from(recent).count(warehouse).await;
    let open = "JSONExtractString(fields, 'status') IN {open:Array(String)}";
    let open_quotes = of("quote").and(open, "open", vec!["sent".to_owned(), "viewed".to_owned()]);
    let open_quotes = open_quotes.count(warehouse).await;
    let days_since_contact = customer.last_contact.map(|contact| {
        let days = now.micros().saturating_sub(contact.micros()) / DAY_MICROS;
        u64::try_from(days).unwrap_or_default()
    });
    Ok(lead_score(&Facts {
        email: customer.email.is_some(),
        phone: customer.phone.is_some(),
        company: customer.company_name.is_some(),
        customer_type: match customer.customer_type.as_deref() {
            Some("individual") => Some(CustomerType::Individual),
            Some("business") => Some(CustomerType::Business),
            Some("enterprise") => Some(CustomerType::Enterprise),
            _ => None,
        },
        days_since_contact,
        interactions: interactions.map_err(failed)?.unsigned_abs(),
        activities: activities(app, organization, id, recent)
            .await
            .map_err(failed)?,
        open_quotes: open_quotes.map_err(failed)?.unsigned_abs(),
        qualification: Qualification {
            budget: answer(qualification, "budget"),
            authority: answer(qualification, "authority"),
            need: answer(qualification, "need"),
            timeline: answer(qualification, "timeline"),
        },
    }))
}

/// Activities on the days since then.
async fn activities(
    app: &App,
    organization: &OrganizationId,
    customer: &str,
    since: Timestamp,
) -> Result<u64, WarehouseError> {
    let sql = format!(
        "SELECT toInt64(sum(activities)) AS c_activities FROM (SELECT activities FROM customer_days \
         WHERE organization = {{organization:String}} AND {CUSTOMER} = {{customer:String}} \
         AND day >= toDate32({{since:DateTime64(6, 'UTC')}}) ORDER BY day, currency, version DESC LIMIT 1 BY day, currency)"
    );
    let params = Params::new()
        .with("organization", organization.as_str())
        .with("customer", customer)
        .with("since", since);
    let mut sum = 0;
    for batch in app.api.warehouse.query(&sql, &params).await? {
        let counts = Rows::new(&batch).numbers("c_activities")?;
        sum += counts.into_iter().flatten().sum::<i64>().unsigned_abs();
    }
    Ok(sum)
}

/// The qualification of a customer, as it was last written.
pub(crate) async fn qualification(
    app: &App,
    organization: &OrganizationId,
    customer: &str,
) -> Result<Option<super::records::RecordJson>, Problem> {
    let records = Records::of(organization, QUALIFICATION, &Sight::All);
    let record = records.of_customer(customer).with_id(BANT);
    let record = record.one(&*app.api.warehouse).await;
    record.map_err(|error| warehouse_problem(&error))
}

/// A point of the history, to be written under this id.
pub(crate) fn point(id: &str, score: &LeadScore, cause: &str) -> Result<RecordEdit, Problem> {
    #[derive(Serialize)]
    struct Point<'a> {
        score: u32,
        factors: &'a [Factor],
        cause: &'a str,
    }
    Ok(RecordEdit {
        record: RECORD.into(),
        id: id.into(),
        at: Some(now()),
        before: None,
        after: Some(json(&Point {
            score: score.score,
            factors: &score.factors,
            cause,
        })?),
    })
}

/// The point of the history that a step in a customer's life makes.
pub(crate) async fn step(
    app: &App,
    organization: &OrganizationId,
    found: &Found,
    id: &str,
) -> Result<RecordEdit, Problem> {
    let customer = &found.customer.customer_id;
    let qualification = qualification(app, organization, customer).await?;
    let fields = qualification
        .map(|record| record.fields)
        .unwrap_or_default();
    let score = score(app, organization, found, &fields).await?;
    point(id, &score, "status")
}
