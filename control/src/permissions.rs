//! Who may do what: one table, by role and permission.
//!
//! A session has what its user's role has here. A key has no role: its scopes say what it may do, to everything.

use serde::Serialize;

use crate::error::MissingPermission;
use crate::principal::Principal;
use crate::roles::{Role, Scope};

/// Something that may be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub enum Permission {
    /// See customers: lists, profiles, summaries, and what to recommend to one.
    #[serde(rename = "customers.read")]
    ReadCustomers,
    /// Write customers down and change them, their contacts, status and assignment.
    #[serde(rename = "customers.write")]
    WriteCustomers,
    /// Delete customers with all their records.
    #[serde(rename = "customers.delete")]
    DeleteCustomers,
    /// Note interactions and feedback, and work on them.
    #[serde(rename = "service.write")]
    WriteService,
    /// Quotes, loyalty points and qualification.
    #[serde(rename = "deals.write")]
    WriteDeals,
    /// Define segments, surveys and loyalty tiers.
    #[serde(rename = "definitions.write")]
    Define,
    /// See figures of the whole organization: reports, forecasts, recommendations, SQL.
    #[serde(rename = "reports.read")]
    ReadReports,
    /// See colleagues and teams.
    #[serde(rename = "staff.read")]
    ReadStaff,
    /// Manage users, teams, keys, rejections, and review who has access.
    #[serde(rename = "organization.manage")]
    ManageOrganization,
}

/// Of what something may be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reach {
    /// Of nothing.
    Nothing,
    /// Of the customer that the user is: a partner's own record.
    Own,
    /// Of customers assigned to the user, and of prospects and leads that are assigned to nobody.
    Assigned,
    /// Of everything in the organization.
    All,
}

use Reach::{All, Assigned, Nothing, Own};

/// The matrix. Columns as in [`Permission::ALL`].
#[rustfmt::skip]
const MATRIX: [(Role, [Reach; 9]); 8] = [
    //                customers.read  .write    .delete  service.write  deals.write  definitions.write  reports.read  staff.read  organization.manage
    (Role::Owner,    [All,            All,      All,     All,           All,         All,               All,          All,        All]),
    (Role::Admin,    [All,            All,      All,     All,           All,         All,               All,          All,        All]),
    (Role::Manager,  [All,            All,      All,     All,           All,         All,               All,          All,        Nothing]),
    (Role::Sales,    [Assigned,       Assigned, Nothing, Assigned,      Assigned,    Nothing,           Nothing,      All,        Nothing]),
    (Role::Support,  [All,            All,      Nothing, All,           Nothing,     Nothing,           Nothing,      All,        Nothing]),
    (Role::Employee, [All,            All,      Nothing, All,           All,         All,               All,          All,        Nothing]),
    (Role::Brand,    [Own,            Own,      Nothing, Own,           Nothing,     Nothing,           Nothing,      Nothing,    Nothing]),
    (Role::None,     [Nothing,        Nothing,  Nothing, Nothing,       Nothing,     Nothing,           Nothing,      Nothing,    Nothing]),
];

impl Permission {
    /// Every permission.
    pub const ALL: [Permission; 9] = [
        Permission::ReadCustomers,
        Permission::WriteCustomers,
        Permission::DeleteCustomers,
        Permission::WriteService,
        Permission::WriteDeals,
        Permission::Define,
        Permission::ReadReports,
        Permission::ReadStaff,
        Permission::ManageOrganization,
    ];

    /// As it is written in answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Permission::ReadCustomers => "customers.read",
            Permission::WriteCustomers => "customers.write",
            Permission::DeleteCustomers => "customers.delete",
            Permission::WriteService => "service.write",
            Permission::WriteDeals => "deals.write",
            Permission::Define => "definitions.write",
            Permission::ReadReports => "reports.read",
            Permission::ReadStaff => "staff.read",
            Permission::ManageOrganization => "organization.manage",
        }
    }

    /// The scope that gives it to a key.
    pub const fn scope(self) -> Scope {
        match self {
            Permission::ReadCustomers | Permission::ReadReports | Permission::ReadStaff => {
                Scope::Read
            }
            Permission::WriteCustomers
            | Permission::WriteService
            | Permission::WriteDeals
            | Permission::Define => Scope::Write,
            Permission::DeleteCustomers | Permission::ManageOrganization => Scope::Admin,
        }
    }
}

impl Role {
    /// How far a permission reaches for this role.
    pub fn reach(self, permission: Permission) -> Reach {
        let row = MATRIX.iter().find(|(role, _)| *role == self);
        row.map_or(Nothing, |(_, reaches)| reaches[permission as usize])
    }
}

impl Principal {
    /// How far a permission reaches for this caller.
    ///
    /// # Errors
    /// Where it reaches nothing.
    pub fn reach(&self, permission: Permission) -> Result<Reach, MissingPermission> {
        let reach = match (&self.user, self.scopes.contains(permission.scope())) {
            (Some(_), _) => self.role.reach(permission),
            (None, true) => All,
            (None, false) => Nothing,
        };
        match (reach, &self.user) {
            (Nothing, Some(_)) => Err(MissingPermission::Role(self.role, permission)),
            (Nothing, None) => Err(MissingPermission::Scope(permission.scope())),
            (reach, _) => Ok(reach),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_matrix_has_every_role_and_permission_once() {
        assert_eq!(MATRIX.map(|(role, _)| role), Role::ALL);
        for (at, permission) in Permission::ALL.into_iter().enumerate() {
            assert_eq!(permission as usize, at, "the columns are in this order");
            assert_eq!(
                serde_json::to_value(permission).ok(),
                Some(permission.as_str().into())
            );
        }
    }

    #[test]
    fn more_than_ones_own_takes_a_role_that_works_with_customers() {
        for role in Role::ALL {
            let manages = role.reach(Permission::ManageOrganization) == All;
            assert_eq!(manages, role.scopes().contains(Scope::Admin), "{role}");
            if role.reach(Permission::ReadReports) == All {
                assert_eq!(
                    role.reach(Permission::ReadCustomers),
                    All,
                    "{role}: figures of the whole show every customer"
                );
            }
        }
        assert_eq!(Role::Brand.reach(Permission::ReadCustomers), Own);
        assert_eq!(Role::Sales.reach(Permission::ReadCustomers), Assigned);
        assert!(
            Permission::ALL
                .into_iter()
                .all(|permission| Role::None.reach(permission) == Nothing)
        );
    }
}
