//! Every route of the ingest role, with its OpenAPI.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, Method};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use control::{Permission, Reach, Scope};
use schemas::{Kind, ParseContext, Problem, ProblemKind, TraceContext};
use serde_json::{Value, json};
use utoipa::{OpenApi, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::auth::Caller;
use crate::body::{self, Format};
use crate::submit::{Verdicts, now, submit};
use crate::{Ingest, batch, receipts};

/// Bodies above this are parsed off the event loop, which others wait for.
const LARGE_BODY: usize = 256 * 1024;

/// The OpenAPI document of this role.
#[derive(Debug, OpenApi)]
#[openapi(tags((name = "ingest", description = "Events in, receipts out")))]
pub struct ApiDoc;

/// The routes, below `/api/v1`, and their OpenAPI document.
pub fn router(ingest: Ingest) -> (Router, utoipa::openapi::OpenApi) {
    crate::metrics::describe();
    let (router, document) = OpenApiRouter::with_openapi(ApiDoc::openapi())
        .routes(routes!(users))
        .routes(routes!(purchases))
        .routes(routes!(activities))
        .routes(routes!(interactions))
        .routes(routes!(send_batch))
        .routes(routes!(receipt))
        .routes(routes!(connection))
        .split_for_parts();
    let router = router.method_not_allowed_fallback(method_not_allowed);
    (router.with_state(ingest), document)
}

async fn method_not_allowed(method: Method) -> Problem {
    let detail = format!("{method} is not for this path; the header Allow names what is");
    Problem::new(ProblemKind::MethodNotAllowed, detail)
}

/// Verdicts on what was sent.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the answer, which is written by hand")]
struct Verdict {
    /// Place of the event in the request, from 0.
    index: u64,
    /// Its id, stated or made here; null where none can be made out.
    event_id: Option<String>,
    /// `accepted` or `rejected`.
    #[schema(example = "accepted")]
    status: String,
    /// generation:partition:offset in the log, of what was accepted.
    #[schema(example = "1:0:42")]
    position: Option<String>,
    /// Why it was rejected.
    error: Option<RejectedField>,
}

/// What is wrong with an event.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the answer, which is written by hand")]
struct RejectedField {
    /// Path of the field; empty: the whole event.
    #[schema(example = "items.0.quantity")]
    field: String,
    /// Stable name of the rule that it breaks.
    #[schema(example = "out_of_range")]
    code: String,
    /// What to do.
    detail: String,
}

/// What became of a request: `accepted` and `rejected` add up to the events sent.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the answer, which is written by hand")]
struct Verdicts202 {
    /// Events that are durable in the log now.
    accepted: u64,
    /// Events that were refused; they cost the others nothing.
    rejected: u64,
    /// One for each event in the order sent, or for refused ones only.
    results: Vec<Verdict>,
}

/// What became of one sending of an event.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the answer, which is written by hand")]
struct Receipt {
    /// Whose event it is.
    customer_id: String,
    /// generation:partition:offset in the log.
    #[schema(example = "1:0:42")]
    position: String,
    /// accepted, processed, archived, rejected or duplicate.
    status: String,
    /// Why it was rejected.
    reason: Option<String>,
    /// When the server took it.
    #[schema(format = DateTime)]
    received_at: String,
}

/// Every sending of an event id that reached the log, oldest first.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the answer, which is written by hand")]
struct Receipts {
    /// The id that was asked for.
    event_id: String,
    /// One for each time the event was taken, the oldest first.
    receipts: Vec<Receipt>,
}

macro_rules! endpoint {
    ($name:ident, $path:literal, $kind:expr, $schema:literal, $summary:literal) => {
        #[utoipa::path(post, path = $path, tag = "ingest", summary = $summary,
            request_body(content = ref($schema), content_type = "application/json"),
            params(("verdicts" = Option<String>, Query, description = "`rejected` lists only what was rejected")),
            responses((status = 202, description = "Durable, as far as accepted", body = Verdicts202)),
            security(("bearer" = []), ("key" = [])))]
        async fn $name(
            State(ingest): State<Ingest>,
            caller: Caller,
            query: RawQuery,
            headers: HeaderMap,
            body: Body,
        ) -> Result<Response, Problem> {
            take(ingest, caller, Some($kind), query, headers, body).await
        }
    };
}

