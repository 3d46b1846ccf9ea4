//! Which customers a caller may see.

use control::{MissingPermission, Permission, Principal, Reach};
use warehouse::Params;

use super::customer_list::Filter;
use super::customers::Found;
use crate::tables::CUSTOMER;

/// As far as a caller sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Sight {
    /// Every customer of the organization.
    All,
    /// Those assigned to this user, and prospects and leads of nobody.
    Assigned(String),
    /// Who this user is.
    Own(String),
}

impl Sight {
    /// What the matrix of permissions gives a caller to see.
    pub(crate) fn of(principal: &Principal) -> Result<Self, MissingPermission> {
        Self::under(principal, Permission::ReadCustomers)
    }

    /// The customers to whom a permission of a caller reaches.
    pub(crate) fn under(
        principal: &Principal,
        permission: Permission,
    ) -> Result<Self, MissingPermission> {
        let user = || {
            let user = principal.user.as_ref();
            user.map_or_else(String::new, ToString::to_string)
        };
        Ok(match principal.reach(permission)? {
            Reach::All => Sight::All,
            Reach::Assigned => Sight::Assigned(user()),
            // Nothing is an error above; should it ever not be, nobody is user "".
            Reach::Own | Reach::Nothing => Sight::Own(user()),
        })
    }

    /// Leaves the others out of a list.
    pub(crate) fn narrow(&self, filter: &mut Filter) {
        match self {
            Sight::All => {}
            Sight::Assigned(user) => filter.in_charge(user),
            Sight::Own(user) => filter.is_user(user),
        }
    }

    /// A condition on a table's column `customer` that holds for those in it, with the parameters it needs beside
    /// `organization`. None where it holds for all.
    pub(crate) fn condition(&self, params: Params) -> (Option<String>, Params) {
        let (condition, user) = match self {
            Sight::All => return (None, params),
            Sight::Assigned(user) => (
                "(assigned_to = {sight:String} OR assigned_to = '' AND status IN ('prospect', 'lead'))",
                user,
            ),
            Sight::Own(user) => ("user_id = {sight:String} AND user_id != ''", user),
        };
        let sql = format!(
            "{CUSTOMER} IN (SELECT {CUSTOMER} FROM customer_state FINAL \
             WHERE organization = {{organization:String}} AND NOT is_deleted AND {condition})"
        );
        (Some(sql), params.with("sight", user.as_str()))
    }

    /// Whether one customer is in it.
    pub(crate) fn includes(&self, found: &Found) -> bool {
        let customer = &found.customer;
        match self {
            Sight::All => true,
            Sight::Assigned(user) => match customer.assigned_to.as_deref() {
                Some(assigned) => assigned == user,
                None => matches!(customer.status.as_str(), "prospect" | "lead"),
            },
            Sight::Own(user) => !user.is_empty() && found.user_id().as_ref() == Some(user),
        }
    }
}
