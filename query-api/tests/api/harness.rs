//! One installation for all tests of this process: an engine holds one directory.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use query_api::{Admin, Limits, QueryApi, Readiness, ReplayRequest};
use schemas::{OrganizationId, Problem};
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tower::ServiceExt;
use warehouse::Warehouse;
use warehouse::archive::{Archive, ArchiveOptions};

/// Partitions of the log: each data set has one or more of its own.
const PARTITIONS: u32 = 64;

pub(crate) struct Installation {
    pub(crate) router: Router,
    /// What the router is made of, for another one with something else in its place.
    pub(crate) api: QueryApi,
    pub(crate) warehouse: Arc<dyn Warehouse>,
    pub(crate) archive: Archive,
    pub(crate) log: Arc<dyn stream::Log>,
    /// Archive commits of tests take turns.
    pub(crate) archiving: Mutex<()>,
    next_partition: AtomicU32,
    operator: String,
    _folder: tempfile::TempDir,
}

static RUNTIME: LazyLock<tokio::runtime::Runtime> =
    LazyLock::new(|| tokio::runtime::Runtime::new().unwrap());
/// Made for the first test and closed by the last one: a process must not end with the engine open.
static INSTALLATION: Mutex<Option<Arc<Installation>>> = Mutex::const_new(None);
static TESTS: AtomicUsize = AtomicUsize::new(0);

/// Runs a test on the one runtime.
pub(crate) fn run(test: impl Future<Output = ()>) {
    let _running = Running::begin();
    RUNTIME.block_on(test);
}

struct Running;

impl Running {
    fn begin() -> Self {
        TESTS.fetch_add(1, Ordering::SeqCst);
        Self
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        TESTS.fetch_sub(1, Ordering::SeqCst);
        RUNTIME.block_on(async {
            let mut installation = INSTALLATION.lock().await;
            if TESTS.load(Ordering::SeqCst) == 0
                && let Some(last) = installation.take()
            {
                last.warehouse.close().await;
            }
        });
    }
}

struct Fixed;

#[async_trait]
impl Admin for Fixed {
    async fn reconciliation(&self) -> Result<Value, Problem> {
        Ok(json!({"partitions": [], "balanced": true}))
    }

    async fn back_up(&self) -> Result<Value, Problem> {
        Ok(json!({"status": "running"}))
    }

    async fn backup(&self) -> Result<Value, Problem> {
        Ok(json!({"status": "none"}))
    }

    async fn start_replay(&self, request: ReplayRequest) -> Result<Value, Problem> {
        Ok(json!({"switch": request.switch, "from": request.from, "since": request.since}))
    }

    async fn replay(&self) -> Result<Value, Problem> {
        Ok(json!({"state": "done"}))
    }
}

#[async_trait]
impl query_api::History for Fixed {
    async fn customer_at(
        &self,
        _: &schemas::CustomerRef,
        _: schemas::Timestamp,
    ) -> Result<Option<arrow::array::RecordBatch>, Problem> {
        Ok(None)
    }
}

#[async_trait]
impl Readiness for Fixed {
    async fn ready(&self) -> Result<(), String> {
        Ok(())
    }
}

fn library() -> PathBuf {
    let cache = std::env::var_os("MILLRACE_CACHE").map_or_else(
        || PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache/millrace"),
        PathBuf::from,
    );
    let library = cache.join("chdb/lib/libchdb.so");
    assert!(
        library.exists(),
        "run `make setup` first: {} is missing",
        library.display()
    );
    library
}

pub(crate) async fn installation() -> Arc<Installation> {
    let mut installation = INSTALLATION.lock().await;
    match &*installation {
        Some(installation) => installation.clone(),
        None => installation.insert(Arc::new(start().await)).clone(),
    }
}

