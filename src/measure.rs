//! How long requests take.

use std::time::Instant;

use ::metrics::{Label, Unit, describe_histogram, histogram};
use axum::body::Body;
use axum::extract::MatchedPath;
use axum::http::{Method, Request};
use axum::middleware::Next;
use axum::response::Response;

/// Seconds from a request's head to its answer's, by method, route as it is documented, and status.
const REQUEST_SECONDS: &str = "millrace_http_request_seconds";

pub(crate) fn describe() {
    describe_histogram!(
        REQUEST_SECONDS,
        Unit::Seconds,
        "Time to answer a request, by method, route and status"
    );
}

/// Notes the time of a request. Labels are bounded: methods of HTTP, routes of this program, and statuses that it answers.
pub(crate) async fn requests(request: Request<Body>, next: Next) -> Response {
    let begun = Instant::now();
    let method = method(request.method());
    let route = request.extensions().get::<MatchedPath>().cloned();
    let response = next.run(request).await;
    let route = route.map_or_else(|| "none".to_owned(), |route| route.as_str().to_owned());
    let labels = [
        Label::new("method", method),
        Label::new("route", route),
        Label::new("status", response.status().as_str().to_owned()),
    ];
    histogram!(REQUEST_SECONDS, labels.iter()).record(begun.elapsed().as_secs_f64());
    response
}

fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        _ => "other",
    }
}
