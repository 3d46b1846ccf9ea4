//! The end of the log: what it took since the progress in the tables. Kept as Parquet, applied at the restore.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use arrow::array::{ArrayRef, AsArray as _, BinaryArray, Int64Array, RecordBatch, UInt64Array};
use arrow::datatypes::{Int64Type, UInt64Type};
use processors::Processor;
use schemas::Position;
use stream::embedded::Import;
use stream::{Log, LogRecord};
use tokio_util::sync::CancellationToken;
use warehouse::archive::Place;

use super::manifest::{LogPart, Manifest};
use super::tables::{decode, encode};

/// Records and payload bytes in a file, about.
const RECORDS: usize = 50_000;
const BYTES: usize = 16 << 20;
/// How often it looks how far applying is.
const LOOK: Duration = Duration::from_millis(200);

/// Writes the records from `manifest.log.starts` to where the log ends now.
pub(crate) async fn export(manifest: &mut Manifest, place: &Place, log: &dyn Log) -> Result<u64> {
    let mut records = 0;
    for bounds in log.bounds().await? {
        let partition = bounds.partition;
        let index = partition as usize;
        let mut next = manifest.log.starts[index];
        if bounds.start > next {
            bail!(
                "the log begins at offset {} of partition {partition} and {next} is not applied yet; \
                 there is nothing to back up that could be restored whole",
                bounds.start
            );
        }
        while next < bounds.end {
            let most = usize::try_from(bounds.end - next).unwrap_or(RECORDS);
            let read = log.read(partition, next, most.min(RECORDS), BYTES).await?;
            let last = read.last().context("the log ends before it says")?;
            let name = format!("log/{partition}/{next:020}.parquet");
            next = last.position.offset + 1;
            records += read.len() as u64;
            let file = encode(vec![rows(&read)?]).await?;
            manifest.put(place, &name, file).await?;
            manifest.log.files[index].push(name);
        }
        manifest.log.ends[index] = next;
    }
    Ok(records)
}

/// Makes an embedded log of them in an empty folder, with the offsets and times they had.
pub(crate) async fn import(
    manifest: &Manifest,
    place: &Place,
    folder: &Path,
    options: &stream::Options,
) -> Result<()> {
    let LogPart { starts, files, .. } = &manifest.log;
    let mut import = Import::begin(folder, options, starts)?;
    for (partition, files) in (0..).zip(files) {
        for name in files {
            let Some(rows) = decode(manifest.get(place, name).await?).await? else {
                continue;
            };
            let records = records(options.generation, partition, &rows)?;
            import = tokio::task::spawn_blocking(move || {
                import.add(partition, &records)?;
                Ok::<_, stream::LogError>(import)
            })
            .await??;
        }
    }
    Ok(())
}

/// Runs a processor until everything in the log is applied and archived.
pub(crate) async fn drain(processor: Processor, log: &dyn Log) -> Result<()> {
    let (handle, shutdown) = (processor.handle(), CancellationToken::new());
    let mut running = tokio::spawn(processor.run(shutdown.clone()));
    let bounds = log.bounds().await?;
    let done = async {
        loop {
            let progress = handle.progress();
            let left = bounds.iter().any(|bounds| {
                let known = progress
                    .iter()
                    .find(|known| known.partition == bounds.partition);
                bounds.end > 0
                    && known.is_none_or(|known| known.applied.min(known.archived) < bounds.end)
            });
            if !left && progress.len() == bounds.len() {
                return;
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::select! {
        () = done => shutdown.cancel(),
        ended = &mut running => {
            ended??;
            bail!("processing has ended by itself; report this");
        }
    }
    running
        .await?
        .context("what is left of the log cannot be applied")
}

fn rows(records: &[LogRecord]) -> Result<RecordBatch> {
    let offsets = records.iter().map(|record| record.position.offset);
    let times = records.iter().map(|record| record.appended_at);
    let payloads = records.iter().map(|record| &record.payload[..]);
    let columns: [(&str, ArrayRef); 3] = [
        ("offset", Arc::new(UInt64Array::from_iter_values(offsets))),
        ("appended_at", Arc::new(Int64Array::from_iter_values(times))),
        ("payload", Arc::new(BinaryArray::from_iter_values(payloads))),
    ];
    Ok(RecordBatch::try_from_iter(columns)?)
}

fn records(generation: u32, partition: u32, rows: &RecordBatch) -> Result<Vec<LogRecord>> {
    let column = |name: &str| {
        rows.column_by_name(name)
            .with_context(|| format!("a file of the log has no {name}"))
    };
    let offsets = column("offset")?.as_primitive_opt::<UInt64Type>();
    let times = column("appended_at")?.as_primitive_opt::<Int64Type>();
    let payloads = column("payload")?.as_binary_opt::<i32>();
    let (Some(offsets), Some(times), Some(payloads)) = (offsets, times, payloads) else {
        bail!("a file of the log has other columns");
    };
    let record = |row: usize| LogRecord {
        position: Position {
            generation,
            partition,
            offset: offsets.value(row),
        },
        payload: payloads.value(row).to_vec().into(),
        decoded: None,
        appended_at: times.value(row),
        trace: None,
    };
    Ok((0..rows.num_rows()).map(record).collect())
}
