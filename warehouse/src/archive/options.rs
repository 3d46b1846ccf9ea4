//! How the archive is stored and written.

use std::collections::HashMap;
use std::time::Duration;

/// How the archive is stored and written. The defaults suit both local files and S3.
#[derive(Debug, Clone)]
pub struct ArchiveOptions {
    /// Options of the object store, by the names that the Delta implementations share (`AWS_ENDPOINT_URL`,
    /// `AWS_ACCESS_KEY_ID`, …). Empty for local files.
    pub storage: HashMap<String, String>,
    /// Level of zstd in data files, 1 to 22. Higher costs CPU on the way in.
    pub zstd_level: i32,
    /// Rows in a row group: what a reader can skip at the least.
    pub row_group_rows: usize,
    /// Data files encoded at the same time by one commit, each on a thread of its own.
    pub writers: usize,
    /// Data files sent to the storage at the same time.
    pub uploads: usize,
    /// Every how many versions the transaction log is summed up in a checkpoint.
    pub checkpoint_interval: u64,
    /// How long entries of the transaction log are kept after a checkpoint has made them unnecessary.
    pub log_retention: Duration,
    /// How often a commit steps behind other writers before it gives up.
    pub attempts: usize,
    /// How long encoding and sending files may take before the commit is refused. Vacuum's grace must be longer:
    /// it takes files that nothing refers to for abandoned.
    pub commit_deadline: Duration,
}

impl Default for ArchiveOptions {
    fn default() -> Self {
        Self {
            storage: HashMap::new(),
            zstd_level: 1,
            row_group_rows: 65_536,
            writers: std::thread::available_parallelism().map_or(2, |cores| cores.get().min(4)),
            uploads: 8,
            checkpoint_interval: 50,
            log_retention: Duration::from_secs(60 * 60),
            attempts: 100,
            commit_deadline: Duration::from_secs(10 * 60),
        }
    }
}

/// Where an S3 service is and how to sign in to it.
#[derive(Clone)]
pub struct S3Access {
    /// Address of the service, for example `http://127.0.0.1:7070`; `None` for AWS itself.
    pub endpoint: Option<String>,
    /// Region, for example `us-east-1`.
    pub region: String,
    /// Access key id.
    pub access_key: String,
    /// Secret access key.
    pub secret_key: String,
}

impl std::fmt::Debug for S3Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("S3Access")
            .field("endpoint", &self.endpoint)
            .field("region", &self.region)
            .field("access_key", &self.access_key)
            .finish_non_exhaustive()
    }
}

impl ArchiveOptions {
    /// The same options with access to an S3 service. A plain `http://` endpoint is allowed when it is named.
    pub fn with_s3(mut self, access: &S3Access) -> Self {
        let mut set =
            |key: &str, value: &str| self.storage.insert(key.to_owned(), value.to_owned());
        if let Some(endpoint) = &access.endpoint {
            set("AWS_ENDPOINT_URL", endpoint);
            if endpoint.starts_with("http://") {
                set("AWS_ALLOW_HTTP", "true");
            }
        }
        set("AWS_REGION", &access.region);
        set("AWS_ACCESS_KEY_ID", &access.access_key);
        set("AWS_SECRET_ACCESS_KEY", &access.secret_key);
        self
    }
}

/// How far one partition of the log is archived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Archived {
    /// Of the log.
    pub generation: u32,
    /// Of the log.
    pub partition: u32,
    /// The first offset that is not archived.
    pub next_offset: u64,
}

/// What compaction takes together.
#[derive(Debug, Clone)]
pub struct CompactOptions {
    /// Rows in a new file, at the most. They are in memory at once, twice.
    pub target_rows: u64,
    /// Compressed bytes taken together, at the most.
    pub target_bytes: u64,
    /// Files taken together, at the least, unless they already make half a file.
    pub min_files: usize,
}

impl Default for CompactOptions {
    fn default() -> Self {
        Self {
            target_rows: 250_000,
            target_bytes: 64 << 20,
            min_files: 8,
        }
    }
}

/// What compaction did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CompactReport {
    /// Commits, each of one new file.
    pub commits: usize,
    /// Commits given up because another writer had removed one of their files.
    pub conflicts: usize,
    /// Files replaced.
    pub files_removed: usize,
    /// Files made.
    pub files_added: usize,
    /// Rows rewritten.
    pub rows: u64,
    /// Bytes of the files replaced.
    pub bytes_removed: u64,
    /// Bytes of the files made.
    pub bytes_added: u64,
}

/// What vacuum did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VacuumReport {
    /// Paths of the files deleted, within the table.
    pub deleted: Vec<String>,
}
