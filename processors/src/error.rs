//! Why the processor stops.

use schemas::position::Position;
use stream::LogError;
use warehouse::archive::ArchiveError;

use crate::engine::EngineError;
use crate::store::StoreError;

/// Why the processor stops. Whatever it was, nothing is lost: a new start goes on from the committed progress.
#[derive(Debug, thiserror::Error)]
pub enum ProcessorError {
    /// The log cannot be followed.
    #[error("cannot follow the log: {0}")]
    Log(#[from] LogError),
    /// The warehouse refuses something for good.
    #[error("the warehouse refuses to {what}: {source}")]
    Warehouse {
        /// What was asked.
        what: String,
        /// Its answer.
        source: StoreError,
    },
    /// The log is not the one the progress was made on.
    #[error(
        "the log does not fit the progress in the warehouse at {position}: {reason}; if the log was restored or replaced, give it a new generation, if the warehouse was, restore both from the same time"
    )]
    WrongLog {
        /// Where they part.
        position: Position,
        /// How.
        reason: String,
    },
    /// The warehouse is not the one the archive was made with.
    #[error(
        "the archive holds events of log generation {generation} that this warehouse has never applied: it is another warehouse, or another database of it, than the one that the archive was made with; name that one in `warehouse`, or restore both from one backup"
    )]
    WrongWarehouse {
        /// The generation.
        generation: u32,
    },
    /// The log holds something this program is too old for, or rows that cannot be built.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// Columns do not fit together: a defect.
    #[error("could not build rows: {0}")]
    Rows(#[from] arrow::error::ArrowError),
    /// The archive cannot be used.
    #[error("the archive cannot be used: {0}")]
    Archive(#[from] ArchiveError),
    /// A worker was lost.
    #[error("a worker ended early: {0}")]
    Worker(String),
    /// The shutdown came while the warehouse did not answer. What was not written is folded again from the log.
    #[error(
        "shut down with records not written; they are in the log and will be taken up at the next start"
    )]
    ShutDown,
    /// The shutdown came while the archive did not take what is applied. It is in the warehouse.
    #[error(
        "shut down with applied events not archived; they are in the warehouse and will be archived at the next start"
    )]
    NotArchived,
}

impl ProcessorError {
    /// Whether starting again may help without anybody changing anything.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Log(error) => error.is_retryable(),
            Self::Warehouse { source, .. } => source.retryable,
            Self::Archive(error) => error.is_retryable(),
            Self::Worker(_) | Self::ShutDown | Self::NotArchived => true,
            Self::WrongLog { .. }
            | Self::WrongWarehouse { .. }
            | Self::Engine(_)
            | Self::Rows(_) => false,
        }
    }
}
