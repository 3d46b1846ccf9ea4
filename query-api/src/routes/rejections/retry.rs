//! Rejected events sent again: one, perhaps corrected, or many of a filter.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use schemas::record::DecodeError;
use schemas::{Position, Problem, ProblemKind};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use stream::AppendError;
use utoipa::ToSchema;

use super::{filters, find};
use crate::api::App;
use crate::http::body::{Fields, Text};
use crate::http::caller::Administrator;
use crate::http::cursor;
use crate::http::params::Params;
use crate::http::problem::warehouse_problem;
use crate::http::writing::respond_async;
use crate::models::rejections::{Filter, Next, Order, Place, Refused, Rejection, Sent, Verdict};
use crate::models::rejections::{count, next_sendings, page, send, verdicts, wait_applied};

/// What a retry may bring.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Correction<'a> {
    /// The event as it should have been stated; its customer, id and type stay. Without it the event is sent as it was.
    #[serde(borrow, default)]
    #[schema(value_type = Option<Object>)]
    event: Option<&'a RawValue>,
}

/// What became of a retry.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RetryJson {
    /// The position of the rejection.
    #[schema(value_type = String)]
    rejection: Position,
    /// Where the retry is in the log; null where it was not sent.
    #[schema(value_type = Option<String>)]
    position: Option<Position>,
    /// Whose event it is.
    customer_id: Option<String>,
    /// The event's id.
    event_id: Option<String>,
    /// The attempt it was sent as.
    attempt: Option<u32>,
    /// `processed`, `rejected`, `duplicate`; `accepted` while it is not applied; `refused` where it was not sent.
    status: &'static str,
    /// Why it does not count.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// The field that is still wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
    /// What is still wrong, and what to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

impl RetryJson {
    /// A sending, by its verdict; `applied` says whether there can be one.
    fn sent(sent: &Sent, applied: bool, verdict: Option<&Verdict>) -> Self {
        let status = match verdict {
            _ if !applied => "accepted",
            None => "processed",
            Some(verdict) if verdict.reason == "duplicate" => "duplicate",
            Some(_) => "rejected",
        };
        let verdict = verdict.filter(|_| applied);
        let stated = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
        Self {
            rejection: sent.rejection,
            position: Some(sent.position),
            customer_id: Some(sent.customer_id.clone()),
            event_id: Some(sent.event_id.clone()),
            attempt: Some(sent.attempt),
            status,
            reason: verdict.map(|verdict| verdict.reason.clone()),
            field: verdict.and_then(|verdict| stated(&verdict.field)),
            detail: verdict.map(|verdict| verdict.detail.clone()),
        }
    }

    /// A rejection that could not be sent.
    fn refused(rejection: &Rejection, error: &DecodeError) -> Self {
        let (reason, field) = named(error);
        let stated = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        Self {
            rejection: rejection.position,
            position: None,
            customer_id: stated(&rejection.customer_id),
            event_id: stated(&rejection.event_id),
            attempt: None,
            status: "refused",
            reason: Some(reason.to_owned()),
            field: stated(field),
            detail: Some(error.to_string()),
        }
    }
}

/// Code and field of what is wrong with a record.
fn named(error: &DecodeError) -> (&'static str, &str) {
    match error {
        DecodeError::Event(error, _) => (error.code.as_str(), &error.field),
        DecodeError::Envelope(_) | DecodeError::Version(_) => ("undecodable", ""),
    }
}

fn log_problem(error: &AppendError) -> Problem {
    match error.is_retryable() {
        true => {
            tracing::warn!(%error, "a retry could not be appended; look at the log's health");
            let detail = "the log did not confirm it; send it again, it counts once";
            Problem::new(ProblemKind::Unavailable, detail)
        }
        false => Problem::new(ProblemKind::Unprocessable, error.to_string()),
    }
}

