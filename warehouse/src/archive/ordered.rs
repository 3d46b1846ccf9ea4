//! Rows of one log partition in the order of the log.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::prelude::{SessionConfig, SessionContext};
use futures::stream::BoxStream;
use futures::{FutureExt as _, StreamExt as _};

use super::ArchiveFuture;
use super::error::ArchiveError;
use super::snapshot::Snapshot;

impl Snapshot {
    /// The rows of a log partition at these offsets, in the order of the log, with the columns of
    /// [`schemas::arrow::events`].
    ///
    /// Files lie in another order, so the rows are sorted: in `memory` bytes, and beyond that in temporary files.
    ///
    /// # Errors
    ///
    /// Storage that does not answer, a damaged file, a full disk.
    pub fn in_order(
        &self,
        generation: u32,
        partition: u32,
        offsets: Range<u64>,
        memory: usize,
    ) -> ArchiveFuture<'_, BoxStream<'static, Result<RecordBatch, ArchiveError>>> {
        async move {
        let environment = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(FairSpillPool::new(memory)))
            .build_arc()?;
        let config = SessionConfig::new().with_target_partitions(1);
        let context = SessionContext::new_with_config_rt(config, environment);
        context.register_table("events", self.provider()?)?;
        let (from, to) = (offsets.start, offsets.end);
        let sql = format!(
            "SELECT * FROM events WHERE generation = {generation} AND \"partition\" = {partition} \
             AND \"offset\" >= {from} AND \"offset\" < {to} ORDER BY \"offset\""
        );
        let rows = context.sql(&sql).await?.execute_stream().await?;
        Ok(rows.map(|batch| Ok(batch?)).boxed())
    }.boxed()
    }
}
