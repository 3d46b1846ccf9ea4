//! ClickHouse's HTTP interface over the embedded engine, so that BI tools and ClickHouse's own clients can use it.
//!
//! Every request has a session of its own: its settings, parameters and database end with it. `session_id` is
//! accepted and keeps nothing. Users are those given here; a reader's session is `readonly`.

mod auth;
mod coding;
pub mod decoders;
mod error;
mod form;
mod native;
mod request;
mod respond;
mod room;
mod statement;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::response::Response;
use axum::routing::get;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub use self::auth::{Access, HttpAuth};
use self::error::HttpError;
use self::room::Room;
use crate::embedded::Embedded;

/// How many statements run at once; more wait.
const CONCURRENT: usize = 16;
/// The most a request's body may hold, compressed and inflated.
const MAX_BODY: usize = 256 << 20;
/// The most that all bodies under way may hold, as they came and inflated.
const ALL_BODIES: usize = 1 << 30;

#[derive(Debug)]
struct Role {
    warehouse: Arc<Embedded>,
    auth: HttpAuth,
    places: Arc<Semaphore>,
    room: Arc<Semaphore>,
}

/// Serves the embedded warehouse. The listener bounds connections and their time.
pub fn clickhouse_router(warehouse: Arc<Embedded>, auth: HttpAuth) -> Router {
    let role = Arc::new(Role {
        warehouse,
        auth,
        places: Arc::new(Semaphore::new(CONCURRENT)),
        room: Arc::new(Semaphore::new(ALL_BODIES / room::UNIT)),
    });
    Router::new()
        .route("/", get(query).post(query))
        .route("/ping", get(|| async { "Ok.\n" }))
        .route("/replicas_status", get(|| async { "Ok.\n" }))
        // Bodies are capped while they are read, with ClickHouse's own kind of answer.
        .layer(DefaultBodyLimit::disable())
        .with_state(role)
}

/// What a statement that runs takes from others.
#[derive(Debug)]
#[expect(dead_code, reason = "held for as long as it runs")]
struct Held {
    place: OwnedSemaphorePermit,
    room: Room,
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
    let mut room = Room::new(role.room.clone());
    let request = request::Query::read(&parts, body, access, &mut room, query_id).await?;
    let place = Arc::clone(&role.places)
        .acquire_owned()
        .await
        .map_err(|_| HttpError::from(crate::error::WarehouseError::Closed))?;
    let held = Held { place, room };
    respond::run(role.warehouse.engine()?, request, held).await
}
