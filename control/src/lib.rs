//! The control database: organizations, users, sessions, API keys, settings, definitions, reserved values and the audit,
//! on SQLite or PostgreSQL.
//!
//! [`Control`] reads and writes it; [`Authenticator`] turns a bearer token into a [`Principal`] at the
//! cost of one hash, from a cache that forgets within seconds. Passwords are kept as argon2id, tokens
//! and keys as SHA-256: whoever reads the database can use none of them.

mod accounts;
mod audit;
mod authenticator;
mod control;
mod copy;
mod db;
mod edit;
mod error;
mod key_model;
mod keys;
mod migrate;
mod model;
mod numbers;
mod password;
mod permissions;
mod principal;
mod questions;
mod quota;
mod reads;
mod reservations;
mod roles;
mod segments;
mod sessions;
mod settings;
mod staff;
mod surveys;
mod teams;
mod token;
mod validate;

pub use accounts::{LoggedIn, Register, Registered, Registration};
pub use audit::{Actor, AuditEntry, AuditFilter, AuditPlace};
pub use authenticator::{Authenticator, CachePolicy, OutsideTokens, StaticKey, StaticOwner};
pub use control::{Clock, Control, Options};
pub use error::{AuthError, ControlError, MissingPermission, MissingScope};
pub use key_model::{CreatedKey, KeyChange, KeyInfo, NewKey};
pub use model::{Organization, Team, User};
pub use numbers::{Numbered, TakenNumber};
pub use permissions::{Permission, Reach};
pub use principal::Principal;
pub use questions::{Question, QuestionKind};
pub use quota::{Allowance, Piece, Quota};
pub use reservations::{Reserved, Unique};
pub use roles::{ParseRoleError, ParseScopeError, Role, Scope, Scopes};
pub use segments::{NewSegment, Segment, SegmentChange};
pub use sessions::{Session, SessionUse};
pub use settings::{NameUniqueness, Setting, Settings};
pub use staff::{NewUser, UserChange};
pub use surveys::{NewSurvey, Survey, SurveyChange};
pub use token::{TokenHash, TokenHashError};
