//! Roles of people, and scopes of what a caller may do.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What a caller may do. No scope implies another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Send events.
    Ingest,
    /// Read customers and reports.
    Read,
    /// Change customers.
    Write,
    /// Manage keys, users and settings of the organization.
    Admin,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Scope; 4] = [Scope::Ingest, Scope::Read, Scope::Write, Scope::Admin];

    /// As it is written in requests and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Scope::Ingest => "ingest",
            Scope::Read => "read",
            Scope::Write => "write",
            Scope::Admin => "admin",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that is not a scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("use ingest, read, write or admin")]
pub struct ParseScopeError;

impl FromStr for Scope {
    type Err = ParseScopeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Scope::ALL
            .into_iter()
            .find(|scope| scope.as_str() == text)
            .ok_or(ParseScopeError)
    }
}

/// A set of scopes; in JSON a list of their names.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(from = "Vec<Scope>", into = "Vec<Scope>")]
pub struct Scopes(u8);

impl Scopes {
    /// No scope.
    pub const NONE: Scopes = Scopes(0);
    /// Every scope.
    pub const ALL: Scopes = Scopes(0b1111);

    /// This set and one scope more.
    pub const fn with(self, scope: Scope) -> Self {
        Scopes(self.0 | 1 << scope as u8)
    }

    /// Whether the scope is in the set.
    pub const fn contains(self, scope: Scope) -> bool {
        self.0 & (1 << scope as u8) != 0
    }

    /// What both sets hold.
    pub const fn intersection(self, other: Scopes) -> Self {
        Scopes(self.0 & other.0)
    }

    /// Whether nothing is allowed.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The scopes, in the order of [`Scope::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL
            .into_iter()
            .filter(move |scope| self.contains(*scope))
    }

    /// As it is stored: names with one space between.
    pub(crate) fn to_text(self) -> String {
        self.iter().map(Scope::as_str).collect::<Vec<_>>().join(" ")
    }

    pub(crate) fn parse_text(text: &str) -> Result<Self, ParseScopeError> {
        text.split_ascii_whitespace().map(Scope::from_str).collect()
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        scopes.into_iter().fold(Scopes::NONE, Scopes::with)
    }
}

impl From<Vec<Scope>> for Scopes {
    fn from(scopes: Vec<Scope>) -> Self {
        scopes.into_iter().collect()
    }
}

impl<const N: usize> From<[Scope; N]> for Scopes {
    fn from(scopes: [Scope; N]) -> Self {
        scopes.into_iter().collect()
    }
}

impl From<Scopes> for Vec<Scope> {
    fn from(scopes: Scopes) -> Self {
        scopes.iter().collect()
    }
}

impl fmt::Debug for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// The role of a member of staff in the organization.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Registered the organization.
    Owner,
    /// Everything the owner may, but to decide about owners.
    Admin,
    /// Works with every customer and sees all figures.
    Manager,
    /// Works with customers that are assigned, and with prospects and leads of nobody.
    Sales,
    /// Works with every customer.
    Support,
    /// Works with every customer and sees all figures.
    Employee,
    /// An outside partner, who sees its own record.
    Brand,
    /// Nothing.
    None,
}

impl Role {
    /// Every role.
    pub const ALL: [Role; 8] = [
        Role::Owner,
        Role::Admin,
        Role::Manager,
        Role::Sales,
        Role::Support,
        Role::Employee,
        Role::Brand,
        Role::None,
    ];

    /// As it is stored and written in answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Role::Owner => "owner",
            Role::Admin => "admin",
            Role::Manager => "manager",
            Role::Sales => "sales",
            Role::Support => "support",
            Role::Employee => "employee",
            Role::Brand => "brand",
            Role::None => "none",
        }
    }

    /// What a session of this role may do. A brand gets no scope: it may see one customer, and scopes are not that fine.
    pub const fn scopes(self) -> Scopes {
        match self {
            Role::Owner | Role::Admin => Scopes::ALL,
            Role::Manager | Role::Sales | Role::Support | Role::Employee => {
                Scopes::NONE.with(Scope::Read).with(Scope::Write)
            }
            Role::Brand | Role::None => Scopes::NONE,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that is not a role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("use owner, admin, manager, sales, support, employee, brand or none")]
pub struct ParseRoleError;

impl FromStr for Role {
    type Err = ParseRoleError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Role::ALL
            .into_iter()
            .find(|role| role.as_str() == text)
            .ok_or(ParseRoleError)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_lists_in_json_and_words_in_the_database() {
        let scopes: Scopes = serde_json::from_str(r#"["read","ingest","read"]"#).unwrap();
        assert_eq!(scopes, Scopes::from([Scope::Ingest, Scope::Read]));
        assert_eq!(
            serde_json::to_string(&scopes).unwrap(),
            r#"["ingest","read"]"#
        );
        assert_eq!(Scopes::parse_text(&scopes.to_text()).unwrap(), scopes);
        assert!(serde_json::from_str::<Scopes>(r#"["root"]"#).is_err());
        assert_eq!(Scopes::parse_text("read root"), Err(ParseScopeError));
    }

    #[test]
    fn every_scope_stands_for_itself_only() {
        for scope in Scope::ALL {
            let alone = Scopes::from([scope]);
            assert_eq!(alone.iter().collect::<Vec<_>>(), [scope]);
        }
        assert_eq!(Scopes::from(Scope::ALL), Scopes::ALL);
    }

    #[test]
    fn only_owners_and_admins_administer() {
        for role in Role::ALL {
            assert_eq!(role.as_str().parse::<Role>().unwrap(), role);
            let administers = matches!(role, Role::Owner | Role::Admin);
            assert_eq!(role.scopes().contains(Scope::Admin), administers, "{role}");
            assert_eq!(role.scopes().contains(Scope::Ingest), administers, "{role}");
        }
        assert!(Role::None.scopes().is_empty() && Role::Brand.scopes().is_empty());
    }
}
