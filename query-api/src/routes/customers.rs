//! `/customers`: the list, one customer, and its summary.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::response::IntoResponse;
use control::Control;
use schemas::event::change::PROFILE;
use schemas::{Currency, CustomerRef, Decimal, OrganizationId, Problem, ProblemKind, Timestamp};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;
use warehouse::Params as Values;

use crate::api::{App, internal};
use crate::http::as_of::AsOf;
use crate::http::caller::{Acting, CustomerReader};
use crate::http::params::Params;
use crate::http::problem::{control_problem, warehouse_problem};
use crate::http::writing::etag;
use crate::models::customer_list::{Filter, Place, Sort, page};
use crate::models::customers::{CustomerJson, Found, Money, find, from_row, get, raw};
use crate::models::loyalty::Programme;
use crate::models::sight::Sight;
use crate::routes::dealings::{Dealings, dealings};
use crate::tables::CUSTOMER;
use crate::tables::rows::Rows;

/// A page of customers.
#[derive(Serialize, ToSchema)]
pub(crate) struct CustomerList {
    as_of: AsOf,
    /// This page, in the order asked for.
    items: Vec<CustomerJson>,
    /// Where the next page begins; null on the last one.
    next_cursor: Option<String>,
}

/// List customers.
#[utoipa::path(
    get, path = "/customers", tag = "customers",
    params(
        ("q" = Option<String>, Query, description = "name, e-mail, phone, company or id contains this, whatever the case"),
        ("customer_type" = Option<String>, Query, description = "individual, business or enterprise"),
        ("status" = Option<String>, Query, description = "prospect, lead, active or inactive"),
        ("name" = Option<String>, Query, description = "the name contains this, whatever the case"),
        ("email" = Option<String>, Query, description = "the e-mail address contains this, whatever the case"),
        ("phone" = Option<String>, Query, description = "the telephone number contains this"),
        ("company_name" = Option<String>, Query, description = "the company's name contains this, whatever the case"),
        ("region" = Option<String>, Query, description = "the region, whatever the case"),
        ("language" = Option<String>, Query, description = "the language, a BCP 47 tag, whatever the case"),
        ("nationality" = Option<String>, Query, description = "the nationality, whatever the case"),
        ("industry" = Option<String>, Query, description = "the industry, whatever the case"),
        ("source" = Option<String>, Query, description = "how the customer found the organization, whatever the case"),
        ("interaction_type" = Option<String>, Query, description = "has an interaction of this kind, such as call"),
        ("interaction_channel" = Option<String>, Query, description = "has an interaction on this channel, such as phone"),
        ("state" = Option<String>, Query, description = "of the first address"),
        ("country" = Option<String>, Query, description = "of the first address"),
        ("city" = Option<String>, Query, description = "of the first address"),
        ("tier" = Option<String>, Query, description = "loyalty tier"),
        ("tag" = Option<String>, Query, description = "one of the customer's tags"),
        ("segment" = Option<String>, Query, description = "a segment the customer is in, seg_…"),
        ("assigned_to" = Option<String>, Query, description = "the member of staff responsible, usr_…"),
        ("created_from" = Option<String>, Query, description = "created at this time or later"),
        ("created_to" = Option<String>, Query, description = "created before this time"),
        ("last_contact_from" = Option<String>, Query, description = "last contact at this time or later"),
        ("last_contact_to" = Option<String>, Query, description = "last contact before this time"),
        ("sort" = Option<String>, Query, description = "customer_id (default), name, total_revenue, total_orders, points, created_at, last_seen, last_contact or last_order_date; with - before it the largest first"),
        ("limit" = Option<usize>, Query, description = "1 to 200, by default 50"),
        ("cursor" = Option<String>, Query, description = "next_cursor of the page before"),
    ),
    responses((status = 200, description = "A page of customers", body = CustomerList))
)]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    CustomerReader(principal, sight): CustomerReader,
    Acting(control): Acting,
    mut params: Params,
) -> Result<Json<CustomerList>, Problem> {
    let tier = params.text("tier");
    let mut filter = read_filter(&mut params)?;
    sight.narrow(&mut filter);
    let sort = Sort::parse(
        &params
            .text("sort")
            .unwrap_or_else(|| "customer_id".to_owned()),
    )?;
    let limit = params.count("limit", 50, 200)?;
    let after: Option<Place> = params.place()?;
    let question = params.finish()?;
    let as_of = app.cut().await?.as_of();
    let warehouse = &*app.api.warehouse;
    let organization = &principal.organization;
    let failed = |error| warehouse_problem(&error);
    let programme = Programme::of(&app, organization).await?;
    if let Some(tier) = tier {
        filter.tier(&programme.0.tiers, &tier);
    }
    // One more tells whether there is another page.
    let mut ids = page(
        warehouse,
        organization,
        filter,
        sort,
        after.as_ref(),
        limit + 1,
    )
    .await
    .map_err(failed)?;
    let more = ids.len() > limit;
    ids.truncate(limit);
    let next_cursor = ids.last().filter(|_| more).map(|(customer, key)| {
        let (key, customer) = (key.clone(), customer.clone());
        question.cursor(&Place { key, customer })
    });
    let ids: Vec<String> = ids.into_iter().map(|(customer, _)| customer).collect();
    let mut items = match ids.is_empty() {
        true => Vec::new(),
        false => get(warehouse, organization, &ids).await.map_err(failed)?,
    };
    for customer in &mut items {
        programme.set_tier(customer);
    }
    note_read(&control, organization, &ids).await?;
    Ok(Json(CustomerList {
        as_of,
        items,
        next_cursor,
    }))
}

