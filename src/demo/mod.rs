//! `millrace demo`: a year of real purchases through the whole pipeline, and what a manager sees then.
//!
//! Figures are asked of the running program over its public interface, like anybody else would.

mod dataset;
mod journal;
mod report;
mod send;
mod server;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use self::dataset::Dataset;
use self::journal::Journal;
use self::server::{Server, json as read_json};
use crate::config::{Config, Flags};
use crate::roles::cancel_on_signal;

/// Longest wait for everything sent to be processed and archived.
const PATIENCE: Duration = Duration::from_secs(15 * 60);

/// Options of the demo.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    /// Folder with transactions.parquet and products.parquet of the Complete Journey data
    #[arg(long, value_name = "DIR")]
    dataset: PathBuf,
    /// Send only the first N events
    #[arg(long, value_name = "N")]
    events: Option<usize>,
    /// Stop when the figures are printed, instead of staying up
    #[arg(long)]
    once: bool,
    /// Write the figures to this file as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Send everything again, though an earlier run in the same --data folder has sent it
    #[arg(long)]
    again: bool,
}

/// Runs the demo; in a temporary folder unless `--data` names one.
pub(crate) async fn run(config: Config, flags: &Flags, options: Options) -> Result<()> {
    let temporary = tempfile::tempdir()?;
    let data = match flags.data {
        Some(_) => config.data,
        None => temporary.path().to_owned(),
    };
    std::fs::create_dir_all(&data)
        .with_context(|| format!("{} cannot be created", data.display()))?;

    eprintln!("reading the purchases");
    let mut dataset = Dataset::read(&options.dataset)?;
    dataset.truncate(options.events.unwrap_or(usize::MAX));
    let dataset = Arc::new(dataset);
    let mut journal = Journal::open(&data)?;
    if options.again {
        (journal.acknowledged, journal.in_doubt) = (0, 0);
    }

    eprintln!("starting millrace up on {}", data.display());
    let mut server = Server::start(&data, flags, journal.saved()).await?;
    let token = sign_in(&server, &journal).await?;
    let key = ingest_key(&server, &token).await?;
    journal.save()?;

    let before = totals(&server, &token).await?;
    let started = Instant::now();
    let first = journal.acknowledged as u64;
    let bar = progress_bar(dataset.len() as u64);
    let answered = send::all(&server, &key, &dataset, &mut journal, &bar).await?;
    bar.finish();
    let sent_in = started.elapsed();
    eprintln!(
        "all sent in {:.1} s; waiting until all is processed and archived",
        sent_in.as_secs_f64()
    );
    wait_until_archived(&server, &token, &before, &dataset, options.again).await?;
    let elapsed = started.elapsed();

    let outcome = report::outcome(&server, &token).await?;
    let figures = figures(&dataset, answered, first, elapsed, &server, &outcome);
    println!("\n{}", report::page(&figures));
    if let Some(path) = &options.json {
        std::fs::write(path, serde_json::to_vec_pretty(&figures)?)
            .with_context(|| format!("{} cannot be written", path.display()))?;
    }
    if options.once {
        return server.stop().await;
    }
    println!("Millrace stays up. Stop it with Ctrl-C.");
    println!("  API and its description   {}/docs", server.base());
    println!("  metrics                   {}/metrics", server.base());
    println!(
        "  sign in                   {} / {}",
        journal.email, journal.password
    );
    let stop = CancellationToken::new();
    cancel_on_signal(stop.clone())?;
    tokio::select! {
        ended = server.wait() => ended,
        () = stop.cancelled() => server.stop().await,
    }
}

async fn sign_in(server: &Server, journal: &Journal) -> Result<String> {
    let account = json!({"email": journal.email, "password": journal.password});
    let answer = match journal.saved() {
        false => {
            let mut register = account.clone();
            register["name"] = "Demo".into();
            register["organization"] = "Complete Journey".into();
            server.post("/auth/register").json(&register).send().await?
        }
        true => server.post("/auth/login").json(&account).send().await?,
    };
    // A run that was cut off between registering and its notes has an account all the same.
    let answer = match answer.status().as_u16() {
        409 => server.post("/auth/login").json(&account).send().await?,
        401 | 404 if journal.saved() => {
            bail!("the folder's account does not work; choose another --data folder")
        }
        _ => answer,
    };
    let answer = read_json(answer).await?;
    answer["token"]
        .as_str()
        .map(str::to_owned)
        .context("no session token in the answer")
}

async fn ingest_key(server: &Server, token: &str) -> Result<String> {
    let request = json!({"name": "demo", "scopes": ["ingest", "read"]});
    let answer = read_json(
        server
            .post("/api-keys")
            .bearer_auth(token)
            .json(&request)
            .send()
            .await?,
    )
    .await?;
    answer["key"]
        .as_str()
        .map(str::to_owned)
        .context("no key in the answer")
}

fn progress_bar(length: u64) -> ProgressBar {
    let style = "{bar:40} {pos}/{len} events, {per_sec}, {eta} left";
    let style =
        ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(length).with_style(style)
}

async fn totals(server: &Server, token: &str) -> Result<Value> {
    let answer = server
        .get("/admin/reconciliation")
        .bearer_auth(token)
        .send()
        .await?;
    Ok(read_json(answer).await?["totals"].clone())
}

/// Waits until every event of the data is either an event or a duplicate, and all events are archived.
async fn wait_until_archived(
    server: &Server,
    token: &str,
    before: &Value,
    dataset: &Dataset,
    again: bool,
) -> Result<()> {
    let started = Instant::now();
    let duplicates =
        before["duplicates"].as_u64().unwrap_or(0) + if again { dataset.len() as u64 } else { 0 };
    loop {
        let now = totals(server, token).await?;
        let count = |name: &str| now[name].as_u64().unwrap_or(0);
        let all = count("events") >= dataset.len() as u64
            && (!again || count("duplicates") >= duplicates);
        if all && count("archive_rows") >= count("events") && count("applied") >= count("end") {
            return Ok(());
        }
        if started.elapsed() > PATIENCE {
            bail!("not everything is processed and archived after 15 minutes: {now}");
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

fn figures(
    dataset: &Dataset,
    answered: send::Answered,
    first: u64,
    elapsed: Duration,
    server: &Server,
    outcome: &Value,
) -> Value {
    let totals = &outcome["reconciliation"]["totals"];
    let count = |name: &str| totals[name].as_u64().unwrap_or(0);
    let elapsed = elapsed.as_secs_f64();
    let sent_now = dataset.len() as u64 - first;
    json!({
        "sent": dataset.len(),
        "accepted": answered.accepted,
        "processed": count("events"),
        "archived": count("archive_rows"),
        "rejected": answered.rejected + count("rejections").saturating_sub(count("duplicates")),
        "duplicates": count("duplicates"),
        "balanced": outcome["reconciliation"]["balanced"],
        "revenue": {
            "sent": dataset.revenue().to_text(2),
            "state": outcome["state_revenue"],
            "archive": outcome["archive_revenue"],
        },
        "events_per_s": (sent_now as f64 / elapsed * 10.0).round() / 10.0,
        "elapsed_s": (elapsed * 1000.0).round() / 1000.0,
        "peak_rss_mb": (server.peak_memory() as f64 / 1e5).round() / 10.0,
        "top_products": outcome["top_products"],
        "forecast": outcome["forecast"],
        "recommendations": outcome["recommendations"],
    })
}
