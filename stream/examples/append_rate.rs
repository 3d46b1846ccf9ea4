//! Measures durable appends: events per second, CPU per event, latency.
//!
//! ```text
//! cargo run --release -p stream --example append_rate -- file:/tmp/log
//! cargo run --release -p stream --example append_rate -- kafka://127.0.0.1:9092 --batch 500 --bytes 342
//! cargo run --release -p stream --example append_rate -- kafka://127.0.0.1:9092 --batch 1 --callers 64
//! ```
//!
//! CPU time is that of this process (the broker's is not in it), from `/proc/self/stat`, so this runs on Linux.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use stream::{Bounds, Delivery, Limits, Log, NewRecord, Options};

type Failure = Box<dyn std::error::Error + Send + Sync>;

struct Arguments {
    url: String,
    batch: usize,
    bytes: usize,
    callers: usize,
    seconds: u64,
    follow: bool,
    properties: Vec<(String, String)>,
}

fn arguments() -> Result<Arguments, Failure> {
    let usage = "append_rate URL [--batch EVENTS] [--bytes PER_EVENT] [--callers N] [--seconds N] [--follow] [--set KAFKA_PROPERTY=VALUE]…";
    let mut words = std::env::args().skip(1);
    let url = words
        .next()
        .filter(|url| !url.starts_with("--"))
        .ok_or(usage)?;
    let mut arguments = Arguments {
        url,
        batch: 500,
        bytes: 1_242,
        callers: 8,
        seconds: 5,
        follow: false,
        properties: Vec::new(),
    };
    while let Some(word) = words.next() {
        if word == "--follow" {
            arguments.follow = true;
            continue;
        }
        if word == "--set" {
            let property = words.next().ok_or(usage)?;
            let (key, value) = property.split_once('=').ok_or(usage)?;
            arguments
                .properties
                .push((key.to_owned(), value.to_owned()));
            continue;
        }
        let value: usize = words.next().ok_or(usage)?.parse()?;
        match word.as_str() {
            "--batch" => arguments.batch = value,
            "--bytes" => arguments.bytes = value,
            "--callers" => arguments.callers = value,
            "--seconds" => arguments.seconds = value as u64,
            _ => return Err(usage.into()),
        }
    }
    Ok(arguments)
}

/// An event that compresses about as a purchase does: repeated names, changing numbers.
fn payload(number: u64, length: usize) -> Vec<u8> {
    let mut payload = format!(
        "{{\"event_id\":\"{number:016x}\",\"customer_id\":\"{}\",\"items\":[",
        number % 2_469
    );
    let mut state = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    while payload.len() + 2 < length {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        payload += &format!(
            "{{\"sku\":\"{}\",\"quantity\":{},\"unit_price\":\"{}.{:02}\",\"category\":\"grocery\"}},",
            state >> 44,
            state % 5,
            (state >> 8) % 20,
            (state >> 20) % 100
        );
    }
    payload.truncate(length.saturating_sub(2).max(1));
    payload += "]}";
    payload.into_bytes()
}

/// User and system time of this process.
fn cpu_time() -> Result<Duration, Failure> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    let ticks: u64 = fields.get(11).ok_or("utime")?.parse::<u64>()?
        + fields.get(12).ok_or("stime")?.parse::<u64>()?;
    Ok(Duration::from_millis(ticks * 10))
}

fn resident() -> Result<u64, Failure> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM"))
        .ok_or("VmHWM")?;
    Ok(line.split_whitespace().nth(1).ok_or("kB")?.parse::<u64>()? / 1024)
}

