//! How many seconds the warehouse is behind the log, measured from outside: by the log's own ends and the progress.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::cluster::{ask_warehouse, until};
use crate::log;

const EVERY: Duration = Duration::from_millis(250);
/// Not further behind than this is caught up: a cycle, and the time between two looks.
const CAUGHT_UP: Duration = Duration::from_millis(1_500);

/// Looks every now and then.
#[derive(Debug)]
pub(crate) struct Lag {
    behind: watch::Receiver<(Instant, Duration)>,
    following: JoinHandle<()>,
}

impl Lag {
    /// Follows a broker's log and a `millrace warehouse`.
    pub(crate) fn follow(broker: &str, warehouse: &str) -> Self {
        let (tell, behind) = watch::channel((Instant::now(), Duration::ZERO));
        let (broker, warehouse) = (broker.to_owned(), warehouse.to_owned());
        let following = tokio::spawn(async move {
            // What the ends were, and when.
            let mut seen: VecDeque<(Instant, BTreeMap<u32, u64>)> = VecDeque::new();
            let mut reached = Instant::now();
            loop {
                tokio::time::sleep(EVERY).await;
                let asked = broker.clone();
                let at = Instant::now();
                if let Ok(Some(ends)) = tokio::task::spawn_blocking(move || log::ends(&asked)).await
                {
                    seen.push_back((at, ends));
                }
                if let Some(applied) = progress(&warehouse).await {
                    let done = |ends: &BTreeMap<u32, u64>| {
                        ends.iter().all(|(partition, end)| {
                            applied.get(partition).copied().unwrap_or(0) >= *end
                        })
                    };
                    while seen.front().is_some_and(|(_, ends)| done(ends)) {
                        if let Some((at, _)) = seen.pop_front() {
                            reached = at;
                        }
                    }
                }
                tell.send_replace((Instant::now(), reached.elapsed()));
            }
        });
        Self { behind, following }
    }

    /// Waits until it is caught up at a time after `since`, and says how long that took.
    pub(crate) async fn caught_up(&self, since: Instant, within: Duration) -> Option<Duration> {
        let caught = until(within, async || {
            let (at, behind) = *self.behind.borrow();
            at > since && behind < CAUGHT_UP
        })
        .await;
        caught.then(|| since.elapsed())
    }
}

impl Drop for Lag {
    fn drop(&mut self) {
        self.following.abort();
    }
}

async fn progress(warehouse: &str) -> Option<BTreeMap<u32, u64>> {
    let sql = "SELECT partition, max(offset) FROM progress GROUP BY partition FORMAT TSV";
    let text = ask_warehouse(warehouse, "millrace", sql).await.ok()?;
    let line = |line: &str| {
        let (partition, offset) = line.split_once('\t')?;
        Some((partition.parse().ok()?, offset.parse().ok()?))
    };
    text.lines().map(line).collect()
}
