//! Taking a backup while everything runs.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use arrow::array::AsArray as _;
use arrow::datatypes::{UInt32Type, UInt64Type};
use futures::{StreamExt as _, TryStreamExt as _};
use stream::Log;
use warehouse::archive::Place;
use warehouse::{Params, Warehouse};

use super::manifest::{ArchivePart, LogPart, Manifest, write};
use super::{Tell, tables, tail};
use crate::assemble::Parts;

/// Files of the archive copied at the same time.
const COPIES: usize = 8;

/// Writes a backup to an empty place.
pub(crate) async fn take(parts: &Parts, place: &Place, tell: Tell<'_>) -> Result<Manifest> {
    if !place.is_empty().await? {
        bail!("{} is not empty; name a new place", place.url());
    }
    // The archive first: it is never ahead of the progress that is read after it. Its log's files are few, and copied
    // before they can be cleaned away; data files stay for an hour after they were replaced.
    let snapshot = parts.archive.snapshot().await?;
    let (data, log) = snapshot.objects().await?;
    let archive = ArchivePart {
        version: snapshot.version(),
        rows: snapshot.rows(),
        data,
        log,
    };
    let starts = starts(parts.warehouse.as_ref(), parts.log.as_ref()).await?;
    let mut manifest = Manifest::new(
        LogPart {
            generation: parts.log.generation(),
            partitions: parts.log.partitions(),
            ends: starts.clone(),
            files: starts.iter().map(|_| Vec::new()).collect(),
            starts,
        },
        archive.clone(),
    );
    let source = parts.archive.place();
    copy(&mut manifest, &source, place, &archive.log).await?;

    let warehouse = parts.warehouse.as_ref();
    for table in tables::names(warehouse).await? {
        if processors::replay::is_aside(&table) {
            continue;
        }
        let rows = tables::export(&mut manifest, place, warehouse, &table)
            .await
            .with_context(|| format!("the table {table} cannot be copied"))?;
        tell(format!("warehouse: {rows} rows of {table}"));
    }
    // After the tables: it holds everything that any of them may have seen.
    let records = tail::export(&mut manifest, place, parts.log.as_ref()).await?;
    tell(format!("log: {records} records from the progress on"));

    copy(&mut manifest, &source, place, &archive.data)
        .await
        .context("the archive cannot be copied; take another backup")?;
    tell(format!(
        "archive: version {} with {} rows in {} files",
        archive.version,
        archive.rows,
        archive.data.len()
    ));
    // Last, so that it knows every organization that sent something.
    let control = parts.control.export().await?;
    tell(format!("control database: {} bytes", control.len()));
    let name = manifest.control.clone();
    manifest.put(place, &name, control.into()).await?;
    manifest.finish(place).await?;
    Ok(manifest)
}

/// By partition, the last applied record: from there on the log is kept with the tables.
async fn starts(warehouse: &dyn Warehouse, log: &dyn Log) -> Result<Vec<u64>> {
    let sql = "SELECT partition, max(offset) AS next FROM progress WHERE generation = {generation:UInt32} GROUP BY partition";
    let params = Params::new().with("generation", log.generation());
    let mut applied: BTreeMap<u32, u64> = BTreeMap::new();
    for batch in warehouse.query(sql, &params).await? {
        let partitions = batch.column(0).as_primitive_opt::<UInt32Type>();
        let next = batch.column(1).as_primitive_opt::<UInt64Type>();
        let (Some(partitions), Some(next)) = (partitions, next) else {
            bail!("the progress has other columns than this program knows");
        };
        applied.extend(
            partitions
                .values()
                .iter()
                .copied()
                .zip(next.values().iter().copied()),
        );
    }
    let bounds = log.bounds().await?;
    let start = |partition: u32| {
        let kept = bounds
            .iter()
            .find(|bounds| bounds.partition == partition)
            .map_or(0, |bounds| bounds.start);
        let next = applied.get(&partition).copied().unwrap_or(0);
        // With the last applied record, by which a processor knows the log again, if it is still there.
        next.saturating_sub(1).max(kept.min(next))
    };
    Ok((0..log.partitions()).map(start).collect())
}

/// Copies files of the archive.
async fn copy(manifest: &mut Manifest, from: &Place, to: &Place, names: &[String]) -> Result<()> {
    let mut copies = futures::stream::iter(names.to_vec())
        .map(|name| async move {
            let bytes = from.get(&name).await?;
            let name = format!("archive/{name}");
            let file = write(to, &name, bytes).await?;
            Ok::<_, anyhow::Error>((name, file))
        })
        .buffer_unordered(COPIES);
    while let Some((name, file)) = copies.try_next().await? {
        manifest.files.insert(name, file);
    }
    Ok(())
}
