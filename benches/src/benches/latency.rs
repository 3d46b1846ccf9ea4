//! From the answer to an event until a query sees it, while 5,000 other events/s come in.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use reqwest::StatusCode;

use crate::events::{Shape, Template};
use crate::http::{Connection, post_head};
use crate::report::{Figures, Reporter, quantile};
use crate::server::{Installation, Server};
use crate::settings::Settings;

const RATE: u64 = 5_000;
/// Events in a request of the steady load: a request every 20 ms.
const BATCH: usize = 100;
/// Customers looked for at a time.
const PROBES: u64 = 2;
/// How often each is looked for: how much too long a measured time may be. Asking costs the server a query.
const EVERY: Duration = Duration::from_millis(50);

pub(crate) async fn run(settings: &Settings, reporter: &Reporter) -> Result<()> {
    reporter
        .case(
            "accepted → in the customer's summary, at 5,000 small events/s",
            async || measure(settings).await,
        )
        .await
}

async fn measure(settings: &Settings) -> Result<Figures> {
    let installation = Installation::new(settings)?;
    let server = Arc::new(installation.up().await?);
    let time = settings.load_time().mul_f64(2.0);
    let until = Instant::now() + time;
    let done = Arc::new(AtomicBool::new(false));
    let cpu = server.cpu_seconds()?;
    let begun = Instant::now();
    let steady = tokio::spawn(steady(Arc::clone(&server), Arc::clone(&done)));
    let probes: Vec<_> = (0..PROBES)
        .map(|probe| tokio::spawn(look(Arc::clone(&server), probe, until)))
        .collect();
    let mut times = Vec::new();
    let mut failed = None;
    for probe in probes {
        match probe.await? {
            Ok(found) => times.extend(found),
            Err(error) => failed = Some(error),
        }
    }
    done.store(true, Ordering::Relaxed);
    let (events, mut requests) = steady.await??;
    if let Some(error) = failed {
        return Err(error);
    }
    let (cpu, seconds) = (server.cpu_seconds()? - cpu, begun.elapsed().as_secs_f64());
    let server = Arc::into_inner(server).context("a task still uses the server")?;
    server.stop().await?;
    times.sort_by(f64::total_cmp);
    requests.sort_by(f64::total_cmp);
    Ok(vec![
        ("p95_ms", quantile(&times, 0.95)),
        ("p50_ms", quantile(&times, 0.5)),
        ("max_ms", quantile(&times, 1.0)),
        ("probes", times.len() as f64),
        ("events_per_s", events as f64 / seconds),
        ("accept_p95_ms", quantile(&requests, 0.95)),
        ("server_cores", cpu / seconds),
    ])
}

/// Sends at a steady rate, whatever the answers take, until it is told to stop.
async fn steady(server: Arc<Server>, done: Arc<AtomicBool>) -> Result<(u64, Vec<f64>)> {
    let events = Template::lines(Shape::Small, BATCH, 1);
    let path = "/api/v1/ingest/batch?verdicts=rejected";
    let head = post_head(
        server.address(),
        path,
        server.key(),
        "application/x-ndjson",
        events.text().len(),
    );
    let mut request = events.prefixed(&head);
    let mut connection = Connection::open(server.address()).await?;
    let mut every = tokio::time::interval(Duration::from_secs_f64(BATCH as f64 / RATE as f64));
    // What an answer held up is sent at once afterwards, so that the rate stays.
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Burst);
    let (mut sent, mut times) = (0, Vec::new());
    while !done.load(Ordering::Relaxed) {
        every.tick().await;
        request.stamp(sent, 2_469);
        let begun = Instant::now();
        let answer = connection.send(request.text()).await?;
        if answer.status != 202 {
            bail!("the server answered {}", answer.status);
        }
        times.push(begun.elapsed().as_secs_f64() * 1e3);
        sent += request.len() as u64;
    }
    Ok((sent, times))
}

/// Sends a new customer's first purchase and asks for the customer until it is there, again and again.
async fn look(server: Arc<Server>, probe: u64, until: Instant) -> Result<Vec<f64>> {
    let mut connection = Connection::open(server.address()).await?;
    let path = "/api/v1/ingest/purchases";
    let mut times = Vec::new();
    for round in 0.. {
        if Instant::now() >= until {
            break;
        }
        let customer = format!("probe-{probe}-{round}");
        let body =
            format!(r#"{{"event_id":"{customer}","customer_id":"{customer}","amount":"1.00"}}"#);
        let mut request = post_head(
            server.address(),
            path,
            server.key(),
            "application/json",
            body.len(),
        );
        request.extend_from_slice(body.as_bytes());
        let answer = connection.send(&request).await?;
        if answer.status != 202 {
            bail!("the server answered {}", answer.status);
        }
        let begun = Instant::now();
        loop {
            let response = server
                .get(&format!("/customers/{customer}/summary"))
                .send()
                .await?;
            match response.status() {
                StatusCode::OK => break,
                StatusCode::NOT_FOUND => {}
                other => bail!("the summary was answered {other}"),
            }
            if begun.elapsed() > Duration::from_secs(30) {
                bail!("{customer} is not there after 30 s");
            }
            tokio::time::sleep(EVERY).await;
        }
        times.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    Ok(times)
}
