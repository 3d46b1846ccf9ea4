//! A few threads with a session each: statements wait for one in a bounded queue.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;

use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

use super::library::Session;
use crate::error::WarehouseError;

/// Work for a session.
type Job = Box<dyn FnOnce(&mut Session) + Send>;

/// How many statements may wait for a thread of a lane before callers wait instead.
const QUEUE: usize = 64;

/// Threads that take statements from one queue.
pub(super) struct Lane {
    jobs: Mutex<Option<mpsc::Sender<Job>>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Lane {
    /// Starts a thread for each session.
    pub(super) fn start(name: &str, sessions: Vec<Session>) -> std::io::Result<Self> {
        let (sender, receiver) = mpsc::channel::<Job>(QUEUE);
        let receiver = Arc::new(Mutex::new(receiver));
        let mut threads = Vec::with_capacity(sessions.len());
        for (index, mut session) in sessions.into_iter().enumerate() {
            let receiver = Arc::clone(&receiver);
            let body = move || {
                loop {
                    // The lock is held while waiting, so that the others wait their turn at the lock.
                    let job = receiver.lock().blocking_recv();
                    let Some(job) = job else { return };
                    // A panic drops the caller's channel, which tells it; the session is used on.
                    if catch_unwind(AssertUnwindSafe(|| job(&mut session))).is_err() {
                        tracing::error!("a statement panicked; this is a bug, please report it");
                    }
                }
            };
            threads.push(
                std::thread::Builder::new()
                    .name(format!("{name}-{index}"))
                    .spawn(body)?,
            );
        }
        Ok(Self {
            jobs: Mutex::new(Some(sender)),
            threads: Mutex::new(threads),
        })
    }

    /// Queues a job without an answer of its own.
    pub(super) async fn send(
        &self,
        job: impl FnOnce(&mut Session) + Send + 'static,
    ) -> Result<(), WarehouseError> {
        let sender = self.jobs.lock().clone().ok_or(WarehouseError::Closed)?;
        sender
            .send(Box::new(job))
            .await
            .map_err(|_| WarehouseError::Closed)
    }

    /// Runs a job and waits for its answer.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Session) -> Result<T, WarehouseError> + Send + 'static,
    ) -> Result<T, WarehouseError> {
        let (answer, answered) = oneshot::channel();
        self.send(move |session| {
            let _ = answer.send(job(session));
        })
        .await?;
        answered
            .await
            .map_err(|_| WarehouseError::Answer("the statement broke off; see the log".into()))?
    }

    /// Takes no more jobs, finishes those queued, and closes the sessions. Blocks.
    pub(super) fn stop(&self) {
        self.jobs.lock().take();
        for thread in std::mem::take(&mut *self.threads.lock()) {
            // Threads catch panics of jobs, so this only fails if one was impossible to catch.
            let _ = thread.join();
        }
    }
}
