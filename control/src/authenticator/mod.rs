//! From a bearer token to a [`Principal`]: one hash and a map on most requests, the database every few seconds.
//!
//! Answers live at most [`CachePolicy::positive`], counted from before the database was asked, so a
//! revoked key is dead within that time in every process, and at once in the one that revoked it. Answers in
//! use are asked for again beside the requests long before they run out, so that who calls all the time is let in
//! through a short outage; when an answer has run out, nobody is.

mod cache;
mod lookup;
mod outside;
mod static_keys;
mod usage;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use metrics::{Counter, Unit, counter, describe_counter};

use crate::control::Control;
use crate::error::{AuthError, ControlError};
use crate::principal::Principal;
use crate::token::{TokenHash, TokenKind};
use cache::Cache;
use lookup::{Pending, Subject};
use outside::Outside;
use usage::Usage;

pub use outside::OutsideTokens;
pub use static_keys::{StaticKey, StaticOwner};

/// No token that is ever valid is longer; longer ones are not even hashed.
const LONGEST_TOKEN: usize = 512;
/// Those of an outside service hold what it claims.
const LONGEST_OUTSIDE: usize = 8_192;

/// Checks of tokens, by `result`: hit where the answer was in memory, miss where the database was asked.
const REQUESTS: &str = "millrace_key_cache_requests_total";

/// How long answers are remembered. It holds no clock: time is what the runtime measures.
#[derive(Debug, Clone)]
pub struct CachePolicy {
    /// How long a token that was good is taken as good; at most 4 s count.
    pub positive: Duration,
    /// How long a token that was unknown is taken as unknown.
    pub negative: Duration,
    /// How many good and how many unknown tokens are remembered.
    pub capacity: usize,
    /// After how long the database counts as not answering; at most 2 s count.
    pub patience: Duration,
    /// How often uses of keys are written.
    pub write_every: Duration,
    /// How long after one write of a key's last use the next is made.
    pub touch_every: Duration,
}

impl CachePolicy {
    const MOST_POSITIVE: Duration = Duration::from_secs(4);
    const MOST_PATIENCE: Duration = Duration::from_secs(2);

    /// Whatever is configured, a revoked key is refused within 5 s.
    fn bounded(mut self) -> Self {
        self.positive = self.positive.min(Self::MOST_POSITIVE);
        self.patience = self.patience.min(Self::MOST_PATIENCE);
        self
    }
}

impl Default for CachePolicy {
    fn default() -> Self {
        Self {
            positive: Self::MOST_POSITIVE,
            negative: Duration::from_secs(1),
            capacity: 10_000,
            patience: Self::MOST_PATIENCE,
            write_every: Duration::from_secs(10),
            touch_every: Duration::from_secs(60),
        }
    }
}

/// Tells who is calling. Clones share one cache.
#[derive(Clone)]
pub struct Authenticator {
    inner: Arc<Inner>,
    static_keys: Arc<[StaticKey]>,
    outside: Option<Arc<Outside>>,
}

/// An answer in use is asked for again when it is so old, and again after this time where that failed.
const REFRESH_AFTER: Duration = Duration::from_secs(1);
const REFRESH_AGAIN: Duration = Duration::from_millis(500);

/// A good answer.
struct Good {
    principal: Arc<Principal>,
    asked: Instant,
    /// When to ask again, in milliseconds after `asked`.
    refresh: AtomicU64,
}

impl Good {
    fn new(principal: Arc<Principal>, asked: Instant) -> Self {
        Self {
            principal,
            asked,
            refresh: AtomicU64::new(millis(REFRESH_AFTER)),
        }
    }

    /// Whether the caller is the one to ask again.
    fn is_due(&self, now: Instant) -> bool {
        let age = millis(now.saturating_duration_since(self.asked));
        let due = self.refresh.load(Ordering::Relaxed);
        let next = age + millis(REFRESH_AGAIN);
        age >= due
            && self
                .refresh
                .compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

struct Inner {
    control: Control,
    policy: CachePolicy,
    good: Cache<Arc<Good>>,
    unknown: Cache<()>,
    pending: Pending,
    usage: Usage,
    hits: Counter,
    misses: Counter,
}

impl fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authenticator")
            .field("policy", &self.inner.policy)
            .finish_non_exhaustive()
    }
}

