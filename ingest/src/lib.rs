//! HTTP in: an API key, limits, validation, the log, a receipt.
//!
//! [`router()`] lists every route. A batch is read ([`body`]), cut into events and parsed ([`batch`]),
//! appended in one piece and answered with a verdict per event ([`submit`]). Nothing here decides what
//! an event means: that is the fold's. Nothing is answered 202 before the log holds it durably.

mod auth;
mod batch;
mod body;
mod budget;
mod metrics;
mod quota;
mod receipts;
mod router;
mod submit;
mod trace;

use std::sync::Arc;

use control::Authenticator;
use stream::Log;
use warehouse::Warehouse;
use warehouse::archive::Archive;

pub use budget::{Budget, Share};
pub use quota::Quotas;
pub use router::{ApiDoc, router};
pub use trace::Sampler;

/// What makes events of bytes, for tests that try bytes of every kind.
#[doc(hidden)]
pub mod decoders {
    pub use crate::batch::{Batch, Parsed, many, one};
    pub use crate::body::{Format, read};
}

/// What the ingest role is made of. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Ingest {
    /// Checks keys.
    pub authenticator: Authenticator,
    /// Takes the events.
    pub log: Arc<dyn Log>,
    /// Where receipts are looked up.
    pub warehouse: Arc<dyn Warehouse>,
    /// Tells which events are archived.
    pub archive: Archive,
    /// What requests may cost.
    pub limits: Limits,
    /// What keys may send.
    pub quotas: Quotas,
    /// Bodies in memory, all requests together.
    pub budget: Budget,
    /// Which requests are followed.
    pub traces: Sampler,
}

/// What one request may cost.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of an inflated body.
    pub body_bytes: usize,
    /// Events in one request.
    pub events: usize,
}

impl Default for Limits {
    /// 20 MB inflated and 10,000 events.
    fn default() -> Self {
        Self {
            body_bytes: 20_000_000,
            events: 10_000,
        }
    }
}
