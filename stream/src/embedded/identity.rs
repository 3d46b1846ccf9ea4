//! What a log folder is, and what is wrong when it cannot be opened.

use std::path::Path;

use fjall::{Database, Keyspace, PersistMode};
use serde::{Deserialize, Serialize};

use crate::{LogError, Options};

const IDENTITY: &str = "identity";
const FORMAT: u32 = 1;

/// What a log folder is, written once.
#[derive(Debug, Serialize, Deserialize)]
struct Identity {
    format: u32,
    generation: u32,
    partitions: u32,
}

/// Compares the folder with what is asked for, or makes it that.
pub(super) fn check_identity(
    folder: &Path,
    database: &Database,
    state: &Keyspace,
    options: &Options,
) -> Result<(), LogError> {
    let folder = folder.display();
    let Some(stored) = state.get(IDENTITY).map_err(|error| storage_error(&error))? else {
        let identity = Identity {
            format: FORMAT,
            generation: options.generation,
            partitions: options.partitions,
        };
        let encoded = serde_json::to_vec(&identity).expect("numbers encode");
        state
            .insert(IDENTITY, encoded)
            .map_err(|error| storage_error(&error))?;
        return database
            .persist(PersistMode::SyncAll)
            .map_err(|error| storage_error(&error));
    };
    let stored: Identity = serde_json::from_slice(&stored)
        .map_err(|error| LogError::Damaged(format!("the identity of {folder}: {error}")))?;
    if stored.format != FORMAT {
        return Err(LogError::Mismatch(format!(
            "the log in {folder} has format {}, this version reads {FORMAT}; use the version that wrote it",
            stored.format
        )));
    }
    if stored.partitions != options.partitions {
        return Err(LogError::Mismatch(format!(
            "the log in {folder} has {} partitions, {} are configured; set the partition count to {}, or drain this \
             log and start another folder with the next generation",
            stored.partitions, options.partitions, stored.partitions
        )));
    }
    if stored.generation != options.generation {
        return Err(LogError::Mismatch(format!(
            "the log in {folder} is generation {}, {} is configured; set the generation to {}, or start the new \
             generation in another folder",
            stored.generation, options.generation, stored.generation
        )));
    }
    Ok(())
}

pub(super) fn open_error(folder: &Path, error: fjall::Error) -> LogError {
    match error {
        fjall::Error::Locked => LogError::Locked {
            folder: folder.display().to_string(),
        },
        fjall::Error::Io(error) => LogError::Unavailable(format!("{}: {error}", folder.display())),
        fjall::Error::InvalidVersion(_) => LogError::Mismatch(format!(
            "{} was written by another storage version",
            folder.display()
        )),
        other => LogError::Damaged(format!("{}: {other}", folder.display())),
    }
}

pub(super) fn storage_error(error: &fjall::Error) -> LogError {
    match error {
        fjall::Error::Io(_) | fjall::Error::Poisoned => LogError::Unavailable(error.to_string()),
        fjall::Error::Storage(fjall::LsmError::Io(_)) => LogError::Unavailable(error.to_string()),
        other => LogError::Damaged(other.to_string()),
    }
}
