//! The one way by which staff write: what is stated is appended to the log, and its verdict is waited for.
//!
//! Handlers check what they write against what the warehouse shows, and name what those checks rest on as guards. The
//! fold refuses the change where one of them was edited meanwhile; then it is decided anew, unless the caller named the
//! version it means.

use std::time::Instant;

use control::Principal;
use schemas::event::Effects;
use schemas::record::encode_event;
use schemas::{Draft, FieldError, Kind, ParseContext, Position, Problem, ProblemKind, bucket};
use serde::Serialize;
use stream::{AppendError, NewRecord};
use utoipa::ToSchema;
use warehouse::Params;
use xxhash_rust::xxh3::xxh3_64;

use super::rejections::{DUPLICATE, Verdict, holder, verdicts, wait_applied};
use crate::api::{App, internal, now};
use crate::http::problem::warehouse_problem;
use crate::http::writing::{Writing, stale};
use crate::tables::rows::Rows;

/// The refusal of a change that rests on what was edited meanwhile, as the fold names it.
const STALE: &str = "stale";

/// Who writes, and one request's writing.
pub(crate) struct Author<'a> {
    app: &'a App,
    pub(crate) principal: &'a Principal,
    pub(crate) writing: &'a Writing,
    /// Of the request's body: the same Idempotency-Key with another one is an error.
    request: String,
    event_id: String,
    /// Attempts made and refused as stale.
    attempt: u32,
    begun: Instant,
}

/// What became of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It counts, and whoever reads now reads it.
    Applied,
    /// It is in the log, and what becomes of it is not known yet.
    Accepted(Receipt),
}

/// Where something is that was taken and not applied yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Receipt {
    /// The customer it is about.
    pub(crate) customer_id: String,
    /// Ask for it at `/ingest/events/{event_id}`.
    pub(crate) event_id: String,
    /// `generation:partition:offset`.
    #[schema(value_type = String)]
    pub(crate) position: Position,
    /// `accepted`.
    pub(crate) status: &'static str,
}

impl<'a> Author<'a> {
    /// The author of what a request with this body writes.
    pub(crate) fn new(
        app: &'a App,
        principal: &'a Principal,
        writing: &'a Writing,
        body: &str,
    ) -> Self {
        let request = format!("{:016x}", xxh3_64(body.as_bytes()));
        let event_id = writing.id("chg", &principal.name());
        Self {
            app,
            principal,
            writing,
            request,
            event_id,
            attempt: 0,
            begun: Instant::now(),
        }
    }

    /// A new id for what this request makes.
    pub(crate) fn id(&self, prefix: &str) -> String {
        self.writing.id(prefix, &self.principal.name())
    }

    /// Who it is, as it is noted.
    pub(crate) fn name(&self) -> String {
        self.principal.name().into_owned()
    }

    /// Whether this request was done already, under its Idempotency-Key.
    pub(crate) async fn is_done(&mut self, customer_id: &str) -> Result<bool, Problem> {
        if !self.writing.is_named() {
            return Ok(false);
        }
        let warehouse = &*self.app.api.warehouse;
        let organization = &self.principal.organization;
        let failed = |error| warehouse_problem(&error);
        loop {
            let held = holder(
                warehouse,
                organization,
                customer_id,
                &self.event_id,
                self.attempt,
            );
            let Some(position) = held.await.map_err(failed)? else {
                return Ok(false);
            };
            let verdict = verdicts(warehouse, [position].into_iter()).await;
            match verdict.map_err(failed)?.remove(&position) {
                Some(verdict) if verdict.reason == STALE => self.attempt += 1,
                Some(verdict) => return Err(refusal(&verdict)),
                None => return self.same_request(position).await.map(|()| true),
            }
        }
    }

    async fn same_request(&self, position: Position) -> Result<(), Problem> {
        let sql = "SELECT JSONExtractString(attributes, 'request') AS c_request FROM events \
            WHERE organization = {organization:String} AND generation = {generation:UInt32} \
            AND partition = {partition:UInt32} AND offset = {offset:UInt64} LIMIT 1";
        let params = Params::new()
            .with("organization", self.principal.organization.as_str())
            .with("generation", position.generation)
            .with("partition", position.partition)
            .with("offset", position.offset);
        let failed = |error| warehouse_problem(&error);
        for batch in self
            .app
            .api
            .warehouse
            .query(sql, &params)
            .await
            .map_err(failed)?
        {
            let requests = Rows::new(&batch).texts("c_request").map_err(failed)?;
            if requests.iter().any(|request| *request != self.request) {
                let detail = "this Idempotency-Key was used for another request; use a new one";
                return Err(
                    Problem::new(ProblemKind::Unprocessable, detail).field("idempotency-key")
                );
            }
        }
        Ok(())
    }

