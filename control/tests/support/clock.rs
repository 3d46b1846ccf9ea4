//! A clock that tests set forward.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use control::Clock;
use schemas::Timestamp;

#[derive(Clone, Debug)]
pub(crate) struct TestClock(Arc<AtomicI64>);

impl TestClock {
    /// Starts at the system's time.
    pub(crate) fn new() -> Self {
        Self(Arc::new(AtomicI64::new(Clock::system().now().micros())))
    }

    pub(crate) fn clock(&self) -> Clock {
        let shared = Arc::clone(&self.0);
        Clock::new(move || Timestamp::from_micros(shared.load(Ordering::SeqCst)))
    }

    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::SeqCst))
    }

    pub(crate) fn forward(&self, seconds: i64) {
        self.0.fetch_add(seconds * 1_000_000, Ordering::SeqCst);
    }
}
