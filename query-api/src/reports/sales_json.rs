//! The sales report as JSON, written row by row as it is sent: reports by product and day are long.

use std::collections::HashMap;

use axum::body::{Body, Bytes};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use chrono::NaiveDate;
use schemas::Currency;
use serde::Serialize;

use super::sales::{Figures, Group, Row, Sales};
use crate::api::internal;

#[derive(Serialize)]
struct RowJson<'a> {
    period: NaiveDate,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<Option<&'a str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(flatten)]
    figures: FiguresJson,
}

#[derive(Serialize)]
struct FiguresJson {
    revenue: String,
    refunds: String,
    orders: i64,
    units: String,
    customers: i64,
    average_order: Option<String>,
}

fn figures(figures: &Figures, currency: Currency) -> FiguresJson {
    let places = currency.decimals();
    FiguresJson {
        revenue: figures.revenue.to_text(places),
        refunds: figures.refunds.to_text(places),
        orders: figures.orders,
        units: figures.units.to_text(0),
        customers: figures.customers,
        average_order: figures
            .average_order(places)
            .map(|average| average.to_text(places)),
    }
}

impl Sales {
    /// The customers of the rows, where the rows are by customer.
    pub(crate) fn customers(&self) -> Vec<String> {
        let rows = self.rows(0..self.len()).unwrap_or_default();
        let mut ids: Vec<String> = rows
            .iter()
            .filter_map(|row| row.group.map(str::to_owned))
            .collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// The answer. `names` are those of customers, `next` the cursor of the next page.
    pub(crate) fn into_response(
        self,
        currency: Currency,
        group: Group,
        names: HashMap<String, String>,
        next: Option<String>,
    ) -> Response {
        let head = format!(
            "{{\"as_of\":{},\"currency\":{},\"rows\":[",
            json(&self.cut.as_of()),
            json(currency.as_str())
        );
        let tail = format!(
            "],\"totals\":{},\"next_cursor\":{}}}",
            json(&figures(&self.totals, currency)),
            json(&next)
        );
        let middle = (0..self.len()).step_by(CHUNK).map(move |start| {
            let rows = self.rows(start..start + CHUNK);
            let rows = rows.map_err(|error| internal("a report's rows cannot be read", &error))?;
            let mut out = Vec::with_capacity(rows.len() * 160);
            for (number, row) in rows.iter().enumerate() {
                if start + number > 0 {
                    out.push(b',');
                }
                // Writing plain data to memory does not fail.
                let _ = serde_json::to_writer(&mut out, &row_json(row, currency, group, &names));
            }
            Ok::<Bytes, schemas::Problem>(out.into())
        });
        let chunks = std::iter::once(Ok(Bytes::from(head)))
            .chain(middle)
            .chain(std::iter::once(Ok(Bytes::from(tail))));
        let body = Body::from_stream(futures::stream::iter(chunks));
        ([(header::CONTENT_TYPE, "application/json")], body).into_response()
    }
}

/// Rows written at once.
const CHUNK: usize = 2_000;

fn row_json<'a>(
    row: &Row<'a>,
    currency: Currency,
    group: Group,
    names: &'a HashMap<String, String>,
) -> RowJson<'a> {
    let named = row.group.and_then(|id| names.get(id)).map(String::as_str);
    RowJson {
        period: row.period,
        group: (group != Group::None).then_some(row.group),
        name: row.name.or(named).filter(|name| !name.is_empty()),
        figures: figures(&row.figures, currency),
    }
}

/// Plain data with string keys always serialises.
fn json<T: Serialize + ?Sized>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_else(|_| "null".to_owned())
}
