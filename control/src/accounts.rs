//! Registering, logging in and out, and looking up who is who.

use std::fmt;
use std::sync::Arc;

use schemas::{Currency, OrganizationId, SessionId, Timestamp, UserId};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::audit::Actor;
use crate::control::Control;
use crate::db::values;
use crate::edit::{Edit, Note};
use crate::error::ControlError;
use crate::model::{Organization, OrganizationRow, User, UserRow};
use crate::roles::Role;
use crate::token::{self, TokenHash, TokenKind};
use crate::validate;

macro_rules! organizations {
    ($rest:literal) => {
        concat!(
            "SELECT o.id, o.name, o.currency, o.timezone, o.created_at,
                CAST(CASE WHEN i.id IS NULL THEN 0 ELSE 1 END AS BIGINT) AS operator
             FROM organizations o LEFT JOIN installation i ON i.organization_id = o.id ",
            $rest
        )
    };
}

macro_rules! users {
    ($rest:literal) => {
        concat!(
            "SELECT id, organization_id, name, email, role, password_hash, team_id, created_at, deactivated_at,
                last_login_at FROM users ",
            $rest
        )
    };
}
pub(crate) use users;

/// A new organization and its owner.
#[derive(Clone, Deserialize)]
pub struct Register {
    /// The owner's name, 1 to 200 characters.
    pub name: String,
    /// The owner's address; unique in the installation, whatever its case.
    pub email: String,
    /// 8 to 1024 characters.
    pub password: String,
    /// The organization's name; the owner's where absent.
    #[serde(default)]
    pub organization: Option<String>,
    /// USD where absent.
    #[serde(default)]
    pub currency: Option<Currency>,
    /// An IANA name; UTC where absent.
    #[serde(default)]
    pub timezone: Option<String>,
}

impl fmt::Debug for Register {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Register")
            .field("name", &self.name)
            .field("email", &self.email)
            .finish_non_exhaustive()
    }
}

/// A registration that has been checked and is yet to be made.
///
/// What must hold before anybody can act for the organization is done between the two.
pub struct Registration {
    organization: Organization,
    user: User,
    password_hash: String,
}

impl Registration {
    /// The organization as it will be.
    pub fn organization(&self) -> &Organization {
        &self.organization
    }
}

impl fmt::Debug for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registration")
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

/// What registering gives: an organization, its owner and a first session.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct Registered {
    /// The new organization.
    pub organization: Organization,
    /// Its owner.
    pub user: User,
    /// The session's token, to be sent as `Authorization: Bearer …`; not stored.
    pub token: String,
    /// When the session ends by itself.
    pub expires_at: Timestamp,
}

/// What logging in gives.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct LoggedIn {
    /// Where the user works.
    pub organization: Organization,
    /// Who logged in.
    pub user: User,
    /// The session's token, to be sent as `Authorization: Bearer …`; not stored.
    pub token: String,
    /// When the session ends by itself.
    pub expires_at: Timestamp,
}

impl fmt::Debug for Registered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registered")
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for LoggedIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoggedIn")
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

impl Control {
    /// Makes an organization, its owner and a session, all or nothing.
    ///
    /// The first organization ever registered becomes the operator's. Errors: `Invalid` names the
    /// field, `Conflict` says that the address has an account.
    pub async fn register(&self, request: Register) -> Result<Registered, ControlError> {
        let registration = self.prepare_registration(request).await?;
        self.complete_registration(registration).await
    }

