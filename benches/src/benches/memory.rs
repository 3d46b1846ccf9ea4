//! Memory of the whole process after a million customers: everything in one process, all settled.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::events::Shape;
use crate::load::{Load, Until};
use crate::report::{Figures, Reporter};
use crate::server::Installation;
use crate::settings::Settings;

pub(crate) async fn run(settings: &Settings, reporter: &Reporter) -> Result<()> {
    let customers = settings.size(1_000_000, 10_000);
    reporter
        .case(
            &format!("{customers} customers, a new-user event each"),
            async || measure(settings, customers).await,
        )
        .await
}

async fn measure(settings: &Settings, customers: u64) -> Result<Figures> {
    let installation = Installation::new(settings)?;
    let server = installation.up().await?;
    let idle = server.resident_mb()?;
    let load = Load {
        shape: Shape::User,
        batch: 1_000,
        connections: 4,
        customers,
    };
    let (begun, cpu) = (Instant::now(), server.cpu_seconds()?);
    let sent = load
        .send(
            &server,
            &Arc::new(AtomicU64::new(0)),
            Until::Events(customers),
        )
        .await?;
    let (_, archived) = server.settled(sent.events, begun).await?;
    let cpu = server.cpu_seconds()? - cpu;
    server.check_balanced(sent.events).await?;
    // What was only needed on the way is given back after a while.
    tokio::time::sleep(Duration::from_secs(settings.size(5, 0))).await;
    let (resident, peak) = (server.resident_mb()?, server.peak_mb()?);
    server.stop().await?;
    let events = sent.events as f64;
    Ok(vec![
        ("resident_mb", resident),
        ("peak_mb", peak),
        ("idle_mb", idle),
        ("events_per_s", events / archived),
        ("cpu_us_per_event", cpu * 1e6 / events),
        ("data_mb", installation.bytes("")? as f64 / 1e6),
    ])
}
