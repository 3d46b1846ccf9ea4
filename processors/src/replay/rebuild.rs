//! The rebuild: the production driver over a log that delivers what counts, into the shadow.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use schemas::{Position, Timestamp};
use stream::{
    AppendError, Bounds, Consumer, Delivery, Limits, Log, LogError, LogRecord, NewRecord,
};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::ReplayError;
use super::shadow::Shadow;
use super::source::{Batch, Source};
use crate::driver::{self, Observer, Wiring, drive};
use crate::engine::Progress;
use crate::error::ProcessorError;
use crate::rows::Cycle;
use crate::rules::Rules;

/// The next offset of each partition.
pub(super) type Cut = BTreeMap<u32, u64>;

/// Batches on their way to the fold.
const QUEUE: usize = 4;

/// One generation being folded into the shadow.
pub(super) struct Rebuild {
    cut: watch::Sender<Cut>,
    progress: watch::Receiver<BTreeMap<u32, Progress>>,
    driving: Option<JoinHandle<Result<(), ProcessorError>>>,
    sending: Option<JoinHandle<Result<(), ReplayError>>>,
    stop: CancellationToken,
}

impl Rebuild {
    /// Begins with nothing folded.
    pub(super) fn start(source: Source, shadow: Shadow, state_bytes: usize) -> Self {
        let (cut, cuts) = watch::channel(Cut::new());
        let (batches, inbox) = mpsc::channel(QUEUE);
        let (folded, progress) = watch::channel(BTreeMap::new());
        let stop = CancellationToken::new();
        let log = Counting {
            generation: source.generation,
            partitions: source.partitions,
            cut: cuts.clone(),
            inbox: Mutex::new(Some(inbox)),
        };
        let wiring = Wiring {
            log: Arc::new(log) as Arc<dyn Log>,
            group: "replay".to_owned(),
            store: Arc::new(shadow),
            observer: Arc::new(Following(folded)),
            limits: driver::Limits {
                max_events: 100_000,
                max_bytes: 64 << 20,
                linger: Duration::from_millis(100),
                linger_behind: Duration::from_millis(500),
                state_bytes,
                insert_rows: crate::service::INSERT_ROWS,
            },
            fold: crate::fold::apply,
            rules: Rules::ALL,
            owner: "replay".to_owned(),
            shutdown: stop.clone(),
        };
        Self {
            cut,
            progress,
            // What the driver logs is not about the live state.
            driving: Some(tokio::spawn(
                drive(Arc::new(wiring)).instrument(tracing::info_span!("replay")),
            )),
            sending: Some(tokio::spawn(send(source, cuts, batches))),
            stop,
        }
    }

    /// What is folded so far, by partition.
    pub(super) fn progress(&self) -> watch::Receiver<BTreeMap<u32, Progress>> {
        self.progress.clone()
    }

    /// Events folded so far.
    pub(super) fn events(&self) -> u64 {
        let progress = self.progress.borrow();
        progress.values().map(|partition| partition.events).sum()
    }

    /// Folds up to a cut; returns when it is in the shadow.
    pub(super) async fn reach(&mut self, cut: &Cut) -> Result<(), ReplayError> {
        self.cut.send_replace(cut.clone());
        let reached = self.progress.wait_for(|progress| {
            cut.iter()
                .filter(|(_, next)| **next > 0)
                .all(|(partition, next)| {
                    progress
                        .get(partition)
                        .is_some_and(|progress| progress.next >= *next)
                })
        });
        // Neither ends by itself but by failing.
        tokio::select! {
            reached = reached => reached.map(drop).map_err(|_| ReplayError::Ended),
            ended = ended(&mut self.driving) => Err(ended),
            ended = ended(&mut self.sending) => Err(ended),
        }
    }

    /// Ends the fold, with everything folded in the shadow.
    pub(super) async fn finish(mut self) -> Result<(), ReplayError> {
        self.stop.cancel();
        match self.driving.take() {
            Some(driving) => Ok(driving.await??),
            None => Ok(()),
        }
    }
}

impl Drop for Rebuild {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(sending) = &self.sending {
            sending.abort();
        }
    }
}