impl Authenticator {
    /// With the default [`CachePolicy`]. Must be called inside a Tokio runtime: it starts the writer of last uses.
    pub fn new(control: Control) -> Self {
        Self::with_policy(control, CachePolicy::default())
    }

    /// With another policy; see [`Authenticator::new`].
    pub fn with_policy(control: Control, policy: CachePolicy) -> Self {
        let policy = policy.bounded();
        describe_counter!(
            REQUESTS,
            Unit::Count,
            "Checks of tokens answered from memory (hit) or by the database (miss)"
        );
        let inner = Arc::new(Inner {
            hits: counter!(REQUESTS, "result" => "hit"),
            misses: counter!(REQUESTS, "result" => "miss"),
            good: Cache::new(policy.capacity),
            unknown: Cache::new(policy.capacity),
            pending: Pending::default(),
            usage: Usage::new(policy.touch_every),
            control,
            policy,
        });
        usage::write_periodically(&inner);
        Self {
            inner,
            static_keys: Arc::new([]),
            outside: None,
        }
    }

    /// Accepts these keys of the configuration besides those of the database.
    pub fn with_static_keys(mut self, keys: Vec<StaticKey>) -> Self {
        self.static_keys = keys.into();
        self
    }

    /// Accepts tokens of an outside service besides keys and sessions.
    ///
    /// # Errors
    /// `Invalid` names the setting that cannot be.
    pub fn with_outside_tokens(mut self, options: OutsideTokens) -> Result<Self, ControlError> {
        let outside = Outside::new(options)?;
        self.outside = outside.is_open().then(|| Arc::new(outside));
        Ok(self)
    }

    /// Who holds this token. Unknown, expired and revoked tokens are one error.
    pub async fn authenticate(&self, token: &str) -> Result<Arc<Principal>, AuthError> {
        let longest = match self.outside {
            Some(_) => LONGEST_OUTSIDE,
            None => LONGEST_TOKEN,
        };
        if token.len() > longest {
            return Err(AuthError::Unknown);
        }
        let hash = TokenHash::of(token);
        let generation = self.inner.control.generation();
        let now = Instant::now();
        if let Some(good) = self.inner.good.get(&hash, generation, now) {
            self.inner.hits.increment(1);
            if good.is_due(now)
                && let Ok(subject) = self.subject(token, &hash)
            {
                drop(lookup::start(&self.inner, hash, generation, subject));
            }
            return Ok(good.principal.clone());
        }
        if self.inner.unknown.get(&hash, generation, now).is_some() {
            self.inner.hits.increment(1);
            return Err(AuthError::Unknown);
        }
        self.inner.misses.increment(1);
        let subject = self.subject(token, &hash)?;
        let answer = lookup::start(&self.inner, hash, generation, subject);
        answer.await.unwrap_or(Err(AuthError::Unavailable))
    }

    fn subject(&self, token: &str, hash: &TokenHash) -> Result<Subject, AuthError> {
        if let Some(key) = self.static_keys.iter().find(|key| key.matches(hash)) {
            return Ok(Subject::Static(key.clone()));
        }
        // A text this program cannot have made is not worth a query, nor a place in a cache.
        match (TokenKind::of(token), &self.outside) {
            (Some(TokenKind::Key), _) => Ok(Subject::Key),
            (Some(TokenKind::Session), _) => Ok(Subject::Session),
            (None, Some(outside)) if token.split('.').count() == 3 => {
                Ok(Subject::Outside(outside.clone(), token.into()))
            }
            (None, _) => Err(AuthError::Unknown),
        }
    }

    /// Writes every last use that is still in memory; to be called before closing the database.
    pub async fn flush(&self) -> Result<(), ControlError> {
        usage::write(&self.inner, true).await
    }
}
