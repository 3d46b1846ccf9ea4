//! How far the processor is behind, in records and in time: for metrics and for readiness.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use stream::Log;
use tokio_util::sync::CancellationToken;

use crate::handle::{Handle, PartitionProgress};
use crate::metrics as names;

/// How often it looks; less often where the log takes long to say where it ends.
const STEP: Duration = Duration::from_secs(1);
/// Looking may take this part of the time.
const SHARE: u32 = 10;
/// Looks kept of a partition that does not move; beyond, every second one is forgotten.
const MOST: usize = 512;

/// How far a process is behind, over all its partitions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lag {
    /// Records in the log and not applied.
    pub records: u64,
    /// How long the first of them has been in the log, as of the partition that is worst.
    pub time: Duration,
}

/// Where a growing end was, and when: tells how long what is not reached has been there.
#[derive(Debug, Default)]
struct Trail {
    looks: VecDeque<(Instant, u64)>,
    /// Where it was at the first look: what lies before it is older than this process knows.
    begun: Option<u64>,
}

impl Trail {
    fn look(&mut self, now: Instant, end: u64) {
        self.begun.get_or_insert(end);
        if self.looks.back().is_none_or(|(_, last)| *last < end) {
            self.looks.push_back((now, end));
        }
        if self.looks.len() > MOST {
            let mut keep = false;
            self.looks.retain(|_| {
                keep = !keep;
                keep
            });
        }
    }

    /// How long what comes after `reached` has been there.
    fn age(&mut self, now: Instant, reached: u64) -> Duration {
        while self.looks.front().is_some_and(|(_, end)| *end <= reached) {
            self.looks.pop_front();
        }
        self.looks
            .front()
            .map_or(Duration::ZERO, |(seen, _)| now.duration_since(*seen))
    }

    /// Whether `reached` lies in what was there before the first look.
    fn is_before(&self, reached: u64) -> bool {
        self.begun.is_some_and(|begun| reached < begun)
    }
}

/// The trails of one partition.
#[derive(Debug, Default)]
struct Trails {
    log: Trail,
    applied: Trail,
}

/// Looks until the shutdown.
pub(crate) async fn run(log: Arc<dyn Log>, handle: Handle, shutdown: CancellationToken) {
    let mut trails: BTreeMap<u32, Trails> = BTreeMap::new();
    let mut pause = STEP;
    while tokio::time::timeout(pause, shutdown.cancelled())
        .await
        .is_err()
    {
        let begun = Instant::now();
        match log.bounds().await {
            Ok(bounds) => {
                let ends = bounds.iter().map(|bounds| (bounds.partition, bounds.end));
                let lag = look(&mut trails, &ends.collect(), &handle.progress());
                handle.is_behind(lag);
            }
            Err(error) => {
                // Appends and reads say it louder.
                tracing::debug!(%error, "the lag is not known");
            }
        }
        pause = STEP.max(begun.elapsed() * SHARE);
    }
}

fn look(
    trails: &mut BTreeMap<u32, Trails>,
    ends: &BTreeMap<u32, u64>,
    progress: &[PartitionProgress],
) -> Lag {
    let now = Instant::now();
    trails.retain(|partition, _| {
        let owned = progress.iter().any(|known| known.partition == *partition);
        if !owned {
            // Its next owner tells of it.
            show(*partition, Lag::default(), Lag::default());
        }
        owned
    });
    let mut worst = Lag::default();
    for known in progress {
        let end = ends.get(&known.partition).copied().unwrap_or(known.applied);
        let trails = trails.entry(known.partition).or_default();
        trails.log.look(now, end);
        let mut time = trails.log.age(now, known.applied);
        if end > known.applied && trails.log.is_before(known.applied) {
            time = time.max(since(known.appended_at));
        }
        let lag = Lag {
            records: end.saturating_sub(known.applied),
            time,
        };
        trails.applied.look(now, known.applied);
        let archive = match known.archived {
            // Not known before the first commit of this process.
            0 => Lag::default(),
            archived => Lag {
                records: known.applied.saturating_sub(archived),
                time: trails.applied.age(now, archived),
            },
        };
        show(known.partition, lag, archive);
        worst.records += lag.records;
        worst.time = worst.time.max(lag.time);
    }
    worst
}

/// How long ago a time in microseconds since 1970 was; zero for 0, which is not known.
fn since(micros: i64) -> Duration {
    match u64::try_from(micros) {
        Ok(1..) => {
            let ago = chrono::Utc::now().timestamp_micros().saturating_sub(micros);
            Duration::from_micros(u64::try_from(ago).unwrap_or(0))
        }
        _ => Duration::ZERO,
    }
}

fn show(partition: u32, lag: Lag, archive: Lag) {
    let labels = [("partition", partition.to_string())];
    metrics::gauge!(names::LAG_RECORDS, &labels).set(lag.records as f64);
    metrics::gauge!(names::LAG_SECONDS, &labels).set(lag.time.as_secs_f64());
    metrics::gauge!(names::ARCHIVE_LAG_RECORDS, &labels).set(archive.records as f64);
    metrics::gauge!(names::ARCHIVE_LAG_SECONDS, &labels).set(archive.time.as_secs_f64());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_age_is_that_of_the_first_record_not_reached() {
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let mut trail = Trail::default();
        for (second, end) in [(0, 10), (1, 10), (2, 30), (3, 40)] {
            trail.look(at(second), end);
        }
        assert_eq!(trail.age(at(4), 0), Duration::from_secs(4));
        assert!(trail.is_before(0));
        assert_eq!(trail.age(at(4), 10), Duration::from_secs(2));
        assert!(!trail.is_before(10), "all that came later was seen coming");
        assert_eq!(trail.age(at(4), 35), Duration::from_secs(1));
        assert_eq!(trail.age(at(9), 40), Duration::ZERO, "nothing is left");
    }

    #[test]
    fn a_partition_that_stands_still_takes_bounded_memory() {
        let start = Instant::now();
        let mut trail = Trail::default();
        for second in 0..100_000 {
            trail.look(start + Duration::from_secs(second), second + 1);
        }
        assert!(trail.looks.len() <= MOST);
        let age = trail.age(start + Duration::from_secs(100_000), 0);
        assert_eq!(age, Duration::from_secs(100_000), "the oldest is kept");
    }
}