fn read_filter(params: &mut Params) -> Result<Filter, Problem> {
    let mut filter = Filter::default();
    if let Some(text) = params.text("q").filter(|text| !text.is_empty()) {
        filter.search(&text);
    }
    if let Some(kind) = params.text("customer_type") {
        // Another word for the same, as in events.
        filter.equals(
            "customer_type",
            if kind == "corporate" {
                "business"
            } else {
                &kind
            },
        );
    }
    for column in ["status", "assigned_to"] {
        if let Some(value) = params.text(column) {
            filter.equals(column, &value);
        }
    }
    for column in ["name", "email", "phone", "company_name"] {
        if let Some(text) = params.text(column) {
            filter.contains(column, &text);
        }
    }
    for field in ["region", "language", "nationality", "industry", "source"] {
        if let Some(value) = params.text(field) {
            filter.profile_text(field, &value);
        }
    }
    if let Some(state) = params.text("state") {
        filter.state(&state);
    }
    for (name, field) in [
        ("interaction_type", "kind"),
        ("interaction_channel", "channel"),
    ] {
        if let Some(value) = params.text(name) {
            filter.has_interaction(field, &value);
        }
    }
    for column in ["country", "city"] {
        if let Some(value) = params.text(column) {
            filter.equals_folded(column, &value);
        }
    }
    if let Some(segment) = params.text("segment") {
        filter.segment(&segment);
    }
    if let Some(tag) = params.text("tag") {
        filter.tag(&tag);
    }
    filter.between(
        "created_at",
        params.time("created_from")?,
        params.time("created_to")?,
    );
    filter.between(
        "last_contact",
        params.time("last_contact_from")?,
        params.time("last_contact_to")?,
    );
    Ok(filter)
}

/// Notes that a caller reads the data of customers. What cannot be noted is not shown.
pub(crate) async fn note_read<I>(
    control: &Control,
    organization: &OrganizationId,
    ids: I,
) -> Result<(), Problem>
where
    I: IntoIterator,
    I::Item: AsRef<str>,
{
    let noted = control.note_read(organization, "customer", ids).await;
    noted.map_err(control_problem)
}

