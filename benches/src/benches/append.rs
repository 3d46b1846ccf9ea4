//! Durable appends, without HTTP: what the log itself costs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use anyhow::Result;
use bytes::Bytes;
use stream::{Log, NewRecord, Options};

use crate::events::{Shape, Template};
use crate::kafka::Kafka;
use crate::process;
use crate::report::{Figures, Reporter, quantile};
use crate::settings::Settings;

/// Callers, and records in each of their appends.
const CASES: [(&str, Shape, usize, usize); 3] = [
    (
        "8 callers × 500 purchases of ten items",
        Shape::Basket,
        8,
        500,
    ),
    ("8 callers × 500 small events", Shape::Small, 8, 500),
    ("64 callers × 1 small event", Shape::Small, 64, 1),
];

pub(crate) async fn run(settings: &Settings, reporter: &Reporter) -> Result<()> {
    for (name, shape, callers, batch) in CASES {
        let payloads = payloads(shape);
        reporter
            .case(&format!("embedded, {name}"), async || {
                let folder = settings.temporary_folder()?;
                let url = format!("file:{}", folder.path().join("log").display());
                measure(settings, &url, &payloads, callers, batch).await
            })
            .await?;
    }
    if !CASES
        .iter()
        .any(|(name, ..)| reporter.wants(&format!("Kafka, {name}")))
    {
        return Ok(());
    }
    let kafka = Kafka::start(settings)?;
    let topics = AtomicU64::new(0);
    for (name, shape, callers, batch) in CASES {
        let payloads = payloads(shape);
        reporter
            .case(&format!("Kafka, {name}"), async || {
                let topic = format!("append-{}", topics.fetch_add(1, Ordering::Relaxed));
                measure(settings, &kafka.url(&topic), &payloads, callers, batch).await
            })
            .await?;
    }
    Ok(())
}

/// Distinct payloads, more than a processor's caches hold.
fn payloads(shape: Shape) -> Arc<Vec<Bytes>> {
    let mut events = Template::lines(shape, 20_000, 3);
    events.stamp(0, 2_500);
    let text = Bytes::copy_from_slice(events.text());
    let lines = text
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty());
    Arc::new(lines.map(|line| text.slice_ref(line)).collect())
}

async fn measure(
    settings: &Settings,
    url: &str,
    payloads: &Arc<Vec<Bytes>>,
    callers: usize,
    batch: usize,
) -> Result<Figures> {
    let options = Options {
        partitions: 4,
        ..Options::default()
    };
    let log = stream::open(url, &options).await?;
    let (begun, cpu) = (Instant::now(), process::own_cpu_seconds()?);
    let until = begun + settings.load_time();
    let next = Arc::new(AtomicU64::new(0));
    let tasks: Vec<_> = (0..callers)
        .map(|_| {
            tokio::spawn(call(
                Arc::clone(&log),
                Arc::clone(payloads),
                Arc::clone(&next),
                batch,
                until,
            ))
        })
        .collect();
    let mut latencies = Vec::new();
    for task in tasks {
        latencies.extend(task.await??);
    }
    let (wall, cpu) = (
        begun.elapsed().as_secs_f64(),
        process::own_cpu_seconds()? - cpu,
    );
    log.close().await?;
    latencies.sort_by(f64::total_cmp);
    let events = (latencies.len() * batch) as f64;
    Ok(vec![
        ("events_per_s", events / wall),
        ("cpu_us_per_event", cpu * 1e6 / events),
        ("p50_ms", quantile(&latencies, 0.5)),
        ("p99_ms", quantile(&latencies, 0.99)),
    ])
}

async fn call(
    log: Arc<dyn Log>,
    payloads: Arc<Vec<Bytes>>,
    next: Arc<AtomicU64>,
    batch: usize,
    until: Instant,
) -> Result<Vec<f64>> {
    let partitions = u64::from(log.partitions());
    let mut latencies = Vec::new();
    while Instant::now() < until {
        let first = next.fetch_add(batch as u64, Ordering::Relaxed);
        let records = (first..first + batch as u64)
            .map(|number| NewRecord {
                partition: (number % partitions) as u32,
                payload: payloads[number as usize % payloads.len()].clone(),
                decoded: None,
                trace: None,
            })
            .collect();
        let begun = Instant::now();
        for result in log.append(records).await {
            result?;
        }
        latencies.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    Ok(latencies)
}