async fn run() -> Result<(), Failure> {
    let arguments = arguments()?;
    let mut options = Options::default();
    options.kafka.properties.clone_from(&arguments.properties);
    let log = stream::open(&arguments.url, &options).await?;
    // Made beforehand, and big enough not to live in the processor's caches.
    let payloads: Arc<Vec<Bytes>> = Arc::new(
        (0..20_000)
            .map(|number| Bytes::from(payload(number, arguments.bytes)))
            .collect(),
    );
    let ends = log.bounds().await?;
    let expected = Arc::new(AtomicU64::new(u64::MAX));
    let follower = arguments
        .follow
        .then(|| tokio::spawn(follow(Arc::clone(&log), ends, Arc::clone(&expected))));

    let until = Instant::now() + Duration::from_secs(arguments.seconds);
    let (begun, cpu) = (Instant::now(), cpu_time()?);
    let next = Arc::new(AtomicU64::new(0));
    let callers: Vec<_> = (0..arguments.callers)
        .map(|_| {
            tokio::spawn(call(
                Arc::clone(&log),
                Arc::clone(&payloads),
                Arc::clone(&next),
                arguments.batch,
                until,
            ))
        })
        .collect();
    let mut latencies = Vec::new();
    for caller in callers {
        latencies.extend(caller.await??);
    }
    let (wall, cpu) = (begun.elapsed(), cpu_time()?.saturating_sub(cpu));
    latencies.sort_unstable();
    let events = latencies.len() * arguments.batch;
    let part = |part: usize| latencies[(latencies.len() - 1) * part / 100].as_secs_f64() * 1e3;
    println!(
        "{} events of {} B in batches of {} by {} callers: {:.0} events/s, {:.2} µs CPU an event ({:.0} events per CPU-second), \
         p50 {:.2} ms, p99 {:.2} ms, at most {} MB resident",
        events,
        arguments.bytes,
        arguments.batch,
        arguments.callers,
        events as f64 / wall.as_secs_f64(),
        cpu.as_secs_f64() * 1e6 / events as f64,
        events as f64 / cpu.as_secs_f64(),
        part(50),
        part(99),
        resident()?
    );
    if let Some(follower) = follower {
        expected.store(events as u64, Ordering::Release);
        let followed = follower.await??;
        println!("followed {followed} events");
    }
    log.close().await?;
    Ok(())
}

async fn call(
    log: Arc<dyn Log>,
    payloads: Arc<Vec<Bytes>>,
    next: Arc<AtomicU64>,
    batch: usize,
    until: Instant,
) -> Result<Vec<Duration>, Failure> {
    let partitions = u64::from(log.partitions());
    let mut latencies = Vec::new();
    while Instant::now() < until {
        let first = next.fetch_add(batch as u64, Ordering::Relaxed);
        let records = (first..first + batch as u64)
            .map(|number| NewRecord {
                partition: (number.wrapping_mul(0x9E37_79B9_7F4A_7C15) % partitions) as u32,
                payload: payloads[number as usize % payloads.len()].clone(),
                decoded: None,
                trace: None,
            })
            .collect();
        let begun = Instant::now();
        for result in log.append(records).await {
            result?;
        }
        latencies.push(begun.elapsed());
    }
    Ok(latencies)
}

/// Reads what is appended after `ends`, until it has everything.
async fn follow(
    log: Arc<dyn Log>,
    ends: Vec<Bounds>,
    expected: Arc<AtomicU64>,
) -> Result<u64, Failure> {
    let mut consumer = log.subscribe("append-rate").await?;
    let mut followed = 0;
    let mut last = Instant::now();
    while followed < expected.load(Ordering::Acquire) {
        if last.elapsed() > Duration::from_secs(30) {
            return Err(format!("nothing came for 30 s after {followed} events").into());
        }
        for delivery in consumer.poll(&Limits::default()).await? {
            last = Instant::now();
            match delivery {
                Delivery::Assigned(partitions) => {
                    for partition in partitions {
                        consumer
                            .start(partition, ends[partition as usize].end)
                            .await?;
                    }
                }
                Delivery::Records { records, .. } => followed += records.len() as u64,
                Delivery::Revoked(_) | Delivery::Lost(_) => {
                    return Err("the follower lost partitions".into());
                }
            }
        }
    }
    Ok(followed)
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    run().await
}
