//! HTTP into the log: what taking an event costs the server.
//!
//! `ingest` is that role alone, so its CPU is all of taking events; `up` also processes and archives them meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Result;

use crate::events::Shape;
use crate::kafka::Kafka;
use crate::load::{Load, Until};
use crate::process;
use crate::report::{Figures, Reporter, quantile};
use crate::server::{Installation, Server};
use crate::settings::Settings;

const LOADS: [(&str, Load); 3] = [
    (
        "batches of 500 small events, 8 connections",
        Load {
            shape: Shape::Small,
            batch: 500,
            connections: 8,
            customers: 2_500,
        },
    ),
    (
        "single small events, 64 connections",
        Load {
            shape: Shape::Small,
            batch: 1,
            connections: 64,
            customers: 2_500,
        },
    ),
    (
        "batches of 500 purchases of ten items, 8 connections",
        Load {
            shape: Shape::Basket,
            batch: 500,
            connections: 8,
            customers: 2_500,
        },
    ),
];

pub(crate) async fn run(settings: &Settings, reporter: &Reporter) -> Result<()> {
    let wanted = |target: &str| {
        LOADS
            .iter()
            .any(|(name, _)| reporter.wants(&format!("{target}, {name}")))
    };
    let target = "ingest on Kafka (acks=all)";
    if wanted(target) {
        let kafka = Kafka::start(settings)?;
        let installation = Installation::new(settings)?;
        let server = installation.ingest(Some(&kafka.url("ingest"))).await?;
        cases(settings, reporter, target, &server).await?;
        server.stop().await?;
    }
    let target = "ingest on the embedded log";
    if wanted(target) {
        let installation = Installation::new(settings)?;
        let server = installation.ingest(None).await?;
        cases(settings, reporter, target, &server).await?;
        server.stop().await?;
    }
    let target = "up on the embedded log";
    if wanted(target) {
        let installation = Installation::new(settings)?;
        let server = installation.up().await?;
        cases(settings, reporter, target, &server).await?;
        server.stop().await?;
    }
    Ok(())
}

async fn cases(
    settings: &Settings,
    reporter: &Reporter,
    target: &str,
    server: &Server,
) -> Result<()> {
    let number = Arc::new(AtomicU64::new(0));
    for (name, load) in LOADS {
        reporter
            .case(&format!("{target}, {name}"), async || {
                measure(settings, server, &load, &number).await
            })
            .await?;
        // Gaps between cases keep ids apart even if one was cut off in mid-request.
        number.fetch_add(1_000, Ordering::Relaxed);
    }
    Ok(())
}

async fn measure(
    settings: &Settings,
    server: &Server,
    load: &Load,
    number: &Arc<AtomicU64>,
) -> Result<Figures> {
    let (cpu, own) = (server.cpu_seconds()?, process::own_cpu_seconds()?);
    let sent = load
        .send(server, number, Until::Elapsed(settings.load_time()))
        .await?;
    let (cpu, own) = (
        server.cpu_seconds()? - cpu,
        process::own_cpu_seconds()? - own,
    );
    let events = sent.events as f64;
    // The system counts in ticks, of which a short run may have none.
    let per_cpu = events / cpu.max(0.01);
    Ok(vec![
        ("events_per_s", events / sent.seconds),
        ("requests_per_s", sent.requests as f64 / sent.seconds),
        ("events_per_cpu_s", per_cpu),
        ("cpu_us_per_event", cpu * 1e6 / events),
        ("p50_ms", quantile(&sent.latencies, 0.5)),
        ("p99_ms", quantile(&sent.latencies, 0.99)),
        ("bytes_per_event", sent.bytes as f64 / events),
        ("turned_away", sent.turned_away as f64),
        ("sender_cpu_us_per_event", own * 1e6 / events),
    ])
}
