//! How much a key may send: a token bucket in each process, and a daily quota that all processes share.
//!
//! A request is taken or refused whole, before anything of it is appended. A batch larger than the burst passes when
//! the bucket is full and leaves a debt, so that every batch passes some time and the rate still holds. Every event of
//! a request counts, duplicates and rejected ones too; only what could not be made durable is given back.
//!
//! The day's quota is taken from the control database in pieces that follow the pace of the key, at most a twentieth
//! of the quota each, and what is not used for a while goes back.

mod answer;
mod state;

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use control::{Allowance, Control, Principal};
use parking_lot::Mutex;

use crate::submit::now;
use answer::{Refused, Standing, Taken};
use state::{ASK_AGAIN, Decision, SOON, State};

pub(crate) use answer::QuotaError;

const DAY_MICROS: i64 = 24 * 3600 * 1_000_000;
/// How long the database may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often what is not used is looked for.
const SWEEP: Duration = Duration::from_secs(5);

/// What all keys have used, as far as this process knows. Clones share it.
#[derive(Clone)]
pub struct Quotas(Arc<Inner>);

struct Inner {
    control: Control,
    defaults: Allowance,
    uses: Mutex<HashMap<String, Arc<Use>>>,
}

impl fmt::Debug for Quotas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Quotas")
            .field("defaults", &self.0.defaults)
            .finish_non_exhaustive()
    }
}

/// One key's.
struct Use {
    state: Mutex<State>,
    /// Held while the database is asked, once for all who wait for the same key. When it last did not answer.
    asking: tokio::sync::Mutex<Option<Instant>>,
}

/// What became of a request with what this process holds.
enum Attempt {
    Taken(Taken),
    /// The database must be asked for so many events of this day, and for a piece beyond them.
    Ask {
        day: i64,
        missing: u64,
        piece: u64,
    },
}

/// The day, and how much of it is left.
fn today() -> (i64, Duration) {
    let micros = now().micros();
    let left = DAY_MICROS - micros.rem_euclid(DAY_MICROS);
    (
        micros.div_euclid(DAY_MICROS),
        Duration::from_micros(left.unsigned_abs()),
    )
}

/// Who is counted; keys of the configuration share one count.
fn subject(principal: &Principal) -> Cow<'_, str> {
    match principal.name() {
        name if name.is_empty() => "configuration".into(),
        name => name,
    }
}

impl Quotas {
    /// Counts against these defaults where a key has nothing of its own. Must be called inside a Tokio runtime: it
    /// starts the task that gives back what is not used.
    pub fn new(control: Control, defaults: Allowance) -> Self {
        let inner = Arc::new(Inner {
            control,
            defaults,
            uses: Mutex::default(),
        });
        let weak = Arc::downgrade(&inner);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(SWEEP).await;
                let Some(inner) = weak.upgrade() else { return };
                inner.sweep(SOON).await;
            }
        });
        Self(inner)
    }

    /// What a caller may send.
    pub(crate) fn allowance(&self, principal: &Principal) -> Allowance {
        self.0.defaults.with(&principal.quota)
    }

    /// Refuses a caller who could not send a single event, before anything is read.
    pub(crate) fn admit(&self, principal: &Principal) -> Result<(), Refused> {
        let allowance = self.allowance(principal);
        if allowance.is_unlimited() {
            return Ok(());
        }
        let found = self.0.uses.lock().get(&*subject(principal)).cloned();
        let Some(found) = found else { return Ok(()) };
        let (at, (day, rest)) = (Instant::now(), today());
        let mut state = found.state.lock();
        state.advance(&allowance, at, day);
        match state.decide(&allowance, 1, at, rest) {
            Decision::Refuse(policy, wait) => Err(Refused {
                policy,
                wait,
                events: 1,
                standing: Box::new(Standing {
                    allowance,
                    state: *state,
                    day_left: rest,
                }),
            }),
            Decision::Take | Decision::Ask { .. } => Ok(()),
        }
    }

    /// Takes so many events, or refuses them all.
    pub(crate) async fn take(
        &self,
        principal: &Principal,
        events: usize,
    ) -> Result<Taken, QuotaError> {
        let allowance = self.allowance(principal);
        if allowance.is_unlimited() {
            return Ok(Taken { standing: None });
        }
        let (subject, events) = (subject(principal), events as u64);
        let used = self.0.of(&subject, &allowance);
        if let Attempt::Taken(taken) = used.attempt(&allowance, events)? {
            return Ok(taken);
        }
        let mut failed = used.asking.lock().await;
        // Who held the lock before may have brought enough, or has waited in vain for all.
        let (day, missing, piece) = match used.attempt(&allowance, events)? {
            Attempt::Taken(taken) => return Ok(taken),
            Attempt::Ask {
                day,
                missing,
                piece,
            } => (day, missing, piece),
        };
        if failed.is_some_and(|at| at.elapsed() < ASK_AGAIN) {
            return Err(QuotaError::Unknown);
        }
        let control = &self.0.control;
        let asked = control.take_quota(&subject, day, missing + piece, allowance.events_per_day);
        let answer = match tokio::time::timeout(PATIENCE, asked).await {
            Ok(Ok(found)) => Ok(found),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("it did not answer in time".to_owned()),
        };
        let found = match answer {
            Ok(found) => found,
            Err(error) => {
                *failed = Some(Instant::now());
                tracing::warn!(
                    error,
                    "a daily quota cannot be looked up; its key is told to come again"
                );
                return Err(QuotaError::Unknown);
            }
        };
        {
            let mut state = used.state.lock();
            // At midnight what was asked for is yesterday's.
            if state.day == day {
                state.held += found.given;
                state.free = found.left;
                state.asked = Some((Instant::now(), piece.max(1)));
            }
        }
        match used.attempt(&allowance, events)? {
            Attempt::Taken(taken) => Ok(taken),
            Attempt::Ask { .. } => Err(QuotaError::Unknown),
        }
    }

    /// Gives back events of a request that could not be made durable.
    pub(crate) fn give_back(&self, principal: &Principal, events: u64) {
        let allowance = self.allowance(principal);
        if events == 0 || allowance.is_unlimited() {
            return;
        }
        let used = self.0.of(&subject(principal), &allowance);
        let mut state = used.state.lock();
        state.tokens = (state.tokens + events as f64).min(allowance.burst as f64);
        if allowance.events_per_day > 0 && state.day == today().0 {
            state.held += events;
        }
    }

    /// Gives everything unused back to the other processes; to be called before the control database is closed.
    pub async fn close(&self) {
        self.0.sweep(Duration::ZERO).await;
    }
}

