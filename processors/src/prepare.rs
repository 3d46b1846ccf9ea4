//! From log records to what the engine folds: decoded, hashed, without touching any state.

use std::sync::Arc;

use bytes::Bytes;
use schemas::record::DecodeError;
use schemas::{Event, Record};
use stream::LogRecord;
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use crate::claims::Claim;

/// A customer in memory: 128 bits of hash. Never stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CustomerKey(pub u128);

impl CustomerKey {
    /// The key of a customer.
    pub fn of(organization: &str, customer_id: &str) -> Self {
        let organization = u128::from(xxh3_64(organization.as_bytes()));
        Self(
            xxh3_128(customer_id.as_bytes())
                ^ organization.wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835),
        )
    }

    /// Half of it, for the set of all customers there are.
    pub fn fingerprint(self) -> u64 {
        self.0 as u64
    }
}

/// A log record made ready.
#[derive(Debug)]
pub struct Prepared {
    /// Where it is in its partition.
    pub offset: u64,
    /// As the log holds it.
    pub payload: Bytes,
    /// When the log took it, in microseconds since 1970.
    pub appended_at: i64,
    /// What it says.
    pub content: Content,
}

/// What a record says.
#[derive(Debug)]
pub enum Content {
    /// A client's event: always a `Record::Event`.
    Event(Arc<Record>, CustomerKey, Claim),
    /// A control record: always a `Record::Control`.
    Control(Arc<Record>),
    /// Not readable, or against the rules.
    Undecodable(Box<DecodeError>),
}

impl Content {
    /// The event, if it is one.
    pub fn event(&self) -> Option<&Event> {
        match self {
            Content::Event(record, ..) => match &**record {
                Record::Event(event) => Some(event),
                Record::Control(_) => None,
            },
            _ => None,
        }
    }
}

/// The hash that names a record's payload in `progress`.
pub fn record_hash(payload: &[u8]) -> u64 {
    xxh3_64(payload)
}

/// Makes records ready: those the sender has not left decoded are decoded here.
pub fn prepare(records: Vec<LogRecord>) -> Vec<Prepared> {
    records.into_iter().map(prepare_one).collect()
}

fn prepare_one(record: LogRecord) -> Prepared {
    let decoded = match record.decoded {
        Some(decoded) => Ok(decoded),
        None => Record::decode(&record.payload).map(Arc::new),
    };
    let content = match decoded {
        Err(error) => Content::Undecodable(Box::new(error)),
        Ok(decoded) => match &*decoded {
            Record::Control(_) => Content::Control(decoded),
            Record::Event(event) => {
                let key = CustomerKey::of(event.organization.as_str(), &event.customer_id);
                let claim = Claim::of(event);
                Content::Event(decoded, key, claim)
            }
        },
    };
    Prepared {
        offset: record.position.offset,
        payload: record.payload,
        appended_at: record.appended_at,
        content,
    }
}
