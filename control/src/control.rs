//! The handle on the control database.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use schemas::Timestamp;

use crate::audit::Actor;
use crate::db::Db;
use crate::error::ControlError;
use crate::migrate;
use crate::password::Passwords;
use crate::reads::Reads;

/// What "now" is; tests pass their own.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl Clock {
    /// A clock that asks the function.
    pub fn new(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// The clock of the operating system.
    pub fn system() -> Self {
        Self::new(|| {
            let since_1970 = SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default();
            Timestamp::from_micros(i64::try_from(since_1970.as_micros()).unwrap_or(i64::MAX))
        })
    }

    /// The time now.
    pub fn now(&self) -> Timestamp {
        (self.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

/// What is not the database's business.
#[derive(Debug, Clone)]
pub struct Options {
    /// How long a session lasts after log-in.
    pub session_lifetime: Duration,
    /// Where the time comes from.
    pub clock: Clock,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            session_lifetime: Duration::from_secs(30 * 24 * 3600),
            clock: Clock::system(),
        }
    }
}

/// The control database. Clones share one set of connections.
#[derive(Debug, Clone)]
pub struct Control {
    inner: Arc<Inner>,
    /// Who the audit says does what is done by this handle.
    actor: Arc<Actor>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) db: Db,
    /// Reads of personal data that the audit does not have yet.
    pub(crate) reads: Reads,
    passwords: Passwords,
    options: Options,
    /// Counts what this process changed about tokens, so that caches in it forget at once.
    generation: AtomicU64,
}

impl Control {
    /// Opens `sqlite:PATH` (created with its folder where absent) or `postgres://…`, and migrates it.
    pub async fn open(url: &str) -> Result<Self, ControlError> {
        Self::open_with(url, Options::default()).await
    }

    /// [`Control::open`] with another clock or session lifetime.
    pub fn open_with(url: &str, options: Options) -> BoxFuture<'_, Result<Self, ControlError>> {
        async move {
            let db = Db::open(url).await?;
            migrate::run(&db, options.clock.now()).await?;
            let passwords = Passwords::new().await?;
            let inner = Inner {
                db,
                reads: Reads::default(),
                passwords,
                options,
                generation: AtomicU64::new(0),
            };
            Ok(Self {
                inner: Arc::new(inner),
                actor: Arc::new(Actor::system()),
            })
        }
        .boxed()
    }

    /// A clone for what somebody else does: the audit names them in each entry. Without it, it is the program itself.
    pub fn on_behalf_of(&self, actor: Actor) -> Self {
        Self {
            inner: self.inner.clone(),
            actor: Arc::new(actor.clean()),
        }
    }

    /// Waits for what runs, writes what waits and closes every connection, for all clones.
    pub async fn close(&self) {
        let waiting = self.inner.reads.close();
        if let Err(error) = self.inner.write_reads().await {
            tracing::error!(%error, waiting, "reads of personal data are not in the audit, and are lost");
        }
        self.inner.db.close().await;
    }

    /// Answers when the database does; for readiness probes.
    pub async fn ping(&self) -> Result<(), ControlError> {
        self.db()
            .one::<(i64,)>("SELECT COUNT(*) FROM migrations", Vec::new())
            .await?;
        Ok(())
    }

    pub(crate) fn inner(&self) -> &Arc<Inner> {
        &self.inner
    }

    pub(crate) fn actor(&self) -> Arc<Actor> {
        self.actor.clone()
    }

    pub(crate) fn db(&self) -> &Db {
        &self.inner.db
    }

    pub(crate) fn passwords(&self) -> &Passwords {
        &self.inner.passwords
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.inner.options.clock.now()
    }

    /// The time that is so long ago.
    pub(crate) fn before(&self, age: Duration) -> Timestamp {
        let age = i64::try_from(age.as_micros()).unwrap_or(i64::MAX);
        Timestamp::from_micros(self.now().micros().saturating_sub(age))
    }

    pub(crate) fn session_end(&self, start: Timestamp) -> Timestamp {
        start.plus_micros(
            i64::try_from(self.inner.options.session_lifetime.as_micros()).unwrap_or(i64::MAX),
        )
    }

    pub(crate) fn generation(&self) -> u64 {
        self.inner.generation.load(Ordering::Acquire)
    }

    /// To be called after a change that takes rights away has been committed.
    pub(crate) fn forget_cached(&self) {
        self.inner.generation.fetch_add(1, Ordering::AcqRel);
    }
}