impl Inner {
    fn of(&self, subject: &str, allowance: &Allowance) -> Arc<Use> {
        let mut uses = self.uses.lock();
        if let Some(found) = uses.get(subject) {
            return found.clone();
        }
        let fresh = Arc::new(Use {
            state: Mutex::new(State::new(allowance, Instant::now())),
            asking: tokio::sync::Mutex::default(),
        });
        uses.insert(subject.to_owned(), fresh.clone());
        fresh
    }

    /// Gives back what was not used for so long, and forgets who has not been seen for hours: by then the debt of the
    /// largest batch is paid at any rate.
    async fn sweep(&self, idle: Duration) {
        const FORGOTTEN: Duration = Duration::from_secs(6 * 3600);
        let mut unused = Vec::new();
        self.uses.lock().retain(|subject, used| {
            let mut state = used.state.lock();
            let rested = state.used_at.elapsed();
            if rested >= idle && state.held > 0 {
                unused.push((subject.clone(), state.day, state.held));
                state.free += state.held;
                state.held = 0;
            }
            rested < FORGOTTEN || Arc::strong_count(used) > 1
        });
        for (subject, day, events) in unused {
            let back = self.control.give_quota_back(&subject, day, events);
            let back = tokio::time::timeout(PATIENCE, back).await;
            if !matches!(back, Ok(Ok(()))) {
                // It is lost for this day: never too much is sent.
                tracing::warn!(
                    subject,
                    events,
                    "an unused part of a daily quota was not given back"
                );
            }
        }
    }
}

impl Use {
    /// Takes of what this process holds, or says what is missing.
    fn attempt(&self, allowance: &Allowance, events: u64) -> Result<Attempt, QuotaError> {
        let (at, (day, rest)) = (Instant::now(), today());
        let mut state = self.state.lock();
        state.advance(allowance, at, day);
        state.used_at = at;
        let decision = state.decide(allowance, events, at, rest);
        if decision == Decision::Take {
            state.take(allowance, events);
        }
        let standing = Standing {
            allowance: *allowance,
            state: *state,
            day_left: rest,
        };
        match decision {
            Decision::Take => Ok(Attempt::Taken(Taken {
                standing: Some(standing),
            })),
            Decision::Ask { missing, piece } => Ok(Attempt::Ask {
                day,
                missing,
                piece,
            }),
            Decision::Refuse(policy, wait) => Err(QuotaError::Refused(Refused {
                policy,
                wait,
                events,
                standing: Box::new(standing),
            })),
        }
    }
}
