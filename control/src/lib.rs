//! The control database: organizations, users, sessions, API keys and settings, on SQLite or PostgreSQL.
//!
//! [`Control`] reads and writes it; [`Authenticator`] turns a bearer token into a [`Principal`] at the
//! cost of one hash, from a cache that forgets within seconds. Passwords are kept as argon2id, tokens
//! and keys as SHA-256: whoever reads the database can use none of them.

mod accounts;
mod authenticator;
mod control;
mod copy;
mod db;
mod error;
mod keys;
mod migrate;
mod model;
mod password;
mod permissions;
mod principal;
mod quota;
mod roles;
mod sessions;
mod settings;
mod staff;
mod token;
mod validate;

pub use accounts::{LoggedIn, Register, Registered, Registration};
pub use authenticator::{Authenticator, CachePolicy, OutsideTokens, StaticKey, StaticOwner};
pub use control::{Clock, Control, Options};
pub use error::{AuthError, ControlError, MissingPermission, MissingScope};
pub use keys::{CreatedKey, KeyChange, KeyInfo, NewKey};
pub use model::{Organization, Team, User};
pub use permissions::{Permission, Reach};
pub use principal::Principal;
pub use quota::{Allowance, Piece, Quota};
pub use roles::{ParseRoleError, ParseScopeError, Role, Scope, Scopes};
pub use sessions::{Session, SessionUse};
pub use settings::{LoyaltySettings, Setting, Settings};
pub use staff::{NewUser, UserChange};
pub use token::{TokenHash, TokenHashError};