/// The customer of a path: by the client's own id, else by the internal one. Who is out of sight is not there.
pub(crate) async fn load(
    app: &App,
    organization: &OrganizationId,
    sight: &Sight,
    id: &str,
) -> Result<Found, Problem> {
    let found = find(&*app.api.warehouse, organization, id).await;
    found
        .map_err(|error| warehouse_problem(&error))?
        .filter(|found| sight.includes(found))
        .ok_or_else(|| {
            let detail = "no customer that you may see has that id";
            Problem::new(ProblemKind::NotFound, detail)
        })
}

/// A customer with all that its profile holds.
#[derive(Serialize, ToSchema)]
pub(crate) struct CustomerDetail {
    as_of: AsOf,
    #[serde(flatten)]
    profile: ProfileJson,
}

impl CustomerDetail {
    pub(crate) fn new(as_of: AsOf, profile: ProfileJson) -> Self {
        Self { as_of, profile }
    }
}

/// The profile: list columns, then every field that was stated.
#[derive(Serialize, ToSchema)]
pub(crate) struct ProfileJson {
    #[serde(flatten)]
    customer: CustomerJson,
    /// Why the status is what it is.
    status_reason: Option<String>,
    /// Profile fields beside the above, as they were stated: contact_name, website, industry, nationality, region, language,
    /// addresses, source, tags, notes, preferences, user_id, next_follow_up, is_active.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    fields: BTreeMap<String, Box<RawValue>>,
    /// Everything else that was stated of the customer.
    #[schema(value_type = Object)]
    attributes: BTreeMap<String, Box<RawValue>>,
}

pub(crate) fn profile(found: &Found) -> ProfileJson {
    let shown = [
        "name",
        "email",
        "phone",
        "company_name",
        "customer_type",
        "customer_id",
        "id",
        "status",
        "assigned_to",
    ];
    let fields = &found.state.profile.fields;
    let stated = |(name, json): (&String, &String)| (name.clone(), raw(json));
    ProfileJson {
        customer: found.customer.clone(),
        status_reason: found.state.status_reason.clone(),
        fields: fields
            .iter()
            .filter(|(name, _)| !shown.contains(&name.as_str()))
            .map(stated)
            .collect(),
        attributes: found.state.profile.attributes.iter().map(stated).collect(),
    }
}

/// One customer, now or as it was known at a time.
///
/// As it was known then: by what had been received, whenever it had happened.
#[utoipa::path(
    get, path = "/customers/{id}", tag = "customers",
    params(
        ("id" = String, Path, description = "the client's own id, else the internal one (cus_…)"),
        ("as_of" = Option<String>, Query, description = "a time; now by default"),
    ),
    responses((status = 200, description = "The customer", body = CustomerDetail))
)]
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    CustomerReader(principal, sight): CustomerReader,
    Acting(control): Acting,
    Path(id): Path<String>,
    mut params: Params,
) -> Result<impl IntoResponse, Problem> {
    let at = params.time("as_of")?;
    params.finish()?;
    let mut as_of = app.cut().await?.as_of();
    // Who is out of sight now is so at any time.
    let mut found = load(&app, &principal.organization, &sight, &id).await?;
    note_read(
        &control,
        &principal.organization,
        [&found.customer.customer_id],
    )
    .await?;
    if let Some(at) = at {
        let customer = CustomerRef {
            organization: principal.organization.clone(),
            customer_id: found.customer.customer_id.as_str().into(),
        };
        let row = app
            .api
            .history
            .customer_at(&customer, at.min(as_of.time))
            .await?;
        let row = row.ok_or_else(|| {
            let detail = "as_of: this customer was not known then";
            Problem::new(ProblemKind::NotFound, detail).field("as_of")
        })?;
        let read = from_row(&row).map_err(|error| warehouse_problem(&error))?;
        found = read.ok_or_else(|| internal("a customer's past has no row", &id))?;
        as_of.time = at.min(as_of.time);
    } else {
        let programme = Programme::of(&app, &principal.organization).await?;
        programme.set_tier(&mut found.customer);
    }
    let edit = found.state.edits.of(PROFILE);
    Ok((
        etag(edit),
        Json(CustomerDetail::new(as_of, profile(&found))),
    ))
}

