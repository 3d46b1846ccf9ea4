//! What can go wrong with the warehouse, and whether trying again helps.

use std::path::PathBuf;

/// A failure of the warehouse.
#[derive(Debug, thiserror::Error)]
pub enum WarehouseError {
    /// ClickHouse refused or failed the statement.
    #[error("clickhouse error {code}: {message}")]
    Exception {
        /// ClickHouse's error code, such as 60 for an unknown table; 0 where it gave none.
        code: i32,
        /// Its text.
        message: String,
    },
    /// The rows do not fit the table; nothing was written.
    #[error("cannot insert into {table}: {reason}")]
    Rows {
        /// The table.
        table: String,
        /// What differs, by column.
        reason: String,
    },
    /// The server could not be reached, or did not answer in time. What was sent may have been done.
    #[error("the warehouse did not answer: {0}")]
    Unavailable(String),
    /// The warehouse was closed.
    #[error("the warehouse is closed")]
    Closed,
    /// The embedded engine could not be started.
    #[error("cannot start the embedded ClickHouse from {}: {reason}", .library.display())]
    Library {
        /// The file that was tried.
        library: PathBuf,
        /// Why not.
        reason: String,
    },
    /// The URL names no warehouse.
    #[error("{0}")]
    Url(String),
    /// The database's migrations and this program's differ.
    #[error("{0}")]
    Migration(String),
    /// What came back is not the Arrow data that was asked for.
    #[error("unreadable answer: {0}")]
    Answer(String),
}

/// Codes of failures that pass by themselves: load, memory, time, network, replicas, disk.
const PASSING: [i32; 27] = [
    3,   // UNEXPECTED_END_OF_FILE: a part being replaced
    74,  // CANNOT_READ_FROM_FILE_DESCRIPTOR
    75,  // CANNOT_WRITE_TO_FILE_DESCRIPTOR
    76,  // CANNOT_OPEN_FILE
    159, // TIMEOUT_EXCEEDED
    160, // TOO_SLOW
    198, // DNS_ERROR
    202, // TOO_MANY_SIMULTANEOUS_QUERIES
    203, // NO_FREE_CONNECTION
    209, // SOCKET_TIMEOUT
    210, // NETWORK_ERROR
    225, // NO_ZOOKEEPER
    236, // ABORTED
    241, // MEMORY_LIMIT_EXCEEDED
    242, // TABLE_IS_READ_ONLY
    243, // NOT_ENOUGH_SPACE
    252, // TOO_MANY_PARTS
    279, // ALL_CONNECTION_TRIES_FAILED
    285, // TOO_FEW_LIVE_REPLICAS
    286, // UNSATISFIED_QUORUM_FOR_PREVIOUS_WRITE
    289, // REPLICA_IS_NOT_IN_QUORUM
    319, // UNKNOWN_STATUS_OF_INSERT
    394, // QUERY_WAS_CANCELLED
    425, // SYSTEM_ERROR
    439, // CANNOT_SCHEDULE_TASK
    473, // DEADLOCK_AVOIDED
    999, // KEEPER_EXCEPTION
];

impl WarehouseError {
    /// Whether the same call may succeed later. An insert must then be repeated with the same rows.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Exception { code, .. } => PASSING.contains(code),
            Self::Unavailable(_) => true,
            _ => false,
        }
    }

    /// ClickHouse's error code, where it gave one.
    pub fn code(&self) -> Option<i32> {
        match self {
            Self::Exception { code, .. } if *code != 0 => Some(*code),
            _ => None,
        }
    }

    /// Reads ClickHouse's own form, `Code: 60. DB::Exception: … (UNKNOWN_TABLE)`.
    pub(crate) fn from_text(text: &str) -> Self {
        let code = text
            .find("Code: ")
            .and_then(|at| {
                let digits = &text[at + "Code: ".len()..];
                let end = digits
                    .find(|c: char| !c.is_ascii_digit())
                    .unwrap_or(digits.len());
                digits[..end].parse().ok()
            })
            .unwrap_or(0);
        let message = match text.find("DB::Exception: ") {
            Some(at) => &text[at + "DB::Exception: ".len()..],
            None => text,
        };
        Self::Exception {
            code,
            message: message.trim_end().to_owned(),
        }
    }

    pub(crate) fn rows(table: &str, reason: impl Into<String>) -> Self {
        Self::Rows {
            table: table.to_owned(),
            reason: reason.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_clickhouse_exceptions() {
        let error = WarehouseError::from_text(
            "Code: 241. DB::Exception: Memory limit exceeded. (MEMORY_LIMIT_EXCEEDED)\n",
        );
        assert_eq!(error.code(), Some(241));
        assert!(error.is_retryable());
        assert_eq!(
            error.to_string(),
            "clickhouse error 241: Memory limit exceeded. (MEMORY_LIMIT_EXCEEDED)"
        );
        let error = WarehouseError::from_text("Code: 60. DB::Exception: no such table");
        assert!(!error.is_retryable());
        assert_eq!(WarehouseError::from_text("something else").code(), None);
    }
}