/// Send a rejected event again, corrected or as it was.
///
/// It is appended to the log as a later attempt of the same event and counts at most once, however often it is asked for.
/// The answer waits for its verdict for some seconds, unless `Prefer: respond-async` is sent.
#[utoipa::path(
    post, path = "/rejections/{position}/retry", tag = "rejections",
    params(("position" = String, Path, description = "`generation:partition:offset`")),
    request_body(content = Correction, description = "A correction; without a body the event is sent as it was"),
    responses(
        (status = 200, description = "It counts now", body = RetryJson),
        (status = 202, description = "It is in the log and not applied yet", body = RetryJson),
        (status = 409, description = "The event counts already, or was sent again already"),
        (status = 422, description = "It is rejected again, or still breaks a rule"),
    )
)]
pub(crate) async fn one(
    State(app): State<Arc<App>>,
    Administrator(principal): Administrator,
    Path(position): Path<String>,
    headers: HeaderMap,
    params: Params,
    Text(body): Text,
) -> Result<Response, Problem> {
    params.finish()?;
    let body = body.unwrap_or_else(|| "{}".to_owned());
    let correction: Correction<'_> = serde_json::from_str(&body).map_err(|error| {
        let detail = format!(
            "send {{\"event\": …}} or nothing: see line {}, column {}",
            error.line(),
            error.column()
        );
        Problem::new(ProblemKind::BadRequest, detail)
    })?;
    let (rejection, next) = find(&app, &principal, &position).await?;
    let attempt = match next {
        Next::Attempt(attempt) => attempt,
        Next::Sent(position) => {
            let detail = format!("the event was sent again at {position}; look there");
            let problem = Problem::new(ProblemKind::Conflict, detail);
            return Err(problem.with("retried_as", position.to_string().into()));
        }
        Next::Repeat => {
            let first = rejection
                .first
                .map_or_else(String::new, |first| first.to_string());
            let detail = format!(
                "the event id is taken by {first}; retry that one if it was rejected, or send this as a new event"
            );
            let problem = Problem::new(ProblemKind::Conflict, detail);
            return Err(problem.with("first", first.into()));
        }
    };
    let log = &*app.api.log;
    let correction = correction.event.map(RawValue::get);
    let mut outcomes = send(log, &[(&rejection, attempt)], correction).await;
    let sent = match outcomes.pop() {
        Some(Ok(sent)) => sent,
        Some(Err(Refused::Event(error))) => {
            let (code, field) = named(&error);
            let detail = format!("it still cannot be read: {error}");
            let problem = Problem::new(ProblemKind::Unprocessable, detail);
            return Err(problem.field(field).with("code", code.into()));
        }
        Some(Err(Refused::Log(error))) => return Err(log_problem(&error)),
        None => return Err(log_problem(&AppendError::Closed)),
    };
    tracing::info!(rejection = %sent.rejection, position = %sent.position, "a rejected event was sent again");
    let retried = outcome(&app, &[sent], respond_async(&headers)).await?;
    let Some(retried) = retried.into_iter().next() else {
        return Err(log_problem(&AppendError::Closed));
    };
    let kind = match retried.status {
        "processed" => return Ok((StatusCode::OK, Json(retried)).into_response()),
        "accepted" => return Ok((StatusCode::ACCEPTED, Json(retried)).into_response()),
        "duplicate" => ProblemKind::Conflict,
        _ => ProblemKind::Unprocessable,
    };
    let detail = retried.detail.clone().unwrap_or_default();
    let mut problem = Problem::new(kind, detail);
    problem = problem.with("code", retried.reason.clone().into());
    if let Some(field) = &retried.field {
        problem = problem.field(field);
    }
    Err(problem.with("retry", serde_json::to_value(&retried).unwrap_or_default()))
}

/// What became of some sendings, by what is applied in time.
async fn outcome(app: &App, sent: &[Sent], hurry: bool) -> Result<Vec<RetryJson>, Problem> {
    let failed = |error| warehouse_problem(&error);
    let warehouse = &*app.api.warehouse;
    let positions = || sent.iter().map(|sent| sent.position);
    let applied = match hurry {
        true => false,
        false => wait_applied(
            warehouse,
            &*app.api.log,
            positions(),
            app.api.limits.verdict_wait,
        )
        .await
        .map_err(failed)?,
    };
    let verdicts = match applied {
        true => verdicts(warehouse, positions()).await.map_err(failed)?,
        false => Default::default(),
    };
    Ok(sent
        .iter()
        .map(|sent| RetryJson::sent(sent, applied, verdicts.get(&sent.position)))
        .collect())
}

/// Which rejections are to be sent again: all that are named fulfil all filters.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body; its fields are read by name")]
pub(crate) struct RetryBody {
    /// Only rejections for this reason.
    reason: Option<String>,
    /// Only rejections of this kind of event.
    kind: Option<String>,
    /// Only rejections of this customer.
    customer_id: Option<String>,
    /// Only rejections of this event.
    event_id: Option<String>,
    /// The id of the key or user that sent it.
    key: Option<String>,
    /// Received at this time or later.
    from: Option<String>,
    /// Received before this time.
    to: Option<String>,
    /// Most rejections that are looked at: 1 to 10,000, by default 1,000.
    limit: Option<usize>,
    /// `next_cursor` of the call before.
    cursor: Option<String>,
}

