//! The arithmetic of a key's limits, without a clock.

use std::time::{Duration, Instant};

use control::Allowance;

/// A piece of the day's quota is at first this part of it, and twice the last one where that was used up soon.
const FIRST_PIECE: u64 = 1_000;
const LARGEST_PIECE: u64 = 20;
pub(super) const SOON: Duration = Duration::from_secs(10);
/// Where nothing is left, the database is asked again after this time: others may have given something back.
pub(super) const ASK_AGAIN: Duration = Duration::from_secs(1);

/// How much of its limits a key has used, as far as this process knows.
#[derive(Debug, Clone, Copy)]
pub(super) struct State {
    /// Tokens of the bucket; below zero is a debt.
    pub(super) tokens: f64,
    filled_at: Instant,
    /// Since 1970 UTC.
    pub(super) day: i64,
    /// Taken of the day's quota and not used yet.
    pub(super) held: u64,
    /// What nobody had taken when the database was asked last.
    pub(super) free: u64,
    /// When that was, and for how much.
    pub(super) asked: Option<(Instant, u64)>,
    pub(super) used_at: Instant,
}

/// What is to be done about a request.
#[derive(Debug, PartialEq)]
pub(super) enum Decision {
    Take,
    Refuse(Policy, Duration),
    /// Ask the database for what is missing, and for a piece of the day's quota beyond it.
    Ask {
        missing: u64,
        piece: u64,
    },
}

/// Which limit it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Policy {
    Rate,
    Day,
}

impl Policy {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Rate => "rate",
            Self::Day => "day",
        }
    }
}

impl State {
    pub(super) fn new(allowance: &Allowance, now: Instant) -> Self {
        Self {
            tokens: allowance.burst as f64,
            filled_at: now,
            day: i64::MIN,
            held: 0,
            free: 0,
            asked: None,
            used_at: now,
        }
    }

    /// Lets time pass: the bucket fills, and a new day begins with nothing.
    pub(super) fn advance(&mut self, allowance: &Allowance, now: Instant, day: i64) {
        let passed = now.saturating_duration_since(self.filled_at);
        let earned = passed.as_secs_f64() * allowance.events_per_second as f64;
        self.tokens = (self.tokens + earned).min(allowance.burst as f64);
        self.filled_at = now;
        if self.day != day {
            self.day = day;
            self.held = 0;
            self.asked = None;
        }
    }

    /// Whether a request of so many events passes. Nothing is changed.
    pub(super) fn decide(
        &self,
        allowance: &Allowance,
        events: u64,
        now: Instant,
        rest: Duration,
    ) -> Decision {
        if allowance.events_per_second > 0 {
            // A batch beyond the burst needs a full bucket.
            let missing = events.min(allowance.burst) as f64 - self.tokens;
            if missing > 0.0 {
                let wait = missing / allowance.events_per_second as f64;
                return Decision::Refuse(Policy::Rate, Duration::from_secs_f64(wait.min(1e9)));
            }
        }
        if allowance.events_per_day == 0 || events <= self.held {
            return Decision::Take;
        }
        let missing = events - self.held;
        match self.asked {
            Some((at, _)) if self.free < missing && now < at + ASK_AGAIN => {
                Decision::Refuse(Policy::Day, rest)
            }
            _ => Decision::Ask {
                missing,
                piece: self.piece(allowance, now),
            },
        }
    }

    fn piece(&self, allowance: &Allowance, now: Instant) -> u64 {
        let quota = allowance.events_per_day;
        match self.asked {
            Some((at, last)) if now < at + SOON => (2 * last).min(quota / LARGEST_PIECE),
            _ => quota / FIRST_PIECE,
        }
    }

    pub(super) fn take(&mut self, allowance: &Allowance, events: u64) {
        if allowance.events_per_second > 0 {
            self.tokens -= events as f64;
        }
        if allowance.events_per_day > 0 {
            self.held -= events;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REST: Duration = Duration::from_secs(100);

    fn allowed(rate: u64, burst: u64, day: u64) -> Allowance {
        Allowance {
            events_per_second: rate,
            burst,
            events_per_day: day,
        }
    }

    fn ask(missing: u64, piece: u64) -> Decision {
        Decision::Ask { missing, piece }
    }

    #[test]
    fn the_bucket_holds_the_rate_and_lets_every_batch_pass_some_time() {
        let (allowance, start) = (allowed(10, 50, 0), Instant::now());
        let mut state = State::new(&allowance, start);
        let after = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(state.decide(&allowance, 50, start, REST), Decision::Take);
        state.take(&allowance, 50);
        let refused = state.decide(&allowance, 20, start, REST);
        assert_eq!(
            refused,
            Decision::Refuse(Policy::Rate, Duration::from_secs(2))
        );
        state.advance(&allowance, after(2), 1);
        assert_eq!(state.decide(&allowance, 20, after(2), REST), Decision::Take);
        // More than the burst needs a full bucket, and is paid for afterwards.
        let refused = state.decide(&allowance, 500, after(2), REST);
        assert_eq!(
            refused,
            Decision::Refuse(Policy::Rate, Duration::from_secs(3))
        );
        state.advance(&allowance, after(60), 1);
        assert_eq!(
            state.decide(&allowance, 500, after(60), REST),
            Decision::Take
        );
        state.take(&allowance, 500);
        let refused = state.decide(&allowance, 1, after(60), REST);
        assert_eq!(
            refused,
            Decision::Refuse(Policy::Rate, Duration::from_secs_f64(45.1))
        );
    }

    #[test]
    fn pieces_of_the_day_follow_the_pace() {
        let (allowance, start) = (allowed(0, 0, 100_000), Instant::now());
        let mut state = State::new(&allowance, start);
        state.advance(&allowance, start, 1);
        assert_eq!(state.decide(&allowance, 10, start, REST), ask(10, 100));
        (state.held, state.free, state.asked) = (110, 99_890, Some((start, 100)));
        assert_eq!(state.decide(&allowance, 110, start, REST), Decision::Take);
        state.take(&allowance, 110);
        assert_eq!(
            state.decide(&allowance, 10, start, REST),
            ask(10, 200),
            "used up soon: twice as much"
        );
        state.asked = Some((start, 4_000));
        assert_eq!(
            state.decide(&allowance, 10, start, REST),
            ask(10, 5_000),
            "never more than a twentieth"
        );
        let later = start + SOON;
        assert_eq!(state.decide(&allowance, 10, later, REST), ask(10, 100));
        // Nothing is left: nobody asks for every request.
        (state.held, state.free, state.asked) = (3, 0, Some((start, 1)));
        assert_eq!(
            state.decide(&allowance, 4, start, REST),
            Decision::Refuse(Policy::Day, REST)
        );
        assert_eq!(state.decide(&allowance, 3, start, REST), Decision::Take);
        assert!(matches!(
            state.decide(&allowance, 4, start + ASK_AGAIN, REST),
            Decision::Ask { .. }
        ));
        state.advance(&allowance, start, 2);
        assert_eq!(
            (state.held, state.asked),
            (0, None),
            "a new day begins with nothing"
        );
    }
}
