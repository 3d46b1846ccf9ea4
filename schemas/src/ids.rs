//! Ids, and the hashes that place a customer and name an event for ever.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The id made of this UUID, for example from `Uuid::now_v7()`.
            pub fn from_uuid(uuid: Uuid) -> Self {
                Self(format!(concat!($prefix, "{}"), uuid.simple()).into())
            }

            /// Takes an id as it was stored or sent; nothing is checked.
            pub fn from_text(text: impl Into<Arc<str>>) -> Self {
                Self(text.into())
            }

            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_id!(
    /// An organization (tenant), `org_…`.
    OrganizationId,
    "org_"
);
text_id!(
    /// A member of staff who can log in, `usr_…`.
    UserId,
    "usr_"
);
text_id!(
    /// An API key (its name, not its secret), `key_…`.
    KeyId,
    "key_"
);

text_id!(
    /// A team of staff, `team_…`.
    TeamId,
    "team_"
);
text_id!(
    /// A session (its name, not its token), `ses_…`.
    SessionId,
    "ses_"
);
text_id!(
    /// An entry of the audit, `aud_…`.
    AuditId,
    "aud_"
);
text_id!(
    /// The definition of a segment, `seg_…`.
    SegmentId,
    "seg_"
);
text_id!(
    /// A survey, `sur_…`.
    SurveyId,
    "sur_"
);

/// How many buckets customers are hashed into; the number of partitions and of shards divide it.
pub const BUCKETS: u16 = 256;

/// A customer as everything in Millrace names one: organization, and the client's own id for it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CustomerRef {
    /// The tenant.
    pub organization: OrganizationId,
    /// The client's id, compared byte for byte.
    pub customer_id: compact_str::CompactString,
}

/// Hashes parts with their lengths, so that ("ab", "c") and ("a", "bc") differ.
fn hasher(parts: &[&str]) -> Xxh3 {
    let mut hasher = Xxh3::new();
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    hasher
}

/// The bucket (0..256) a customer lives in, fixed for ever: partition and shard are this modulo their number.
pub fn bucket(organization: &OrganizationId, customer_id: &str) -> u16 {
    (hasher(&[organization.as_str(), customer_id]).digest() % u64::from(BUCKETS)) as u16
}

/// The internal id of a customer, `cus_` and 32 hexadecimal digits, the same wherever it is computed.
pub fn customer_key(organization: &OrganizationId, customer_id: &str) -> String {
    format!(
        "cus_{:032x}",
        hasher(&[organization.as_str(), customer_id]).digest128()
    )
}

/// The 128-bit name of one sending of an event: organization, event id and the operator's attempt (0 for clients).
pub fn event_hash(organization: &OrganizationId, event_id: &str, attempt: u32) -> u128 {
    let mut hasher = hasher(&[organization.as_str(), event_id]);
    hasher.update(&attempt.to_le_bytes());
    hasher.digest128()
}

/// The 64-bit name of the customer beside [`event_hash`]: one event id under two customers is two events.
pub fn who_hash(customer_id: &str) -> u64 {
    xxh3_64(customer_id.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_never_change() {
        // Stored in every warehouse: a change here would move customers and forget claims.
        let organization = OrganizationId::from_text("org_1");
        assert_eq!(bucket(&organization, "c-1"), 252);
        assert_eq!(customer_key(&organization, "c-1").len(), 36);
        assert_ne!(
            event_hash(&organization, "e", 0),
            event_hash(&organization, "e", 1)
        );
        assert_ne!(
            bucket(&OrganizationId::from_text("ab"), "c"),
            bucket(&OrganizationId::from_text("a"), "bc")
        );
    }
}
