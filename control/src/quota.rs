//! What a key may send: a rate and a daily quota of events, and the daily quota's shares for processes.
//!
//! Every ingest process takes its share of a day's quota in pieces and counts them down in memory. A piece is taken
//! before it is used, so that all processes together never pass the quota; what a process held when it was killed is
//! lost for that day.

use schemas::Code;
use serde::{Deserialize, Serialize};

use crate::control::Control;
use crate::db::values;
use crate::error::ControlError;

/// Days whose counts are kept.
const KEPT_DAYS: i64 = 31;
/// More than a log takes; keeps sums far from the end of the number.
const MOST: u64 = 1_000_000_000_000;

/// What a key has of its own. What is absent is the installation's default, 0 is no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quota {
    /// Events a second, over time, in each ingest process.
    #[serde(default)]
    pub events_per_second: Option<u64>,
    /// Events at once, after a pause; ten seconds' worth where absent.
    #[serde(default)]
    pub burst: Option<u64>,
    /// Events a day (UTC), all processes together.
    #[serde(default)]
    pub events_per_day: Option<u64>,
}

impl Quota {
    /// Refuses numbers that no database column holds.
    pub(crate) fn check(&self) -> Result<(), ControlError> {
        let fields = [
            ("events_per_second", self.events_per_second),
            ("burst", self.burst),
            ("events_per_day", self.events_per_day),
        ];
        match fields
            .iter()
            .find(|(_, value)| value.is_some_and(|value| value > MOST))
        {
            None => Ok(()),
            Some((name, _)) => Err(ControlError::invalid(
                name,
                Code::OutOfRange,
                "use a whole number from 0 to 1000000000000",
            )),
        }
    }
}

/// What may be sent, everything filled in; 0 is no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Allowance {
    /// Events a second, over time, in each ingest process.
    pub events_per_second: u64,
    /// Events at once, after a pause. Of no meaning without a rate.
    pub burst: u64,
    /// Events a day (UTC), all processes together.
    pub events_per_day: u64,
}

impl Allowance {
    /// These defaults, where a key has nothing of its own.
    pub fn with(&self, quota: &Quota) -> Self {
        let rate = quota.events_per_second.unwrap_or(self.events_per_second);
        // The default burst belongs to the default rate.
        let default = match quota.events_per_second {
            Some(_) => 0,
            None => self.burst,
        };
        let burst = match quota.burst.unwrap_or(default) {
            0 => rate.saturating_mul(10),
            burst => burst,
        };
        Self {
            events_per_second: rate,
            burst,
            events_per_day: quota.events_per_day.unwrap_or(self.events_per_day),
        }
    }

    /// Whether nothing is limited.
    pub fn is_unlimited(&self) -> bool {
        self.events_per_second == 0 && self.events_per_day == 0
    }
}

/// A piece of a day's quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// Events that were given: at most what was asked for, 0 where nothing is left.
    pub given: u64,
    /// Events of the day's quota that nobody has been given.
    pub left: u64,
}

#[derive(sqlx::FromRow)]
struct Given {
    given: i64,
}

fn number(value: u64) -> i64 {
    i64::try_from(value.min(MOST)).unwrap_or(i64::MAX)
}

impl Control {
    /// Takes up to `wanted` events of what is left of a subject's `quota` on a day (since 1970 UTC).
    pub async fn take_quota(
        &self,
        subject: &str,
        day: i64,
        wanted: u64,
        quota: u64,
    ) -> Result<Piece, ControlError> {
        let mut transaction = self.db().begin().await?;
        // The row is a lock: others who take of it wait until this has committed.
        let sql = "INSERT INTO quota_use (subject, day, given) VALUES ($1, $2, 0)
                   ON CONFLICT (subject, day) DO UPDATE SET given = quota_use.given
                   RETURNING given";
        let rows: Vec<Given> = transaction.all(sql, values![subject, day]).await?;
        let before = rows.first().map_or(0, |row| row.given);
        let free = number(quota).saturating_sub(before).max(0);
        let given = number(wanted).min(free);
        if given > 0 {
            let sql = "UPDATE quota_use SET given = given + $3 WHERE subject = $1 AND day = $2";
            transaction
                .execute(sql, values![subject, day, given])
                .await?;
        }
        if before == 0 {
            let sql = "DELETE FROM quota_use WHERE subject = $1 AND day < $2";
            transaction
                .execute(sql, values![subject, day - KEPT_DAYS])
                .await?;
        }
        transaction.commit().await?;
        Ok(Piece {
            given: given.unsigned_abs(),
            left: (free - given).unsigned_abs(),
        })
    }

    /// Gives back what was taken of a day's quota and not used.
    pub async fn give_quota_back(
        &self,
        subject: &str,
        day: i64,
        events: u64,
    ) -> Result<(), ControlError> {
        let sql = "UPDATE quota_use SET given = CASE WHEN given > $3 THEN given - $3 ELSE 0 END
                   WHERE subject = $1 AND day = $2";
        self.db()
            .execute(sql, values![subject, day, number(events)])
            .await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_the_defaults_where_it_has_nothing_of_its_own() {
        let defaults = Allowance {
            events_per_second: 100,
            burst: 150,
            events_per_day: 1_000,
        };
        assert_eq!(defaults.with(&Quota::default()), defaults);
        let own = Quota {
            events_per_second: Some(5),
            burst: None,
            events_per_day: Some(0),
        };
        let allowed = defaults.with(&own);
        assert_eq!((allowed.events_per_second, allowed.burst), (5, 50));
        assert_eq!(allowed.events_per_day, 0);
        assert!(Allowance::default().with(&Quota::default()).is_unlimited());
        let burst = Quota {
            burst: Some(7),
            ..Quota::default()
        };
        assert_eq!(defaults.with(&burst).burst, 7);
    }
}
