//! What a caller is told of its limits: headers on every answer, and a problem where it is over one.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use control::Allowance;
use schemas::{Problem, ProblemKind};

use super::state::{Policy, State};
use crate::metrics as names;

/// A request that was taken, and where its key stands now.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(super) standing: Option<Standing>,
}

/// Where a key stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Standing {
    pub(super) allowance: Allowance,
    pub(super) state: State,
    pub(super) day_left: Duration,
}

/// Why a request is not taken.
#[derive(Debug)]
pub(crate) enum QuotaError {
    /// It is over a limit: 429.
    Refused(Refused),
    /// What is left of the day cannot be looked up: 503.
    Unknown,
}

/// A request over a limit.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(super) policy: Policy,
    pub(super) wait: Duration,
    pub(super) events: u64,
    pub(super) standing: Box<Standing>,
}

impl IntoResponse for QuotaError {
    fn into_response(self) -> Response {
        match self {
            Self::Refused(refused) => refused.into_response(),
            Self::Unknown => Problem::new(
                ProblemKind::Unavailable,
                "the daily quota of this key cannot be looked up now; send it again after the time in Retry-After",
            )
            .into_response(),
        }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let Allowance {
            events_per_second,
            burst,
            events_per_day,
        } = self.standing.allowance;
        metrics::counter!(names::THROTTLED, "policy" => self.policy.name()).increment(1);
        let detail = match self.policy {
            Policy::Rate => format!(
                "this key may send {events_per_second} events a second and {burst} at once; nothing of this request \
                 was taken, send it again after the time in Retry-After"
            ),
            Policy::Day => format!(
                "this key may send {events_per_day} events a day and has {} left today; nothing of this request was \
                 taken, send at most so many, or send it again tomorrow (UTC)",
                self.standing.day_remaining(),
            ),
        };
        let seconds = whole_seconds(self.wait).max(1);
        let problem = Problem::new(ProblemKind::TooManyRequests, detail)
            .with("violated-policies", vec![self.policy.name()].into())
            .with("events", self.events.into())
            .retry_after(u32::try_from(seconds).unwrap_or(u32::MAX));
        let mut response = problem.into_response();
        self.standing.write(response.headers_mut());
        response
    }
}

impl Taken {
    /// Says where the key stands.
    pub(crate) fn write(&self, headers: &mut HeaderMap) {
        if let Some(standing) = &self.standing {
            standing.write(headers);
        }
    }
}

fn whole_seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

impl Standing {
    fn day_remaining(&self) -> u64 {
        match self.state.asked {
            Some(_) => self.state.held + self.state.free,
            None => self.allowance.events_per_day,
        }
    }

    /// The fields of draft-ietf-httpapi-ratelimit-headers: the policies, and what is left of each until when.
    fn write(&self, headers: &mut HeaderMap) {
        let Allowance {
            events_per_second: rate,
            burst,
            events_per_day: quota,
        } = self.allowance;
        let (mut policies, mut limits) = (Vec::new(), Vec::new());
        if rate > 0 {
            let window = burst.div_ceil(rate).max(1);
            policies.push(format!(r#""rate";q={burst};w={window};qu="events""#));
            let missing = (burst as f64 - self.state.tokens).max(0.0) / rate as f64;
            let full = whole_seconds(Duration::from_secs_f64(missing.min(1e9)));
            let tokens = self.state.tokens.max(0.0) as u64;
            limits.push(format!(r#""rate";r={tokens};t={full}"#));
        }
        if quota > 0 {
            policies.push(format!(r#""day";q={quota};w=86400;qu="events""#));
            let (left, until) = (self.day_remaining(), whole_seconds(self.day_left));
            limits.push(format!(r#""day";r={left};t={until}"#));
        }
        for (name, values) in [("ratelimit-policy", policies), ("ratelimit", limits)] {
            if let Ok(value) = HeaderValue::from_str(&values.join(", ")) {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn the_headers_are_those_of_the_draft() {
        let allowance = Allowance {
            events_per_second: 10,
            burst: 50,
            events_per_day: 1_000,
        };
        let start = Instant::now();
        let mut state = State::new(&allowance, start);
        state.advance(&allowance, start, 1);
        (state.held, state.free, state.asked) = (100, 900, Some((start, 1)));
        state.take(&allowance, 15);
        let standing = Standing {
            allowance,
            state,
            day_left: Duration::from_millis(59_500),
        };
        let mut headers = HeaderMap::new();
        standing.write(&mut headers);
        assert_eq!(
            headers["ratelimit-policy"],
            r#""rate";q=50;w=5;qu="events", "day";q=1000;w=86400;qu="events""#
        );
        assert_eq!(headers["ratelimit"], r#""rate";r=35;t=2, "day";r=985;t=60"#);
        let refused = Refused {
            policy: Policy::Rate,
            wait: Duration::from_millis(1_200),
            events: 40,
            standing: Box::new(standing),
        };
        let response = refused.into_response();
        assert_eq!(response.status(), 429);
        assert_eq!(response.headers()["retry-after"], "2");
        assert!(response.headers().contains_key("ratelimit"));
    }
}
