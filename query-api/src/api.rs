//! What the routes are made of, and what they share.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use control::{Allowance, Authenticator, Control};
use schemas::{Position, Problem, ProblemKind, Timestamp};
use stream::Log;
use tokio::sync::Semaphore;
use warehouse::Warehouse;
use warehouse::archive::Archive;

use crate::http::problem::warehouse_problem;
use crate::models::recommenders::Recommenders;
use crate::tables::cut::Cut;
use crate::tables::engine::Engine;
use crate::throttle::Throttle;

/// What only those who know every role can answer: figures of the whole installation.
#[async_trait]
pub trait Admin: Send + Sync {
    /// The body of `GET /admin/reconciliation`, without `as_of`.
    ///
    /// # Errors
    /// The problem to answer with.
    async fn reconciliation(&self) -> Result<serde_json::Value, Problem>;

    /// Begins a backup. The body of `POST /admin/backup`.
    ///
    /// # Errors
    /// The problem to answer with.
    async fn back_up(&self) -> Result<serde_json::Value, Problem>;

    /// How the latest backup is. The body of `GET /admin/backup`.
    ///
    /// # Errors
    /// The problem to answer with.
    async fn backup(&self) -> Result<serde_json::Value, Problem>;

    /// Begins a replay; the body of `POST /admin/replay`.
    ///
    /// # Errors
    /// The problem to answer with, such as one that runs already.
    async fn start_replay(&self, request: ReplayRequest) -> Result<serde_json::Value, Problem>;

    /// The body of `GET /admin/replay`, without `as_of`.
    ///
    /// # Errors
    /// The problem to answer with, such as that there was none.
    async fn replay(&self) -> Result<serde_json::Value, Problem>;
}

/// What is to be replayed; see `POST /admin/replay`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReplayRequest {
    /// Whether the rebuilt state becomes the live one.
    pub switch: bool,
    /// Whether only to say what would be read.
    pub dry_run: bool,
    /// Only customers with events from here on.
    pub from: Option<Position>,
    /// Only customers with events received from here on.
    pub since: Option<Timestamp>,
    /// Only customers with events received before this.
    pub until: Option<Timestamp>,
}

/// Customers as they were.
#[async_trait]
pub trait History: Send + Sync {
    /// The row of `customer_state` that a customer had at a time; none where it was not known then.
    ///
    /// # Errors
    /// The problem to answer with.
    async fn customer_at(
        &self,
        customer: &schemas::CustomerRef,
        at: Timestamp,
    ) -> Result<Option<arrow::array::RecordBatch>, Problem>;
}

/// Whether this process should get requests.
#[async_trait]
pub trait Readiness: Send + Sync {
    /// Returns when the parts beside the control database and the warehouse are ready; those two are checked here.
    ///
    /// # Errors
    /// What is missing, as one sentence.
    async fn ready(&self) -> Result<(), String>;
}

/// Renders the process's metrics in the Prometheus text format.
pub type RenderMetrics = Arc<dyn Fn() -> String + Send + Sync>;

/// Bounds of what callers may ask for.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Longest time a report, a forecast or a query of a caller may take.
    pub query_timeout: Duration,
    /// Memory for all running queries together, in bytes, a half of it for statements that clients write. Nothing is
    /// spilled to disk.
    pub query_memory: usize,
    /// Queries that run at the same time; more wait, within their timeout.
    pub queries: usize,
    /// Threads that run queries, so that they cannot take those that serve requests.
    pub query_threads: usize,
    /// Most rows of an answer of `POST /sql`.
    pub sql_rows: usize,
    /// Most bytes of a JSON body.
    pub body_bytes: usize,
    /// What a key without a quota of its own may send. Organizations give their keys no more.
    pub quota: Allowance,
    /// Failed log-ins with one e-mail from one address, within the window, before they have to wait.
    pub login_failures: u32,
    /// The window over which failed log-ins are counted.
    pub login_window: Duration,
    /// How long a trained recommender answers before the data is looked at again.
    pub recommender_age: Duration,
    /// Organizations whose recommender is kept in memory.
    pub recommenders: usize,
    /// How long a retry waits for its verdict before it is answered without one.
    pub verdict_wait: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            query_timeout: Duration::from_secs(30),
            query_memory: 1 << 30,
            queries: 4,
            query_threads: 2,
            sql_rows: 10_000,
            body_bytes: 1 << 20,
            quota: Allowance::default(),
            login_failures: 10,
            login_window: Duration::from_secs(15 * 60),
            recommender_age: Duration::from_secs(60),
            recommenders: 8,
            verdict_wait: Duration::from_secs(10),
        }
    }
}

/// Everything the routes need.
#[derive(Clone)]
pub struct QueryApi {
    /// Organizations, users, keys.
    pub control: Control,
    /// Tokens to principals.
    pub authenticator: Authenticator,
    /// Live state and the hot tail of events.
    pub warehouse: Arc<dyn Warehouse>,
    /// Every event for ever.
    pub archive: Archive,
    /// Where definitions are written.
    pub log: Arc<dyn Log>,
    /// Figures of the whole installation.
    pub admin: Arc<dyn Admin>,
    /// Customers as they were.
    pub history: Arc<dyn History>,
    /// Whether the other parts are ready.
    pub readiness: Arc<dyn Readiness>,
    /// The body of `GET /metrics`.
    pub metrics: RenderMetrics,
    /// Bounds of what callers may ask for.
    pub limits: Limits,
    /// OpenAPI documents of the other routers in this process, to be shown beside this one's.
    pub documents: Vec<utoipa::openapi::OpenApi>,
}

impl fmt::Debug for QueryApi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueryApi")
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// What handlers share: the parts and what is kept between requests.
pub(crate) struct App {
    pub(crate) api: QueryApi,
    /// For what is built in: reports, forecasts, recommendations.
    pub(crate) engine: Engine,
    /// For statements that clients write: however long those take, reports have their turn.
    pub(crate) statements: Engine,
    /// Turns of those who read payloads of rejections, which may be large.
    pub(crate) payloads: Semaphore,
    /// Failed log-ins, by e-mail.
    pub(crate) throttle: Throttle,
    /// Wrong passwords in changes of it, by user: apart, so that no log-in can be made to count as one.
    pub(crate) password_throttle: Throttle,
    pub(crate) recommenders: Recommenders,
}

impl App {
    pub(crate) fn new(api: QueryApi) -> Arc<Self> {
        let limits = &api.limits;
        Arc::new(Self {
            engine: Engine::new(limits, 2),
            statements: Engine::new(limits, 2),
            payloads: Semaphore::new(2),
            throttle: Throttle::new(limits.login_failures, limits.login_window),
            password_throttle: Throttle::new(limits.login_failures, limits.login_window),
            recommenders: Recommenders::new(limits.recommenders, limits.recommender_age),
            api,
        })
    }

    /// How far every partition is applied, now.
    pub(crate) async fn cut(&self) -> Result<Cut, Problem> {
        Cut::read(&*self.api.warehouse, &*self.api.log)
            .await
            .map_err(|error| warehouse_problem(&error))
    }
}

/// The time of the operating system.
pub(crate) fn now() -> Timestamp {
    Timestamp::from_micros(chrono::Utc::now().timestamp_micros())
}

/// A fault of ours: logged in full, answered without details.
pub(crate) fn internal(what: &str, error: &dyn fmt::Display) -> Problem {
    tracing::error!(%error, "{what}");
    Problem::new(
        ProblemKind::Internal,
        "something went wrong here; the log of the server says what",
    )
}
