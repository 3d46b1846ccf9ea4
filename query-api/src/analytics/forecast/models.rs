//! The models a forecast may come from, behind one call.

use super::naive::seasonal_naive;
use super::panel::Period;
use super::ridge::PooledRidge;
use super::seasonal::{SEASONS, trend_and_season};
use chrono::NaiveDate;

/// What is known at an origin: the target and the components up to it.
#[derive(Debug, Clone)]
pub(super) struct History<'a> {
    pub(super) period: Period,
    pub(super) first: NaiveDate,
    pub(super) target: &'a [f64],
    pub(super) components: Vec<&'a [f64]>,
}

impl History<'_> {
    pub(super) fn until(&self, end: usize) -> History<'_> {
        History {
            period: self.period,
            first: self.first,
            target: &self.target[..end],
            components: self.components.iter().map(|c| &c[..end]).collect(),
        }
    }

    fn ridge(&self, horizon: usize) -> Option<Vec<f64>> {
        let mut pool = vec![self.target];
        pool.extend(&self.components);
        let model = PooledRidge::fit(self.period, self.first, &pool, horizon)?;
        Some(model.predict(self.target, horizon))
    }
}

/// A way to forecast the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Candidate {
    SeasonalNaive,
    TrendAndSeason,
    PooledRidge,
    /// The mean of the two: a ridge with few series to learn from is noisy, and the mean has been
    /// the better one at every origin tried.
    RidgeAndTrend,
}

/// Series from which on the pooled ridge stands alone.
const POOL: usize = 5;

impl Candidate {
    /// The candidates for a panel besides the naive, the best first. The regression on trend and
    /// season looks back eight seasons, so it has no say in what lies farther ahead than that.
    pub(super) fn ranked(history: &History<'_>, horizon: usize) -> [Candidate; 2] {
        let pooled = history.components.len() + 1 >= POOL;
        let ridge = if pooled || horizon > SEASONS * history.period.season() {
            Candidate::PooledRidge
        } else {
            Candidate::RidgeAndTrend
        };
        [ridge, Candidate::TrendAndSeason]
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Candidate::SeasonalNaive => "seasonal-naive",
            Candidate::TrendAndSeason => "trend-and-season",
            Candidate::PooledRidge => "pooled-ridge",
            Candidate::RidgeAndTrend => "ridge-and-trend",
        }
    }

    pub(super) fn description(self, history: &History<'_>) -> String {
        let season = match history.period {
            Period::Day => "week",
            Period::Month => "year",
        };
        match self {
            Candidate::SeasonalNaive => format!("the value of the same place in the last {season}"),
            Candidate::TrendAndSeason => {
                format!("linear regression on trend and place in the {season}")
            }
            Candidate::PooledRidge => format!(
                "ridge regression on recent values and the calendar, learned from {} series, one \
                 set of weights per horizon",
                1 + history.components.len()
            ),
            Candidate::RidgeAndTrend => format!(
                "the mean of a ridge regression on recent values and the calendar and of a linear \
                 regression on trend and place in the {season}"
            ),
        }
    }

    /// The forecast, or `None` where the history is too short for this model.
    pub(super) fn forecast(self, history: &History<'_>, horizon: usize) -> Option<Vec<f64>> {
        let season = history.period.season();
        let trend = || trend_and_season(history.target, history.period, horizon);
        let mut values = match self {
            Candidate::SeasonalNaive => seasonal_naive(history.target, season, horizon),
            Candidate::TrendAndSeason => trend()?,
            Candidate::PooledRidge => history.ridge(horizon)?,
            Candidate::RidgeAndTrend => {
                let both = history.ridge(horizon)?.into_iter().zip(trend()?);
                both.map(|(ridge, trend)| (ridge + trend) / 2.0).collect()
            }
        };
        constrain(&mut values, history.target, season);
        Some(values)
    }
}

/// Clips at zero where no value was ever negative, and keeps a closed place of the season (a
/// weekday on which the last four seasons sold nothing) at zero.
fn constrain(values: &mut [f64], history: &[f64], season: usize) {
    let never_negative = history.iter().all(|v| *v >= 0.0);
    let recent = &history[history.len().saturating_sub(4 * season)..];
    let enough = recent.len() >= 4 * season;
    for (h, value) in values.iter_mut().enumerate() {
        let closed = enough
            && recent
                .iter()
                .skip(h % season)
                .step_by(season)
                .all(|v| *v == 0.0);
        if closed || (never_negative && *value < 0.0) {
            *value = 0.0;
        }
    }
}
