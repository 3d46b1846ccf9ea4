//! Data files: Parquet with zstd.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::interleave_record_batch;
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use deltalake::kernel::Add;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::{
    EnabledStatistics, WriterProperties, WriterPropertiesPtr, WriterVersion,
};
use parquet::schema::types::ColumnPath;

use super::columns::{KIND, MONTH};
use super::error::ArchiveError;
use super::options::ArchiveOptions;
use super::stats::Stats;

/// Rows handed to the encoder at once: large enough to amortise a call, small enough to stay in the cache.
const CHUNK: usize = 8_192;
/// Rows lying together that are handed over as they are instead of being copied.
const WORTH_A_CALL: usize = 512;

/// Columns whose values repeat within a row group.
const DICTIONARY: [&[&str]; 15] = [
    &["organization"],
    &["customer_id"],
    &["generation"],
    &["partition"],
    &["amount"],
    &["currency"],
    &["status"],
    &["source"],
    &["schema_version"],
    &["items", "list", "element", "product_id"],
    &["items", "list", "element", "name"],
    &["items", "list", "element", "category"],
    &["items", "list", "element", "quantity"],
    &["items", "list", "element", "unit_price"],
    &["items", "list", "element", "amount"],
];
/// Numbers that grow from row to row.
const DELTAS: [&str; 3] = ["offset", "occurred_at", "received_at"];
/// Columns whose ranges skip row groups. Others are not measured: nobody looks for a range of product names or event
/// ids, and measuring the items is a quarter of the cost of a file.
const CHUNK_STATS: [&str; 8] = [
    "customer_id",
    "received_at",
    "generation",
    "partition",
    "offset",
    "amount",
    "currency",
    "status",
];
/// Columns whose ranges skip pages too.
const PAGE_STATS: [&str; 2] = ["organization", "occurred_at"];

/// How data files are encoded.
pub(crate) fn properties(options: &ArchiveOptions) -> Result<WriterPropertiesPtr, ArchiveError> {
    let mut builder = WriterProperties::builder()
        // The first version has no dictionaries for decimals, which are 16 bytes each.
        .set_writer_version(WriterVersion::PARQUET_2_0)
        .set_encoding(Encoding::PLAIN)
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(options.zstd_level)?))
        .set_max_row_group_row_count(Some(options.row_group_rows))
        .set_dictionary_enabled(false)
        .set_statistics_enabled(EnabledStatistics::None);
    for path in DICTIONARY {
        let path = ColumnPath::new(path.iter().map(|&part| part.to_owned()).collect());
        builder = builder.set_column_dictionary_enabled(path, true);
    }
    for name in DELTAS {
        builder =
            builder.set_column_encoding(ColumnPath::from(name), Encoding::DELTA_BINARY_PACKED);
    }
    let chunks = CHUNK_STATS.map(|name| (name, EnabledStatistics::Chunk));
    let pages = PAGE_STATS.map(|name| (name, EnabledStatistics::Page));
    for (name, statistics) in chunks.into_iter().chain(pages) {
        builder = builder.set_column_statistics_enabled(ColumnPath::from(name), statistics);
    }
    Ok(Arc::new(builder.build()))
}

/// An encoded data file that no one refers to yet.
#[derive(Debug)]
pub(crate) struct DataFile {
    /// Within the table.
    pub(crate) path: String,
    pub(crate) kind: String,
    pub(crate) month: String,
    pub(crate) rows: u64,
    pub(crate) stats: String,
    pub(crate) bytes: Bytes,
}

impl DataFile {
    /// The log action that makes the file part of the table. `data_change` is false where its rows were there before.
    pub(crate) fn add(&self, data_change: bool) -> Add {
        Add {
            path: self.path.clone(),
            partition_values: HashMap::from([
                (KIND.to_owned(), Some(self.kind.clone())),
                (MONTH.to_owned(), Some(self.month.clone())),
            ]),
            size: self.bytes.len() as i64,
            modification_time: chrono::Utc::now().timestamp_millis(),
            data_change,
            stats: Some(self.stats.clone()),
            ..Add::default()
        }
    }
}

