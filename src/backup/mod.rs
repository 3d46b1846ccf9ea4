//! Backup and restore: warehouse, archive, control database, and the part of the log that is not applied.
//!
//! A backup is what a crash would have left, and reads in the same order as a processor that takes over: the archive's
//! version, then progress, then state, then everything else, each no older than the one before. What the log took since
//! that progress comes with it, so that applying it makes the rest exact; a restore does that before it is done.
//! Nothing needs to stop meanwhile.

mod manifest;
mod online;
mod restore;
mod tables;
mod tail;
mod take;

use std::path::Path;

use anyhow::{Context, Result, bail};
use warehouse::archive::Place;

pub(crate) use online::Backups;
pub(crate) use restore::check_whole;

use crate::assemble::{Parts, storage_options};
use crate::config::Config;

/// What is put back, and where that may go on.
#[derive(Debug, clap::Args)]
pub(crate) struct RestoreOptions {
    /// Where the backup is: file:DIRECTORY or s3://BUCKET/PREFIX
    #[arg(long, value_name = "URL")]
    from: String,
    /// Delete what the warehouse, the archive and the control database hold now, and move an embedded log aside
    #[arg(long)]
    replace: bool,
    /// The log is still there and goes on: what it took since the backup is applied at the next start
    #[arg(long)]
    keep_log: bool,
}

/// Writes a backup of everything that the settings name to an empty place.
pub(crate) async fn backup(config: Config, to: &str) -> Result<()> {
    let place = open(&config, to)?;
    must_be_there(&config).context("there is nothing to back up")?;
    let parts = Parts::open(&config).await?;
    let taken = take::take(&parts, &place, &|line| println!("{line}")).await;
    let closed = parts.close().await;
    let manifest = taken?;
    closed?;
    println!("{}", manifest.summary());
    Ok(())
}

/// Refuses to work on what is not there yet: it would be made, empty, and all would seem well.
pub(crate) fn must_be_there(config: &Config) -> Result<()> {
    let urls = [
        &config.log,
        &config.warehouse,
        &config.archive,
        &config.control,
    ];
    for path in urls.into_iter().filter_map(|url| local_path(url)) {
        if !Path::new(path).exists() {
            bail!("{path} does not exist; is --data the right folder?");
        }
    }
    Ok(())
}

/// The file or folder that an embedded part's URL names.
fn local_path(url: &str) -> Option<&str> {
    let path = ["file:", "chdb:", "sqlite:"]
        .iter()
        .find_map(|scheme| url.strip_prefix(scheme))?;
    Some(path.strip_prefix("//").unwrap_or(path))
}

/// Puts a backup back to where the settings point.
pub(crate) async fn restore(config: Config, options: RestoreOptions) -> Result<()> {
    if let Some(path) = local_path(&options.from)
        && !Path::new(path).exists()
    {
        bail!("{path} does not exist; name the folder of a backup");
    }
    let place = open(&config, &options.from)?;
    restore::restore(&config, &place, &options, &|line| println!("{line}")).await
}

fn open(config: &Config, url: &str) -> Result<Place> {
    Place::open(url, &storage_options(config, url)).context("the backup's place cannot be used")
}

/// Says what has been done, a line at a time.
pub(crate) type Tell<'a> = &'a (dyn Fn(String) + Send + Sync);
