//! The processors: fold, claims, archive, clock and reconciliation.
//!
//! Records of the log become rows of the warehouse and of the archive, each exactly once whatever crashes. The parts,
//! from pure to busy: [`fold`] (state and event to state), [`claims`] (which event ids count already), [`engine`] (one
//! partition, no I/O), [`rows`] (Arrow columns), [`driver`] (the cycle against a [`store`]), and [`Processor`], which
//! wires all of it to a log, a warehouse and an archive. [`replay`] computes the
//! state a second time and compares.

mod archive;
pub mod claims;
mod clock;
pub mod driver;
pub mod engine;
mod error;
pub mod fold;
mod handle;
pub mod history;
mod lag;
pub mod metrics;
pub mod prepare;
mod reconcile;
pub mod replay;
pub mod rows;
pub mod rules;
mod service;
pub mod store;

pub use clock::define;
pub use error::ProcessorError;
pub use handle::{Handle, Hold, PartitionProgress};
pub use lag::Lag;
pub use reconcile::{PartitionCounts, ReconcileError, Reconciliation, Totals, reconcile};
pub use service::{ArchiveRoll, Options, Processor};
