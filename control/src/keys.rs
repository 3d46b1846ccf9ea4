//! API keys: made, listed, replaced and revoked by the organization they belong to.

use std::fmt;

use schemas::{Code, KeyId, OrganizationId, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::control::Control;
use crate::db::values;
use crate::error::ControlError;
use crate::quota::Quota;
use crate::roles::Scopes;
use crate::token::{self, TokenHash, TokenKind};
use crate::validate;

/// A key to be made.
#[derive(Debug, Clone, Deserialize)]
pub struct NewKey {
    /// What it is for, 1 to 200 characters.
    pub name: String,
    /// What it may do; at least one scope.
    pub scopes: Scopes,
    /// When it ends by itself, in the future; never where absent.
    #[serde(default)]
    pub expires_at: Option<Timestamp>,
    /// What it may send.
    #[serde(default)]
    pub quota: Quota,
}

/// What changes of a key; what is absent stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyChange {
    /// Another name, 1 to 200 characters.
    pub name: Option<String>,
    /// Another rate, or the default again.
    pub events_per_second: Option<Option<u64>>,
    /// Another burst, or the default again.
    pub burst: Option<Option<u64>>,
    /// Another daily quota, or the default again.
    pub events_per_day: Option<Option<u64>>,
}

/// A key that was just made or replaced: the only time its secret is seen.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct CreatedKey {
    /// `key_…`, its name in lists.
    pub id: KeyId,
    /// The secret, `mr_live_…`.
    pub key: String,
    /// What it is for.
    pub name: String,
    /// What it may do.
    pub scopes: Scopes,
    /// What lists show of the secret.
    pub hint: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
    /// What it may send, where it has something of its own.
    pub quota: Quota,
}

impl fmt::Debug for CreatedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CreatedKey")
            .field("id", &self.id)
            .field("hint", &self.hint)
            .finish_non_exhaustive()
    }
}

/// What can be known of a key later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeyInfo {
    /// `key_…`.
    pub id: KeyId,
    /// What it is for.
    pub name: String,
    /// Prefix and last characters of the secret.
    pub hint: String,
    /// What it may do.
    pub scopes: Scopes,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
    /// When its secret was last replaced.
    pub rotated_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<Timestamp>,
    /// What it may send, where it has something of its own.
    pub quota: Quota,
}

#[derive(sqlx::FromRow)]
struct KeyRow {
    id: String,
    name: String,
    hint: String,
    scopes: String,
    created_at: i64,
    expires_at: Option<i64>,
    rotated_at: Option<i64>,
    revoked_at: Option<i64>,
    last_used_at: Option<i64>,
    events_per_second: Option<i64>,
    burst: Option<i64>,
    events_per_day: Option<i64>,
}

const COLUMNS: &str =
    "SELECT id, name, hint, scopes, created_at, expires_at, rotated_at, revoked_at, last_used_at,
        events_per_second, burst, events_per_day
    FROM api_keys WHERE organization_id = $1 ORDER BY created_at, id";

impl TryFrom<KeyRow> for KeyInfo {
    type Error = ControlError;

    fn try_from(row: KeyRow) -> Result<Self, Self::Error> {
        let time = |micros: Option<i64>| micros.map(Timestamp::from_micros);
        Ok(KeyInfo {
            scopes: scopes(&row.scopes)?,
            id: KeyId::from_text(row.id),
            name: row.name,
            hint: row.hint,
            created_at: Timestamp::from_micros(row.created_at),
            expires_at: time(row.expires_at),
            rotated_at: time(row.rotated_at),
            revoked_at: time(row.revoked_at),
            last_used_at: time(row.last_used_at),
            quota: quota(row.events_per_second, row.burst, row.events_per_day),
        })
    }
}

pub(crate) fn scopes(text: &str) -> Result<Scopes, ControlError> {
    Scopes::parse_text(text).map_err(|_| ControlError::Corrupt(format!("the scopes {text}")))
}

/// Columns of a quota.
pub(crate) fn quota(rate: Option<i64>, burst: Option<i64>, day: Option<i64>) -> Quota {
    let count = |column: Option<i64>| column.and_then(|value| u64::try_from(value).ok());
    Quota {
        events_per_second: count(rate),
        burst: count(burst),
        events_per_day: count(day),
    }
}

/// A column of a quota that has been checked.
fn column(value: Option<u64>) -> Option<i64> {
    value.and_then(|value| i64::try_from(value).ok())
}