    /// The first half of [`Control::register`]: everything that can be refused is, and nothing is made.
    pub async fn prepare_registration(
        &self,
        request: Register,
    ) -> Result<Registration, ControlError> {
        let name = validate::name("name", &request.name)?;
        let email = validate::email(&request.email)?;
        validate::password(&request.password)?;
        let company = match &request.organization {
            Some(company) => validate::name("organization", company)?,
            None => name.clone(),
        };
        let timezone = validate::timezone(request.timezone.as_deref().unwrap_or("UTC"))?;
        let taken: Option<UserRow> = self
            .db()
            .one(users!("WHERE email = $1"), values![email.as_str()])
            .await?;
        if taken.is_some() {
            return Err(ControlError::Conflict { field: "email" });
        }
        let password_hash = self.passwords().hash(request.password).await?;

        let created_at = self.now();
        let organization = Organization {
            id: OrganizationId::from_uuid(Uuid::now_v7()),
            name: company,
            currency: request.currency.unwrap_or(Currency::USD),
            timezone,
            operator: false,
            created_at,
        };
        let user = User {
            id: UserId::from_uuid(Uuid::now_v7()),
            organization: organization.id.clone(),
            name,
            email,
            role: Role::Owner,
            team: None,
            created_at,
            deactivated_at: None,
            last_login_at: Some(created_at),
        };
        Ok(Registration {
            organization,
            user,
            password_hash,
        })
    }

