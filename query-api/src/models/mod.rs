//! What the forecasts and recommendations are computed from, and what is kept of them between requests.

pub(crate) mod cells;
pub(crate) mod customer_list;
pub(crate) mod customers;
pub(crate) mod forecasts;
pub(crate) mod names;
pub(crate) mod recommenders;
pub(crate) mod rejections;
pub(crate) mod sight;
