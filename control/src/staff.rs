//! The staff of an organization: users whom its administrators make.

use std::fmt;

use schemas::{OrganizationId, TeamId, UserId};
use uuid::Uuid;

use crate::accounts::users;
use crate::control::Control;
use crate::db::values;
use crate::edit::Note;
use crate::error::ControlError;
use crate::model::{User, UserRow};
use crate::roles::Role;
use crate::teams::check_team;
use crate::validate;

/// A user to be made.
#[derive(Clone)]
pub struct NewUser {
    /// 1 to 200 characters.
    pub name: String,
    /// The address to log in with; unique in the installation, whatever its case.
    pub email: String,
    /// 8 to 1024 characters; the user is to change it.
    pub password: String,
    /// What the user may do.
    pub role: Role,
    /// The team the user is in.
    pub team: Option<TeamId>,
}

impl fmt::Debug for NewUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewUser")
            .field("email", &self.email)
            .field("role", &self.role)
            .finish_non_exhaustive()
    }
}

/// What is to change of a user; what is absent stays.
#[derive(Clone, Default)]
pub struct UserChange {
    /// 1 to 200 characters.
    pub name: Option<String>,
    /// The address to log in with.
    pub email: Option<String>,
    /// A new password, 8 to 1024 characters: it ends every session.
    pub password: Option<String>,
    /// What the user may do.
    pub role: Option<Role>,
    /// Another team, or none.
    pub team: Option<Option<TeamId>>,
    /// Whether the user may log in; no ends every session.
    pub active: Option<bool>,
}

impl fmt::Debug for UserChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserChange")
            .field("role", &self.role)
            .field("active", &self.active)
            .finish_non_exhaustive()
    }
}

/// Owners are made, changed and sent away by owners.
fn allow<const N: usize>(by: Role, roles: [Role; N]) -> Result<(), ControlError> {
    match by == Role::Owner || !roles.contains(&Role::Owner) {
        true => Ok(()),
        false => Err(ControlError::Forbidden(
            "only an owner makes, changes or deactivates an owner, ask one",
        )),
    }
}

impl Control {
    /// Makes a user. `by` is the role of who asks.
    ///
    /// # Errors
    /// `Invalid` names the field, `Conflict` says that the address has an account.
    pub async fn create_user(
        &self,
        organization: &OrganizationId,
        by: Role,
        new: NewUser,
    ) -> Result<User, ControlError> {
        allow(by, [new.role])?;
        let name = validate::name("name", &new.name)?;
        let email = validate::email(&new.email)?;
        validate::password(&new.password)?;
        let password_hash = self.passwords().hash(new.password).await?;
        let user = User {
            id: UserId::from_uuid(Uuid::now_v7()),
            organization: organization.clone(),
            name,
            email,
            role: new.role,
            team: new.team,
            created_at: self.now(),
            deactivated_at: None,
            last_login_at: None,
        };
        let mut edit = self.edit(organization).await?;
        let transaction = &mut edit.transaction;
        check_team(transaction, organization, user.team.as_ref()).await?;
        let sql =
            "INSERT INTO users (id, organization_id, name, email, role, password_hash, created_at, team_id)
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
        let row = values![
            user.id.as_str(),
            organization.as_str(),
            user.name.as_str(),
            user.email.as_str(),
            user.role.as_str(),
            password_hash,
            user.created_at,
            user.team.as_ref().map(TeamId::as_str)
        ];
        transaction
            .execute(sql, row)
            .await
            .map_err(|error| ControlError::or_conflict(error, "email"))?;
        let note = Note::created("user", user.id.as_str(), &user);
        let committed = edit.finish([note]).await;
        committed.map_err(|error| ControlError::or_conflict(error, "team_id"))?;
        Ok(user)
    }

