//! The application ids in a checkpoint of the transaction log.
//!
//! The Delta implementation answers for one application id at a time, reading the whole log for each. An archiver
//! needs all of them at once.

use std::collections::BTreeMap;

use arrow::array::{Array as _, AsArray, StructArray};
use arrow::datatypes::Int64Type;
use bytes::Bytes;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::error::ArchiveError;
use super::log::Transactions;

/// A checkpoint all of whose parts are there.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Checkpoint {
    pub(crate) version: u64,
    pub(crate) files: Vec<String>,
}

/// The newest complete checkpoint up to a version, among the files of the log.
pub(crate) fn latest(files: &[String], version: u64) -> Option<Checkpoint> {
    // By (version, number of parts): two writers may have cut the same version differently.
    let mut found: BTreeMap<(u64, usize), Vec<String>> = BTreeMap::new();
    for name in files {
        if let Some((at, parts)) = parse(name)
            && at <= version
        {
            found.entry((at, parts)).or_default().push(name.clone());
        }
    }
    found
        .into_iter()
        .rev()
        .find(|((_, parts), files)| files.len() == *parts)
        .map(|((version, _), files)| Checkpoint { version, files })
}

/// Version and number of parts of `<version>.checkpoint.parquet` or `<version>.checkpoint.<part>.<parts>.parquet`.
fn parse(name: &str) -> Option<(u64, usize)> {
    let (version, rest) = name.split_at_checked(20)?;
    let version = version.parse().ok()?;
    let middle = rest.strip_prefix(".checkpoint")?.strip_suffix(".parquet")?;
    if middle.is_empty() {
        return Some((version, 1));
    }
    let (part, parts) = middle.strip_prefix('.')?.split_once('.')?;
    let (_, parts): (u64, usize) = (part.parse().ok()?, parts.parse().ok()?);
    Some((version, parts))
}

/// Adds the application ids of one file of a checkpoint.
pub(crate) fn transactions(file: Bytes, into: &mut Transactions) -> Result<(), ArchiveError> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(file)?;
    let Some((index, _)) = builder.schema().column_with_name("txn") else {
        return Ok(());
    };
    let mask = ProjectionMask::roots(builder.parquet_schema(), [index]);
    for batch in builder.with_projection(mask).build()? {
        let batch = batch?;
        let txn: &StructArray = batch
            .column(0)
            .as_struct_opt()
            .ok_or_else(|| ArchiveError::Damaged("a checkpoint's txn is no struct".to_owned()))?;
        let column = |name: &str| {
            txn.column_by_name(name)
                .ok_or_else(|| ArchiveError::Damaged(format!("a checkpoint's txn has no {name}")))
        };
        let ids = arrow::compute::cast(column("appId")?, &arrow::datatypes::DataType::Utf8)?;
        let ids = ids.as_string::<i32>();
        let versions = column("version")?.as_primitive::<Int64Type>();
        for row in (0..txn.len()).filter(|&row| txn.is_valid(row) && ids.is_valid(row)) {
            into.insert(ids.value(row).to_owned(), versions.value(row));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn the_newest_complete_checkpoint_counts() {
        let files = names(&[
            "00000000000000000007.json",
            "00000000000000000010.checkpoint.parquet",
            "00000000000000000020.checkpoint.0000000001.0000000002.parquet",
            "00000000000000000020.checkpoint.0000000002.0000000002.parquet",
            "00000000000000000030.checkpoint.0000000001.0000000002.parquet",
            "_last_checkpoint",
        ]);
        assert_eq!(
            latest(&files, 40).map(|found| (found.version, found.files.len())),
            Some((20, 2))
        );
        assert_eq!(latest(&files, 19).map(|found| found.version), Some(10));
        assert_eq!(latest(&files, 9), None);
    }
}
