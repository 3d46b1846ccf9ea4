//! What handlers read and write: customers and their records, rejections, and what analytics are computed from.

pub(crate) mod audit;
pub(crate) mod authoring;
pub(crate) mod cells;
pub(crate) mod customer_figures;
pub(crate) mod customer_list;
pub(crate) mod customers;
pub(crate) mod defining;
pub(crate) mod follow_ups;
pub(crate) mod forecasts;
pub(crate) mod interaction_stats;
pub(crate) mod interactions;
pub(crate) mod lead_scores;
pub(crate) mod loyalty;
pub(crate) mod names;
pub(crate) mod orders;
pub(crate) mod performance;
pub(crate) mod quote_numbers;
pub(crate) mod quotes;
pub(crate) mod reassign;
pub(crate) mod recommenders;
pub(crate) mod records;
pub(crate) mod rejections;
pub(crate) mod segments;
pub(crate) mod sight;
pub(crate) mod timeline;
pub(crate) mod unique_names;
