//! Time and definitions enter as records of the log, so that a replay computes the same.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use schemas::{Control, Define, Position, Timestamp};
use stream::{AppendError, Log, NewRecord};
use tokio_util::sync::CancellationToken;

use crate::handle::Handle;

/// How often timers are looked at.
const STEP: Duration = Duration::from_secs(1);

/// Appends a definition to every partition; it holds from there on. Repeat it after an error: that does no harm.
///
/// # Errors
/// The first failure. The definition may then hold in some partitions and not in others.
pub async fn define(log: &dyn Log, define: &Define) -> Result<Vec<Position>, AppendError> {
    let payload = Control::Define {
        define: define.clone(),
    }
    .encode();
    let records = (0..log.partitions())
        .map(|partition| NewRecord {
            partition,
            payload: payload.clone(),
            decoded: None,
            trace: None,
        })
        .collect();
    log.append(records).await.into_iter().collect()
}

/// Appends a tick to every owned partition that has a timer due, until the shutdown.
pub(crate) async fn run(log: Arc<dyn Log>, handle: Handle, shutdown: CancellationToken) {
    // A tick that is not applied yet is not repeated.
    let mut pending: BTreeMap<u32, u64> = BTreeMap::new();
    while tokio::time::timeout(STEP, shutdown.cancelled())
        .await
        .is_err()
    {
        let now = Timestamp::from_micros(chrono::Utc::now().timestamp_micros());
        let due: Vec<u32> = handle
            .progress()
            .into_iter()
            .filter(|partition| {
                pending
                    .get(&partition.partition)
                    .is_none_or(|tick| partition.applied > *tick)
            })
            .filter(|partition| partition.due.is_some_and(|due| due <= now))
            .map(|partition| partition.partition)
            .collect();
        if due.is_empty() {
            continue;
        }
        let payload = Control::Tick { at: now }.encode();
        let records = due
            .iter()
            .map(|&partition| NewRecord {
                partition,
                payload: payload.clone(),
                decoded: None,
                trace: None,
            })
            .collect();
        for (partition, appended) in due.iter().zip(log.append(records).await) {
            match appended {
                Ok(position) => {
                    pending.insert(*partition, position.offset);
                }
                Err(error) => {
                    tracing::warn!(partition, %error, "could not append a tick; trying again in a second")
                }
            }
        }
    }
}
