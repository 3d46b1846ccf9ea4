//! Everything: events over HTTP until all are in the state and in the archive, the sender beside on the same cores.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Instant;

use anyhow::Result;

use crate::events::Shape;
use crate::load::{Load, Until};
use crate::process;
use crate::report::{Figures, Reporter, quantile};
use crate::server::Installation;
use crate::settings::Settings;

pub(crate) async fn run(settings: &Settings, reporter: &Reporter) -> Result<()> {
    for (name, shape) in [
        ("purchases of ten items, 1.2 kB", Shape::Basket),
        ("small events, 400 B at the most", Shape::Small),
    ] {
        let load = Load {
            shape,
            batch: 1_000,
            connections: 4,
            customers: 2_469,
        };
        reporter
            .case(name, async || measure(settings, &load).await)
            .await?;
    }
    Ok(())
}

async fn measure(settings: &Settings, load: &Load) -> Result<Figures> {
    let installation = Installation::new(settings)?;
    let server = installation.up().await?;
    let number = Arc::new(AtomicU64::new(0));
    let (begun, cpu, own) = (
        Instant::now(),
        server.cpu_seconds()?,
        process::own_cpu_seconds()?,
    );
    let sent = load
        .send(&server, &number, Until::Elapsed(settings.load_time()))
        .await?;
    let own = process::own_cpu_seconds()? - own;
    let (processed, archived) = server.settled(sent.events, begun).await?;
    let cpu = server.cpu_seconds()? - cpu;
    let peak = server.peak_mb()?;
    server.check_balanced(sent.events).await?;
    server.stop().await?;
    let events = sent.events as f64;
    Ok(vec![
        ("events_per_s", events / archived),
        ("cpu_us_per_event", cpu * 1e6 / events),
        ("accepted_per_s", events / sent.seconds),
        ("processed_per_s", events / processed),
        ("server_cores", cpu / archived),
        ("peak_rss_mb", peak),
        ("request_p50_ms", quantile(&sent.latencies, 0.5)),
        ("request_p99_ms", quantile(&sent.latencies, 0.99)),
        ("turned_away", sent.turned_away as f64),
        ("sender_cpu_us_per_event", own * 1e6 / events),
        ("events", events),
        (
            "log_bytes_per_event",
            installation.bytes("log")? as f64 / events,
        ),
        (
            "archive_bytes_per_event",
            installation.bytes("archive")? as f64 / events,
        ),
    ])
}
