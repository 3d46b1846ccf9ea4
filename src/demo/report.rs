//! What came out of the demo: the same figures for machines and for people.

use std::fmt::Write as _;

use anyhow::Result;
use serde_json::{Value, json};

use super::server::{Server, json};

/// Everything that is asked of the running Millrace once the data is through.
pub(super) async fn outcome(server: &Server, token: &str) -> Result<Value> {
    let get = |path: &'static str| async move {
        json(server.get(path).bearer_auth(token).send().await?).await
    };
    let reconciliation = get("/admin/reconciliation").await?;
    let sales = get("/reports/sales?period=month").await?;
    let products = get("/reports/sales?group_by=product&limit=10").await?;
    let forecast = forecast_or_reason(server, token).await?;
    let state = json(
        server
            .post("/sql")
            .bearer_auth(token)
            .json(&json!({"sql": "SELECT sum(revenue) AS revenue, count(*) AS customers FROM customers"}))
            .send()
            .await?,
    )
    .await?;
    let best = json(
        server
            .post("/sql")
            .bearer_auth(token)
            .json(&json!({"sql": "SELECT customer_id FROM customers ORDER BY revenue DESC, customer_id LIMIT 3"}))
            .send()
            .await?,
    )
    .await?;
    let mut recommendations = Vec::new();
    for row in best["rows"].as_array().into_iter().flatten() {
        let customer = row[0].as_str().unwrap_or_default();
        let path = format!("/customers/{customer}/recommendations");
        let mut answer = json(server.get(&path).bearer_auth(token).send().await?).await?;
        answer["customer_id"] = customer.into();
        recommendations.push(answer);
    }
    Ok(json!({
        "reconciliation": reconciliation,
        "archive_revenue": sales["totals"]["revenue"],
        "state_revenue": money(&state["rows"][0][0]),
        "customers": state["rows"][0][1],
        "top_products": top_products(&products),
        "forecast": forecast,
        "recommendations": recommendations,
    }))
}

/// The forecast, or the reason where the history sent is too short for one.
async fn forecast_or_reason(server: &Server, token: &str) -> Result<Value> {
    let request = server
        .get("/forecasts?measure=revenue&period=day&horizon=28")
        .bearer_auth(token);
    let response = request.send().await?;
    if response.status() != reqwest::StatusCode::UNPROCESSABLE_ENTITY {
        return json(response).await;
    }
    let problem: Value = response.json().await?;
    Ok(json!({"reason": problem["detail"]}))
}

/// A sum as SQL gives it, with six places, as money of two.
fn money(cell: &Value) -> Option<String> {
    let sum: schemas::Decimal = cell.as_str()?.parse().ok()?;
    Some(sum.to_text(2))
}

/// The rows of a report by product, which come with the largest revenue first.
fn top_products(report: &Value) -> Vec<Value> {
    let rows = report["rows"].as_array().into_iter().flatten();
    let products = rows.filter(|row| row["group"].is_string());
    products
        .map(|row| {
            json!({"product_id": row["group"], "name": row["name"], "revenue": row["revenue"], "orders": row["orders"]})
        })
        .collect()
}

/// The figures as a person reads them.
pub(super) fn page(figures: &Value) -> String {
    let mut out = String::new();
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Null => "-".to_owned(),
        other => other.to_string(),
    };
    let mut line = |name: &str, value: String| {
        let _ = writeln!(out, "  {name:<22}{value}");
    };
    for name in [
        "sent",
        "accepted",
        "processed",
        "archived",
        "rejected",
        "duplicates",
        "balanced",
    ] {
        line(name, text(&figures[name]));
    }
    for (name, key) in [
        ("revenue, as sent", "sent"),
        ("revenue, in state", "state"),
        ("revenue, in archive", "archive"),
    ] {
        line(name, text(&figures["revenue"][key]));
    }
    line(
        "elapsed",
        format!("{:.1} s", figures["elapsed_s"].as_f64().unwrap_or(0.0)),
    );
    line(
        "events a second",
        format!("{:.0}", figures["events_per_s"].as_f64().unwrap_or(0.0)),
    );
    line(
        "peak memory",
        format!("{:.0} MB", figures["peak_rss_mb"].as_f64().unwrap_or(0.0)),
    );

    let _ = writeln!(out, "\nTop products by revenue");
    for product in figures["top_products"].as_array().into_iter().flatten() {
        let name = text(&product["name"]);
        let _ = writeln!(
            out,
            "  {:>12}  {:<36} {:>8} orders",
            text(&product["revenue"]),
            name,
            product["orders"]
        );
    }
    forecast(&mut out, &figures["forecast"]);
    for answer in figures["recommendations"].as_array().into_iter().flatten() {
        let _ = writeln!(out, "\nFor customer {}", text(&answer["customer_id"]));
        for (list, word) in [("replenish", "again"), ("discover", "new")] {
            for item in answer[list].as_array().into_iter().flatten().take(3) {
                let name = if item["name"].is_string() {
                    &item["name"]
                } else {
                    &item["product_id"]
                };
                let _ = writeln!(
                    out,
                    "  {word:<6} {:<32} {}",
                    text(name),
                    text(&item["reason"])
                );
            }
        }
    }
    out
}

fn forecast(out: &mut String, forecast: &Value) {
    if let Some(reason) = forecast["reason"].as_str() {
        let _ = writeln!(out, "\nNo forecast: {reason}");
        return;
    }
    let backtest = &forecast["backtest"];
    let number = |value: &Value| value.as_f64().unwrap_or(f64::NAN);
    let _ = writeln!(
        out,
        "\nRevenue of the next {} days ({}; backtest MASE {:.3}, seasonal naive {:.3}; {:.0}% of days within the 80% interval)",
        forecast["rows"].as_array().map_or(0, Vec::len),
        forecast["model"]
            .as_str()
            .or_else(|| forecast["model"]["name"].as_str())
            .unwrap_or("model"),
        number(&backtest["mase"]),
        number(&backtest["baseline_mase"]),
        number(&backtest["coverage_80"]) * 100.0,
    );
    let rows = forecast["rows"].as_array();
    let most = rows
        .into_iter()
        .flatten()
        .map(|row| number(&row["upper_80"]))
        .fold(1.0, f64::max);
    for row in rows.into_iter().flatten() {
        let width = |value: f64| ((value / most * 40.0).round().max(0.0) as usize).min(40);
        let (value, low, high) = (
            number(&row["value"]),
            number(&row["lower_80"]),
            number(&row["upper_80"]),
        );
        let bar: String = (0..=40)
            .map(|column| match column {
                _ if column == width(value) => '●',
                _ if (width(low)..=width(high)).contains(&column) => '─',
                _ => ' ',
            })
            .collect();
        let _ = writeln!(
            out,
            "  {}  {value:>10.2}  {bar} {low:.0} to {high:.0}",
            row["period"].as_str().unwrap_or("?")
        );
    }
}