endpoint!(
    users,
    "/ingest/users",
    Kind::User,
    "#/components/schemas/UserEvent",
    "Send a new or changed customer"
);
endpoint!(
    purchases,
    "/ingest/purchases",
    Kind::Purchase,
    "#/components/schemas/PurchaseEvent",
    "Send a purchase or refund"
);
endpoint!(
    activities,
    "/ingest/activities",
    Kind::Activity,
    "#/components/schemas/ActivityEvent",
    "Send an activity of a customer"
);
endpoint!(
    interactions,
    "/ingest/interactions",
    Kind::Interaction,
    "#/components/schemas/InteractionEvent",
    "Send an interaction with a customer"
);

#[utoipa::path(post, path = "/ingest/batch", tag = "ingest",
    summary = "Send many events: a JSON array, {\"events\": […]} or NDJSON, plain, gzip or zstd",
    request_body(
        content((ref("#/components/schemas/Batch") = "application/json"), (String = "application/x-ndjson"))),
    params(("verdicts" = Option<String>, Query, description = "`rejected` lists only what was rejected")),
    responses((status = 202, description = "Durable, as far as accepted", body = Verdicts202)),
    security(("bearer" = []), ("key" = [])))]
async fn send_batch(
    State(ingest): State<Ingest>,
    caller: Caller,
    query: RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    take(ingest, caller, None, query, headers, body).await
}

/// Takes a body of one event of `kind`, or of many that each say what they are; counts what is refused whole.
async fn take(
    ingest: Ingest,
    caller: Caller,
    kind: Option<Kind>,
    query: RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let request = ingest.traces.begin(&headers);
    let trace = request.as_ref().map(|request| request.context);
    let taken = take_body(ingest, caller, kind, query, headers, body, trace).await;
    if let Err(problem) = &taken {
        metrics::counter!(crate::metrics::REFUSED, "reason" => problem.kind().name()).increment(1);
    }
    if let Some(request) = request {
        request.end();
    }
    taken
}

async fn take_body(
    ingest: Ingest,
    Caller(principal): Caller,
    kind: Option<Kind>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
    trace: Option<TraceContext>,
) -> Result<Response, Problem> {
    principal
        .require(Scope::Ingest)
        .map_err(|error| Problem::new(ProblemKind::Forbidden, error.to_string()))?;
    if let Err(refused) = ingest.quotas.admit(&principal) {
        return Ok(refused.into_response());
    }
    let verdicts = verdicts(query.as_deref())?;
    let format = body::format(&headers)?;
    if kind.is_some() && format == Format::Lines {
        return Err(Problem::new(
            ProblemKind::UnsupportedMediaType,
            "send NDJSON to /ingest/batch",
        ));
    }
    let mut share = ingest.budget.share();
    let body = body::read(&headers, body, ingest.limits.body_bytes, &mut share).await?;
    metrics::counter!(crate::metrics::BYTES).increment(body.len() as u64);
    let received_at = now();
    let context = ParseContext {
        received_at,
        currency: principal.currency,
    };
    let events = ingest.limits.events;
    let parse = move |body| match kind {
        Some(kind) => batch::one(body, kind, &context),
        None => batch::many(body, format, events, &context),
    };
    let batch = match body.len() > LARGE_BODY {
        false => parse(body)?,
        true => tokio::task::spawn_blocking(move || parse(body))
            .await
            .map_err(|_| {
                Problem::new(
                    ProblemKind::Internal,
                    "the body could not be parsed; report this",
                )
            })??,
    };
    let taken = match ingest.quotas.take(&principal, batch.events.len()).await {
        Ok(taken) => taken,
        Err(refused) => return Ok(refused.into_response()),
    };
    // The share is held until the answer: the body lives in the log's queue until then.
    let (mut response, away) = submit(
        ingest.log.as_ref(),
        &principal,
        received_at,
        batch,
        verdicts,
        trace,
    )
    .await;
    drop(share);
    ingest.quotas.give_back(&principal, away);
    taken.write(response.headers_mut());
    Ok(response)
}

