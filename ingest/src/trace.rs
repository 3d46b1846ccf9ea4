//! Which requests are followed: those that come with a sampled `traceparent`, and one of so many others.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use axum::http::HeaderMap;
use schemas::{Timestamp, TraceContext};

use crate::submit::now;

/// Requests followed in a second, at most: each is some lines of the log, and clients decide.
const MOST_PER_SECOND: u64 = 100;

/// Chooses the requests to be followed. Clones share their counts.
#[derive(Debug, Clone, Default)]
pub struct Sampler(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    every: u64,
    requests: AtomicU64,
    /// The second, and in the lowest 16 bits how many were followed in it.
    followed: AtomicU64,
}

/// A request that is followed.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) context: TraceContext,
    parent: u64,
    began: Timestamp,
    begun: Instant,
}

impl Sampler {
    /// Follows one of so many requests that carry no trace of their own; none for 0.
    pub fn every(requests: u64) -> Self {
        Self(Arc::new(Counts {
            every: requests,
            ..Counts::default()
        }))
    }

    /// Begins to follow a request, if it is one to be followed.
    pub(crate) fn begin(&self, headers: &HeaderMap) -> Option<Request> {
        let given = headers.get("traceparent");
        let given = given.and_then(|given| TraceContext::parse(given.to_str().ok()?));
        let counts = &self.0;
        let chosen = given.is_some()
            || counts.every > 0
                && counts
                    .requests
                    .fetch_add(1, Ordering::Relaxed)
                    .is_multiple_of(counts.every);
        if !chosen {
            return None;
        }
        let began = now();
        self.has_room(began).then(|| Request {
            context: TraceContext {
                trace_id: given
                    .map_or_else(|| uuid::Uuid::new_v4().as_u128(), |given| given.trace_id),
                span_id: (uuid::Uuid::new_v4().as_u128() as u64).max(1),
            },
            parent: given.map_or(0, |given| given.span_id),
            began,
            begun: Instant::now(),
        })
    }

    fn has_room(&self, now: Timestamp) -> bool {
        let second = u64::try_from(now.micros() / 1_000_000).unwrap_or(0) << 16;
        let before =
            self.0
                .followed
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |followed| {
                    let this_second = followed & !0xffff == second;
                    let next = if this_second { followed } else { second } + 1;
                    (next & 0xffff <= MOST_PER_SECOND).then_some(next)
                });
        before.is_ok()
    }
}

impl Request {
    /// Tells of it: it has been answered.
    pub(crate) fn end(self) {
        let took = self.begun.elapsed();
        stream::span("request", &self.context, self.parent, self.began, took, 1);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_that_comes_along_goes_on() {
        let mut headers = HeaderMap::new();
        assert!(Sampler::default().begin(&headers).is_none());
        let given = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        headers.insert("traceparent", given.parse().unwrap());
        let request = Sampler::default().begin(&headers).unwrap();
        assert_eq!(format!("{:x}", request.parent), "b7ad6b7169203331");
        assert_ne!(request.context.span_id, request.parent);
        let id = format!("{:032x}", request.context.trace_id);
        assert_eq!(id, "0af7651916cd43dd8448eb211c80319c");
    }

    #[test]
    fn one_of_so_many_is_followed_and_no_more_than_there_is_room_for() {
        let sampler = Sampler::every(10);
        let headers = HeaderMap::new();
        let followed = (0..100).filter(|_| sampler.begin(&headers).is_some());
        assert_eq!(followed.count(), 10);

        let sampler = Sampler::default();
        let second = |second: i64| Timestamp::from_micros(second * 1_000_000 + 5);
        let taken = |at: i64| (0..300).filter(|_| sampler.has_room(second(at))).count();
        assert_eq!((taken(7), taken(7), taken(8)), (100, 0, 100));
    }
}
