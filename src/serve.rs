//! One HTTP listener: bounds on connections, headers and time, one form for every error, and an orderly end.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Request, Uri, header};
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use schemas::{Problem, ProblemKind};
use tokio::net::TcpListener;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::config::Http;
use crate::connection::{CLOSED, Held, Patience, Requests, Timed, Underway};
use crate::measure;
use crate::pace::{Pace, Paced};
use crate::unread;

/// Bytes of headers that are read in order to refuse them with a reason.
const MOST_READ: usize = 1 << 20;
/// Header lines that are read.
const MOST_HEADERS: usize = 1024;

/// Open connections.
const CONNECTIONS: &str = "millrace_http_connections";
/// Requests refused before any route was asked, by reason.
const REFUSED: &str = "millrace_http_refused_total";

/// What holds for every request of a listener.
#[derive(Debug, Clone, Copy)]
struct Rules {
    header_bytes: usize,
    pace: Pace,
    proxies: usize,
}

/// Serves until asked to stop and for the time that load balancers are given, then lets requests under way finish; false
/// if some did not.
pub(crate) async fn run(
    listener: TcpListener,
    router: Router,
    http: &Http,
    shutdown: CancellationToken,
) -> bool {
    metrics::describe_gauge!(CONNECTIONS, "open connections");
    metrics::describe_counter!(CLOSED, "connections closed on their client, by reason");
    metrics::describe_counter!(REFUSED, "requests refused before any route was asked");
    let rules = Rules {
        header_bytes: http.header_bytes,
        pace: Pace {
            grace: Duration::from_secs(http.body_seconds),
            bytes_per_second: http.body_bytes_per_second,
        },
        proxies: http.proxies,
    };
    let patience = Patience {
        headers: Duration::from_secs(http.header_seconds),
        idle: Duration::from_secs(http.idle_seconds),
    };
    // Beyond what it is given to read hyper answers by itself, without a body that says what is wrong.
    let read_bytes = rules.header_bytes.max(MOST_READ);
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .max_buf_size(read_bytes)
        .max_headers(MOST_HEADERS);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(read_bytes).unwrap_or(u32::MAX));
    let router = router.layer(axum::middleware::from_fn(measure::requests));
    let room = Arc::new(Semaphore::new(affordable(http.connections)));
    let crowded = Arc::new(Notify::new());
    let graceful = GracefulShutdown::new();
    let unready = Duration::from_secs(http.unready_seconds);
    let closing = async {
        shutdown.cancelled().await;
        tokio::time::sleep(unready).await;
    };
    tokio::pin!(closing);
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &room, &crowded) => accepted,
            () = &mut closing => break,
        };
        let (stream, peer, permit) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, most often: others will be closed soon.
                tracing::warn!(%error, "a connection could not be accepted; raise the limit of open files if this goes on");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let _ = stream.set_nodelay(true);
        let requests = Requests::default();
        let stream = Timed::new(stream, patience, requests.clone(), crowded.clone());
        let router = router.clone();
        let service = hyper::service::service_fn(move |request| {
            answer(router.clone(), request, peer, rules, requests.begin())
        });
        let connection = builder
            .serve_connection_with_upgrades(TokioIo::new(stream), service)
            .into_owned();
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            metrics::gauge!(CONNECTIONS).increment(1.0);
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended early");
            }
            metrics::gauge!(CONNECTIONS).decrement(1.0);
            drop(permit);
        });
    }
    drop(listener);
    tokio::time::timeout(Duration::from_secs(http.drain_seconds), graceful.shutdown())
        .await
        .is_ok()
}

/// Waits for room, then for a connection. Where there is no room, the one that has idled longest is asked to go.
async fn accept(
    listener: &TcpListener,
    room: &Arc<Semaphore>,
    crowded: &Notify,
) -> std::io::Result<(tokio::net::TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    if room.available_permits() == 0 {
        crowded.notify_one();
    }
    let permit = room.clone().acquire_owned().await;
    let permit = permit.map_err(std::io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    Ok((stream, peer, permit))
}

/// The connections of the configuration, as far as the limit of open files allows: the other half is for files.
fn affordable(connections: usize) -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let files = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))
        .and_then(|line| line.split_whitespace().next()?.parse::<usize>().ok());
    match files.map(|files| (files / 2).max(1)) {
        Some(most) if most < connections => {
            tracing::info!(
                most,
                connections,
                "the limit of open files allows fewer connections than http.connections"
            );
            most
        }
        _ => connections.clamp(1, Semaphore::MAX_PERMITS),
    }
}

