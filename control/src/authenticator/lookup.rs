//! Asking the database: once for all who present the same token at the same time.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::Shared;
use parking_lot::Mutex;
use schemas::{Currency, KeyId, OrganizationId, SessionId, Timestamp, UserId};
use tokio::sync::oneshot;

use super::outside::Outside;
use super::static_keys::{StaticKey, StaticOwner};
use super::usage::Used;
use super::{Good, Inner};
use crate::control::Control;
use crate::db::values;
use crate::error::{AuthError, ControlError};
use crate::principal::Principal;
use crate::quota::Quota;
use crate::roles::{Role, Scope, Scopes};
use crate::token::TokenHash;
use crate::{key_model, model};

type Answer = Result<Arc<Principal>, AuthError>;
/// The generation is part of the name: who asks after a revocation must not get an answer from before it.
type Name = (TokenHash, u64);

/// Queries under way.
#[derive(Default)]
pub(super) struct Pending(Mutex<HashMap<Name, Shared<oneshot::Receiver<Answer>>>>);

/// What a token may be.
pub(super) enum Subject {
    Key,
    Session,
    Static(StaticKey),
    Outside(Arc<Outside>, Box<str>),
}

/// Takes a query off the list however it ends, a panic included.
struct Listed {
    inner: Arc<Inner>,
    name: Name,
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.inner.pending.0.lock().remove(&self.name);
    }
}

/// The query of this token, started where none is under way.
pub(super) fn start(
    inner: &Arc<Inner>,
    hash: TokenHash,
    generation: u64,
    subject: Subject,
) -> Shared<oneshot::Receiver<Answer>> {
    let name = (hash, generation);
    let mut pending = inner.pending.0.lock();
    if let Some(answer) = pending.get(&name) {
        return answer.clone();
    }
    let (sender, receiver) = oneshot::channel();
    let answer = receiver.shared();
    pending.insert(name, answer.clone());
    let listed = Listed {
        inner: Arc::clone(inner),
        name,
    };
    // A task of its own: a client that hangs up must not leave the others waiting on half a query.
    tokio::spawn(async move {
        let answer = ask(&listed.inner, hash, generation, subject).await;
        drop(listed);
        // Nobody may be waiting any more.
        let _ = sender.send(answer);
    });
    answer
}

async fn ask(inner: &Inner, hash: TokenHash, generation: u64, subject: Subject) -> Answer {
    // Before the query, so that its own duration counts into the age of the answer.
    let start = Instant::now();
    let now = inner.control.now();
    let found = tokio::time::timeout(
        inner.policy.patience,
        find(&inner.control, hash, now, subject),
    )
    .await;
    match found {
        Ok(Ok(Some(principal))) => {
            let mut lifetime = inner.policy.positive;
            if let Some(end) = principal.expires_at {
                let left = u64::try_from(end.micros().saturating_sub(now.micros())).unwrap_or(0);
                lifetime = lifetime.min(Duration::from_micros(left));
            }
            if let Some(used) = Used::by(&principal) {
                inner.usage.record(&used, now);
            }
            let principal = Arc::new(principal);
            inner.good.insert(
                hash,
                Arc::new(Good::new(Arc::clone(&principal), start)),
                generation,
                start,
                start + lifetime,
            );
            Ok(principal)
        }
        Ok(Ok(None)) => {
            inner.good.remove(&hash);
            inner
                .unknown
                .insert(hash, (), generation, start, start + inner.policy.negative);
            Err(AuthError::Unknown)
        }
        Ok(Err(error)) => {
            tracing::error!(%error, "a token could not be checked, its holder is turned away when the last answer runs out");
            Err(AuthError::Unavailable)
        }
        Err(_elapsed) => {
            tracing::error!(
                "the control database did not answer in time, the holder of a token is turned away when the last answer runs out"
            );
            Err(AuthError::Unavailable)
        }
    }
}

async fn find(
    control: &Control,
    hash: TokenHash,
    now: Timestamp,
    subject: Subject,
) -> Result<Option<Principal>, ControlError> {
    match subject {
        Subject::Key => find_key(control, hash, now).await,
        Subject::Session => find_session(control, hash, now).await,
        Subject::Static(key) => find_static(control, key).await,
        Subject::Outside(outside, token) => outside.find(control, &token).await,
    }
}

