//! ClickHouse's HTTP interface over the embedded engine, so that BI tools and ClickHouse's own clients can use it.
//!
//! Every request has a session of its own: its settings, parameters and database end with it. `session_id` is
//! accepted and keeps nothing. Users are those given here; a reader's session is `readonly`.

mod auth;
mod coding;
mod error;
mod form;
mod native;
mod request;
mod respond;
mod statement;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::response::Response;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

pub use self::auth::{Access, HttpAuth};
use self::error::HttpError;
use crate::embedded::Embedded;

/// How many statements run at once; more wait.
const CONCURRENT: usize = 16;
/// The most a request's body may hold, compressed and inflated.
const MAX_BODY: usize = 256 << 20;

#[derive(Debug)]
struct Role {
    warehouse: Arc<Embedded>,
    auth: HttpAuth,
    places: Arc<Semaphore>,
}

/// Serves the embedded warehouse on a listener until `shutdown` is done and the requests under way are answered.
pub async fn serve_clickhouse(
    warehouse: Arc<Embedded>,
    listener: TcpListener,
    auth: HttpAuth,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let role = Arc::new(Role {
        warehouse,
        auth,
        places: Arc::new(Semaphore::new(CONCURRENT)),
    });
    axum::serve(listener, router(role))
        .with_graceful_shutdown(shutdown)
        .await
}

fn router(role: Arc<Role>) -> Router {
    Router::new()
        .route("/", get(query).post(query))
        .route("/ping", get(|| async { "Ok.\n" }))
        .route("/replicas_status", get(|| async { "Ok.\n" }))
        // Bodies are capped while they are read, with ClickHouse's own kind of answer.
        .layer(DefaultBodyLimit::disable())
        .with_state(role)
}

async fn query(State(role): State<Arc<Role>>, request: Request<Body>) -> Response {
    let mut query_id = None;
    match answer(&role, request, &mut query_id).await {
        Ok(response) => response,
        Err(error) => error.into_response(query_id.as_deref()),
    }
}

async fn answer(
    role: &Role,
    request: Request<Body>,
    query_id: &mut Option<String>,
) -> Result<Response, HttpError> {
    let (parts, body) = request.into_parts();
    if parts.method == http::Method::GET && parts.uri.query().is_none() {
        // What clients and load balancers send to see whether it is there.
        return Ok(respond::text("Ok.\n"));
    }
    let access = role.auth.access(&parts)?;
    let request = request::Query::read(&parts, body, access, query_id).await?;
    let place = Arc::clone(&role.places)
        .acquire_owned()
        .await
        .map_err(|_| HttpError::from(crate::error::WarehouseError::Closed))?;
    respond::run(role.warehouse.engine()?, request, place).await
}
