//! What a backup consists of: written last, and without it there is no backup.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use warehouse::archive::Place;

/// The form written today.
const FORMAT: u32 = 1;
const NAME: &str = "manifest.json";

/// Everything that is in a backup.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Manifest {
    format: u32,
    /// Of the program that took it.
    pub(crate) version: String,
    /// When it was begun, RFC 3339.
    pub(crate) taken_at: String,
    pub(crate) log: LogPart,
    pub(crate) tables: Vec<TablePart>,
    pub(crate) archive: ArchivePart,
    /// Rows of the control database, one a line.
    pub(crate) control: String,
    /// Every file by its name.
    pub(crate) files: BTreeMap<String, FilePart>,
}

/// What the log took since the progress that the tables hold.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LogPart {
    pub(crate) generation: u32,
    pub(crate) partitions: u32,
    /// By partition: the first offset in the files, and the one after the last.
    pub(crate) starts: Vec<u64>,
    pub(crate) ends: Vec<u64>,
    /// By partition, in order.
    pub(crate) files: Vec<Vec<String>>,
}

/// A table of the warehouse.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TablePart {
    pub(crate) name: String,
    /// Name and type of each column.
    pub(crate) columns: Vec<(String, String)>,
    pub(crate) rows: u64,
    pub(crate) files: Vec<String>,
}

/// One version of the archive's table: names within it, which are below `archive/` here.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ArchivePart {
    pub(crate) version: i64,
    pub(crate) rows: u64,
    pub(crate) data: Vec<String>,
    pub(crate) log: Vec<String>,
}

/// What a file must be.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub(crate) struct FilePart {
    bytes: u64,
    sha256: String,
}

impl FilePart {
    fn of(bytes: &[u8]) -> Self {
        let hash = Sha256::digest(bytes);
        Self {
            bytes: bytes.len() as u64,
            sha256: hash.iter().map(|byte| format!("{byte:02x}")).collect(),
        }
    }
}

impl Manifest {
    pub(crate) fn new(log: LogPart, archive: ArchivePart) -> Self {
        Self {
            format: FORMAT,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            taken_at: chrono::Utc::now().to_rfc3339(),
            log,
            tables: Vec::new(),
            archive,
            control: "control.jsonl".to_owned(),
            files: BTreeMap::new(),
        }
    }

    /// Reads the manifest of a backup.
    pub(crate) async fn read(place: &Place) -> Result<Self> {
        let bytes = place.get(NAME).await.with_context(|| {
            format!(
                "{} holds no whole backup: it has no {NAME}, which is written last (those of POST /admin/backup are in \
                 folders below its place, named by their time)",
                place.url()
            )
        })?;
        let found: serde_json::Value =
            serde_json::from_slice(&bytes).with_context(|| format!("{NAME} is not JSON"))?;
        match found["format"].as_u64() {
            Some(format) if format == u64::from(FORMAT) => {}
            format => bail!(
                "the backup has format {}, this program reads {FORMAT}; restore it with the program that took it, {}",
                format.unwrap_or(0),
                found["version"]
            ),
        }
        serde_json::from_value(found)
            .with_context(|| format!("{NAME} is not as this program writes it"))
    }

    /// Makes the backup whole.
    pub(crate) async fn finish(&self, place: &Place) -> Result<()> {
        Ok(place
            .put(NAME, serde_json::to_vec_pretty(self)?.into())
            .await?)
    }

    /// Writes a file and notes what it is.
    pub(crate) async fn put(&mut self, place: &Place, name: &str, bytes: Bytes) -> Result<()> {
        let file = write(place, name, bytes).await?;
        self.files.insert(name.to_owned(), file);
        Ok(())
    }

    /// Reads a file and makes sure that it is what was written.
    pub(crate) async fn get(&self, place: &Place, name: &str) -> Result<Bytes> {
        let wanted = self
            .files
            .get(name)
            .with_context(|| format!("the manifest does not name {name}"))?;
        let bytes = place.get(name).await?;
        if FilePart::of(&bytes) != *wanted {
            bail!("{name} is not what the backup wrote: it is damaged or was changed");
        }
        Ok(bytes)
    }

    /// Reads every file and makes sure that it is what was written.
    pub(crate) async fn check(&self, place: &Place) -> Result<()> {
        let mut files = futures::stream::iter(self.files.keys())
            .map(|name| self.get(place, name))
            .buffer_unordered(4);
        while files.try_next().await?.is_some() {}
        Ok(())
    }

    /// What there is, as a line.
    pub(crate) fn summary(&self) -> String {
        let bytes: u64 = self.files.values().map(|file| file.bytes).sum();
        let rows: u64 = self.tables.iter().map(|table| table.rows).sum();
        let tail: u64 = self.log.ends.iter().sum::<u64>() - self.log.starts.iter().sum::<u64>();
        format!(
            "a backup of {}: {rows} rows of {} tables, {} rows of the archive, {tail} records of the log, {} files, {:.1} MB",
            self.taken_at,
            self.tables.len(),
            self.archive.rows,
            self.files.len(),
            bytes as f64 / 1e6
        )
    }
}

/// Writes a file; says what it is.
pub(crate) async fn write(place: &Place, name: &str, bytes: Bytes) -> Result<FilePart> {
    let file = FilePart::of(&bytes);
    place
        .put(name, bytes)
        .await
        .with_context(|| format!("{name} cannot be written"))?;
    Ok(file)
}