#[derive(sqlx::FromRow)]
struct KeyRow {
    id: String,
    organization_id: String,
    scopes: String,
    expires_at: Option<i64>,
    events_per_second: Option<i64>,
    burst: Option<i64>,
    events_per_day: Option<i64>,
    currency: String,
    timezone: String,
    operator: i64,
}

const KEY: &str = "SELECT k.id, k.organization_id, k.scopes, k.expires_at,
        k.events_per_second, k.burst, k.events_per_day, o.currency, o.timezone,
        CAST(CASE WHEN i.id IS NULL THEN 0 ELSE 1 END AS BIGINT) AS operator
    FROM api_keys k
    JOIN organizations o ON o.id = k.organization_id
    LEFT JOIN installation i ON i.organization_id = o.id
    WHERE k.secret_hash = $1 AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > $2)";

async fn find_key(
    control: &Control,
    hash: TokenHash,
    now: Timestamp,
) -> Result<Option<Principal>, ControlError> {
    let Some(row) = control
        .db()
        .one::<KeyRow>(KEY, values![hash.to_hex(), now])
        .await?
    else {
        return Ok(None);
    };
    let scopes = key_model::scopes(&row.scopes)?;
    Ok(Some(Principal {
        organization: OrganizationId::from_text(row.organization_id),
        user: None,
        session: None,
        key: Some(KeyId::from_text(row.id)),
        role: Role::None,
        scopes,
        operator: row.operator != 0 && scopes.contains(Scope::Admin),
        currency: model::currency(&row.currency)?,
        timezone: row.timezone,
        quota: key_model::quota(row.events_per_second, row.burst, row.events_per_day),
        expires_at: row.expires_at.map(Timestamp::from_micros),
    }))
}

#[derive(sqlx::FromRow)]
struct SessionRow {
    id: String,
    user_id: String,
    organization_id: String,
    role: String,
    expires_at: i64,
    currency: String,
    timezone: String,
    operator: i64,
}

const SESSION: &str =
    "SELECT s.id, s.user_id, u.organization_id, u.role, s.expires_at, o.currency, o.timezone,
        CAST(CASE WHEN i.id IS NULL THEN 0 ELSE 1 END AS BIGINT) AS operator
    FROM sessions s
    JOIN users u ON u.id = s.user_id
    JOIN organizations o ON o.id = u.organization_id
    LEFT JOIN installation i ON i.organization_id = o.id
    WHERE s.token_hash = $1 AND s.expires_at > $2 AND u.deactivated_at IS NULL";

async fn find_session(
    control: &Control,
    hash: TokenHash,
    now: Timestamp,
) -> Result<Option<Principal>, ControlError> {
    let row = control
        .db()
        .one::<SessionRow>(SESSION, values![hash.to_hex(), now])
        .await?;
    let Some(row) = row else { return Ok(None) };
    let role = model::role(&row.role)?;
    let scopes = role.scopes();
    Ok(Some(Principal {
        organization: OrganizationId::from_text(row.organization_id),
        user: Some(UserId::from_text(row.user_id)),
        session: Some(SessionId::from_text(row.id)),
        key: None,
        role,
        scopes,
        operator: row.operator != 0 && scopes.contains(Scope::Admin),
        currency: model::currency(&row.currency)?,
        timezone: row.timezone,
        quota: Quota::default(),
        expires_at: Some(Timestamp::from_micros(row.expires_at)),
    }))
}

/// A key of the configuration is good as long as its organization exists. The operator's is good before
/// any does, but may then only administer: there is no organization to read or write.
async fn find_static(control: &Control, key: StaticKey) -> Result<Option<Principal>, ControlError> {
    let (organization, operator) = match &key.owner {
        StaticOwner::Operator => (control.operator().await?, true),
        StaticOwner::Organization(id) => match control.organization(id).await {
            Ok(organization) => (Some(organization), false),
            Err(ControlError::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error),
        },
    };
    let (id, currency, timezone, scopes) = match organization {
        Some(found) => (found.id, found.currency, found.timezone, key.scopes),
        None => {
            let scopes = key.scopes.intersection(Scopes::NONE.with(Scope::Admin));
            (
                OrganizationId::from_text("org_none"),
                Currency::USD,
                "UTC".to_owned(),
                scopes,
            )
        }
    };
    Ok(Some(Principal {
        organization: id,
        user: None,
        session: None,
        key: None,
        role: Role::None,
        scopes,
        operator: operator && scopes.contains(Scope::Admin),
        currency,
        timezone,
        quota: Quota::default(),
        expires_at: None,
    }))
}
