//! Numbers of quotes: taken before the quote is written, confirmed when it counts, given back when it is refused.

use std::time::Duration;

use control::{Numbered, TakenNumber};
use schemas::forms::quote::RECORD;
use schemas::{OrganizationId, Position, Problem};
use warehouse::{Params, WarehouseError};

use super::rejections::wait_applied;
use crate::api::{App, internal};
use crate::domain::quote_math::quote_number;
use crate::http::problem::{control_problem, warehouse_problem};
use crate::tables::rows::Rows;

/// Older than this, a number that is not confirmed was left by who crashed: no append takes so long.
const ABANDONED: Duration = Duration::from_secs(60);
/// Abandoned numbers that are settled before a new one is taken.
const SETTLED_AT_ONCE: usize = 100;

/// A number for a quote, or the one that it has, and how it is written.
pub(crate) async fn take(
    app: &App,
    organization: &OrganizationId,
    quote: &str,
) -> Result<(TakenNumber, String), Problem> {
    settle(app).await?;
    let control = &app.api.control;
    let settings = control.settings(organization).await;
    let settings = settings.map_err(control_problem)?;
    let taken = control
        .take_number(organization, Numbered::Quote, quote)
        .await
        .map_err(control_problem)?;
    let number = quote_number(&settings.quote_prefix, taken.number.unsigned_abs());
    Ok((taken, number))
}

/// The quote counts. Where this cannot be noted now, the next who takes a number finds it out.
pub(crate) async fn confirm(app: &App, taken: &TakenNumber) {
    let confirmed = app.api.control.confirm_number(
        &taken.organization,
        taken.kind,
        taken.number,
        &taken.holder,
    );
    if let Err(error) = confirmed.await {
        tracing::warn!(%error, quote = taken.holder, "the number of a quote is not confirmed yet");
    }
}

/// The quote does not count.
pub(crate) async fn give_back(app: &App, taken: &TakenNumber) {
    if let Err(error) = app.api.control.give_back_number(taken).await {
        tracing::warn!(%error, quote = taken.holder, "the number of a quote is not given back yet");
    }
}

/// Confirms the abandoned numbers whose quotes count, and gives back the others.
async fn settle(app: &App) -> Result<(), Problem> {
    let control = &app.api.control;
    let abandoned = control
        .unconfirmed_numbers(Numbered::Quote, ABANDONED, None, SETTLED_AT_ONCE)
        .await
        .map_err(control_problem)?;
    if abandoned.is_empty() {
        return Ok(());
    }
    // A quote may be in the log and not applied yet: nothing is known before all is that was appended until here.
    let log = &*app.api.log;
    let bounds = log.bounds().await;
    let bounds = bounds.map_err(|error| internal("the log does not tell its end", &error))?;
    let ends = bounds.iter().filter_map(|bounds| {
        Some(Position {
            generation: log.generation(),
            partition: bounds.partition,
            offset: bounds.end.checked_sub(1)?,
        })
    });
    let failed = |error: WarehouseError| warehouse_problem(&error);
    let warehouse = &*app.api.warehouse;
    let patience = app.api.limits.verdict_wait;
    if !wait_applied(warehouse, log, ends, patience)
        .await
        .map_err(failed)?
    {
        return Ok(());
    }
    for taken in &abandoned {
        match counts(app, taken).await.map_err(failed)? {
            true => confirm(app, taken).await,
            false => give_back(app, taken).await,
        }
    }
    Ok(())
}

/// Whether there is, or was, the quote that took a number.
async fn counts(app: &App, taken: &TakenNumber) -> Result<bool, WarehouseError> {
    let sql = "SELECT toInt64(count()) AS c_count FROM customer_records \
        WHERE organization = {organization:String} AND record = {record:String} AND id = {id:String}";
    let params = Params::new()
        .with("organization", taken.organization.as_str())
        .with("record", RECORD)
        .with("id", taken.holder.as_str());
    let mut count = 0;
    for batch in app.api.warehouse.query(sql, &params).await? {
        let counts = Rows::new(&batch).numbers("c_count")?;
        count += counts.into_iter().flatten().sum::<i64>();
    }
    Ok(count > 0)
}
