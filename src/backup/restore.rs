//! Putting a backup back onto an empty place.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use control::Control;
use futures::{StreamExt as _, TryStreamExt as _};
use stream::embedded::EmbeddedLog;
use stream::{Log, LogError};
use warehouse::archive::{Archive, Place};
use warehouse::{Params, Warehouse};

use super::manifest::Manifest;
use super::{RestoreOptions, Tell, local_path, tables, tail};
use crate::assemble::{log_options, processor_options, storage_options, warehouse_options};
use crate::config::Config;

/// A table that is there from the beginning of a restore until it is done.
pub(super) const RESTORING: &str = "restoring";
/// Files of the archive copied at the same time.
const COPIES: usize = 8;

/// Puts everything back, and applies what the log had taken beyond it.
pub(crate) async fn restore(
    config: &Config,
    place: &Place,
    options: &RestoreOptions,
    tell: Tell<'_>,
) -> Result<()> {
    let manifest = Manifest::read(place).await?;
    tell(manifest.summary());
    if options.replace {
        // Before anything makes way for it.
        manifest.check(place).await?;
        tell("every file of it is as it was written".to_owned());
    }
    check_log(config, &manifest, options, tell).await?;
    let control = Control::open(&config.control)
        .await
        .context("the control database cannot be opened")?;
    let warehouse = warehouse::open(&config.warehouse, &warehouse_options(config))
        .await
        .context("the warehouse cannot be opened")?;
    let put = put(
        config, place, &manifest, options, &control, &warehouse, tell,
    )
    .await;
    warehouse.close().await;
    control.close().await;
    put
}

#[allow(clippy::too_many_arguments)]
async fn put(
    config: &Config,
    place: &Place,
    manifest: &Manifest,
    options: &RestoreOptions,
    control: &Control,
    warehouse: &Arc<dyn Warehouse>,
    tell: Tell<'_>,
) -> Result<()> {
    let storage = storage_options(config, &config.archive);
    let target = Archive::place_of(&config.archive, &storage)?;
    let kept = || {
        let tables = manifest.tables.iter();
        tables.filter(|table| !processors::replay::is_aside(&table.name))
    };
    for table in kept() {
        let here = tables::columns(warehouse.as_ref(), &table.name).await?;
        if here != table.columns {
            bail!(
                "the table {} has other columns here than in the backup; restore it with the program that took it, {}, and upgrade then",
                table.name,
                manifest.version
            );
        }
    }

    make_room(&target, control, warehouse.as_ref(), options.replace).await?;
    archive(manifest, place, &target).await?;
    tell(format!("archive: {} rows", manifest.archive.rows));
    // The commit point last: what is cut off before it is a warehouse in which nothing is applied.
    let (progress, others): (Vec<_>, Vec<_>) =
        kept().partition(|table| table.name == tables::PROGRESS);
    for table in others.into_iter().chain(progress) {
        tables::import(manifest, place, warehouse.as_ref(), table)
            .await
            .with_context(|| format!("the table {} cannot be restored", table.name))?;
        tell(format!("warehouse: {} rows of {}", table.rows, table.name));
    }
    let rows = manifest.get(place, &manifest.control).await?;
    control.import(&rows, options.replace).await?;
    tell(format!("control database: {} bytes", rows.len()));
    if options.keep_log {
        finish(&**warehouse).await?;
        tell(
            "restored; start Millrace, and it applies what the log took since the backup"
                .to_owned(),
        );
        return Ok(());
    }
    let archive = Archive::open(&config.archive, &storage).await?;
    apply_tail(config, place, manifest, warehouse, &archive, tell).await?;
    finish(&**warehouse).await
}

/// Marks the warehouse as half restored.
async fn begin(warehouse: &dyn Warehouse) -> Result<()> {
    let sql = format!(
        "CREATE TABLE IF NOT EXISTS {RESTORING} (since DateTime DEFAULT now()) ENGINE = MergeTree ORDER BY since"
    );
    Ok(warehouse.execute(&sql, &Params::new()).await?)
}

async fn finish(warehouse: &dyn Warehouse) -> Result<()> {
    let sql = format!("DROP TABLE IF EXISTS {RESTORING} SYNC");
    Ok(warehouse.execute(&sql, &Params::new()).await?)
}

/// Refuses a place whose restore was cut off: what is missing there would seem never to have been.
pub(crate) async fn check_whole(warehouse: &dyn Warehouse) -> Result<()> {
    let sql = format!(
        "SELECT name FROM system.tables WHERE database = currentDatabase() AND name = '{RESTORING}'"
    );
    let found = warehouse.query(&sql, &Params::new()).await?;
    if found.iter().any(|batch| batch.num_rows() > 0) {
        bail!("a restore of this place was not finished: run it again with --replace");
    }
    Ok(())
}

