//! Figures of interactions: of all that a caller sees, and of one customer.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use schemas::{Problem, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;
use warehouse::{Warehouse, WarehouseError};

use crate::api::{App, now};
use crate::http::as_of::AsOf;
use crate::http::caller::CustomerReader;
use crate::http::params::{Params, refuse};
use crate::http::problem::warehouse_problem;
use crate::models::interaction_stats::{Counts, InteractionFigures, figures};
use crate::models::interactions::{Circle, OPEN_FOLLOW_UP, RECORD, time_of};
use crate::models::records::Records;
use crate::models::sight::Sight;
use crate::reports::Grain;
use crate::routes::customers::load;
use crate::tables::rows::Rows;

/// Figures of the interactions that the caller sees.
#[derive(Serialize, ToSchema)]
pub(crate) struct InteractionStats {
    as_of: AsOf,
    /// The time zone of the periods, an IANA name.
    tz: String,
    #[serde(flatten)]
    figures: InteractionFigures,
}

/// Count interactions by kind, channel, status, priority, staff and period, and how long support takes.
#[utoipa::path(
    get, path = "/interactions/stats", tag = "interactions",
    params(
        ("period" = Option<String>, Query, description = "day (default), week or month"),
        ("from" = Option<String>, Query, description = "occurred at this time or later"),
        ("to" = Option<String>, Query, description = "occurred before this time"),
        ("tz" = Option<String>, Query, description = "IANA time zone of the periods; by default the organization's"),
    ),
    responses((status = 200, description = "The figures", body = InteractionStats))
)]
pub(crate) async fn stats(
    State(app): State<Arc<App>>,
    CustomerReader(principal, sight): CustomerReader,
    mut params: Params,
) -> Result<Json<InteractionStats>, Problem> {
    let grains = [
        ("day", Grain::Day),
        ("week", Grain::Week),
        ("month", Grain::Month),
    ];
    let grain = params.choice("period", &grains)?.unwrap_or(Grain::Day);
    let (from, to) = (params.time("from")?, params.time("to")?);
    let zone = params.timezone(&principal.timezone)?;
    params.finish()?;
    if from.zip(to).is_some_and(|(from, to)| from > to) {
        return Err(refuse("to", "must not be before from"));
    }
    let circle = Circle::of(&app, &principal, &sight).await?;
    let mut records = circle.records();
    if let Some(from) = from {
        records = records.from(from.kept());
    }
    if let Some(to) = to {
        records = records.before(to.kept());
    }
    let as_of = app.cut().await?.as_of();
    let figures = figures(&*app.api.warehouse, records, grain, zone).await;
    Ok(Json(InteractionStats {
        as_of,
        tz: zone.to_string(),
        figures: figures.map_err(|error| warehouse_problem(&error))?,
    }))
}

/// Figures of one customer's interactions.
#[derive(Serialize, ToSchema)]
pub(crate) struct CustomerStats {
    as_of: AsOf,
    /// The client's own id.
    customer_id: String,
    /// Interactions that were not deleted.
    total_interactions: i64,
    /// By kind.
    by_kind: Counts,
    /// By channel.
    by_channel: Counts,
    /// By status.
    by_status: Counts,
    /// Mean length in minutes of those with one; null without any.
    average_duration_minutes: Option<f64>,
    /// Time of the last interaction.
    #[schema(value_type = Option<String>, format = DateTime)]
    last_contact: Option<Timestamp>,
    /// Interactions that are to be followed up.
    pending_follow_ups: i64,
    /// Those of them that are due.
    overdue_follow_ups: i64,
    /// Mean of the customer's ratings, 1 to 5; null without any.
    average_satisfaction: Option<f64>,
    /// Ratings it is the mean of.
    ratings: i64,
}

/// Figures of a customer's interactions.
#[utoipa::path(
    get, path = "/customers/{id}/stats", tag = "customers",
    params(("id" = String, Path, description = "the client's own id, else the internal one (cus_…)")),
    responses((status = 200, description = "The figures", body = CustomerStats))
)]
pub(crate) async fn of_one_customer(
    State(app): State<Arc<App>>,
    CustomerReader(principal, sight): CustomerReader,
    Path(id): Path<String>,
    params: Params,
) -> Result<Json<CustomerStats>, Problem> {
    params.finish()?;
    let as_of = app.cut().await?.as_of();
    let found = load(&app, &principal.organization, &sight, &id).await?;
    let customer = found.customer.customer_id;
    let of = |record: &str| {
        Records::of(&principal.organization, record, &Sight::All).of_customer(&customer)
    };
    let warehouse = &*app.api.warehouse;
    let read = async {
        let figures = figures(warehouse, of(RECORD), Grain::Month, chrono_tz::UTC).await?;
        let open = || of(RECORD).narrowed(|params| (Some(OPEN_FOLLOW_UP.to_owned()), params));
        let due = format!(
            "{} <= {{now:DateTime64(6, 'UTC')}}",
            time_of("follow_up_at")
        );
        let pending = open().count(warehouse).await?;
        let overdue = open().and(due, "now", now()).count(warehouse).await?;
        let satisfaction = ratings(warehouse, of("feedback")).await?;
        Ok::<_, WarehouseError>((figures, pending, overdue, satisfaction))
    };
    let read = read.await.map_err(|error| warehouse_problem(&error))?;
    let (figures, pending_follow_ups, overdue_follow_ups, (ratings, average_satisfaction)) = read;
    Ok(Json(CustomerStats {
        as_of,
        customer_id: customer,
        total_interactions: figures.total,
        by_kind: figures.by_kind,
        by_channel: figures.by_channel,
        by_status: figures.by_status,
        average_duration_minutes: figures.average_duration_minutes,
        last_contact: found.customer.last_contact,
        pending_follow_ups,
        overdue_follow_ups,
        average_satisfaction,
        ratings,
    }))
}

/// How many ratings there are, and their mean.
async fn ratings(
    warehouse: &dyn Warehouse,
    feedback: Records,
) -> Result<(i64, Option<f64>), WarehouseError> {
    let (condition, params) = feedback.into_condition();
    let sql = format!(
        "SELECT toInt64(count(rating)) AS c_count, avg(rating) AS c_mean FROM (\
         SELECT JSONExtract(fields, 'rating', 'Nullable(UInt8)') AS rating FROM customer_records FINAL \
         WHERE NOT is_deleted AND {condition})"
    );
    let (mut count, mut mean) = (0, None);
    for batch in warehouse.query(&sql, &params).await? {
        let rows = Rows::new(&batch);
        count += rows.numbers("c_count")?.into_iter().flatten().sum::<i64>();
        mean = rows.reals("c_mean")?.into_iter().flatten().next().or(mean);
    }
    Ok((count, mean))
}
