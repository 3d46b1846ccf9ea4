//! Organizations and users, as they are stored and as they are answered.

use schemas::{Currency, OrganizationId, TeamId, Timestamp, UserId};
use serde::Serialize;

use crate::error::ControlError;
use crate::roles::Role;

/// A tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Organization {
    /// `org_…`.
    pub id: OrganizationId,
    /// As registered.
    pub name: String,
    /// ISO 4217.
    pub currency: Currency,
    /// IANA name.
    pub timezone: String,
    /// Whether it was the first to be registered and so operates the installation.
    pub operator: bool,
    /// When it was registered.
    pub created_at: Timestamp,
}

/// A member of staff.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct User {
    /// `usr_…`.
    pub id: UserId,
    /// Where this user works.
    pub organization: OrganizationId,
    /// As registered.
    pub name: String,
    /// Trimmed and in lower case.
    pub email: String,
    /// What the user may do.
    pub role: Role,
    /// The team the user is in.
    pub team: Option<TeamId>,
    /// When the account was made.
    pub created_at: Timestamp,
    /// Since when the user may not log in any more.
    pub deactivated_at: Option<Timestamp>,
    /// When the user last logged in.
    pub last_login_at: Option<Timestamp>,
}

impl User {
    /// Whether the user may log in.
    pub fn is_active(&self) -> bool {
        self.deactivated_at.is_none()
    }
}

/// A group of staff.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Team {
    /// `team_…`.
    pub id: TeamId,
    /// Unique in the organization, whatever its case.
    pub name: String,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A row of the query in [`crate::accounts`] that selects organizations.
#[derive(sqlx::FromRow)]
pub(crate) struct OrganizationRow {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) currency: String,
    pub(crate) timezone: String,
    pub(crate) operator: i64,
    pub(crate) created_at: i64,
}

impl TryFrom<OrganizationRow> for Organization {
    type Error = ControlError;

    fn try_from(row: OrganizationRow) -> Result<Self, Self::Error> {
        Ok(Organization {
            currency: currency(&row.currency)?,
            id: OrganizationId::from_text(row.id),
            name: row.name,
            timezone: row.timezone,
            operator: row.operator != 0,
            created_at: Timestamp::from_micros(row.created_at),
        })
    }
}

#[derive(sqlx::FromRow)]
pub(crate) struct UserRow {
    pub(crate) id: String,
    pub(crate) organization_id: String,
    pub(crate) name: String,
    pub(crate) email: String,
    pub(crate) role: String,
    pub(crate) password_hash: String,
    pub(crate) team_id: Option<String>,
    pub(crate) created_at: i64,
    pub(crate) deactivated_at: Option<i64>,
    pub(crate) last_login_at: Option<i64>,
}

impl TryFrom<UserRow> for User {
    type Error = ControlError;

    fn try_from(row: UserRow) -> Result<Self, Self::Error> {
        Ok(User {
            role: role(&row.role)?,
            id: UserId::from_text(row.id),
            organization: OrganizationId::from_text(row.organization_id),
            name: row.name,
            email: row.email,
            team: row.team_id.map(TeamId::from_text),
            created_at: Timestamp::from_micros(row.created_at),
            deactivated_at: row.deactivated_at.map(Timestamp::from_micros),
            last_login_at: row.last_login_at.map(Timestamp::from_micros),
        })
    }
}

pub(crate) fn currency(code: &str) -> Result<Currency, ControlError> {
    Currency::parse(code).map_err(|_| ControlError::Corrupt(format!("the currency {code}")))
}

pub(crate) fn role(text: &str) -> Result<Role, ControlError> {
    text.parse()
        .map_err(|_| ControlError::Corrupt(format!("the role {text}")))
}
