//! The benchmarks, a file each.

pub(crate) mod append;
pub(crate) mod archive;
pub(crate) mod end_to_end;
pub(crate) mod fold;
pub(crate) mod ingest;
pub(crate) mod latency;
pub(crate) mod memory;
pub(crate) mod sales_report;
