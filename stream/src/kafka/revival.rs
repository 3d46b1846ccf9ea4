//! Brings back a client that has forgotten its brokers.
//!
//! A broker that was fenced for a moment (it stood still, and its controller gave it up) answers that there are no
//! brokers. librdkafka, seen in 2.12.1 and open upstream, then drops all it knew, the addresses it was given among them,
//! and connects to nobody any more. Telling it the addresses again is harmless where it knows them.
#![allow(unsafe_code)]

use std::ffi::CString;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rdkafka::bindings::rd_kafka_brokers_add;
use rdkafka::client::{Client, ClientContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

/// Between two attempts.
const PAUSE: Duration = Duration::from_secs(2);
/// How long it is tried after the last sign that all brokers are down.
const PATIENCE: Duration = Duration::from_secs(60);

/// Whether a client has lost its brokers.
#[derive(Debug)]
pub(super) struct Revival {
    brokers: CString,
    lost: Mutex<Option<Lost>>,
}

#[derive(Debug)]
struct Lost {
    last_sign: Instant,
    next_attempt: Instant,
}

impl Revival {
    pub(super) fn new(brokers: &str) -> Self {
        Self {
            // An address with a NUL in it was refused when the client was made.
            brokers: CString::new(brokers).unwrap_or_default(),
            lost: Mutex::new(None),
        }
    }

    /// Looks whether this error says that all brokers are down.
    pub(super) fn note(&self, error: &KafkaError) {
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::AllBrokersDown) {
            return;
        }
        let now = Instant::now();
        let mut lost = self.lost.lock();
        match &mut *lost {
            Some(lost) => lost.last_sign = now,
            None => {
                *lost = Some(Lost {
                    last_sign: now,
                    next_attempt: now,
                })
            }
        }
    }

    /// Tells the client its brokers again, if it is time to.
    pub(super) fn attempt<C: ClientContext>(&self, client: &Client<C>) {
        let now = Instant::now();
        let mut lost = self.lost.lock();
        match &mut *lost {
            Some(since) if now.duration_since(since.last_sign) > PATIENCE => *lost = None,
            Some(since) if since.next_attempt <= now => since.next_attempt = now + PAUSE,
            _ => return,
        }
        // SAFETY: the client lives as long as its reference, and the list is copied.
        unsafe { rd_kafka_brokers_add(client.native_ptr(), self.brokers.as_ptr()) };
    }
}
