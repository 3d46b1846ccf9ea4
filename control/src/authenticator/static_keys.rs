//! Keys that come from the configuration, not from the database.

use schemas::OrganizationId;
use subtle::ConstantTimeEq;

use crate::roles::Scopes;
use crate::token::TokenHash;

/// For whom a key of the configuration acts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StaticOwner {
    /// Who runs this installation: sees all of it, and acts in the first organization once there is one.
    Operator,
    /// One organization.
    Organization(OrganizationId),
}

/// A key of the configuration. Only its hash is kept.
#[derive(Debug, Clone)]
pub struct StaticKey {
    hash: TokenHash,
    pub(super) scopes: Scopes,
    pub(super) owner: StaticOwner,
}

impl StaticKey {
    /// A key whose secret is in the configuration, of any form up to 512 bytes.
    pub fn from_secret(secret: &str, scopes: Scopes, owner: StaticOwner) -> Self {
        Self::from_sha256(TokenHash::of(secret), scopes, owner)
    }

    /// A key of which the configuration holds the SHA-256 only; see [`TokenHash::from_hex`].
    pub fn from_sha256(hash: TokenHash, scopes: Scopes, owner: StaticOwner) -> Self {
        Self {
            hash,
            scopes,
            owner,
        }
    }

    pub(super) fn matches(&self, hash: &TokenHash) -> bool {
        self.hash.0.ct_eq(&hash.0).into()
    }
}
