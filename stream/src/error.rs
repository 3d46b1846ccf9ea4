//! Errors of the log. Each says whether trying again can help.

use std::time::Duration;

/// Why one record was not acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// Certainly not in the log. Send it again.
    #[error("the log cannot take records now ({reason}); send the record again")]
    Unavailable {
        /// What stood in the way.
        reason: String,
    },
    /// May or may not be in the log. Send it again with the same event id: it counts once.
    #[error(
        "the log did not confirm the record ({reason}); it may have landed, send it again with the same event id"
    )]
    Unknown {
        /// What stood in the way.
        reason: String,
    },
    /// Larger than the log takes, and certainly not in it.
    #[error("the record has {bytes} bytes, the log takes at most {limit}; send a smaller one")]
    TooLarge {
        /// Size of the payload.
        bytes: usize,
        /// Largest payload the log takes.
        limit: usize,
    },
    /// The log has no such partition: the caller's partition count is wrong.
    #[error("the log has no partition {partition}, it has {partitions}")]
    NoSuchPartition {
        /// What was asked for.
        partition: u32,
        /// How many there are.
        partitions: u32,
    },
    /// The log refuses the record for good, for instance because the topic's settings forbid it.
    #[error("the log refuses the record: {reason}")]
    Refused {
        /// The log's own words.
        reason: String,
    },
    /// The log has been closed by this process.
    #[error("the log is closed; open it again")]
    Closed,
}

impl AppendError {
    pub(crate) fn unavailable(reason: impl Into<String>) -> Self {
        Self::Unavailable {
            reason: reason.into(),
        }
    }

    pub(crate) fn unknown(reason: impl Into<String>) -> Self {
        Self::Unknown {
            reason: reason.into(),
        }
    }

    /// Whether sending the same record again may succeed.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(
            self,
            Self::Unavailable { .. } | Self::Unknown { .. } | Self::Closed
        )
    }

    /// Whether the record may be in the log all the same.
    #[must_use]
    pub fn may_have_landed(&self) -> bool {
        matches!(self, Self::Unknown { .. })
    }
}

/// Why the log could not be opened, read or followed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LogError {
    /// URL or options that cannot work.
    #[error("{0}")]
    Misconfigured(String),
    /// The log exists with another partition count or generation than asked for.
    #[error("{0}")]
    Mismatch(String),
    /// Another process (or another opening in this one) has the folder.
    #[error(
        "the log folder {folder} is in use by another process; stop that process, or where roles run apart on one log, set it to kafka://…"
    )]
    Locked {
        /// The folder.
        folder: String,
    },
    /// What is stored does not add up; the text names the place.
    #[error("the log is damaged: {0}; restore it from a backup or start a new generation")]
    Damaged(String),
    /// The offset is not kept (any more, or yet).
    #[error("offset {offset} of partition {partition} is not in the log, it keeps {start}..{end}")]
    OutOfRange {
        /// Partition asked for.
        partition: u32,
        /// Offset asked for.
        offset: u64,
        /// First kept offset.
        start: u64,
        /// Next offset to be given.
        end: u64,
    },
    /// The partition is not assigned to this consumer.
    #[error("partition {partition} is not assigned to this consumer; wait for its assignment")]
    NotAssigned {
        /// Partition asked for.
        partition: u32,
    },
    /// Something outside stood in the way; trying again may help.
    #[error("the log is not available ({0}); try again")]
    Unavailable(String),
    /// No answer within the time given; trying again may help.
    #[error("the log did not answer within {0:?}; try again")]
    Timeout(Duration),
    /// The log has been closed by this process.
    #[error("the log is closed; open it again")]
    Closed,
}

impl LogError {
    /// Whether doing the same again may succeed without anyone changing anything.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Timeout(_))
    }
}
