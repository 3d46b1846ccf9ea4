//! The sales report over a year of purchases, all archived.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Instant;

use anyhow::Result;

use crate::events::Shape;
use crate::load::{Load, Until};
use crate::report::{Reporter, quantile};
use crate::server::{Installation, Server, json_of};
use crate::settings::Settings;

const REPORTS: [&str; 4] = [
    "/reports/sales?period=month",
    "/reports/sales?period=day",
    "/reports/sales?period=month&group_by=product",
    "/reports/sales?period=week&group_by=category",
];

pub(crate) async fn run(settings: &Settings, reporter: &Reporter) -> Result<()> {
    let purchases = settings.size(155_000, 2_000);
    let name = |path: &str| format!("{path}, {purchases} purchases of ten items");
    if !REPORTS.iter().any(|path| reporter.wants(&name(path))) {
        return Ok(());
    }
    let installation = Installation::new(settings)?;
    let server = installation.up().await?;
    let load = Load {
        shape: Shape::Basket,
        batch: 1_000,
        connections: 4,
        customers: 2_469,
    };
    let begun = Instant::now();
    let sent = load
        .send(
            &server,
            &Arc::new(AtomicU64::new(0)),
            Until::Events(purchases),
        )
        .await?;
    server.settled(sent.events, begun).await?;
    for path in REPORTS {
        reporter
            .case(&name(path), async || {
                let mut times = Vec::new();
                let cpu = server.cpu_seconds()?;
                let asks = settings.size(10, 2);
                for _ in 0..asks {
                    times.push(ask(&server, path, sent.events).await?);
                }
                let cpu = server.cpu_seconds()? - cpu;
                times.sort_by(f64::total_cmp);
                Ok(vec![
                    ("p50_ms", quantile(&times, 0.5)),
                    ("max_ms", quantile(&times, 1.0)),
                    ("cpu_ms", cpu * 1e3 / asks as f64),
                ])
            })
            .await?;
    }
    server.stop().await
}

/// Milliseconds of one report, which must count every purchase.
async fn ask(server: &Server, path: &str, purchases: u64) -> Result<f64> {
    let begun = Instant::now();
    let report = json_of(server.get(path)).await?;
    let time = begun.elapsed().as_secs_f64() * 1e3;
    let orders = &report["totals"]["orders"];
    anyhow::ensure!(
        *orders == purchases,
        "{path} counts {orders} orders of {purchases}"
    );
    Ok(time)
}
