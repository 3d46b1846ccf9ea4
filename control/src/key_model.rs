//! API keys, as they are stored and as they are answered.

use std::fmt;

use schemas::{KeyId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::error::ControlError;
use crate::quota::Quota;
use crate::roles::Scopes;

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

impl CreatedKey {
    /// What can be known of it later.
    pub(crate) fn info(&self) -> KeyInfo {
        KeyInfo {
            id: self.id.clone(),
            name: self.name.clone(),
            hint: self.hint.clone(),
            scopes: self.scopes,
            created_at: self.created_at,
            expires_at: self.expires_at,
            rotated_at: None,
            revoked_at: None,
            last_used_at: None,
            quota: self.quota,
        }
    }
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

/// A row of the query in [`crate::keys`] that selects keys.
#[derive(sqlx::FromRow)]
pub(crate) struct KeyRow {
    id: String,
    name: String,
    hint: String,
    scopes: String,
    created_at: i64,
    expires_at: Option<i64>,
    rotated_at: Option<i64>,
    pub(crate) revoked_at: Option<i64>,
    last_used_at: Option<i64>,
    events_per_second: Option<i64>,
    burst: Option<i64>,
    events_per_day: Option<i64>,
    pub(crate) quota_given: i64,
}

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
pub(crate) fn column(value: Option<u64>) -> Option<i64> {
    value.and_then(|value| i64::try_from(value).ok())
}
