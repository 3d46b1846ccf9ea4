//! The vocabulary of Millrace: events, log records, ids, positions, money, time and errors.
//!
//! Nothing here does I/O or reads a clock; what is "now" is passed in. Every other crate speaks in
//! these types, and the published JSON Schemas and the Arrow schema are made from the same field
//! tables that the parser reads (see [`field`]).

pub mod arrow;
pub mod crash;
pub mod criteria;
pub mod definition;
pub mod edits;
pub mod error;
pub mod event;
pub mod field;
pub mod form;
pub mod forms;
pub mod ids;
pub mod json;
pub mod json_schema;
pub mod money;
pub mod position;
pub mod problem;
pub mod record;
pub mod time;
pub mod trace;

pub use criteria::Criteria;
pub use definition::{Define, Tier, default_tiers};
pub use edits::Edits;
pub use error::{Code, FieldError};
pub use event::{
    Activity, Body, Change, Draft, Event, Interaction, Item, Kind, ParseContext, Purchase, Status,
    User,
};
pub use ids::{
    AuditId, BUCKETS, CustomerRef, KeyId, OrganizationId, SegmentId, SessionId, SurveyId, TeamId,
    UserId, bucket, customer_key, event_hash, who_hash,
};
pub use money::{Currency, Decimal};
pub use position::{ParsePositionError, Position};
pub use problem::{Problem, ProblemKind};
pub use record::{Control, DecodeError, Record};
pub use time::Timestamp;
pub use trace::TraceContext;
