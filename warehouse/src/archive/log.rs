//! The table's transaction log: who may commit what, and what was committed.
//!
//! The checks are made here and not by the Delta implementation, whose own let two compactions remove the same file
//! and both commit their copy of its rows. A commit reads every entry since its snapshot, looks for one that touched
//! the same application id or file, and then creates the next entry, which the storage refuses if it exists.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use bytes::Bytes;
use deltalake::DeltaTableError;
use deltalake::kernel::transaction::{CommitData, TransactionError};
use deltalake::kernel::{Action, Transaction};
use deltalake::logstore::{CommitOrBytes, LogStoreRef, get_actions};
use deltalake::protocol::DeltaOperation;
use futures::{StreamExt as _, TryStreamExt as _};
use object_store::{ObjectStore as _, ObjectStoreExt as _, path::Path};

use super::checkpoint;
use super::error::ArchiveError;

/// The latest version of each application id.
pub(crate) type Transactions = BTreeMap<String, i64>;

/// Where the log is, within the table.
const DIRECTORY: &str = "_delta_log";
/// Entries read at the same time.
const READ_AHEAD: usize = 16;

/// What a commit wants to put into the log.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) actions: Vec<Action>,
    pub(crate) transactions: Vec<Transaction>,
    pub(crate) operation: DeltaOperation,
    /// When work on its files began, and how long that may be ago.
    pub(crate) begun: Instant,
    pub(crate) deadline: Duration,
}

/// Adds the entry after all there are, if none since version `base` touched what it touches. Returns its version.
pub(crate) async fn commit(
    log: &LogStoreRef,
    base: u64,
    entry: Entry,
    attempts: usize,
) -> Result<u64, ArchiveError> {
    let ours = Touched::by(&entry);
    let Entry {
        actions,
        transactions,
        operation,
        begun,
        deadline,
    } = entry;
    let bytes = CommitData::new(actions, operation, HashMap::new(), transactions)
        .get_bytes()
        .map_err(|error| ArchiveError::Damaged(error.to_string()))?;
    let mut seen = base;
    for attempt in 0..attempts {
        let latest = latest(log, seen).await?;
        for (version, actions) in read(log, seen + 1, latest).await? {
            ours.check(version, &actions)?;
        }
        seen = latest;
        if begun.elapsed() > deadline {
            return Err(ArchiveError::Stale(
                "the files were written too long ago to be sure they still exist",
            ));
        }
        let put = CommitOrBytes::LogBytes(bytes.clone());
        match log
            .write_commit_entry(seen + 1, put, uuid::Uuid::new_v4())
            .await
        {
            Ok(()) => return Ok(seen + 1),
            Err(TransactionError::VersionAlreadyExists(_)) => {
                // Another writer was quicker. Writers that collided wait different times.
                let spread = uuid::Uuid::new_v4().as_u128() as u64 % (4 << attempt.min(6));
                tokio::time::sleep(Duration::from_millis(spread)).await;
            }
            Err(error) => return Err(ArchiveError::Unknown(Box::new(error))),
        }
    }
    Err(ArchiveError::Contended { attempts })
}

/// What a commit depends on.
struct Touched {
    applications: HashSet<String>,
    removes: HashSet<String>,
}

impl Touched {
    fn by(entry: &Entry) -> Self {
        let removes = entry.actions.iter().filter_map(|action| match action {
            Action::Remove(remove) => Some(remove.path.clone()),
            _ => None,
        });
        Self {
            applications: entry
                .transactions
                .iter()
                .map(|transaction| transaction.app_id.clone())
                .collect(),
            removes: removes.collect(),
        }
    }

    fn check(&self, version: u64, actions: &[Action]) -> Result<(), ArchiveError> {
        for action in actions {
            let what = match action {
                Action::Txn(other) if self.applications.contains(&other.app_id) => {
                    format!("application id {}", other.app_id)
                }
                Action::Remove(other) if self.removes.contains(&other.path) => {
                    format!("file {}", other.path)
                }
                Action::Metadata(_) | Action::Protocol(_) => "the table's definition".to_owned(),
                _ => continue,
            };
            return Err(ArchiveError::Conflict { what, version });
        }
        Ok(())
    }
}

/// The latest version, given one that is known.
pub(crate) async fn latest(log: &LogStoreRef, known: u64) -> Result<u64, ArchiveError> {
    match log.get_latest_version(known).await {
        Ok(version) => Ok(version),
        Err(DeltaTableError::InvalidVersion(_)) => Err(ArchiveError::Stale(
            "the snapshot is older than the transaction log reaches back",
        )),
        Err(error) => Err(error.into()),
    }
}

/// The actions of the versions from `first` to `last`, in order.
pub(crate) async fn read(
    log: &LogStoreRef,
    first: u64,
    last: u64,
) -> Result<Vec<(u64, Vec<Action>)>, ArchiveError> {
    futures::stream::iter(first..=last)
        .map(|version| async move {
            let bytes = log
                .read_commit_entry(version)
                .await?
                .ok_or_else(|| ArchiveError::Damaged(format!("version {version} is missing")))?;
            Ok((version, get_actions(version, &bytes)?))
        })
        .buffered(READ_AHEAD)
        .try_collect()
        .await
}

/// Brings the application ids from the versions `first` to `last` up to date.
pub(crate) async fn follow(
    log: &LogStoreRef,
    transactions: &mut Transactions,
    first: u64,
    last: u64,
) -> Result<(), ArchiveError> {
    for (_, actions) in read(log, first, last).await? {
        for action in actions {
            if let Action::Txn(transaction) = action {
                transactions.insert(transaction.app_id, transaction.version);
            }
        }
    }
    Ok(())
}

/// Names of the files of the transaction log.
async fn listed(log: &LogStoreRef) -> Result<Vec<String>, ArchiveError> {
    let store = log.object_store(None);
    let mut files: Vec<String> = Vec::new();
    let mut listing = store.list(Some(&Path::from(DIRECTORY)));
    while let Some(file) = listing.try_next().await? {
        files.extend(file.location.filename().map(str::to_owned));
    }
    Ok(files)
}

/// The files of the transaction log that make up a version, within the table: the checkpoint before it and the entries
/// since.
pub(crate) async fn files(log: &LogStoreRef, version: u64) -> Result<Vec<String>, ArchiveError> {
    let listed = listed(log).await?;
    let (mut files, first) = match checkpoint::latest(&listed, version) {
        None => (Vec::new(), 0),
        Some(found) => (found.files, found.version + 1),
    };
    for version in first..=version {
        let name = format!("{version:020}.json");
        if !listed.contains(&name) {
            return Err(ArchiveError::Stale(
                "the snapshot is older than the transaction log reaches back",
            ));
        }
        files.push(name);
    }
    Ok(files
        .into_iter()
        .map(|name| format!("{DIRECTORY}/{name}"))
        .collect())
}

/// All application ids as of a version: those of the checkpoint before it and of the entries since.
pub(crate) async fn transactions(
    log: &LogStoreRef,
    version: u64,
) -> Result<Transactions, ArchiveError> {
    let store = log.object_store(None);
    let files = listed(log).await?;
    let (mut transactions, first) = match checkpoint::latest(&files, version) {
        None => (Transactions::new(), 0),
        Some(found) => {
            let mut transactions = Transactions::new();
            for name in found.files {
                let path = Path::from(DIRECTORY).join(name);
                let bytes: Bytes = store.get(&path).await?.bytes().await?;
                checkpoint::transactions(bytes, &mut transactions)?;
            }
            (transactions, found.version + 1)
        }
    };
    follow(log, &mut transactions, first, version).await?;
    Ok(transactions)
}
