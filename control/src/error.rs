//! What can go wrong, and whether trying again helps.

use schemas::{Code, FieldError};

use crate::permissions::Permission;
use crate::roles::{Role, Scope};

type Source = Box<dyn std::error::Error + Send + Sync>;

/// Why the control database did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// A value of the request is unusable; the error names the field.
    #[error(transparent)]
    Invalid(#[from] FieldError),
    /// A value that must be unique is taken.
    #[error("this {field} is taken, use another one")]
    Conflict {
        /// The field of the request, for example `email`.
        field: &'static str,
    },
    /// It is not in the version that the caller wants to change.
    #[error("the {what} was changed meanwhile, look at it and try again")]
    Stale {
        /// What was to be changed, for example `segment`.
        what: &'static str,
    },
    /// E-mail or password is wrong; which of the two is not said.
    #[error("e-mail or password is wrong")]
    Credentials,
    /// A rule forbids it, whatever the values.
    #[error("{0}")]
    Rule(&'static str),
    /// The caller's role is not enough for it.
    #[error("{0}")]
    Forbidden(&'static str),
    /// There is no such thing in this organization.
    #[error("no such {what} in this organization")]
    NotFound {
        /// What was looked for, for example `organization`, `user` or `key`.
        what: &'static str,
    },
    /// More passwords wait to be hashed than is sound.
    #[error("too many log-ins at once, try again in a second")]
    Busy,
    /// The database cannot be reached, or is locked by another process.
    #[error("the control database does not answer, try again: {0}")]
    Unavailable(#[source] Source),
    /// The database answered with an error that a retry does not cure.
    #[error("the control database failed: {0}")]
    Database(#[source] Source),
    /// The URL of the database means nothing here.
    #[error("cannot use the control database {url}: {detail}")]
    Url {
        /// The URL, without its password.
        url: String,
        /// What to write instead.
        detail: String,
    },
    /// The schema in the database is not one this program knows.
    #[error("the schema of the control database does not fit this program: {0}")]
    Schema(String),
    /// Something that cannot happen with a sound database did.
    #[error("the control database holds something unreadable: {0}")]
    Corrupt(String),
}

impl ControlError {
    /// Whether the same call may succeed a little later.
    pub fn is_retryable(&self) -> bool {
        matches!(self, ControlError::Busy | ControlError::Unavailable(_))
    }

    pub(crate) fn invalid(field: &'static str, code: Code, detail: &'static str) -> Self {
        ControlError::Invalid(FieldError::new(field, code, detail))
    }

    /// Says whether the database refused a row because its organization does not exist, instead of failing.
    pub(crate) fn or_no_organization(error: sqlx::Error) -> Self {
        match error.as_database_error() {
            Some(inner) if inner.is_foreign_key_violation() => ControlError::NotFound {
                what: "organization",
            },
            _ => error.into(),
        }
    }

    /// Says whether the database refused a value because it is taken, or because what it names is gone, instead of
    /// failing.
    pub(crate) fn or_conflict(error: sqlx::Error, field: &'static str) -> Self {
        match error.as_database_error() {
            Some(inner) if inner.is_unique_violation() => ControlError::Conflict { field },
            Some(inner) if inner.is_foreign_key_violation() => ControlError::Rule(
                "something that is part of it was just changed by somebody else, look and try again",
            ),
            _ => error.into(),
        }
    }
}

/// SQLite's busy and locked, PostgreSQL's classes for connections, resources, shutdown and serialization.
fn passes_by_itself(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => true,
        sqlx::Error::Database(inner) => {
            inner.code().is_some_and(|code| match code.parse::<u32>() {
                // SQLite's extended codes keep the primary one in their low byte.
                Ok(number) if code.len() < 5 => matches!(number & 0xff, 5 | 6),
                _ => ["08", "53", "57P", "40"]
                    .iter()
                    .any(|class| code.starts_with(class)),
            })
        }
        _ => false,
    }
}

impl From<sqlx::Error> for ControlError {
    fn from(error: sqlx::Error) -> Self {
        match passes_by_itself(&error) {
            true => ControlError::Unavailable(Box::new(error)),
            false => ControlError::Database(Box::new(error)),
        }
    }
}

/// Why a token opens nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// Unknown, expired or revoked: 401. Which of them is not said.
    #[error("this token is not valid, log in again or use another key")]
    Unknown,
    /// The control database does not answer, so nobody is let in: 503, try again.
    #[error("tokens cannot be checked at the moment, try again")]
    Unavailable,
}

impl AuthError {
    /// Whether the same token may be good a little later.
    pub fn is_retryable(&self) -> bool {
        matches!(self, AuthError::Unavailable)
    }
}

/// The caller is known but may not do this: 403.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this needs the scope {0}, use a key or a role that has it")]
pub struct MissingScope(pub Scope);

/// The caller is known but may not do this: 403.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MissingPermission {
    /// A user whose role does not have it.
    #[error("the role {0} does not have {name}; ask an administrator of the organization", name = .1.as_str())]
    Role(Role, Permission),
    /// A key without the scope for it.
    #[error("this needs the scope {0}, use a key that has it")]
    Scope(Scope),
}