/// What became of many.
#[derive(Serialize, ToSchema)]
pub(crate) struct RetryList {
    /// Rejections looked at in this call.
    done: usize,
    /// Rejections of the filter after those.
    remaining: u64,
    /// Sent again.
    sent: usize,
    /// Of these, count now.
    processed: usize,
    /// Sent again before, by anyone.
    skipped: usize,
    /// Not sent, because they cannot be read.
    refused: usize,
    /// Everything sent or refused, in the order of the log.
    results: Vec<RetryJson>,
    /// Where the next call goes on; null when all is done.
    next_cursor: Option<String>,
}

/// Rejections read at once.
const PAGE: usize = 500;

/// Send many rejected events again, as they were.
///
/// They are taken in the order of the log, at most `limit` in a call; `next_cursor` goes on where it ended, and
/// `remaining` says how many are left. Duplicates, and what was sent again before, are left alone: a call that was cut off
/// may be repeated as it was.
#[utoipa::path(
    post, path = "/rejections/retry", tag = "rejections", request_body = RetryBody,
    responses(
        (status = 200, description = "What became of them", body = RetryList),
        (status = 202, description = "They are in the log, and not all are applied yet", body = RetryList),
    )
)]
pub(crate) async fn many(
    State(app): State<Arc<App>>,
    Administrator(principal): Administrator,
    headers: HeaderMap,
    params: Params,
    mut body: Fields,
) -> Result<Response, Problem> {
    params.finish()?;
    let wanted = filters::read_body(&mut body)?;
    let limit = body.count("limit", 1_000, 10_000)?;
    let mut after: Option<Place> = body
        .optional_text("cursor")?
        .map(|text| cursor::decode(&text))
        .transpose()?;
    body.finish()?;
    let failed = |error| warehouse_problem(&error);
    let warehouse = &*app.api.warehouse;
    let mut filter = wanted.apply(Filter::of(&principal, &app.cut().await?));
    filter.without_duplicates();

    let (mut done, mut skipped) = (0, 0);
    let (mut sent, mut refused) = (Vec::new(), Vec::new());
    while done < limit {
        let most = PAGE.min(limit - done);
        let _turn = app.payloads.acquire().await;
        let found = page(warehouse, filter.clone(), Order::Log, after.as_ref(), most)
            .await
            .map_err(failed)?;
        let Some(last) = found.last() else { break };
        let next = next_sendings(warehouse, &found).await.map_err(failed)?;
        let again: Vec<(&Rejection, u32)> = found
            .iter()
            .zip(next)
            .filter_map(|(rejection, next)| match next {
                Next::Attempt(attempt) => Some((rejection, attempt)),
                Next::Sent(_) | Next::Repeat => None,
            })
            .collect();
        let outcomes = send(&*app.api.log, &again, None).await;
        let mut away = None;
        for ((rejection, _), outcome) in again.iter().zip(outcomes) {
            match outcome {
                Ok(one) => sent.push(one),
                Err(Refused::Event(error)) => refused.push(RetryJson::refused(rejection, &error)),
                Err(Refused::Log(error)) => away = Some(error),
            }
        }
        if let Some(error) = away {
            // What is in the log already is found there when the call is repeated.
            return Err(log_problem(&error));
        }
        skipped += found.len() - again.len();
        done += found.len();
        after = Some(Place::of(last));
    }
    let remaining = count(warehouse, filter, after.as_ref())
        .await
        .map_err(failed)?;
    let mut results = outcome(&app, &sent, respond_async(&headers)).await?;
    let with = |status: &str| {
        results
            .iter()
            .filter(|retry| retry.status == status)
            .count()
    };
    let (processed, waiting) = (with("processed"), with("accepted"));
    tracing::info!(
        sent = sent.len(),
        refused = refused.len(),
        remaining,
        "rejected events were sent again"
    );
    let counted = refused.len();
    results.append(&mut refused);
    results.sort_by_key(|retry| retry.rejection);
    let answer = RetryList {
        done,
        remaining,
        sent: sent.len(),
        processed,
        skipped,
        refused: counted,
        results,
        next_cursor: after
            .filter(|_| remaining > 0)
            .map(|place| cursor::encode(&place)),
    };
    let status = match waiting {
        0 => StatusCode::OK,
        _ => StatusCode::ACCEPTED,
    };
    Ok((status, Json(answer)).into_response())
}