async fn ended<E: Into<ReplayError>>(task: &mut Option<JoinHandle<Result<(), E>>>) -> ReplayError {
    let Some(running) = task.as_mut() else {
        return std::future::pending().await;
    };
    let ended = running.await;
    *task = None;
    match ended {
        Ok(Ok(())) => ReplayError::Ended,
        Ok(Err(error)) => error.into(),
        Err(error) => error.into(),
    }
}

/// Sends what lies before the cut, partition by partition, whenever the cut moves on.
async fn send(
    source: Source,
    mut cuts: watch::Receiver<Cut>,
    batches: mpsc::Sender<Batch>,
) -> Result<(), ReplayError> {
    let mut sent = Cut::new();
    loop {
        let cut = cuts.borrow_and_update().clone();
        for (partition, to) in cut {
            let from = sent.get(&partition).copied().unwrap_or(0);
            if from < to {
                source.send(partition, from, to, &batches).await?;
                sent.insert(partition, to);
            }
        }
        if cuts.changed().await.is_err() {
            return Ok(());
        }
    }
}

/// Tells how far the fold is.
struct Following(watch::Sender<BTreeMap<u32, Progress>>);

impl Observer for Following {
    fn assigned(&self, _: u32, _: Option<Progress>, _: u64) {}

    fn lost(&self, _: &[u32]) {}

    fn committed(&self, cycle: &Arc<Cycle>) {
        self.0.send_modify(|progress| {
            for part in &cycle.parts {
                progress.insert(part.partition, part.progress);
            }
        });
    }

    fn due(&self, _: u32, _: Option<Timestamp>) {}

    fn hurried(&self) -> bool {
        false
    }
}

/// A log of the records that count, for one reader.
#[derive(Debug)]
struct Counting {
    generation: u32,
    partitions: u32,
    cut: watch::Receiver<Cut>,
    inbox: Mutex<Option<mpsc::Receiver<Batch>>>,
}

#[async_trait]
impl Log for Counting {
    fn generation(&self) -> u32 {
        self.generation
    }

    fn partitions(&self) -> u32 {
        self.partitions
    }

    async fn append(&self, records: Vec<NewRecord>) -> Vec<Result<Position, AppendError>> {
        records.iter().map(|_| Err(AppendError::Closed)).collect()
    }

    async fn subscribe(&self, _: &str) -> Result<Box<dyn Consumer>, LogError> {
        let inbox = self.inbox.lock().take().ok_or(LogError::Closed)?;
        let assigned = Some((0..self.partitions).collect());
        Ok(Box::new(Reader { inbox, assigned }))
    }

    async fn bounds(&self) -> Result<Vec<Bounds>, LogError> {
        let cut = self.cut.borrow();
        let end = |partition| cut.get(&partition).copied().unwrap_or(0);
        Ok((0..self.partitions)
            .map(|partition| Bounds {
                partition,
                start: 0,
                end: end(partition),
            })
            .collect())
    }

    async fn read(&self, _: u32, _: u64, _: usize, _: usize) -> Result<Vec<LogRecord>, LogError> {
        Ok(Vec::new())
    }

    async fn release(&self, _: &[(u32, u64)]) -> Result<(), LogError> {
        Ok(())
    }

    async fn healthy(&self) -> Result<(), LogError> {
        Ok(())
    }

    async fn close(&self) -> Result<(), LogError> {
        Ok(())
    }
}

struct Reader {
    inbox: mpsc::Receiver<Batch>,
    assigned: Option<Vec<u32>>,
}

#[async_trait]
impl Consumer for Reader {
    async fn poll(&mut self, limits: &Limits) -> Result<Vec<Delivery>, LogError> {
        if let Some(partitions) = self.assigned.take() {
            return Ok(vec![Delivery::Assigned(partitions)]);
        }
        match tokio::time::timeout(limits.wait, self.inbox.recv()).await {
            Ok(Some((partition, records))) => Ok(vec![Delivery::Records { partition, records }]),
            Ok(None) => {
                // Whoever sends has failed and says so itself.
                tokio::time::sleep(limits.wait).await;
                Ok(Vec::new())
            }
            Err(_) => Ok(Vec::new()),
        }
    }

    async fn start(&mut self, _: u32, _: u64) -> Result<(), LogError> {
        Ok(())
    }

    fn note_progress(&mut self, _: &[(u32, u64)]) {}
}
