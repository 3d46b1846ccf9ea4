//! Who is calling.

use std::borrow::Cow;

use schemas::{Currency, KeyId, OrganizationId, SessionId, Timestamp, UserId};

use crate::error::MissingScope;
use crate::quota::Quota;
use crate::roles::{Role, Scope, Scopes};

/// Who is calling and what they may do: every handler gets one, and reads data of its organization only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// Whose data this caller sees.
    pub organization: OrganizationId,
    /// The member of staff, for a session.
    pub user: Option<UserId>,
    /// The session, for a session.
    pub session: Option<SessionId>,
    /// The key, for an API key of the database.
    pub key: Option<KeyId>,
    /// The user's role; [`Role::None`] for keys, whose scopes say everything.
    pub role: Role,
    /// What may be done.
    pub scopes: Scopes,
    /// Whether this caller may see the whole installation: scope admin of the first organization
    /// registered, or an operator's key from the configuration.
    pub operator: bool,
    /// The organization's currency.
    pub currency: Currency,
    /// The organization's time zone, an IANA name.
    pub timezone: String,
    /// What the key may send, where it has something of its own.
    pub quota: Quota,
    /// When session or key end by themselves.
    pub expires_at: Option<Timestamp>,
}

impl Principal {
    /// Names the caller in what is counted and kept: the key, else the user. Users of an outside service come with their
    /// organization, so that none has the name of a key or of somebody elsewhere. Empty for keys of the configuration.
    pub fn name(&self) -> Cow<'_, str> {
        match (&self.key, &self.user, &self.session) {
            (Some(key), _, _) => key.as_str().into(),
            (None, Some(user), Some(_)) => user.as_str().into(),
            (None, Some(user), None) => format!("{}/{user}", self.organization).into(),
            (None, None, _) => "".into(),
        }
    }

    /// Passes where the scope is held.
    pub fn require(&self, scope: Scope) -> Result<(), MissingScope> {
        match self.scopes.contains(scope) {
            true => Ok(()),
            false => Err(MissingScope(scope)),
        }
    }

    /// Passes where one of the scopes is held; the error names the first.
    pub fn require_any<const N: usize>(&self, scopes: [Scope; N]) -> Result<(), MissingScope> {
        match scopes.iter().any(|scope| self.scopes.contains(*scope)) {
            true => Ok(()),
            false => Err(MissingScope(
                scopes.first().copied().unwrap_or(Scope::Admin),
            )),
        }
    }
}