async fn start() -> Installation {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let options = warehouse::Options {
        library: Some(library()),
        ..warehouse::Options::default()
    };
    let warehouse = warehouse::open(&format!("chdb:{}", path("warehouse")), &options)
        .await
        .unwrap();
    let archive = Archive::open(
        &format!("file:{}", path("archive")),
        &ArchiveOptions::default(),
    )
    .await
    .unwrap();
    let options = stream::Options {
        partitions: PARTITIONS,
        append_timeout: Duration::from_secs(60),
        ..stream::Options::default()
    };
    let log = stream::open(&format!("file:{}", path("log")), &options)
        .await
        .unwrap();
    let control = control::Control::open(&format!("sqlite:{}", path("control.db")))
        .await
        .unwrap();
    let api = QueryApi {
        authenticator: control::Authenticator::new(control.clone()),
        control,
        warehouse: warehouse.clone(),
        archive: archive.clone(),
        log: log.clone(),
        admin: Arc::new(Fixed),
        history: Arc::new(Fixed),
        readiness: Arc::new(Fixed),
        metrics: Arc::new(|| "millrace_up 1\n".to_owned()),
        limits: Limits {
            login_failures: 3,
            ..Limits::default()
        },
        documents: Vec::new(),
    };
    let router = query_api::router(api.clone()).fallback(query_api::not_found);
    let mut installation = Installation {
        router,
        api,
        warehouse,
        archive,
        log,
        archiving: Mutex::default(),
        next_partition: AtomicU32::new(0),
        operator: String::new(),
        _folder: folder,
    };
    // The first to register operates the installation: no test is that by chance.
    let body =
        json!({"name": "Operator", "email": "operator@example.org", "password": "long enough"});
    let registered = installation
        .send("POST", "/api/v1/auth/register", "", Some(body))
        .await;
    assert_eq!(
        registered.status,
        StatusCode::CREATED,
        "{}",
        registered.body
    );
    installation.operator = registered.body["token"].as_str().unwrap().to_owned();
    installation
}

/// An answer, its body as JSON where it is that.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: axum::http::HeaderMap,
    pub(crate) body: Value,
    pub(crate) text: String,
}

impl Installation {
    pub(crate) fn operator(&self) -> &str {
        &self.operator
    }

    pub(crate) fn partition(&self) -> u32 {
        let partition = self.next_partition.fetch_add(1, Ordering::Relaxed);
        assert!(partition < PARTITIONS);
        partition
    }

    pub(crate) async fn request(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        Answer {
            status: parts.status,
            headers: parts.headers,
            body,
            text,
        }
    }

    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        token: &str,
        body: Option<Value>,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        if !token.is_empty() {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let body = match body {
            Some(body) => {
                request = request.header("content-type", "application/json");
                Body::from(body.to_string())
            }
            None => Body::empty(),
        };
        self.request(request.body(body).unwrap()).await
    }
}

/// An organization with its owner's session.
pub(crate) struct Tenant {
    pub(crate) at: Arc<Installation>,
    pub(crate) organization: OrganizationId,
    pub(crate) email: String,
    pub(crate) token: String,
}

pub(crate) const PASSWORD: &str = "correct horse battery";

impl Tenant {
    /// Registers an organization of this name.
    pub(crate) async fn new(name: &str) -> Self {
        Self::with(name, json!({})).await
    }

    pub(crate) async fn with(name: &str, more: Value) -> Self {
        let at = installation().await;
        let email = format!("{name}@example.org");
        let mut body = json!({"name": name, "email": email, "password": PASSWORD});
        body.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        let answer = at
            .send("POST", "/api/v1/auth/register", "", Some(body))
            .await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
        Self {
            at,
            organization: OrganizationId::from_text(
                answer.body["organization"]["id"].as_str().unwrap(),
            ),
            email,
            token: answer.body["token"].as_str().unwrap().to_owned(),
        }
    }

    pub(crate) async fn answer(&self, path: &str) -> Answer {
        self.at
            .send("GET", &format!("/api/v1{path}"), &self.token, None)
            .await
    }

    /// A GET that must succeed and say what it is computed from.
    pub(crate) async fn get(&self, path: &str) -> Value {
        let answer = self.answer(path).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text);
        assert!(
            answer.body["as_of"]["positions"].is_object(),
            "{path}: {}",
            answer.text
        );
        assert!(
            answer.body["as_of"]["time"].is_string(),
            "{path}: {}",
            answer.text
        );
        answer.body
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.at
            .send("POST", &format!("/api/v1{path}"), &self.token, Some(body))
            .await
    }

    /// A query that must succeed; its rows.
    pub(crate) async fn sql(&self, sql: &str) -> Value {
        let answer = self.post("/sql", json!({"sql": sql})).await;
        assert_eq!(answer.status, StatusCode::OK, "{sql}: {}", answer.text);
        answer.body["rows"].clone()
    }
}
