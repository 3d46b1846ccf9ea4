//! Where the table is, and making it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use deltalake::kernel::transaction::TransactionError;
use deltalake::kernel::{Action, new_metadata};
use deltalake::logstore::{CommitOrBytes, LogStoreRef};
use deltalake::{DeltaTableBuilder, DeltaTableError, TableProperty};
use serde_json::json;
use url::Url;

use super::columns::{Columns, PARTITION_BY, WITH_STATS};
use super::durable::DurableFiles;
use super::error::ArchiveError;
use super::options::ArchiveOptions;

/// The table's directory below the archive's address.
const TABLE: &str = "events";

/// Where the table is.
#[derive(Debug, Clone)]
pub(crate) struct Location {
    pub(crate) url: Url,
    /// Local files only: what is written there is made durable by us, as the storage does not do it.
    pub(crate) directory: Option<PathBuf>,
}

impl Location {
    /// Reads `file:./data/archive`, `file:///var/lib/archive` or `s3://bucket/prefix`: the table below it.
    pub(crate) fn parse(url: &str) -> Result<Self, ArchiveError> {
        Self::below(url, TABLE)
    }

    /// The directory of a name below an address of these forms; the address itself for no name.
    pub(crate) fn below(url: &str, name: &str) -> Result<Self, ArchiveError> {
        let wrong = |reason: &str| ArchiveError::Location {
            url: url.to_owned(),
            reason: reason.to_owned(),
        };
        if let Some(rest) = url.strip_prefix("file:") {
            let path = rest.strip_prefix("//").unwrap_or(rest);
            if path.is_empty() {
                return Err(wrong("name a directory, for example file:./data/archive"));
            }
            let directory = std::path::absolute(Path::new(path).join(name))
                .map_err(|error| wrong(&error.to_string()))?;
            let url =
                Url::from_directory_path(&directory).map_err(|()| wrong("not an absolute path"))?;
            return Ok(Self {
                url,
                directory: Some(directory),
            });
        }
        if !url.starts_with("s3://") {
            return Err(wrong("use file:DIRECTORY or s3://BUCKET/PREFIX"));
        }
        let table = format!("{}/{name}", url.trim_end_matches('/'));
        let table =
            Url::parse(table.trim_end_matches('/')).map_err(|error| wrong(&error.to_string()))?;
        match table.host_str() {
            Some(bucket) if !bucket.is_empty() => Ok(Self {
                url: table,
                directory: None,
            }),
            _ => Err(wrong("name a bucket, for example s3://bucket/prefix")),
        }
    }

    /// Access to the table's log and files. Makes the directory; touches nothing else.
    pub(crate) fn log_store(&self, options: &ArchiveOptions) -> Result<LogStoreRef, ArchiveError> {
        deltalake::aws::register_handlers(None);
        let wrong = |reason: String| ArchiveError::Location {
            url: self.url.to_string(),
            reason,
        };
        let mut storage = options.storage.clone();
        let mut table = DeltaTableBuilder::from_url(self.url.clone())
            .map_err(|error| wrong(error.to_string()))?;
        match &self.directory {
            Some(directory) => {
                let files =
                    DurableFiles::new(directory).map_err(|error| wrong(error.to_string()))?;
                table = table.with_storage_backend(Arc::new(files), self.url.clone());
            }
            // The log entry is created only if it does not exist: what exactly-once rests on.
            None => {
                storage.insert("aws_conditional_put".to_owned(), "etag".to_owned());
            }
        }
        let table = table
            .with_storage_options(storage)
            .build()
            .map_err(|error| wrong(error.to_string()))?;
        Ok(table.log_store())
    }
}

/// Makes the table unless it exists. Any number of processes may do so at once: the first entry of the log is
/// created once, by whoever is first.
pub(crate) async fn create(
    log: &LogStoreRef,
    columns: &Columns,
    options: &ArchiveOptions,
) -> Result<(), ArchiveError> {
    if log.is_delta_table_location().await? {
        return Ok(());
    }
    let retention = format!("interval {} seconds", options.log_retention.as_secs());
    let configuration = [
        (
            TableProperty::DataSkippingStatsColumns,
            WITH_STATS.join(","),
        ),
        (TableProperty::LogRetentionDuration, retention),
        (
            TableProperty::CheckpointInterval,
            options.checkpoint_interval.to_string(),
        ),
    ];
    let configuration = configuration.map(|(key, value)| (key.as_ref().to_owned(), value));
    let metadata = Action::Metadata(
        new_metadata(&columns.delta()?, PARTITION_BY, configuration)
            .map_err(DeltaTableError::from)?,
    );
    let commit_info = json!({ "commitInfo": {
        "timestamp": chrono::Utc::now().timestamp_millis(),
        "operation": "CREATE TABLE",
        "engineInfo": concat!("millrace/", env!("CARGO_PKG_VERSION")),
    }});
    let protocol = json!({ "protocol": { "minReaderVersion": 1, "minWriterVersion": 2 } });
    let metadata = serde_json::to_string(&metadata)
        .map_err(|error| ArchiveError::Damaged(error.to_string()))?;
    let entry = Bytes::from(format!("{commit_info}\n{protocol}\n{metadata}"));
    match log
        .write_commit_entry(0, CommitOrBytes::LogBytes(entry), uuid::Uuid::new_v4())
        .await
    {
        Ok(()) | Err(TransactionError::VersionAlreadyExists(_)) => Ok(()),
        Err(error) => Err(ArchiveError::Unknown(Box::new(error))),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn addresses_name_the_table_below_them() {
        let relative = Location::parse("file:./data/archive").unwrap();
        assert_eq!(
            relative.directory.unwrap(),
            std::env::current_dir().unwrap().join("data/archive/events")
        );
        for absolute in ["file:/var/lib/archive", "file:///var/lib/archive"] {
            assert_eq!(
                Location::parse(absolute).unwrap().directory.unwrap(),
                Path::new("/var/lib/archive/events")
            );
        }
        for s3 in ["s3://bucket/some/prefix", "s3://bucket/some/prefix/"] {
            assert_eq!(
                Location::parse(s3).unwrap().url.as_str(),
                "s3://bucket/some/prefix/events"
            );
        }
        assert_eq!(
            Location::parse("s3://bucket").unwrap().url.as_str(),
            "s3://bucket/events"
        );
    }

    #[test]
    fn what_is_no_address_is_refused_with_an_example() {
        for (url, hint) in [
            ("file:", "file:./data"),
            ("data/archive", "file:DIRECTORY"),
            ("s3:///x", "s3://bucket"),
        ] {
            let error = Location::parse(url).unwrap_err();
            assert!(
                error.to_string().contains(hint) && !error.is_retryable(),
                "{error}"
            );
        }
    }
}
