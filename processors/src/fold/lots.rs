//! Lots: points that will expire, by the day on which they do.

use schemas::Timestamp;
use serde::{Deserialize, Serialize};

/// Lots kept of a customer; of more, neighbours are put together.
const MOST: usize = 366;
const DAY_MICROS: i64 = 24 * 3600 * 1_000_000;

/// Points that expire, soonest first. A lot is all points that expire at the beginning of one day (UTC, since 1970).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Lots(Vec<(i32, i64)>);

impl Lots {
    /// Whether nothing expires.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many lots there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// When the first lot expires, and how many points it has.
    pub fn first(&self) -> Option<(Timestamp, i64)> {
        let (day, points) = self.0.first()?;
        let micros = i64::from(*day).saturating_mul(DAY_MICROS);
        Some((Timestamp::from_micros(micros), *points))
    }

    /// Points in all lots.
    pub fn points(&self) -> i64 {
        let points = self.0.iter().map(|(_, points)| *points);
        points.fold(0, i64::saturating_add)
    }

    /// Adds points that expire at the beginning of a day.
    pub(super) fn add(&mut self, day: i32, points: i64) {
        match self.0.binary_search_by_key(&day, |(day, _)| *day) {
            Ok(at) => self.0[at].1 = self.0[at].1.saturating_add(points),
            Err(at) => self.0.insert(at, (day, points)),
        }
        // Days are grouped by 2, 4, …, on a calendar that never moves, and a group expires with its last day: whoever
        // buys every day for years has points expire a few days late, and none that are put off again and again.
        let mut group = 1_i32;
        while self.0.len() > MOST && group < 1 << 20 {
            group *= 2;
            for lot in &mut self.0 {
                let over = lot.0.rem_euclid(group);
                lot.0 = lot.0.saturating_add((group - over) % group);
            }
            self.0.dedup_by(|later, first| {
                let same = later.0 == first.0;
                if same {
                    first.1 = first.1.saturating_add(later.1);
                }
                same
            });
        }
    }

    /// Takes points away, from the lots that expire first. More than there are empties them.
    pub(super) fn take(&mut self, mut points: i64) {
        let mut used = 0;
        for lot in &mut self.0 {
            let part = lot.1.min(points);
            lot.1 -= part;
            points -= part;
            if lot.1 > 0 {
                break;
            }
            used += 1;
        }
        self.0.drain(..used);
    }

    /// Takes out what has expired by now, and tells how many points that was.
    pub(super) fn expire(&mut self, now: Timestamp) -> i64 {
        let due =
            |(day, _): &(i32, i64)| i64::from(*day).saturating_mul(DAY_MICROS) <= now.micros();
        let expired = self.0.partition_point(due);
        let points = self.0.drain(..expired).map(|(_, points)| points);
        points.fold(0, i64::saturating_add)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_points_go_first() {
        let mut lots = Lots::default();
        for (day, points) in [(20, 5), (10, 3), (20, 1), (30, 4)] {
            lots.add(day, points);
        }
        assert_eq!(lots, Lots(vec![(10, 3), (20, 6), (30, 4)]));
        lots.take(4);
        assert_eq!(lots, Lots(vec![(20, 5), (30, 4)]));
        let at = |micros| Timestamp::from_micros(micros);
        assert_eq!(lots.expire(at(20 * DAY_MICROS - 1)), 0);
        assert_eq!(lots.first(), Some((at(20 * DAY_MICROS), 5)));
        assert_eq!(lots.expire(at(20 * DAY_MICROS)), 5);
        lots.take(100);
        assert!(lots.is_empty() && lots.first().is_none());
    }

    #[test]
    fn many_days_are_grouped_and_nothing_is_lost_or_put_off_for_ever() {
        let mut lots = Lots::default();
        let (kept, mut expired, mut latest) = (2_000, 0, 0);
        for day in 0..6_000 {
            lots.add(day + kept, 1);
            assert!(lots.len() <= MOST);
            let gone = lots.expire(Timestamp::from_micros(i64::from(day) * DAY_MICROS));
            expired += gone;
            if gone > 0 {
                latest = day;
            }
            // Of what was added so long ago nothing is left but what shares a group with the last days.
            let due = i64::from((day - kept + 1).max(0));
            assert!(
                (due - 16..=due).contains(&expired),
                "{day}: {expired} of {due}"
            );
            assert_eq!(lots.points() + expired, i64::from(day) + 1);
        }
        assert!(latest > 5_900);
        lots.add(i32::MAX, 1);
        lots.add(i32::MIN, 1);
        assert!(lots.len() <= MOST + 1);
    }
}
