//! `millrace replay`, and the replays of `POST /admin/replay`.

mod service;
mod shown;

use std::io::{IsTerminal, Write};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use processors::replay::{Progress, Selection, replay};
use schemas::{Position, Timestamp};
use tokio::sync::watch;

use crate::assemble::Parts;
use crate::config::Config;
pub(crate) use service::Replays;

/// How often the line of progress is written anew.
const STEP: Duration = Duration::from_millis(250);

/// What `millrace replay` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Make the rebuilt state the live one where they differ; processors must be stopped
    #[arg(long, conflicts_with_all = ["dry_run", "from", "since", "until"])]
    switch: bool,
    /// Only say what would be read, and write nothing
    #[arg(long)]
    dry_run: bool,
    /// Only customers with events in this partition from this position on
    #[arg(long, value_name = "GENERATION:PARTITION:OFFSET", conflicts_with_all = ["since", "until"])]
    from: Option<Position>,
    /// Only customers with events received at this time or later
    #[arg(long, value_name = "TIME", value_parser = Timestamp::parse)]
    since: Option<Timestamp>,
    /// Only customers with events received before this time
    #[arg(long, value_name = "TIME", value_parser = Timestamp::parse)]
    until: Option<Timestamp>,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

/// The customers that are asked for.
fn selection(
    from: Option<Position>,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
) -> Selection {
    match (from, since, until) {
        (Some(position), ..) => Selection::From(position),
        (None, None, None) => Selection::All,
        (None, since, until) => Selection::Received(since, until),
    }
}

/// Replays once, prints what was found, and fails where something differs and was not mended.
pub(crate) async fn run(config: Config, options: Options) -> Result<()> {
    crate::backup::must_be_there(&config).context("there is nothing to replay")?;
    let parts = Parts::open(&config).await.context(
        "a replay needs the log, the warehouse and the archive to itself where they are embedded",
    )?;
    let wanted = processors::replay::Options {
        selection: selection(options.from, options.since, options.until),
        switch: options.switch,
        dry_run: options.dry_run,
        state_bytes: config.process.state_bytes,
        ..processors::replay::Options::default()
    };
    let (told, progress) = watch::channel(Progress::default());
    let showing = std::io::stderr()
        .is_terminal()
        .then(|| tokio::spawn(show(progress)));
    let outcome = replay(&parts.place(None), &wanted, &told).await;
    drop(told);
    if let Some(showing) = showing {
        let _ = showing.await;
    }
    let closed = parts.close().await;
    let report = outcome.context("the replay did not come to its end")?;
    match options.json {
        true => println!("{}", serde_json::to_string_pretty(&report)?),
        false => print!("{}", shown::report(&report)),
    }
    closed?;
    if wanted.selection != Selection::All && !wanted.dry_run && report.customers == 0 {
        bail!("no customer has events there, so nothing was compared; look at what was asked for");
    }
    if !report.is_clean() && !report.switched {
        bail!(
            "the live state differs from what the events say; `millrace replay --switch` mends it"
        );
    }
    Ok(())
}

/// Keeps one line on the terminal up to date until the replay has ended.
async fn show(mut progress: watch::Receiver<Progress>) {
    while progress.changed().await.is_ok() {
        let line = shown::progress(&progress.borrow_and_update());
        // What is left of a longer line before it is cleared.
        eprint!("\r{line}\x1b[K");
        let _ = std::io::stderr().flush();
        tokio::time::sleep(STEP).await;
    }
    eprintln!();
}