/// What a customer is worth in one currency. Money is decimal text.
#[derive(Serialize, ToSchema)]
pub(crate) struct CurrencyValue {
    /// Net revenue.
    total_revenue: String,
    /// Money given back, positive.
    refunds: String,
    /// Completed purchases.
    total_orders: u64,
    /// (revenue + refunds) / orders, half up to the currency's decimals; null without orders.
    average_order_value: Option<String>,
}

/// What a customer is worth.
#[derive(Serialize, ToSchema)]
pub(crate) struct ValueJson {
    /// The organization's currency, of the revenue and average here.
    currency: String,
    /// Net revenue in `currency`.
    pub(crate) total_revenue: String,
    /// Completed purchases of all currencies.
    total_orders: i64,
    /// Average order in `currency`; null without orders in it.
    average_order_value: Option<String>,
    /// Refunds of all currencies.
    total_refunds: u64,
    /// Time of the last purchase that counts as an order.
    #[schema(value_type = Option<String>, format = DateTime)]
    last_order_date: Option<Timestamp>,
    /// Its order id, if it stated one.
    last_order_id: Option<String>,
    /// The same by ISO 4217 code.
    by_currency: BTreeMap<String, CurrencyValue>,
}

/// How active a customer is.
#[derive(Serialize, ToSchema)]
pub(crate) struct ActivityJson {
    /// Activity events.
    activities: i64,
    /// Interaction events.
    interactions: i64,
    /// Time of the first event of any kind.
    #[schema(value_type = Option<String>, format = DateTime)]
    first_seen: Option<Timestamp>,
    /// Time of the last event of any kind.
    #[schema(value_type = Option<String>, format = DateTime)]
    last_seen: Option<Timestamp>,
    /// Time of the last interaction.
    #[schema(value_type = Option<String>, format = DateTime)]
    last_contact: Option<Timestamp>,
}

/// Loyalty.
#[derive(Serialize, ToSchema)]
pub(crate) struct LoyaltyJson {
    /// Points held.
    points: i64,
    /// The tier given by hand, else the one that the points held reach.
    tier: String,
}

/// What a customer did on one day in one currency.
#[derive(Serialize, ToSchema)]
pub(crate) struct DayJson {
    /// UTC.
    #[schema(value_type = String, format = Date)]
    day: String,
    /// ISO 4217; null for what has no money.
    currency: Option<String>,
    /// Orders of the day.
    orders: i64,
    /// Net revenue of the day, a decimal text.
    revenue: String,
    /// What was paid back on the day, a decimal text.
    refunds: String,
    /// Activities of the day.
    activities: i64,
    /// Interactions of the day.
    interactions: i64,
}

/// A customer at a glance.
#[derive(Serialize, ToSchema)]
pub(crate) struct Summary {
    as_of: AsOf,
    profile: ProfileJson,
    value: ValueJson,
    activity: ActivityJson,
    loyalty: LoyaltyJson,
    #[serde(flatten)]
    dealings: Dealings,
    /// The latest days with anything on them, newest first, at most 30 rows.
    recent_days: Vec<DayJson>,
}

fn currency_value(money: &Money) -> CurrencyValue {
    let places = Currency::parse(&money.currency).map_or(2, Currency::decimals);
    let average = (money.revenue + money.refunds).divided(money.orders, places);
    CurrencyValue {
        total_revenue: money.revenue.to_text(places),
        refunds: money.refunds.to_text(places),
        total_orders: money.orders,
        average_order_value: average.map(|average| average.to_text(places)),
    }
}

pub(crate) fn value(found: &Found, currency: Currency) -> ValueJson {
    let by_currency: BTreeMap<String, CurrencyValue> = found
        .state
        .money
        .iter()
        .map(|money| (money.currency.clone(), currency_value(money)))
        .collect();
    let own = by_currency.get(currency.as_str());
    ValueJson {
        currency: currency.to_string(),
        total_revenue: own.map_or_else(
            || Decimal::ZERO.to_text(currency.decimals()),
            |own| own.total_revenue.clone(),
        ),
        total_orders: found.customer.total_orders,
        average_order_value: own.and_then(|own| own.average_order_value.clone()),
        total_refunds: found.state.refunds,
        last_order_date: found.customer.last_order_date,
        last_order_id: found.state.last_order_id.clone(),
        by_currency,
    }
}