    /// Changes a user: at once in this process, within 5 s in every other. `by` is the role of who asks.
    ///
    /// # Errors
    /// `Rule` where the organization would have no owner any more, and as for making one.
    pub async fn update_user(
        &self,
        organization: &OrganizationId,
        by: Role,
        id: &UserId,
        change: UserChange,
    ) -> Result<User, ControlError> {
        let name = change.name.map(|name| validate::name("name", &name));
        let name = name.transpose()?;
        let email = change.email.map(|email| validate::email(&email));
        let email = email.transpose()?;
        let ends_sessions = change.password.is_some() || change.active == Some(false);
        let password_hash = match change.password {
            Some(password) => {
                validate::password(&password)?;
                Some(self.passwords().hash(password).await?)
            }
            None => None,
        };
        // One after the other: of two owners who send each other away, one stays.
        let mut edit = self.edit(organization).await?;
        let transaction = &mut edit.transaction;
        let sql = users!("WHERE organization_id = $1 AND id = $2");
        let row = values![organization.as_str(), id.as_str()];
        let found: Vec<UserRow> = transaction.all(sql, row).await?;
        let found = found.into_iter().next();
        let found = found.ok_or(ControlError::NotFound { what: "user" })?;
        let before = User::try_from(found)?;
        let deactivated_at = match (change.active, before.deactivated_at) {
            (None, before) => before,
            (Some(true), _) => None,
            (Some(false), before) => Some(before.unwrap_or_else(|| self.now())),
        };
        let after = User {
            name: name.unwrap_or_else(|| before.name.clone()),
            email: email.unwrap_or_else(|| before.email.clone()),
            role: change.role.unwrap_or(before.role),
            team: change.team.unwrap_or_else(|| before.team.clone()),
            deactivated_at,
            ..before.clone()
        };
        allow(by, [before.role, after.role])?;
        check_team(transaction, organization, after.team.as_ref()).await?;
        let sql =
            "UPDATE users SET name = $3, email = $4, role = $5, team_id = $6, deactivated_at = $7,
                       password_hash = COALESCE($8, password_hash)
                   WHERE organization_id = $1 AND id = $2";
        let row = values![
            organization.as_str(),
            id.as_str(),
            after.name.as_str(),
            after.email.as_str(),
            after.role.as_str(),
            after.team.as_ref().map(TeamId::as_str),
            after.deactivated_at,
            password_hash.as_deref()
        ];
        transaction
            .execute(sql, row)
            .await
            .map_err(|error| ControlError::or_conflict(error, "email"))?;
        let sql = "SELECT COUNT(*) FROM users WHERE organization_id = $1 AND role = 'owner' AND deactivated_at IS NULL";
        let owners: Vec<(i64,)> = transaction.all(sql, values![organization.as_str()]).await?;
        if owners.first().is_none_or(|(owners,)| *owners == 0) {
            return Err(ControlError::Rule(
                "the organization would have no active owner, make another one first",
            ));
        }
        if ends_sessions {
            let sql = "DELETE FROM sessions WHERE user_id = $1";
            transaction.execute(sql, values![id.as_str()]).await?;
        }
        let changed = Note::changed("updated", "user", id.as_str(), &before, &after);
        let password = Note::done("password_changed", "user", id.as_str());
        let password = password_hash.is_some().then_some(password);
        let committed = edit.finish(changed.into_iter().chain(password)).await;
        committed.map_err(|error| ControlError::or_conflict(error, "team_id"))?;
        self.forget_cached();
        Ok(after)
    }

    /// Ends every session of a user, for example after a lost laptop. `by` is the role of who asks.
    pub async fn end_sessions_of(
        &self,
        organization: &OrganizationId,
        by: Role,
        id: &UserId,
    ) -> Result<(), ControlError> {
        let user = self.user_of(organization, id).await?;
        allow(by, [user.role])?;
        self.end_sessions(id).await?;
        Ok(())
    }

    /// A user of an organization.
    pub async fn user_of(
        &self,
        organization: &OrganizationId,
        id: &UserId,
    ) -> Result<User, ControlError> {
        let sql = users!("WHERE organization_id = $1 AND id = $2");
        let row = values![organization.as_str(), id.as_str()];
        let row: Option<UserRow> = self.db().one(sql, row).await?;
        row.ok_or(ControlError::NotFound { what: "user" })?
            .try_into()
    }

    /// At most `limit` users of an organization after one of them, in the order they were made.
    pub async fn users_after(
        &self,
        organization: &OrganizationId,
        after: Option<&UserId>,
        limit: usize,
    ) -> Result<Vec<User>, ControlError> {
        // Ids begin with the time they were made.
        let sql = users!("WHERE organization_id = $1 AND id > $2 ORDER BY id LIMIT $3");
        let row = values![
            organization.as_str(),
            after.map_or("", UserId::as_str),
            i64::try_from(limit).unwrap_or(i64::MAX)
        ];
        let rows: Vec<UserRow> = self.db().all(sql, row).await?;
        rows.into_iter().map(User::try_from).collect()
    }
}