    /// The second half of [`Control::register`]. Errors: `Conflict` where the address was taken meanwhile.
    pub async fn complete_registration(
        &self,
        registration: Registration,
    ) -> Result<Registered, ControlError> {
        let Registration {
            mut organization,
            user,
            password_hash,
        } = registration;
        let created_at = organization.created_at;
        // Who registers is not known before.
        let actor = Actor {
            name: user.id.to_string(),
            origin: self.actor().origin.clone(),
        };
        let transaction = self.db().begin().await?;
        let mut edit = Edit::new(transaction, &organization.id, Arc::new(actor), created_at);
        let transaction = &mut edit.transaction;
        let row = values![
            organization.id.as_str(),
            organization.name.as_str(),
            organization.currency.as_str(),
            organization.timezone.as_str(),
            created_at
        ];
        let sql = "INSERT INTO organizations (id, name, currency, timezone, created_at) VALUES ($1, $2, $3, $4, $5)";
        transaction.execute(sql, row).await?;
        let row = values![
            user.id.as_str(),
            organization.id.as_str(),
            user.name.as_str(),
            user.email.as_str(),
            user.role.as_str(),
            password_hash,
            created_at
        ];
        let sql =
            "INSERT INTO users (id, organization_id, name, email, role, password_hash, created_at, last_login_at)
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $7)";
        transaction
            .execute(sql, row)
            .await
            .map_err(|error| ControlError::or_conflict(error, "email"))?;
        // Last, because the row is a lock: who comes second waits here until the first has committed.
        let sql = "INSERT INTO installation (id, organization_id) VALUES (1, $1) ON CONFLICT (id) DO NOTHING";
        organization.operator = transaction
            .execute(sql, values![organization.id.as_str()])
            .await?
            == 1;
        let (token, insert) = new_session(&user.id, created_at, self.session_end(created_at));
        transaction.execute(INSERT_SESSION, insert).await?;
        let notes = [
            Note::created("organization", organization.id.as_str(), &organization),
            Note::created("user", user.id.as_str(), &user),
        ];
        edit.finish(notes).await?;
        Ok(Registered {
            organization,
            user,
            token,
            expires_at: self.session_end(created_at),
        })
    }

    /// Starts a session. An unknown address takes as long as a wrong password, and gives the same error.
    pub async fn login(&self, email: &str, password: &str) -> Result<LoggedIn, ControlError> {
        let email = validate::normalise_email(email);
        // PostgreSQL refuses NUL in text; no account has it, so this only decides which query is run.
        let email = email.replace('\0', " ");
        let row: Option<UserRow> = self
            .db()
            .one(users!("WHERE email = $1"), values![email])
            .await?;
        // Over-long input is cut: it cannot be anyone's password, and hashing megabytes would be a gift to an attacker.
        let password: String = password.chars().take(1025).collect();
        let stored = row.as_ref().map(|row| row.password_hash.clone());
        let matches = self.passwords().verify(password, stored).await?;
        let row = match row {
            Some(row) if matches => row,
            _ => return Err(ControlError::Credentials),
        };
        let now = self.now();
        let expires_at = self.session_end(now);
        let mut transaction = self.db().begin().await?;
        // Checking took a while: only if the password is still this one, and the user was not sent away meanwhile.
        let sql = "UPDATE users SET last_login_at = $2
                   WHERE id = $1 AND password_hash = $3 AND deactivated_at IS NULL";
        let checked = values![row.id.as_str(), now, row.password_hash.as_str()];
        if transaction.execute(sql, checked).await? == 0 {
            return Err(ControlError::Credentials);
        }
        let user = User {
            last_login_at: Some(now),
            ..User::try_from(row)?
        };
        let (token, insert) = new_session(&user.id, now, expires_at);
        let sql = "DELETE FROM sessions WHERE expires_at <= $1";
        transaction.execute(sql, values![now]).await?;
        transaction.execute(INSERT_SESSION, insert).await?;
        transaction.commit().await?;
        let organization = self.organization(&user.organization).await?;
        Ok(LoggedIn {
            organization,
            user,
            token,
            expires_at,
        })
    }

    /// Ends the session of this token; whether there was one.
    pub async fn logout(&self, token: &str) -> Result<bool, ControlError> {
        let sql = "DELETE FROM sessions WHERE token_hash = $1";
        let ended = self
            .db()
            .execute(sql, values![TokenHash::of(token).to_hex()])
            .await?;
        if ended > 0 {
            self.forget_cached();
        }
        Ok(ended > 0)
    }

    /// A user by id.
    pub async fn user(&self, id: &UserId) -> Result<User, ControlError> {
        let row: Option<UserRow> = self
            .db()
            .one(users!("WHERE id = $1"), values![id.as_str()])
            .await?;
        row.ok_or(ControlError::NotFound { what: "user" })?
            .try_into()
    }

    /// The users of an organization, in the order they were made.
    pub async fn users(&self, organization: &OrganizationId) -> Result<Vec<User>, ControlError> {
        let sql = users!("WHERE organization_id = $1 ORDER BY created_at, id");
        let rows: Vec<UserRow> = self.db().all(sql, values![organization.as_str()]).await?;
        rows.into_iter().map(User::try_from).collect()
    }

    /// An organization by id.
    pub async fn organization(&self, id: &OrganizationId) -> Result<Organization, ControlError> {
        let row: Option<OrganizationRow> = self
            .db()
            .one(organizations!("WHERE o.id = $1"), values![id.as_str()])
            .await?;
        row.ok_or(ControlError::NotFound {
            what: "organization",
        })?
        .try_into()
    }

    /// Every organization, in the order they were registered.
    pub async fn organizations(&self) -> Result<Vec<Organization>, ControlError> {
        let rows: Vec<OrganizationRow> = self
            .db()
            .all(organizations!("ORDER BY o.created_at, o.id"), Vec::new())
            .await?;
        rows.into_iter().map(Organization::try_from).collect()
    }

    /// The organization that operates this installation, once one is registered.
    pub async fn operator(&self) -> Result<Option<Organization>, ControlError> {
        let row: Option<OrganizationRow> = self
            .db()
            .one(organizations!("WHERE i.id = 1"), Vec::new())
            .await?;
        row.map(Organization::try_from).transpose()
    }
}

const INSERT_SESSION: &str = "INSERT INTO sessions (token_hash, user_id, created_at, expires_at, id) VALUES ($1, $2, $3, $4, $5)";

/// A new token and the values that store it.
fn new_session(user: &UserId, now: Timestamp, end: Timestamp) -> (String, Vec<crate::db::Value>) {
    let token = token::generate(TokenKind::Session);
    let id = SessionId::from_uuid(Uuid::now_v7());
    let values = values![
        TokenHash::of(&token).to_hex(),
        user.as_str(),
        now,
        end,
        id.as_str()
    ];
    (token, values)
}
