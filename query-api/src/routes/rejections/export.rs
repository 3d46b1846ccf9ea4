//! All rejections of a filter as one file, read page by page while it is sent.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use control::Principal;
use futures::stream;
use schemas::Problem;
use warehouse::WarehouseError;

use super::RejectionDetail;
use super::filters::Wanted;
use crate::api::App;
use crate::http::params::Params;
use crate::models::rejections::{Filter, Order, Place, next_sendings, page};

/// How it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Ndjson,
    Csv,
}

/// Rejections read at once.
const PAGE: usize = 500;
const COLUMNS: [&str; 14] = [
    "position",
    "reason",
    "field",
    "detail",
    "kind",
    "customer_id",
    "event_id",
    "attempt",
    "received_at",
    "key",
    "first",
    "retried_as",
    "payload",
    "encoding",
];

/// The format asked for: by the parameter, else by the header; none for plain JSON.
pub(super) fn format(headers: &HeaderMap, params: &mut Params) -> Result<Option<Format>, Problem> {
    let choices = [
        ("json", None),
        ("ndjson", Some(Format::Ndjson)),
        ("csv", Some(Format::Csv)),
    ];
    if let Some(format) = params.choice("format", &choices)? {
        return Ok(format);
    }
    let accept = headers.get(header::ACCEPT);
    let accept = accept.and_then(|value| value.to_str().ok());
    // The first that is known: who can read JSON as well will say so first.
    let known = accept.unwrap_or_default().split(',').find_map(|range| {
        match range.split(';').next().unwrap_or_default().trim() {
            "application/x-ndjson" => Some(Some(Format::Ndjson)),
            "text/csv" => Some(Some(Format::Csv)),
            "application/json" | "application/*" | "*/*" => Some(None),
            _ => None,
        }
    });
    Ok(known.flatten())
}

struct Cursor {
    app: Arc<App>,
    filter: Filter,
    format: Format,
    after: Option<Place>,
    begun: bool,
    done: bool,
}

/// Answers with everything of the filter.
pub(super) async fn export(
    app: Arc<App>,
    principal: &Principal,
    wanted: Wanted,
    format: Format,
) -> Result<Response, Problem> {
    let cut = app.cut().await?;
    let filter = wanted.apply(Filter::of(principal, &cut));
    let as_of = serde_json::to_string(&cut.as_of()).unwrap_or_default();
    let (kind, name) = match format {
        Format::Ndjson => ("application/x-ndjson", "rejections.ndjson"),
        Format::Csv => ("text/csv; charset=utf-8; header=present", "rejections.csv"),
    };
    let cursor = Cursor {
        app,
        filter,
        format,
        after: None,
        begun: false,
        done: false,
    };
    let pages = stream::try_unfold(cursor, |cursor| async move {
        match cursor.done {
            true => Ok(None),
            false => cursor.next().await.map(Some),
        }
    });
    let headers = [
        (header::CONTENT_TYPE, kind.to_owned()),
        (
            header::CONTENT_DISPOSITION,
            format!("attachment; filename=\"{name}\""),
        ),
        (header::CACHE_CONTROL, "no-store".to_owned()),
        (header::HeaderName::from_static("x-as-of"), as_of),
    ];
    Ok((headers, Body::from_stream(pages)).into_response())
}

impl Cursor {
    async fn next(mut self) -> Result<(Bytes, Self), WarehouseError> {
        let app = self.app.clone();
        let warehouse = &*app.api.warehouse;
        let after = self.after.as_ref();
        let _turn = app.payloads.acquire().await;
        let found = page(warehouse, self.filter.clone(), Order::Log, after, PAGE).await?;
        let next = next_sendings(warehouse, &found).await?;
        self.done = found.is_empty();
        self.after = found.last().map(Place::of);
        let mut out = String::new();
        if !std::mem::replace(&mut self.begun, true) && self.format == Format::Csv {
            out.push_str(&COLUMNS.join(","));
            out.push_str("\r\n");
        }
        for (rejection, next) in found.into_iter().zip(next) {
            let shown = RejectionDetail::new(rejection, next);
            match self.format {
                Format::Ndjson => {
                    // Plain data always serialises.
                    out.push_str(&serde_json::to_string(&shown).unwrap_or_default());
                    out.push('\n');
                }
                Format::Csv => write_csv(&mut out, &shown),
            }
        }
        Ok((out.into(), self))
    }
}

/// One record as RFC 4180 has it: quotes around what needs them, doubled inside.
fn write_csv(out: &mut String, shown: &RejectionDetail) {
    let rejection = &shown.rejection;
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let position = |value: Option<schemas::Position>| {
        value.map_or_else(String::new, |position| position.to_string())
    };
    let cells: [String; COLUMNS.len()] = [
        rejection.position.to_string(),
        rejection.reason.clone(),
        text(&rejection.field),
        rejection.detail.clone(),
        text(&rejection.kind),
        text(&rejection.customer_id),
        text(&rejection.event_id),
        rejection.attempt.to_string(),
        rejection.received_at.to_string(),
        text(&rejection.key),
        position(rejection.first),
        position(rejection.retried_as),
        shown.payload.clone(),
        shown.encoding.to_owned(),
    ];
    for (index, cell) in cells.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        match cell.contains([',', '"', '\r', '\n']) {
            // Writing to a String cannot fail.
            true => drop(write!(out, "\"{}\"", cell.replace('"', "\"\""))),
            false => out.push_str(cell),
        }
    }
    out.push_str("\r\n");
}