    /// States a change. None where what it rests on was edited meanwhile and it is to be decided anew.
    pub(crate) async fn state(
        &mut self,
        customer_id: &str,
        effects: Effects,
    ) -> Result<Option<Outcome>, Problem> {
        let effects = Effects {
            origin: self.writing.origin.map(|origin| origin.to_string().into()),
            ..effects
        };
        #[derive(Serialize)]
        struct Stated<'a> {
            customer_id: &'a str,
            event_id: &'a str,
            change: &'a Effects,
            attributes: Request<'a>,
        }
        #[derive(Serialize)]
        struct Request<'a> {
            request: &'a str,
        }
        let stated = Stated {
            customer_id,
            event_id: &self.event_id,
            change: &effects,
            attributes: Request {
                request: &self.request,
            },
        };
        let stated = serde_json::to_string(&stated)
            .map_err(|error| internal("a change does not serialise", &error))?;
        let outcome = self.append(Kind::Change, customer_id, &stated).await?;
        match outcome {
            Err(verdict) if verdict.reason == STALE => {
                self.attempt += 1;
                match self.writing.is_conditional() {
                    true => Err(stale()),
                    // Of all who edit it one is first each time, so each has its turn.
                    false if self.begun.elapsed() > self.app.api.limits.verdict_wait => {
                        let detail = "others edit it at the same time; try again";
                        Err(Problem::new(ProblemKind::Conflict, detail))
                    }
                    false => Ok(None),
                }
            }
            // An earlier sending of the same request counts, or does not.
            Err(verdict) if verdict.reason == DUPLICATE => match self.is_done(customer_id).await? {
                true => Ok(Some(Outcome::Applied)),
                false => Ok(None),
            },
            Err(verdict) => Err(refusal(&verdict)),
            Ok(outcome) => Ok(Some(outcome)),
        }
    }

    /// Appends an event as stated and waits for its verdict.
    pub(crate) async fn append(
        &self,
        kind: Kind,
        customer_id: &str,
        stated: &str,
    ) -> Result<Result<Outcome, Verdict>, Problem> {
        let organization = &self.principal.organization;
        let context = ParseContext {
            received_at: now(),
            currency: self.principal.currency,
        };
        let draft = Draft::parse(kind, stated, &context).map_err(field_problem)?;
        let event = draft.into_event(
            organization.clone(),
            || self.event_id.as_str().into(),
            context.received_at,
            self.principal.name().into(),
            self.attempt,
        );
        let mut payload = Vec::new();
        encode_event(&mut payload, &event, context.currency, stated);
        let log = &*self.app.api.log;
        let record = NewRecord {
            partition: u32::from(bucket(organization, customer_id)) % log.partitions(),
            payload: payload.into(),
            decoded: None,
            trace: None,
        };
        let appended = log.append(vec![record]).await.pop();
        let position = appended
            .unwrap_or(Err(AppendError::Closed))
            .map_err(|error| log_problem(&error))?;
        let accepted = Outcome::Accepted(Receipt {
            customer_id: customer_id.to_owned(),
            event_id: event.event_id.to_string(),
            position,
            status: "accepted",
        });
        if self.writing.respond_async {
            return Ok(Ok(accepted));
        }
        let warehouse = &*self.app.api.warehouse;
        let patience = self.app.api.limits.verdict_wait;
        let failed = |error| warehouse_problem(&error);
        let positions = || [position].into_iter();
        let applied = wait_applied(warehouse, log, positions(), patience).await;
        if !applied.map_err(failed)? {
            return Ok(Ok(accepted));
        }
        let verdict = verdicts(warehouse, positions()).await.map_err(failed)?;
        Ok(match verdict.into_values().next() {
            Some(verdict) => Err(verdict),
            None => Ok(Outcome::Applied),
        })
    }
}

/// A field that cannot be as it was stated.
pub(crate) fn field_problem(error: FieldError) -> Problem {
    let detail = match error.field.as_str() {
        "" => error.detail.to_string(),
        field => format!("{field}: {}", error.detail),
    };
    Problem::new(ProblemKind::BadRequest, detail)
        .field(error.field)
        .with("code", error.code.as_str().into())
}

/// A rejection as an answer.
pub(crate) fn refusal(verdict: &Verdict) -> Problem {
    let kind = match verdict.reason.as_str() {
        "unknown_customer" => ProblemKind::NotFound,
        "exists" | STALE => ProblemKind::Conflict,
        "internal" => ProblemKind::Internal,
        _ => ProblemKind::Unprocessable,
    };
    let problem = Problem::new(kind, verdict.detail.clone());
    let problem = problem.with("code", verdict.reason.clone().into());
    match verdict.field.is_empty() {
        true => problem,
        false => problem.field(verdict.field.clone()),
    }
}

fn log_problem(error: &AppendError) -> Problem {
    match error.is_retryable() {
        true => {
            tracing::warn!(%error, "a change could not be appended; look at the log's health");
            let detail = "the log did not confirm it; send it again with the same Idempotency-Key, it counts once";
            Problem::new(ProblemKind::Unavailable, detail)
        }
        false => Problem::new(ProblemKind::Unprocessable, error.to_string()),
    }
}