fn verdicts(query: Option<&str>) -> Result<Verdicts, Problem> {
    let mut verdicts = Verdicts::All;
    for (name, value) in parameters(query)? {
        verdicts = match (name.as_ref(), value.as_ref()) {
            ("verdicts", "rejected") => Verdicts::Rejected,
            ("verdicts", "all") => Verdicts::All,
            ("verdicts", _) => {
                return Err(
                    Problem::new(ProblemKind::BadRequest, "verdicts is all or rejected")
                        .field("verdicts"),
                );
            }
            (other, _) => return Err(unknown_parameter(other)),
        };
    }
    Ok(verdicts)
}

pub(crate) fn unknown_parameter(name: &str) -> Problem {
    Problem::new(
        ProblemKind::BadRequest,
        format!("the query parameter `{name}` is not known here; leave it out"),
    )
    .field(name)
}

/// The decoded parameters of a query string, each given once.
pub(crate) fn parameters(query: Option<&str>) -> Result<BTreeMap<String, String>, Problem> {
    let refuse = |name: &str, words: &str| {
        Problem::new(ProblemKind::BadRequest, format!("{name}: {words}")).field(name.to_owned())
    };
    let mut parameters = BTreeMap::new();
    let pairs = query.unwrap_or_default().split('&');
    for pair in pairs.filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let decode = |text: &str| {
            percent_encoding::percent_decode_str(&text.replace('+', " "))
                .decode_utf8()
                .map(std::borrow::Cow::into_owned)
                .map_err(|_| refuse(name, "percent-encode it as UTF-8"))
        };
        if parameters.insert(decode(name)?, decode(value)?).is_some() {
            return Err(refuse(name, "give it once"));
        }
    }
    Ok(parameters)
}

#[utoipa::path(get, path = "/ingest/events/{event_id}", tag = "ingest", summary = "What became of an event",
    params(("event_id" = String, Path), ("customer_id" = Option<String>, Query)),
    responses((status = 200, description = "What became of it", body = Receipts)),
    security(("bearer" = []), ("key" = [])))]
async fn receipt(
    State(ingest): State<Ingest>,
    Caller(principal): Caller,
    Path(event_id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, Problem> {
    principal
        .require_any([Scope::Ingest, Scope::Read])
        .map_err(|error| Problem::new(ProblemKind::Forbidden, error.to_string()))?;
    // It tells of any customer: of staff, only who sees them all may ask.
    if principal.user.is_some() && principal.reach(Permission::ReadCustomers) != Ok(Reach::All) {
        let detail = "your role does not see every customer; ask somebody whose role does";
        return Err(Problem::new(ProblemKind::Forbidden, detail));
    }
    let mut customer = None;
    for (name, value) in parameters(query.as_deref())? {
        match name.as_str() {
            "customer_id" => customer = Some(value),
            other => return Err(unknown_parameter(other)),
        }
    }
    receipts::find(
        &ingest,
        &principal.organization,
        &event_id,
        customer.as_deref(),
    )
    .await
    .map(Json)
}

#[utoipa::path(get, path = "/connection", tag = "ingest", summary = "Whether this key works, and for what",
    responses((status = 200, description = "It works, and this is what it may do", body = Value)), security(("bearer" = []), ("key" = [])))]
async fn connection(
    State(ingest): State<Ingest>,
    Caller(principal): Caller,
    RawQuery(query): RawQuery,
) -> Result<impl IntoResponse, Problem> {
    if let Some(name) = parameters(query.as_deref())?.keys().next() {
        return Err(unknown_parameter(name));
    }
    Ok(Json(json!({
        "organization": principal.organization,
        "scopes": principal.scopes,
        "key": principal.key,
        "currency": principal.currency,
        "timezone": principal.timezone,
        "expires_at": principal.expires_at,
        "quota": ingest.quotas.allowance(&principal),
    })))
}
