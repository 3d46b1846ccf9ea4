//! `/loyalty`: the programme, and the accounts of customers.
//!
//! Every customer has one account, a company like a person: what anybody buys for a company is bought under its id, so that
//! its account is shared by all who do. Lists tell companies apart by `customer_type`.

pub(crate) mod accounts;
pub(crate) mod movements;
pub(crate) mod tiers;
