//! Cuts off a torn last write.
//!
//! A power cut may leave the last write of the journal on disk in part: its end there, pages before it not. fjall
//! finishes what is cut short by itself, but refuses to open a journal whose last batch has the wrong checksum.
//! That batch was never acknowledged, for a later fsync would have completed it, so it may go, as long as nothing
//! whole follows it. A wrong checksum anywhere else is damage and stays an error.
//!
//! The format is fjall 3's: batches of `1, items u32, sequence u64`, items `2, type u8, codec u8, keyspace u64,
//! key length u16, value length u32, stored length u32, key, value` or `4, keyspace u64`, and
//! `3, xxh3 of the items u64, "FJL", 3`; numbers are little-endian.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::xxh3_64;

const START: u8 = 1;
const ITEM: u8 = 2;
const END: u8 = 3;
const CLEAR: u8 = 4;
const START_LENGTH: usize = 13;
const END_LENGTH: usize = 13;
const ITEM_HEADER: usize = 21;
const CLEAR_LENGTH: usize = 9;
const TRAILER: &[u8] = b"FJL\x03";

/// Cuts a torn last batch off the newest journal in `folder`. False when there is nothing of that kind.
pub(super) fn cut_torn_batch(folder: &Path) -> io::Result<bool> {
    let Some(journal) = newest_journal(folder)? else {
        return Ok(false);
    };
    let bytes = std::fs::read(&journal)?;
    let Some(keep) = torn_at(&bytes) else {
        return Ok(false);
    };
    tracing::info!(journal = %journal.display(), at = keep, "the last write was torn by a crash; it was never acknowledged and is cut off");
    let file: File = OpenOptions::new().write(true).open(&journal)?;
    file.set_len(keep as u64)?;
    file.sync_all()?;
    Ok(true)
}

fn newest_journal(folder: &Path) -> io::Result<Option<PathBuf>> {
    let mut newest = None;
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "jnl") {
            continue;
        }
        let number = path
            .file_stem()
            .and_then(|stem| stem.to_str()?.parse::<u64>().ok());
        newest = newest.max(number.map(|number| (number, path)));
    }
    Ok(newest.map(|(_, path)| path))
}

/// Where the torn batch begins, if the journal ends in one.
fn torn_at(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        match batch(&bytes[at..]) {
            Batch::Whole(length) => at += length,
            Batch::Torn => break,
            Batch::None => return None,
        }
    }
    // Anything whole behind it means that it was acknowledged once.
    let whole_follows = (at + 1..bytes.len().saturating_sub(START_LENGTH))
        .filter(|next| bytes[*next] == START)
        .any(|next| matches!(batch(&bytes[next..]), Batch::Whole(_)));
    (!whole_follows).then_some(at)
}

enum Batch {
    /// Of this length, with the right checksum.
    Whole(usize),
    /// Begun, and not right.
    Torn,
    /// The unused rest of the file.
    None,
}

fn batch(bytes: &[u8]) -> Batch {
    if bytes.len() < START_LENGTH || bytes[0] != START {
        return Batch::None;
    }
    let mut at = START_LENGTH;
    let mut left = number(&bytes[1..5]);
    while left > 0 {
        let Some(length) = item_length(&bytes[at..]) else {
            return Batch::Torn;
        };
        at += length;
        left -= 1;
    }
    let Some(end) = bytes
        .get(at..at + END_LENGTH)
        .filter(|end| end[0] == END && &end[9..] == TRAILER)
    else {
        return Batch::Torn;
    };
    if number(&end[1..9]) == xxh3_64(&bytes[START_LENGTH..at]) {
        Batch::Whole(at + END_LENGTH)
    } else {
        Batch::Torn
    }
}

fn item_length(bytes: &[u8]) -> Option<usize> {
    let length = match *bytes.first()? {
        ITEM => {
            let header = bytes.get(..ITEM_HEADER)?;
            ITEM_HEADER + number(&header[11..13]) as usize + number(&header[17..21]) as usize
        }
        CLEAR => CLEAR_LENGTH,
        _ => return None,
    };
    (length <= bytes.len()).then_some(length)
}

fn number(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .rev()
        .fold(0, |number, byte| number << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use fjall::{Database, KeyspaceCreateOptions, PersistMode};

    use super::*;

    /// A journal of three batches, as fjall writes it.
    fn journal() -> (tempfile::TempDir, PathBuf, Vec<u8>) {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::builder(folder.path())
            .journal_compression(fjall::CompressionType::None)
            .open()
            .unwrap();
        let keyspace = database
            .keyspace("a", KeyspaceCreateOptions::default)
            .unwrap();
        for number in 1..=3_u8 {
            let mut batch = database.batch().durability(Some(PersistMode::SyncAll));
            batch.insert(&keyspace, [number], vec![number; 10_000]);
            batch.insert(&keyspace, [number, number], vec![number; 10]);
            batch.commit().unwrap();
        }
        drop((keyspace, database));
        let path = newest_journal(folder.path()).unwrap().unwrap();
        let bytes = std::fs::read(&path).unwrap();
        (folder, path, bytes)
    }

    fn ends(bytes: &[u8]) -> Vec<usize> {
        let mut ends = vec![0];
        while let Batch::Whole(length) = batch(&bytes[*ends.last().unwrap()..]) {
            ends.push(ends.last().unwrap() + length);
        }
        ends
    }

    #[test]
    fn a_whole_journal_is_left_alone() {
        let (folder, _, bytes) = journal();
        assert_eq!(ends(&bytes).len(), 4, "three batches");
        assert!(!cut_torn_batch(folder.path()).unwrap());
    }

    #[test]
    fn a_torn_last_batch_goes_and_the_database_opens() {
        let (folder, path, bytes) = journal();
        let ends = ends(&bytes);
        let mut torn = bytes;
        torn[ends[2] + 4_096..ends[2] + 8_192].fill(0);
        std::fs::write(&path, torn).unwrap();
        assert!(
            Database::builder(folder.path()).open().is_err(),
            "fjall refuses it"
        );
        assert!(cut_torn_batch(folder.path()).unwrap());
        let database = Database::builder(folder.path()).open().unwrap();
        let keyspace = database
            .keyspace("a", KeyspaceCreateOptions::default)
            .unwrap();
        assert_eq!(keyspace.len().unwrap(), 4);
    }

    #[test]
    fn damage_before_what_was_acknowledged_stays() {
        let (folder, path, bytes) = journal();
        let mut damaged = bytes.clone();
        damaged[ends(&bytes)[1] + 5_000] ^= 1;
        std::fs::write(&path, &damaged).unwrap();
        assert!(!cut_torn_batch(folder.path()).unwrap());
        assert_eq!(std::fs::read(&path).unwrap(), damaged);
    }
}
