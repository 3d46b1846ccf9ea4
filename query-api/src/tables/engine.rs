//! Where queries run: threads and memory of their own, a bounded number at a time, each within a timeout.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use datafusion::execution::SessionStateBuilder;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::GreedyMemoryPool;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::prelude::{SessionConfig, SessionContext};
use schemas::{Problem, ProblemKind};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::task::AbortOnDropHandle;

use crate::api::{Limits, internal};
use crate::metrics;

/// Stack of a query's thread: planning recurses into expressions. Only what is used of it takes memory.
const STACK_BYTES: usize = 64 << 20;

/// Runs queries beside, not among, the requests.
pub(crate) struct Engine {
    runtime: Option<Runtime>,
    environment: Arc<RuntimeEnv>,
    slots: Arc<Semaphore>,
    timeout: Duration,
    threads: usize,
}

impl Engine {
    /// One of `engines` that share the memory there is.
    pub(crate) fn new(limits: &Limits, engines: usize) -> Self {
        let threads = limits.query_threads.max(1);
        let runtime = Builder::new_multi_thread()
            .worker_threads(threads)
            .thread_name("query")
            .thread_stack_size(STACK_BYTES)
            .enable_all()
            .build();
        let environment = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(GreedyMemoryPool::new(
                limits.query_memory / engines,
            )))
            .with_disk_manager_builder(
                DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled),
            )
            .build_arc();
        Self {
            runtime: runtime
                .inspect_err(
                    |error| tracing::error!(%error, "queries share the threads of requests"),
                )
                .ok(),
            // Without temporary files there is nothing in it that can fail.
            environment: environment.unwrap_or_default(),
            slots: Arc::new(Semaphore::new(limits.queries.max(1))),
            timeout: limits.query_timeout,
            threads,
        }
    }

    /// A session without tables, information schema or access to files.
    pub(crate) fn session(&self) -> SessionContext {
        let mut config = SessionConfig::new()
            .with_target_partitions(self.threads)
            .with_information_schema(false);
        // One that never ends is nobody's wish.
        config.options_mut().execution.enable_recursive_ctes = false;
        // Texts stay plain, as in the tables' schemas, so that constants compare without casts.
        config.options_mut().sql_parser.map_string_types_to_utf8view = false;
        let state = SessionStateBuilder::new()
            .with_config(config)
            .with_runtime_env(self.environment.clone())
            .with_default_features()
            .build();
        SessionContext::new_with_state(state)
    }

    /// Runs `work` on the query threads. Who stops waiting stops the work.
    pub(crate) async fn run<T, F>(&self, what: &'static str, work: F) -> Result<T, Problem>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Problem>> + Send + 'static,
    {
        let start = Instant::now();
        let turn = tokio::time::timeout(self.timeout, self.slots.clone().acquire_owned()).await;
        let done = match turn {
            Ok(Ok(turn)) => self.in_turn(turn, work).await,
            Ok(Err(error)) => Err(internal("the queries' turns are closed", &error)),
            Err(_) => Err(Problem::new(
                ProblemKind::Unavailable,
                "other queries take all the time there is; send it again after the time in Retry-After",
            )),
        };
        metrics::query(what, start.elapsed());
        done
    }

    async fn in_turn<T, F>(&self, turn: OwnedSemaphorePermit, work: F) -> Result<T, Problem>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Problem>> + Send + 'static,
    {
        // The turn is over when the work is, not when nobody waits for it any more.
        let work = async move {
            let _turn = turn;
            work.await
        };
        let task = match &self.runtime {
            Some(runtime) => runtime.spawn(work),
            None => tokio::spawn(work),
        };
        match tokio::time::timeout(self.timeout, AbortOnDropHandle::new(task)).await {
            Ok(ended) => ended.map_err(|error| internal("a query ended abnormally", &error))?,
            Err(_) => {
                let seconds = self.timeout.as_secs();
                Err(Problem::new(
                    ProblemKind::Unprocessable,
                    format!(
                        "it took longer than {seconds} s; ask for less, such as a shorter range"
                    ),
                )
                .with("code", "timeout".into()))
            }
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // A runtime must not wait for its threads where others run.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
