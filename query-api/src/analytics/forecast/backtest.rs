//! Rolling origins inside the history: the model is fitted again on what was known at each, and
//! its forecast compared with what came.

use super::conformal::{Calibration, OriginScores};
use super::models::{Candidate, History};
use super::naive::{mean, naive_scale};

/// How good the forecast has been at earlier origins. Shares are fractions.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Backtest {
    /// Mean absolute error over the seasonal naive's in-sample error: below 1 is better than it.
    pub mase: f64,
    /// Σ|forecast − actual| / Σ|actual|.
    pub wape: f64,
    /// Σ(forecast − actual) / Σ|actual|: positive when it promised too much.
    pub bias: f64,
    /// Share of actuals inside the 80% interval, each interval made from earlier origins only
    /// (from all other origins where the history is too short for that).
    pub coverage_80: f64,
    /// The same for the 95% interval.
    pub coverage_95: f64,
    /// MASE of the seasonal naive at the same origins.
    pub baseline_mase: f64,
    /// Origins the forecast was made from.
    pub origins: usize,
    /// Periods forecast at each origin; fewer than asked where the history is short.
    pub horizon: usize,
}

/// One origin's forecast beside what came.
#[derive(Debug, Clone)]
pub(super) struct Trial {
    pub(super) start: usize,
    pub(super) scale: f64,
    pub(super) forecast: Vec<f64>,
    pub(super) actual: Vec<f64>,
}

impl Trial {
    fn mase(&self) -> f64 {
        mean(self.errors().map(|e| e.abs() / self.scale))
    }

    fn errors(&self) -> impl Iterator<Item = f64> {
        self.forecast.iter().zip(&self.actual).map(|(f, a)| f - a)
    }

    fn scores(&self) -> OriginScores {
        OriginScores {
            start: self.start,
            scores: self.errors().map(|e| e.abs() / self.scale).collect(),
        }
    }
}

/// The origins to try, as lengths of history, and the horizon to try them with.
pub(super) fn plan(
    periods: usize,
    season: usize,
    horizon: usize,
    most: usize,
) -> (Vec<usize>, usize) {
    let least = (periods / 2).max(season + season / 2);
    let span = periods - least;
    let horizon = horizon.min((span / 2).max(1));
    let last = periods - horizon;
    let range = last - least;
    let mut step = range.div_ceil(most.max(2) - 1).max(1);
    // A step of whole weeks would meet every horizon on the same weekday.
    if step > 1 && step.is_multiple_of(season) {
        step += 1;
    }
    let mut origins: Vec<usize> = (least..=last).rev().step_by(step).collect();
    origins.reverse();
    (origins, horizon)
}

/// Runs `candidate` at every origin; `None` when it cannot be fitted at one of them.
pub(super) fn run(
    candidate: Candidate,
    history: &History<'_>,
    origins: &[usize],
    horizon: usize,
) -> Option<Vec<Trial>> {
    let season = history.period.season();
    origins
        .iter()
        .map(|&start| {
            let known = history.until(start);
            Some(Trial {
                start,
                scale: naive_scale(known.target, season),
                forecast: candidate.forecast(&known, horizon)?,
                actual: history.target[start..start + horizon].to_vec(),
            })
        })
        .collect()
}

pub(super) fn mean_mase(trials: &[Trial]) -> f64 {
    mean(trials.iter().map(Trial::mase))
}

/// The figures of the trials, and the calibration of the intervals from all of them.
pub(super) fn assess(
    trials: &[Trial],
    baseline: &[Trial],
    positions: usize,
    floor: f64,
) -> (Backtest, Calibration) {
    let scores: Vec<OriginScores> = trials.iter().map(Trial::scores).collect();
    let size: f64 = trials.iter().flat_map(|t| &t.actual).map(|a| a.abs()).sum();
    let share = |sum: f64| if size > 0.0 { sum / size } else { 0.0 };
    let errors = || trials.iter().flat_map(Trial::errors);
    let (coverage_80, coverage_95) = coverage(trials, &scores, positions, floor);
    let backtest = Backtest {
        mase: mean_mase(trials),
        wape: share(errors().map(f64::abs).sum()),
        bias: share(errors().sum()),
        coverage_80,
        coverage_95,
        baseline_mase: mean_mase(baseline),
        origins: trials.len(),
        horizon: trials.first().map_or(0, |t| t.forecast.len()),
    };
    let all: Vec<&OriginScores> = scores.iter().collect();
    (backtest, Calibration::fit(&all, positions))
}

/// Earlier origins needed before an interval is judged.
const EARLIER: usize = 8;

/// The shares of actuals inside the 80% and 95% intervals. Each interval is made from origins all
/// of whose periods had passed; where no origin has enough of those, from all other origins.
fn coverage(trials: &[Trial], scores: &[OriginScores], positions: usize, floor: f64) -> (f64, f64) {
    let mut cases: Vec<(&Trial, Vec<&OriginScores>)> = trials
        .iter()
        .map(|trial| {
            let passed = |s: &&OriginScores| s.start + s.scores.len() <= trial.start;
            (trial, scores.iter().filter(passed).collect())
        })
        .filter(|(_, known): &(_, Vec<_>)| known.len() >= EARLIER)
        .collect();
    if cases.is_empty() {
        let others = |trial: &Trial| {
            let other = |s: &&OriginScores| s.start != trial.start;
            scores.iter().filter(other).collect()
        };
        cases = trials.iter().map(|trial| (trial, others(trial))).collect();
    }
    let (mut within_80, mut within_95, mut count) = (0usize, 0usize, 0usize);
    for (trial, known) in cases {
        let calibration = Calibration::fit(&known, positions);
        for (h, (forecast, actual)) in trial.forecast.iter().zip(&trial.actual).enumerate() {
            let (w80, w95) = calibration.half_widths(h, trial.start + h);
            // Rounding must not put an exact forecast outside an interval without width.
            let slack = 1e-9 * (forecast.abs() + trial.scale);
            let within = |width: f64| {
                let lower = (forecast - width * trial.scale).max(floor);
                *actual >= lower - slack && *actual <= forecast + width * trial.scale + slack
            };
            within_80 += usize::from(within(w80));
            within_95 += usize::from(within(w95));
            count += 1;
        }
    }
    let share = |within: usize| within as f64 / count.max(1) as f64;
    (share(within_80), share(within_95))
}
