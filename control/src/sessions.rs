//! Sessions as they are listed and ended, and passwords, whose change ends them.

use schemas::{OrganizationId, SessionId, Timestamp, UserId};
use serde::Serialize;

use crate::accounts::users;
use crate::control::Control;
use crate::db::values;
use crate::edit::Note;
use crate::error::ControlError;
use crate::model::UserRow;
use crate::validate;

/// A session that has not ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Session {
    /// `ses_…`; not its token.
    pub id: SessionId,
    /// When the user logged in.
    pub created_at: Timestamp,
    /// When it ends by itself.
    pub expires_at: Timestamp,
    /// When it was last used, to the minute.
    pub last_used_at: Option<Timestamp>,
}

/// What a user's sessions come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionUse {
    /// Whose.
    pub user: UserId,
    /// Sessions that have not ended.
    pub sessions: u64,
    /// When any of them was last used, to the minute.
    pub last_used_at: Option<Timestamp>,
}

#[derive(sqlx::FromRow)]
struct SessionRow {
    id: String,
    created_at: i64,
    expires_at: i64,
    last_used_at: Option<i64>,
}

#[derive(sqlx::FromRow)]
struct UseRow {
    user_id: String,
    sessions: i64,
    last_used_at: Option<i64>,
}

impl Control {
    /// A user's sessions, the newest first.
    pub async fn sessions(&self, user: &UserId) -> Result<Vec<Session>, ControlError> {
        let sql = "SELECT id, created_at, expires_at, last_used_at FROM sessions
                   WHERE user_id = $1 AND expires_at > $2 ORDER BY created_at DESC, id DESC";
        let rows: Vec<SessionRow> = self
            .db()
            .all(sql, values![user.as_str(), self.now()])
            .await?;
        let session = |row: SessionRow| Session {
            id: SessionId::from_text(row.id),
            created_at: Timestamp::from_micros(row.created_at),
            expires_at: Timestamp::from_micros(row.expires_at),
            last_used_at: row.last_used_at.map(Timestamp::from_micros),
        };
        Ok(rows.into_iter().map(session).collect())
    }

    /// Ends one session of a user: at once in this process, within 5 s in every other.
    pub async fn end_session(&self, user: &UserId, id: &SessionId) -> Result<(), ControlError> {
        let not_found = ControlError::NotFound { what: "session" };
        let organization = match self.user(user).await {
            Ok(user) => user.organization,
            Err(ControlError::NotFound { .. }) => return Err(not_found),
            Err(error) => return Err(error),
        };
        let mut edit = self.edit(&organization).await?;
        let sql = "DELETE FROM sessions WHERE user_id = $1 AND id = $2";
        let row = values![user.as_str(), id.as_str()];
        if edit.transaction.execute(sql, row).await? == 0 {
            return Err(not_found);
        }
        edit.finish([Note::done("ended", "session", id.as_str())])
            .await?;
        self.forget_cached();
        Ok(())
    }

    /// Ends every session of a user, for example after a lost laptop; how many there were.
    pub async fn end_sessions(&self, user: &UserId) -> Result<u64, ControlError> {
        let organization = match self.user(user).await {
            Ok(user) => user.organization,
            Err(ControlError::NotFound { .. }) => return Ok(0),
            Err(error) => return Err(error),
        };
        let mut edit = self.edit(&organization).await?;
        let sql = "DELETE FROM sessions WHERE user_id = $1";
        let ended = edit
            .transaction
            .execute(sql, values![user.as_str()])
            .await?;
        let note = Note::done("sessions_ended", "user", user.as_str());
        edit.finish((ended > 0).then_some(note)).await?;
        self.forget_cached();
        Ok(ended)
    }

    /// How many sessions each user of an organization has, and when they were last used. Users without one are absent.
    pub async fn session_uses(
        &self,
        organization: &OrganizationId,
    ) -> Result<Vec<SessionUse>, ControlError> {
        let sql =
            "SELECT s.user_id, COUNT(*) AS sessions, MAX(s.last_used_at) AS last_used_at FROM sessions s
                   JOIN users u ON u.id = s.user_id
                   WHERE u.organization_id = $1 AND s.expires_at > $2 GROUP BY s.user_id";
        let rows: Vec<UseRow> = self
            .db()
            .all(sql, values![organization.as_str(), self.now()])
            .await?;
        let used = |row: UseRow| SessionUse {
            user: UserId::from_text(row.user_id),
            sessions: row.sessions.unsigned_abs(),
            last_used_at: row.last_used_at.map(Timestamp::from_micros),
        };
        Ok(rows.into_iter().map(used).collect())
    }

    /// Changes a user's password and ends all sessions but the one that asks.
    ///
    /// # Errors
    /// `Credentials` where the current password is another one, `Invalid` for a bad new one.
    pub async fn change_password(
        &self,
        user: &UserId,
        current: String,
        new: String,
        keep: Option<&SessionId>,
    ) -> Result<(), ControlError> {
        validate::password(&new)?;
        let row: Option<UserRow> = self
            .db()
            .one(users!("WHERE id = $1"), values![user.as_str()])
            .await?;
        let row = row.ok_or(ControlError::NotFound { what: "user" })?;
        // As in logging in: what is longer than any password is not hashed.
        let current: String = current.chars().take(1025).collect();
        let stored = Some(row.password_hash.clone());
        if !self.passwords().verify(current, stored).await? {
            return Err(ControlError::Credentials);
        }
        let hash = self.passwords().hash(new).await?;
        let organization = OrganizationId::from_text(row.organization_id);
        let mut edit = self.edit(&organization).await?;
        // Only from the password that was checked: of two changes at once, one is.
        let sql = "UPDATE users SET password_hash = $2 WHERE id = $1 AND password_hash = $3";
        let set = values![user.as_str(), hash, row.password_hash];
        if edit.transaction.execute(sql, set).await? == 0 {
            return Err(ControlError::Credentials);
        }
        let sql = "DELETE FROM sessions WHERE user_id = $1 AND id <> $2";
        let kept = keep.map_or("", SessionId::as_str);
        edit.transaction
            .execute(sql, values![user.as_str(), kept])
            .await?;
        let note = Note::done("password_changed", "user", user.as_str());
        edit.finish([note]).await?;
        self.forget_cached();
        Ok(())
    }
}