/// The log that goes on after the restore must be the one of the backup, or a new one of a later generation.
async fn check_log(
    config: &Config,
    manifest: &Manifest,
    options: &RestoreOptions,
    tell: Tell<'_>,
) -> Result<()> {
    let (ours, theirs) = (config.stream.generation, manifest.log.generation);
    if options.keep_log {
        if (ours, config.stream.partitions) != (theirs, manifest.log.partitions) {
            bail!(
                "the log to be kept has generation {theirs} and {} partitions; set stream.generation and stream.partitions to that",
                manifest.log.partitions
            );
        }
        return Ok(());
    }
    if ours <= theirs {
        bail!(
            "the backup is of log generation {theirs}, and a restored log is a new one: set stream.generation to {} for \
             the restore and from then on, or say --keep-log if that log is still there and goes on",
            theirs + 1
        );
    }
    let opened = stream::open(&config.log, &log_options(config)).await;
    let folder = local_path(&config.log).filter(|_| options.replace);
    let log = match (opened, folder) {
        (Err(LogError::Mismatch(_)), Some(folder)) => return set_aside(folder, tell),
        (opened, _) => {
            opened.context("the log cannot be opened (--replace moves an embedded one aside)")?
        }
    };
    let bounds = log.bounds().await;
    log.close().await?;
    if bounds?.iter().all(|bounds| bounds.end == 0) {
        return Ok(());
    }
    match folder {
        Some(folder) => set_aside(folder, tell),
        None => bail!(
            "log generation {ours} at {} holds records already; set stream.generation to a new one",
            crate::config::without_password(&config.log)
        ),
    }
}

/// Moves an embedded log out of the way of the one that begins now. Nothing else of what is replaced is worth keeping:
/// the log may hold what no backup has.
fn set_aside(folder: &str, tell: Tell<'_>) -> Result<()> {
    let folder = folder.trim_end_matches('/');
    let aside = format!("{folder}.replaced");
    if Path::new(&aside).exists() {
        bail!(
            "the log at {folder} makes way for a new one, and {aside} is there already from an earlier restore; remove it"
        );
    }
    std::fs::rename(folder, &aside)
        .with_context(|| format!("{folder} cannot be moved to {aside}"))?;
    tell(format!(
        "log: the one that was there is in {aside} now; remove it when nothing of it is missed"
    ));
    Ok(())
}

/// Sees to it that nothing is there; deletes it if that was said.
async fn make_room(
    archive: &Place,
    control: &Control,
    warehouse: &dyn Warehouse,
    replace: bool,
) -> Result<()> {
    let mut there = Vec::new();
    if !archive.is_empty().await? {
        there.push(format!("the archive at {}", archive.url()));
    }
    if !control.is_empty().await? {
        there.push("the control database".to_owned());
    }
    let names = tables::names(warehouse).await?;
    for table in &names {
        if tables::count(warehouse, table).await? > 0 {
            there.push(format!("the table {table}"));
        }
    }
    if there.is_empty() {
        return begin(warehouse).await;
    }
    if !replace {
        bail!(
            "not empty: {}; name empty places, or say --replace to delete what is there",
            there.join(", ")
        );
    }
    begin(warehouse).await?;
    // The reverse of the order that makes it valid: progress goes first.
    for table in &names {
        tables::truncate(warehouse, table).await?;
    }
    archive.clear().await?;
    Ok(())
}

/// Puts the archive's files back: its log only when all the data is there.
async fn archive(manifest: &Manifest, place: &Place, target: &Place) -> Result<()> {
    for names in [&manifest.archive.data, &manifest.archive.log] {
        let mut copies = futures::stream::iter(names.clone())
            .map(|name| async move {
                let bytes = manifest.get(place, &format!("archive/{name}")).await?;
                target.put(&name, bytes).await?;
                Ok::<_, anyhow::Error>(())
            })
            .buffer_unordered(COPIES);
        while copies.try_next().await?.is_some() {}
    }
    Ok(())
}

/// Applies and archives what the log had taken beyond the tables, and makes sure that everything adds up.
async fn apply_tail(
    config: &Config,
    place: &Place,
    manifest: &Manifest,
    warehouse: &Arc<dyn Warehouse>,
    archive: &Archive,
    tell: Tell<'_>,
) -> Result<()> {
    std::fs::create_dir_all(&config.data)?;
    let scratch = tempfile::Builder::new()
        .prefix("restore-")
        .tempdir_in(&config.data)?;
    let folder: PathBuf = scratch.path().join("log");
    let options = stream::Options {
        generation: manifest.log.generation,
        partitions: manifest.log.partitions,
        ..log_options(config)
    };
    tail::import(manifest, place, &folder, &options).await?;
    let log: Arc<dyn Log> = Arc::new(EmbeddedLog::open(folder, options).await?);
    let processor = processors::Processor::new(
        log.clone(),
        warehouse.clone(),
        archive.clone(),
        processor_options(config),
    );
    let drained = tail::drain(processor, log.as_ref()).await;
    let found = processors::reconcile(log.as_ref(), warehouse.as_ref(), archive).await;
    log.close().await?;
    drained?;
    let found = found?;
    if !found.balanced {
        bail!("the restored places do not add up: {found:#?}");
    }
    let totals = found.totals;
    tell(format!(
        "restored and reconciled: {} records applied, {} events, {} rejections, {} internal; {} rows archived",
        totals.applied, totals.events, totals.rejections, totals.internal, totals.archive_rows
    ));
    tell(format!(
        "start Millrace with stream.generation = {}",
        config.stream.generation
    ));
    Ok(())
}
