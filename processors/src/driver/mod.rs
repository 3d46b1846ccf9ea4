//! The driver: takes what the log delivers through the engines into the store, cycle by cycle.
//!
//! Two loops, so that one cycle is folded while the one before it is written: [`folder`] and [`writer`].
//! They need no runtime of a particular kind; the model test polls them by hand.

mod assign;
mod batch;
mod folder;
mod writer;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use schemas::Timestamp;
use stream::{Log, LogError};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::engine::{Part, Progress};
use crate::error::ProcessorError;
use crate::fold::Fold;
use crate::rows::Cycle;
use crate::rules::Rules;
use crate::store::{Store, StoreError};

/// Bounds of a cycle and of memory.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Records in a cycle at the most.
    pub max_events: usize,
    /// Payload bytes in a cycle at the most.
    pub max_bytes: usize,
    /// How long a cycle gathers records.
    pub linger: Duration,
    /// How long it gathers them while the cycle before is still being written.
    pub linger_behind: Duration,
    /// Bytes of customer states in memory, all partitions together.
    pub state_bytes: usize,
    /// Rows in one insert at the most.
    pub insert_rows: usize,
}

/// What is told to whoever follows the driver.
pub trait Observer: Send + Sync {
    /// A partition is ours, applied up to here, with what is to come from this offset.
    fn assigned(&self, partition: u32, progress: Option<Progress>, next: u64);
    /// Partitions are no longer ours.
    fn lost(&self, partitions: &[u32]);
    /// A cycle is in the warehouse.
    fn committed(&self, cycle: &Arc<Cycle>);
    /// When the earliest timer of a partition is due.
    fn due(&self, partition: u32, due: Option<Timestamp>);
    /// Whether somebody waits for what is in the log now: a cycle does not gather any longer.
    fn hurried(&self) -> bool;
}

/// Everything a driver works with.
pub struct Wiring<S: ?Sized, O: ?Sized> {
    /// The log.
    pub log: Arc<dyn Log>,
    /// The group of consumers.
    pub group: String,
    /// The warehouse.
    pub store: Arc<S>,
    /// Who follows.
    pub observer: Arc<O>,
    /// Bounds.
    pub limits: Limits,
    /// The fold of client events.
    pub fold: Fold,
    /// What tests switch off.
    pub rules: Rules,
    /// Names this process in `progress`.
    pub owner: String,
    /// Ends the driver: what has been folded is still written.
    pub shutdown: CancellationToken,
}

impl<S: ?Sized, O: ?Sized> std::fmt::Debug for Wiring<S, O> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wiring")
            .field("group", &self.group)
            .field("owner", &self.owner)
            .finish_non_exhaustive()
    }
}

/// What the writer says of a cycle: its parts, and those that were dropped because they were lost.
#[derive(Debug)]
struct Written {
    parts: Vec<Part>,
}

/// Partitions taken away: their rows need not be written any more.
type Lost = Arc<Mutex<BTreeSet<u32>>>;

/// Cycles that wait for the writer beside the one it is writing.
const QUEUE: usize = 1;

/// Runs until the shutdown, or until something is wrong that no repetition mends.
///
/// # Errors
/// See [`ProcessorError`]; each says what to do.
pub async fn drive<S, O>(wiring: Arc<Wiring<S, O>>) -> Result<(), ProcessorError>
where
    S: Store + ?Sized + 'static,
    O: Observer + ?Sized + 'static,
{
    let consumer = wiring.log.subscribe(&wiring.group).await?;
    let (cycles, to_write) = mpsc::channel(QUEUE);
    let (written, acknowledgements) = mpsc::unbounded_channel();
    let lost = Lost::default();
    let writing = writer::write(wiring.clone(), to_write, written, lost.clone());
    let folding = folder::Folder::new(wiring, consumer, cycles, acknowledgements, lost).run();
    futures::try_join!(folding, writing)?;
    Ok(())
}

/// Why a read did not succeed, and whether it may the next time.
trait Failure: std::fmt::Display {
    fn is_retryable(&self) -> bool;
    fn into_error(self, what: &str) -> ProcessorError;
}

impl Failure for StoreError {
    fn is_retryable(&self) -> bool {
        self.retryable
    }

    fn into_error(self, what: &str) -> ProcessorError {
        ProcessorError::Warehouse {
            what: what.to_owned(),
            source: self,
        }
    }
}

impl Failure for LogError {
    fn is_retryable(&self) -> bool {
        LogError::is_retryable(self)
    }

    fn into_error(self, _: &str) -> ProcessorError {
        ProcessorError::Log(self)
    }
}

/// Repeats a read of warehouse or log until it succeeds, the error is final, or the driver is to end.
async fn patiently<S, O, T, E, F>(
    wiring: &Wiring<S, O>,
    what: &str,
    mut attempt: impl FnMut() -> F,
) -> Result<T, ProcessorError>
where
    S: Store + ?Sized,
    O: ?Sized,
    E: Failure,
    F: Future<Output = Result<T, E>>,
{
    let mut delay = FIRST_DELAY;
    loop {
        match attempt().await {
            Ok(value) => return Ok(value),
            Err(error) => wait_out(wiring, what, error, &mut delay).await?,
        }
    }
}

/// Waits before the next attempt, a little longer each time, if there is to be one.
async fn wait_out<S, O, E>(
    wiring: &Wiring<S, O>,
    what: &str,
    error: E,
    delay: &mut Duration,
) -> Result<(), ProcessorError>
where
    S: Store + ?Sized,
    O: ?Sized,
    E: Failure,
{
    if !error.is_retryable() {
        return Err(error.into_error(what));
    }
    if wiring.shutdown.is_cancelled() {
        return Err(ProcessorError::ShutDown);
    }
    let delay_ms = delay.as_millis() as u64;
    if *delay < LONGEST_DELAY {
        tracing::warn!(what, %error, delay_ms, "no answer; trying again");
    } else {
        tracing::error!(what, %error, delay_ms, "still no answer; look at what is asked; trying again");
    }
    metrics::counter!(crate::metrics::STORE_RETRIES).increment(1);
    wiring.store.pause(*delay).await;
    *delay = (*delay * 2).min(LONGEST_DELAY);
    Ok(())
}

const FIRST_DELAY: Duration = Duration::from_millis(50);
const LONGEST_DELAY: Duration = Duration::from_secs(5);
