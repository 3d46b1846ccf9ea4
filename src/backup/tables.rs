//! Tables of the warehouse as Parquet files, whichever way ClickHouse runs.

use anyhow::{Context, Result, bail};
use arrow::array::{AsArray as _, RecordBatch};
use arrow::compute::concat_batches;
use bytes::Bytes;
use futures::StreamExt as _;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use warehouse::archive::Place;
use warehouse::{Params, Warehouse};

use super::manifest::{Manifest, TablePart};
use super::restore::RESTORING;

/// A file holds about this many rows or bytes in memory: it is inserted as one block.
const ROWS: usize = 200_000;
const BYTES: usize = 128 << 20;

/// The tables, each no older than those before it: the reverse of the order they are written in. What is not named here
/// comes last.
const ORDER: [&str; 3] = ["progress", "customer_state", "customer_days"];
/// The commit point.
pub(crate) const PROGRESS: &str = ORDER[0];

/// Every table with rows of its own.
pub(crate) async fn names(warehouse: &dyn Warehouse) -> Result<Vec<String>> {
    let sql = format!(
        "SELECT name FROM system.tables WHERE database = currentDatabase() \
         AND engine LIKE '%MergeTree' AND name NOT IN ('migrations', '{RESTORING}') ORDER BY name"
    );
    let mut names = texts(&warehouse.query(&sql, &Params::new()).await?, 0);
    names.sort_by_key(|name| {
        ORDER
            .iter()
            .position(|first| first == name)
            .unwrap_or(ORDER.len())
    });
    Ok(names)
}

/// Name and type of each column.
pub(crate) async fn columns(
    warehouse: &dyn Warehouse,
    table: &str,
) -> Result<Vec<(String, String)>> {
    let sql = "SELECT name, type FROM system.columns WHERE database = currentDatabase() AND table = {table:String} \
        AND default_kind NOT IN ('MATERIALIZED', 'ALIAS', 'EPHEMERAL') ORDER BY position";
    let found = warehouse
        .query(sql, &Params::new().with("table", table))
        .await?;
    Ok(texts(&found, 0).into_iter().zip(texts(&found, 1)).collect())
}

/// Rows in a table.
pub(crate) async fn count(warehouse: &dyn Warehouse, table: &str) -> Result<u64> {
    let sql = format!("SELECT toString(count()) FROM {}", quoted(table));
    let found = texts(&warehouse.query(&sql, &Params::new()).await?, 0);
    let count = found.first().and_then(|count| count.parse().ok());
    count.context("the warehouse does not count")
}

/// Deletes all rows of a table.
pub(crate) async fn truncate(warehouse: &dyn Warehouse, table: &str) -> Result<()> {
    let sql = format!("TRUNCATE TABLE {}", quoted(table));
    Ok(warehouse.execute(&sql, &Params::new()).await?)
}

/// Writes a table's rows as they are, replaced ones too, one partition of it after the other.
pub(crate) async fn export(
    manifest: &mut Manifest,
    place: &Place,
    warehouse: &dyn Warehouse,
    table: &str,
) -> Result<u64> {
    let sql = "SELECT DISTINCT partition_id FROM system.parts WHERE database = currentDatabase() \
        AND table = {table:String} AND active ORDER BY partition_id";
    let found = warehouse
        .query(sql, &Params::new().with("table", table))
        .await?;
    let mut part = TablePart {
        name: table.to_owned(),
        columns: columns(warehouse, table).await?,
        rows: 0,
        files: Vec::new(),
    };
    let sql = format!(
        "SELECT * FROM {} WHERE _partition_id = {{id:String}}",
        quoted(table)
    );
    for id in texts(&found, 0) {
        let mut rows = warehouse
            .stream(&sql, &Params::new().with("id", id))
            .await?;
        let (mut held, mut count, mut bytes) = (Vec::new(), 0, 0);
        loop {
            let batch = rows.next().await.transpose()?;
            let last = batch.is_none();
            if let Some(batch) = batch {
                count += batch.num_rows();
                bytes += batch.get_array_memory_size();
                held.push(batch);
            }
            if count >= ROWS || bytes >= BYTES || last && count > 0 {
                let name = format!("warehouse/{table}/{:06}.parquet", part.files.len());
                let file = encode(std::mem::take(&mut held)).await?;
                manifest.put(place, &name, file).await?;
                part.rows += count as u64;
                part.files.push(name);
                (count, bytes) = (0, 0);
            }
            if last {
                break;
            }
        }
    }
    let rows = part.rows;
    manifest.tables.push(part);
    Ok(rows)
}

/// Inserts a table's rows.
pub(crate) async fn import(
    manifest: &Manifest,
    place: &Place,
    warehouse: &dyn Warehouse,
    table: &TablePart,
) -> Result<()> {
    let mut inserted = 0;
    for name in &table.files {
        if let Some(rows) = decode(manifest.get(place, name).await?).await? {
            inserted += rows.num_rows() as u64;
            warehouse.insert(&table.name, rows).await?;
        }
    }
    if inserted != table.rows {
        bail!(
            "{} had {} rows and {inserted} are in the files",
            table.name,
            table.rows
        );
    }
    Ok(())
}

/// Rows as one Parquet file.
pub(crate) async fn encode(batches: Vec<RecordBatch>) -> Result<Bytes> {
    let encoded = tokio::task::spawn_blocking(move || {
        let schema = batches.first().context("a file has rows")?.schema();
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
            .build();
        let mut writer = ArrowWriter::try_new(Vec::new(), schema, Some(properties))?;
        for batch in &batches {
            writer.write(batch)?;
        }
        Ok::<_, anyhow::Error>(Bytes::from(writer.into_inner()?))
    });
    encoded.await?
}

/// The rows of a Parquet file, as one batch.
pub(crate) async fn decode(file: Bytes) -> Result<Option<RecordBatch>> {
    let decoded = tokio::task::spawn_blocking(move || {
        let reader = ParquetRecordBatchReaderBuilder::try_new(file)?.build()?;
        let batches = reader.collect::<Result<Vec<_>, _>>()?;
        let Some(first) = batches.first() else {
            return Ok(None);
        };
        Ok::<_, anyhow::Error>(Some(concat_batches(&first.schema(), &batches)?))
    });
    decoded.await?
}

fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('\\', "\\\\").replace('`', "\\`"))
}

fn texts(batches: &[RecordBatch], column: usize) -> Vec<String> {
    batches
        .iter()
        .filter_map(|batch| batch.column(column).as_string_opt::<i32>())
        .flat_map(|texts| texts.iter().flatten().map(str::to_owned))
        .collect()
}
