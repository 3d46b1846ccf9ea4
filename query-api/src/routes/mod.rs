//! The handlers, a file for each group of paths.

pub(crate) mod access;
pub(crate) mod auth;
pub(crate) mod contacts;
pub(crate) mod customer_edits;
pub(crate) mod customers;
pub(crate) mod docs;
pub(crate) mod forecasts;
pub(crate) mod keys;
pub(crate) mod recommendations;
pub(crate) mod rejections;
pub(crate) mod replay;
pub(crate) mod reports;
pub(crate) mod segment_members;
pub(crate) mod segment_trend;
pub(crate) mod segments;
pub(crate) mod sql;
pub(crate) mod system;
pub(crate) mod teams;
pub(crate) mod users;