async fn answer(
    router: Router,
    mut request: Request<Incoming>,
    peer: SocketAddr,
    rules: Rules,
    underway: Underway,
) -> Result<Response, Infallible> {
    // Who asks before sending a body is told not to by the answer itself.
    let asks_first = request.headers().contains_key(header::EXPECT);
    let client = client(request.headers(), peer, rules.proxies);
    request.extensions_mut().insert(ConnectInfo(client));
    let (parts, body) = request.into_parts();
    let (body, slow) = Paced::new(body, rules.pace);
    let (body, rest) = unread::lend(body);
    let mut response = route(
        router,
        Request::from_parts(parts, Body::new(body)),
        rules.header_bytes,
    )
    .await;
    if slow.is_set() {
        metrics::counter!(REFUSED, "reason" => "slow_body").increment(1);
        let detail =
            "the body came too slowly; send it again over a better connection, or in smaller parts";
        response = Problem::new(ProblemKind::Timeout, detail).into_response();
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(header::CONNECTION, close);
    } else if !response.status().is_success() && !asks_first {
        unread::discard(rest).await;
    }
    Ok(response.map(|body| Body::new(Held::new(body, underway))))
}

/// Who is calling: behind proxies of our own, the one that the outermost of them has seen.
fn client(headers: &HeaderMap, peer: SocketAddr, proxies: usize) -> SocketAddr {
    let Some(before) = proxies.checked_sub(1) else {
        return peer;
    };
    let lists = headers.get_all("x-forwarded-for").iter();
    let seen: Vec<&str> = lists
        .filter_map(|list| list.to_str().ok())
        .flat_map(|list| list.split(','))
        .map(str::trim)
        .collect();
    // What stands further left is what the client says of itself.
    let address = seen
        .iter()
        .rev()
        .nth(before)
        .and_then(|text| text.parse::<IpAddr>().ok());
    address.map_or(peer, |address| SocketAddr::new(address, peer.port()))
}

async fn route(router: Router, mut request: Request<Body>, header_bytes: usize) -> Response {
    if head_bytes(&request) > header_bytes {
        metrics::counter!(REFUSED, "reason" => "headers_too_large").increment(1);
        let detail = format!(
            "the request line and headers may have {header_bytes} bytes at most; send fewer or shorter ones"
        );
        return Problem::new(ProblemKind::HeadersTooLarge, detail).into_response();
    }
    // Ids in paths are text; handlers get them decoded.
    let path = percent_encoding::percent_decode_str(request.uri().path());
    if path.decode_utf8().is_err() {
        let detail = "the path is not UTF-8; percent-encode its ids as UTF-8";
        return Problem::new(ProblemKind::BadRequest, detail).into_response();
    }
    if let Some(uri) = without_trailing_slash(request.uri()) {
        *request.uri_mut() = uri;
    }
    let response = std::panic::AssertUnwindSafe(router.oneshot(request))
        .catch_unwind()
        .await;
    match response {
        Ok(Ok(response)) => response,
        Ok(Err(never)) => match never {},
        Err(_) => {
            tracing::error!("a request handler panicked; report this with the lines above");
            Problem::new(
                ProblemKind::Internal,
                "something went wrong here; it has been logged",
            )
            .into_response()
        }
    }
}

/// About the bytes of the request line and headers.
fn head_bytes<B>(request: &Request<B>) -> usize {
    let target = request
        .uri()
        .path_and_query()
        .map_or(0, |target| target.as_str().len());
    let header = |(name, value): (&HeaderName, &HeaderValue)| name.as_str().len() + value.len() + 4;
    target + request.headers().iter().map(header).sum::<usize>()
}

/// `/customers/` is `/customers`.
fn without_trailing_slash(uri: &Uri) -> Option<Uri> {
    let path = uri.path();
    if path.len() < 2 || !path.ends_with('/') || path.starts_with("/docs") {
        return None;
    }
    let trimmed = match path.trim_end_matches('/') {
        "" => "/",
        trimmed => trimmed,
    };
    let text = match uri.query() {
        Some(query) => format!("{trimmed}?{query}"),
        None => trimmed.to_owned(),
    };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = text.parse().ok();
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_who_our_own_proxies_have_seen() {
        let peer: SocketAddr = SocketAddr::from(([10, 0, 0, 1], 99));
        let mut headers = HeaderMap::new();
        for list in ["1.1.1.1, 2.2.2.2", "3.3.3.3"] {
            headers.append("x-forwarded-for", HeaderValue::from_static(list));
        }
        let of = |proxies| client(&headers, peer, proxies).ip().to_string();
        assert_eq!(of(0), "10.0.0.1", "whatever a client claims");
        assert_eq!(of(1), "3.3.3.3");
        assert_eq!(of(2), "2.2.2.2");
        assert_eq!(of(4), "10.0.0.1", "fewer than there should be");
        assert_eq!(client(&HeaderMap::new(), peer, 1), peer);
    }

    #[test]
    fn a_trailing_slash_is_optional() {
        let trimmed = |text: &'static str| {
            without_trailing_slash(&Uri::from_static(text)).map(|uri| uri.to_string())
        };
        assert_eq!(trimmed("/a/b/?x=1").as_deref(), Some("/a/b?x=1"));
        assert_eq!(trimmed("/a/b"), None);
        assert_eq!(trimmed("/"), None);
        assert_eq!(trimmed("//").as_deref(), Some("/"));
    }
}