/// A customer's profile, value, activity, loyalty, contacts, interactions, what comes next, and latest days.
#[utoipa::path(
    get, path = "/customers/{id}/summary", tag = "customers",
    params(("id" = String, Path, description = "the client's own id, else the internal one (cus_…)")),
    responses((status = 200, description = "The summary", body = Summary))
)]
pub(crate) async fn summary(
    State(app): State<Arc<App>>,
    CustomerReader(principal, sight): CustomerReader,
    Acting(control): Acting,
    Path(id): Path<String>,
    params: Params,
) -> Result<Json<Summary>, Problem> {
    params.finish()?;
    let as_of = app.cut().await?.as_of();
    let mut found = load(&app, &principal.organization, &sight, &id).await?;
    note_read(
        &control,
        &principal.organization,
        [&found.customer.customer_id],
    )
    .await?;
    let programme = Programme::of(&app, &principal.organization).await?;
    programme.set_tier(&mut found.customer);
    let days = recent_days(&app, &principal.organization, &found.customer.customer_id).await?;
    let customer = &found.customer;
    Ok(Json(Summary {
        as_of,
        value: value(&found, principal.currency),
        activity: ActivityJson {
            activities: customer.activities,
            interactions: customer.interactions,
            first_seen: customer.first_seen,
            last_seen: customer.last_seen,
            last_contact: customer.last_contact,
        },
        loyalty: LoyaltyJson {
            points: customer.points,
            tier: customer.tier.clone(),
        },
        dealings: dealings(&app, &principal.organization, &found).await?,
        recent_days: days,
        profile: profile(&found),
    }))
}

async fn recent_days(
    app: &App,
    organization: &OrganizationId,
    customer: &str,
) -> Result<Vec<DayJson>, Problem> {
    let sql = format!(
        "SELECT toString(day) AS c_day, toString(currency) AS c_currency, toInt64(orders) AS c_orders, \
         revenue AS c_revenue, refunds AS c_refunds, toInt64(activities) AS c_activities, \
         toInt64(interactions) AS c_interactions FROM customer_days \
         WHERE organization = {{organization:String}} AND {CUSTOMER} = {{customer:String}} \
         ORDER BY day DESC, currency, version DESC LIMIT 1 BY day, currency LIMIT 30"
    );
    let values = Values::new()
        .with("organization", organization.as_str())
        .with("customer", customer);
    let batches = app.api.warehouse.query(&sql, &values).await;
    let read =
        |batch: &arrow::array::RecordBatch| -> Result<Vec<DayJson>, warehouse::WarehouseError> {
            let rows = Rows::new(batch);
            let (days, currencies) = (rows.texts("c_day")?, rows.texts("c_currency")?);
            let (revenue, refunds) = (rows.decimals("c_revenue")?, rows.decimals("c_refunds")?);
            let number = |name: &str| rows.numbers(name);
            let (orders, activities) = (number("c_orders")?, number("c_activities")?);
            let interactions = number("c_interactions")?;
            let list = days.into_iter().zip(currencies).enumerate();
            Ok(list
                .map(|(row, (day, currency))| {
                    let places = Currency::parse(&currency).map_or(2, Currency::decimals);
                    DayJson {
                        day,
                        currency: Some(currency).filter(|currency| !currency.is_empty()),
                        orders: orders[row].unwrap_or_default(),
                        revenue: revenue[row].to_text(places),
                        refunds: refunds[row].to_text(places),
                        activities: activities[row].unwrap_or_default(),
                        interactions: interactions[row].unwrap_or_default(),
                    }
                })
                .collect())
        };
    let mut days = Vec::new();
    for batch in batches.map_err(|error| warehouse_problem(&error))? {
        days.extend(read(&batch).map_err(|error| warehouse_problem(&error))?);
    }
    Ok(days)
}
