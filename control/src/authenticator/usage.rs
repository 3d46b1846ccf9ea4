//! When keys and sessions were last used: noted in memory, written in batches.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use schemas::{KeyId, SessionId, Timestamp};

use super::Inner;
use crate::db::values;
use crate::error::ControlError;
use crate::principal::Principal;

/// What was used.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Used {
    Key(KeyId),
    Session(SessionId),
}

impl Used {
    /// What a caller presented; nothing for keys of the configuration.
    pub(super) fn by(principal: &Principal) -> Option<Self> {
        let key = principal.key.clone().map(Used::Key);
        key.or_else(|| principal.session.clone().map(Used::Session))
    }

    fn id(&self) -> &str {
        match self {
            Used::Key(id) => id.as_str(),
            Used::Session(id) => id.as_str(),
        }
    }

    /// `$3` is the latest earlier use that still lets this one be written: however many processes see it, it is
    /// written once in each interval. A use that is passed over is less than the interval after the one that is stored.
    fn write(&self) -> &'static str {
        match self {
            Used::Key(_) => {
                "UPDATE api_keys SET last_used_at = $2
                 WHERE id = $1 AND (last_used_at IS NULL OR (last_used_at < $2 AND last_used_at <= $3))"
            }
            Used::Session(_) => {
                "UPDATE sessions SET last_used_at = $2
                 WHERE id = $1 AND (last_used_at IS NULL OR (last_used_at < $2 AND last_used_at <= $3))"
            }
        }
    }
}

struct Use {
    last: Timestamp,
    /// The use that the database knows of, and when it was told.
    written: Option<(Timestamp, Timestamp)>,
}

/// The last use of each key and session that was seen lately.
pub(super) struct Usage {
    uses: Mutex<HashMap<Used, Use>>,
    touch_micros: i64,
}

impl Usage {
    pub(super) fn new(touch_every: Duration) -> Self {
        let touch_micros = i64::try_from(touch_every.as_micros()).unwrap_or(i64::MAX);
        Self {
            uses: Mutex::new(HashMap::new()),
            touch_micros,
        }
    }

    pub(super) fn record(&self, key: &Used, now: Timestamp) {
        let mut uses = self.uses.lock();
        match uses.get_mut(key) {
            Some(found) => found.last = found.last.max(now),
            None => {
                uses.insert(
                    key.clone(),
                    Use {
                        last: now,
                        written: None,
                    },
                );
            }
        }
    }

    /// Uses that the database does not know and that are due, or all of them.
    fn due(&self, now: Timestamp, all: bool) -> Vec<(Used, Timestamp)> {
        let mut uses = self.uses.lock();
        let rested =
            |told: Timestamp| now.micros().saturating_sub(told.micros()) >= self.touch_micros;
        // What is written and has rested says nothing any more, so memory follows the keys in use.
        uses.retain(|_, found| {
            !found
                .written
                .is_some_and(|(last, told)| last == found.last && rested(told))
        });
        uses.iter()
            .filter(|(_, found)| match found.written {
                Some((last, told)) => last != found.last && (all || rested(told)),
                None => true,
            })
            .map(|(key, found)| (key.clone(), found.last))
            .collect()
    }

    fn mark_written(&self, batch: &[(Used, Timestamp)], now: Timestamp) {
        let mut uses = self.uses.lock();
        for (key, last) in batch {
            if let Some(found) = uses.get_mut(key) {
                found.written = Some((*last, now));
            }
        }
    }
}

/// Writes what is due in one transaction.
pub(super) async fn write(inner: &Inner, all: bool) -> Result<(), ControlError> {
    let now = inner.control.now();
    let mut batch = inner.usage.due(now, all);
    // One order in every process, so that two writers cannot wait for each other.
    batch.sort_unstable();
    if batch.is_empty() {
        return Ok(());
    }
    let rested = if all {
        now
    } else {
        now.plus_micros(inner.usage.touch_micros.saturating_neg())
    };
    let mut transaction = inner.control.db().begin().await?;
    for (key, last) in &batch {
        transaction
            .execute(key.write(), values![key.id(), *last, rested])
            .await?;
    }
    transaction.commit().await?;
    inner.usage.mark_written(&batch, now);
    Ok(())
}

/// Writes until the authenticator is dropped. A failure loses nothing: the next round has the same uses.
pub(super) fn write_periodically(inner: &Arc<Inner>) {
    let (weak, every) = (
        Arc::downgrade(inner),
        inner.policy.write_every.max(Duration::from_millis(10)),
    );
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(every).await;
            let Some(inner) = weak.upgrade() else { return };
            if let Err(error) = write(&inner, false).await {
                tracing::warn!(%error, "last uses of keys and sessions were not written, trying again");
            }
        }
    });
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_written_once_in_its_interval_and_then_forgotten() {
        let usage = Usage::new(Duration::from_secs(60));
        let key = Used::Key(KeyId::from_text("key_1"));
        let second = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000);
        usage.record(&key, second(0));
        assert_eq!(usage.due(second(10), false), [(key.clone(), second(0))]);
        assert_eq!(
            usage.due(second(10), false).len(),
            1,
            "a failed write must come again"
        );
        usage.mark_written(&[(key.clone(), second(0))], second(10));
        usage.record(&key, second(30));
        assert!(
            usage.due(second(40), false).is_empty(),
            "a minute has not passed"
        );
        assert_eq!(
            usage.due(second(40), true).len(),
            1,
            "unless everything is asked for"
        );
        assert_eq!(usage.due(second(70), false), [(key.clone(), second(30))]);
        usage.mark_written(&[(key, second(30))], second(70));
        assert!(usage.due(second(130), false).is_empty());
        assert!(usage.uses.lock().is_empty());
    }
}
