//! The event log.
//!
//! One port, [`Log`], and two adapters: an embedded log in a folder ([`embedded`], on fjall) for one
//! process, and Kafka ([`kafka`]) for many. [`open()`] chooses by URL:
//!
//! | URL | adapter |
//! |---|---|
//! | `file:DIR` | embedded, in that folder |
//! | `kafka://b1:9092,b2:9092` | Kafka, topic from [`KafkaOptions::topic`] |
//! | `kafka://b1:9092,b2:9092/topic` | Kafka, that topic |
//!
//! What both promise, and the conformance suite in `tests/` checks on both:
//!
//! - A record answered `Ok` is on disk (embedded) or on all in-sync replicas (Kafka), once, at that position.
//! - Offsets of a partition only grow. The embedded log's have no gaps; Kafka's may.
//! - Records of one append to one partition keep their order.
//! - After [`Delivery::Assigned`] nothing of a partition arrives until [`Consumer::start`] names the offset.
//!   The log keeps no positions of record: whoever processes keeps them beside the results.

pub mod embedded;
mod error;
pub mod kafka;
mod metrics;
mod open;
mod options;
mod port;
mod room;
mod span;

pub use error::{AppendError, LogError};
pub use open::open;
pub use options::{EmbeddedOptions, KafkaOptions, Options};
pub use port::{Bounds, Consumer, Delivery, Limits, Log, LogRecord, NewRecord};
pub use schemas::Position;
pub use span::span;
