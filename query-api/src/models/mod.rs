//! What handlers read and write: customers and their records, rejections, and what analytics are computed from.

pub(crate) mod authoring;
pub(crate) mod cells;
pub(crate) mod customer_list;
pub(crate) mod customers;
pub(crate) mod forecasts;
pub(crate) mod names;
pub(crate) mod recommenders;
pub(crate) mod records;
pub(crate) mod rejections;
pub(crate) mod segments;
pub(crate) mod sight;