/// Encodes the given rows of some batches, in the given order, as one file of a directory. Takes the CPU: call it on
/// a blocking thread.
pub(crate) fn encode(
    kind: String,
    month: String,
    batches: &[RecordBatch],
    rows: &[(usize, usize)],
    schema: &SchemaRef,
    properties: &WriterPropertiesPtr,
) -> Result<DataFile, ArchiveError> {
    let parts: Vec<&RecordBatch> = batches.iter().collect();
    let mut writer = ArrowWriter::try_new(
        Vec::new(),
        schema.clone(),
        Some(properties.as_ref().clone()),
    )?;
    let mut stats = Stats::new(schema);
    for piece in Pieces(rows) {
        let batch = match piece {
            Piece::Together { batch, start, rows } => batches[batch].slice(start, rows),
            Piece::Scattered(rows) => interleave_record_batch(&parts, rows)?,
        };
        stats.add(&batch);
        writer.write(&batch)?;
    }
    let bytes = writer.into_inner()?;
    let name = uuid::Uuid::new_v4();
    Ok(DataFile {
        path: format!("{KIND}={kind}/{MONTH}={month}/part-{name}.zstd.parquet"),
        kind,
        month,
        rows: stats.rows,
        stats: stats.finish(),
        bytes: Bytes::from(bytes),
    })
}

/// Some rows of a file, up to [`CHUNK`] of them.
#[derive(Debug, PartialEq, Eq)]
enum Piece<'a> {
    /// Rows that lie one after the other in one batch and need no copying.
    Together {
        batch: usize,
        start: usize,
        rows: usize,
    },
    /// Rows to be collected one by one.
    Scattered(&'a [(usize, usize)]),
}

/// Cuts the rows of a file into pieces without changing their order.
struct Pieces<'a>(&'a [(usize, usize)]);

impl<'a> Iterator for Pieces<'a> {
    type Item = Piece<'a>;

    fn next(&mut self) -> Option<Piece<'a>> {
        let &(batch, start) = self.0.first()?;
        let mut scattered = 0;
        // Short runs are collected together: a call for each would cost more than copying its rows.
        while scattered < self.0.len().min(CHUNK) {
            let run = run(&self.0[scattered..]);
            if run >= WORTH_A_CALL {
                break;
            }
            scattered += run;
        }
        if scattered > 0 {
            let (rows, rest) = self.0.split_at(scattered);
            self.0 = rest;
            return Some(Piece::Scattered(rows));
        }
        let rows = run(self.0);
        self.0 = &self.0[rows..];
        Some(Piece::Together { batch, start, rows })
    }
}

/// How many of the first rows lie one after the other in one batch, up to [`CHUNK`].
fn run(rows: &[(usize, usize)]) -> usize {
    let Some(&(batch, start)) = rows.first() else {
        return 0;
    };
    let together = rows.iter().take(CHUNK).enumerate();
    together
        .take_while(|&(index, &row)| row == (batch, start + index))
        .count()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn rows_that_lie_together_are_not_copied() {
        let long =
            |batch, from: usize, rows: usize| (from..from + rows).map(move |row| (batch, row));
        let rows: Vec<_> = long(2, 7, CHUNK + WORTH_A_CALL)
            .chain(long(0, 0, 3))
            .chain(long(1, 5, 2))
            .chain(long(0, 3, WORTH_A_CALL))
            .chain([(4, 4)])
            .collect();
        let together = |batch, start, rows| Piece::Together { batch, start, rows };
        let pieces: Vec<_> = Pieces(&rows).collect();
        let scattered = [(0, 0), (0, 1), (0, 2), (1, 5), (1, 6)];
        let expected = [
            together(2, 7, CHUNK),
            together(2, 7 + CHUNK, WORTH_A_CALL),
            Piece::Scattered(&scattered),
            together(0, 3, WORTH_A_CALL),
            Piece::Scattered(&[(4, 4)]),
        ];
        assert_eq!(pieces, expected);
        assert_eq!(Pieces(&[]).next(), None);
    }

    #[test]
    fn scattered_rows_are_all_there_and_in_order() {
        let rows: Vec<_> = (0..3 * CHUNK).map(|index| (index % 5, index)).collect();
        let mut found = Vec::new();
        for piece in Pieces(&rows) {
            match piece {
                Piece::Scattered(rows) => found.extend_from_slice(rows),
                Piece::Together { .. } => panic!("no two rows lie together"),
            }
        }
        assert_eq!(found, rows);
    }
}