impl Control {
    /// Makes a key for the organization. Errors: `Invalid` names the field, `NotFound` the organization.
    pub async fn create_key(
        &self,
        organization: &OrganizationId,
        new: NewKey,
    ) -> Result<CreatedKey, ControlError> {
        let name = validate::name("name", &new.name)?;
        let created_at = self.now();
        if new.scopes.is_empty() {
            return Err(ControlError::invalid(
                "scopes",
                Code::Required,
                "give at least one of ingest, read, write, admin",
            ));
        }
        if new.expires_at.is_some_and(|end| end <= created_at) {
            return Err(ControlError::invalid(
                "expires_at",
                Code::OutOfRange,
                "give a time in the future",
            ));
        }
        new.quota.check()?;
        let key = token::generate(TokenKind::Key);
        let created = CreatedKey {
            id: KeyId::from_uuid(Uuid::now_v7()),
            hint: token::hint(&key),
            name,
            scopes: new.scopes,
            created_at,
            expires_at: new.expires_at,
            quota: new.quota,
            key,
        };
        let sql = "INSERT INTO api_keys (id, organization_id, name, secret_hash, hint, scopes, created_at, expires_at,
                       events_per_second, burst, events_per_day)
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
        let row = values![
            created.id.as_str(),
            organization.as_str(),
            created.name.as_str(),
            TokenHash::of(&created.key).to_hex(),
            created.hint.as_str(),
            created.scopes.to_text(),
            created_at,
            created.expires_at,
            column(new.quota.events_per_second),
            column(new.quota.burst),
            column(new.quota.events_per_day)
        ];
        match self.db().execute(sql, row).await {
            Ok(_) => Ok(created),
            Err(error)
                if error
                    .as_database_error()
                    .is_some_and(|inner| inner.is_foreign_key_violation()) =>
            {
                Err(ControlError::NotFound {
                    what: "organization",
                })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The organization's keys in the order they were made, revoked ones included.
    pub async fn list_keys(
        &self,
        organization: &OrganizationId,
    ) -> Result<Vec<KeyInfo>, ControlError> {
        let rows: Vec<KeyRow> = self
            .db()
            .all(COLUMNS, values![organization.as_str()])
            .await?;
        rows.into_iter().map(KeyInfo::try_from).collect()
    }

    /// Changes a key of the organization, or of any where none is named: at once in this process, within 5 s in every
    /// other. Who names none runs the installation: the quota that is set so is for others to keep to.
    ///
    /// # Errors
    /// `Forbidden` where the organization changes a quota that it was given.
    pub async fn update_key(
        &self,
        organization: Option<&OrganizationId>,
        id: &KeyId,
        change: KeyChange,
    ) -> Result<KeyInfo, ControlError> {
        let name = match &change.name {
            Some(name) => validate::name("name", name)?,
            None => String::new(),
        };
        let set = [
            change.events_per_second,
            change.burst,
            change.events_per_day,
        ];
        let [rate, burst, day] = set.map(Option::flatten);
        let quota = Quota {
            events_per_second: rate,
            burst,
            events_per_day: day,
        };
        quota.check()?;
        let [changes_rate, changes_burst, changes_day] = set.map(|new| i64::from(new.is_some()));
        let sql = "UPDATE api_keys SET
                name = CASE WHEN $3 = '' THEN name ELSE $3 END,
                events_per_second = CASE WHEN $4 = 1 THEN $5 ELSE events_per_second END,
                burst = CASE WHEN $6 = 1 THEN $7 ELSE burst END,
                events_per_day = CASE WHEN $8 = 1 THEN $9 ELSE events_per_day END,
                quota_given = CASE WHEN $1 = '' AND $10 = 1 THEN 1 ELSE quota_given END
            WHERE id = $2 AND ($1 = '' OR organization_id = $1) AND revoked_at IS NULL
                AND ($1 = '' OR $10 = 0 OR quota_given = 0)
            RETURNING id, name, hint, scopes, created_at, expires_at, rotated_at, revoked_at, last_used_at,
                events_per_second, burst, events_per_day";
        let row = values![
            organization.map_or("", OrganizationId::as_str),
            id.as_str(),
            name,
            changes_rate,
            column(rate),
            changes_burst,
            column(burst),
            changes_day,
            column(day),
            changes_rate.max(changes_burst).max(changes_day)
        ];
        let mut transaction = self.db().begin().await?;
        let mut rows: Vec<KeyRow> = transaction.all(sql, row).await?;
        transaction.commit().await?;
        self.forget_cached();
        if let Some(row) = rows.pop() {
            return row.try_into();
        }
        let listed = match organization {
            Some(organization) => self.list_keys(organization).await?,
            None => Vec::new(),
        };
        match listed
            .iter()
            .any(|key| key.id == *id && key.revoked_at.is_none())
        {
            true => Err(ControlError::Forbidden(
                "who runs the installation has set what this key may send, ask for another quota",
            )),
            false => Err(ControlError::NotFound { what: "key" }),
        }
    }

    /// Ends a key of the organization: at once in this process, within 5 s in every other. Again is no error.
    pub async fn revoke_key(
        &self,
        organization: &OrganizationId,
        id: &KeyId,
    ) -> Result<(), ControlError> {
        let sql = "UPDATE api_keys SET revoked_at = COALESCE(revoked_at, $3) WHERE organization_id = $1 AND id = $2";
        let changed = self
            .db()
            .execute(sql, values![organization.as_str(), id.as_str(), self.now()])
            .await?;
        self.forget_cached();
        match changed {
            0 => Err(ControlError::NotFound { what: "key" }),
            _ => Ok(()),
        }
    }

    /// Gives a key that is not revoked a new secret; name, scopes and expiry stay, the old secret ends as a revoked key does.
    pub async fn rotate_key(
        &self,
        organization: &OrganizationId,
        id: &KeyId,
    ) -> Result<CreatedKey, ControlError> {
        let key = token::generate(TokenKind::Key);
        let hint = token::hint(&key);
        let sql = "UPDATE api_keys SET secret_hash = $3, hint = $4, rotated_at = $5
                   WHERE organization_id = $1 AND id = $2 AND revoked_at IS NULL";
        let row = values![
            organization.as_str(),
            id.as_str(),
            TokenHash::of(&key).to_hex(),
            hint.as_str(),
            self.now()
        ];
        let changed = self.db().execute(sql, row).await?;
        self.forget_cached();
        if changed == 0 {
            return Err(ControlError::NotFound { what: "key" });
        }
        let keys = self.list_keys(organization).await?;
        let info = keys
            .into_iter()
            .find(|info| info.id == *id)
            .ok_or(ControlError::NotFound { what: "key" })?;
        Ok(CreatedKey {
            id: info.id,
            key,
            name: info.name,
            scopes: info.scopes,
            hint,
            created_at: info.created_at,
            expires_at: info.expires_at,
            quota: info.quota,
        })
    }
}
