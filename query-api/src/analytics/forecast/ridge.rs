//! One ridge regression for all series of a panel (Montero-Manso & Hyndman, IJF 37(4), 2021), one
//! weight vector per horizon.
//!
//! Each series is divided by its mean absolute value and taken relative to its recent level, so
//! that large and small series teach the same model. Features: the last L values, an intercept and
//! Fourier terms of the calendar. The terms of the origin serve every horizon: those of a day h
//! later are a rotation of them, which the weights of horizon h absorb.

use super::naive::mean;
use super::panel::Period;
use crate::analytics::linalg::cholesky;
use chrono::{Datelike, NaiveDate};
use linfa::Dataset;
use linfa::traits::Fit;
use linfa_linear::LinearRegression;
use ndarray::linalg::general_mat_mul;
use ndarray::{Array1, Array2, ArrayView1, ArrayView2, s};
use std::f64::consts::TAU;

/// λ as a share of the mean diagonal of X'X.
const PENALTY: f64 = 1e-3;
/// Days in a Gregorian year on average, so that leap years shift no season.
const YEAR: f64 = 365.2425;

/// How many lags and how many direct horizons a history allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// L: past values among the features.
    pub lags: usize,
    /// Horizons with their own weights; farther ones feed on the forecast itself.
    pub steps: usize,
    /// Whether the history is long enough (two years of days) to tell the time of the year.
    pub yearly: bool,
}

impl Shape {
    /// The shape for `series` series of `periods` periods: as many lags, in whole seasons, as leave
    /// three examples per weight at the farthest direct horizon. `None` when one season of lags is
    /// too many.
    pub fn of(period: Period, series: usize, periods: usize, horizon: usize) -> Option<Shape> {
        let season = period.season();
        let (most_seasons, most_steps) = match period {
            Period::Day => (8, 8 * season),
            Period::Month => (3, season),
        };
        let yearly = period == Period::Day && periods as f64 >= 2.0 * YEAR;
        (1..=most_seasons.min(periods / 3 / season))
            .rev()
            .map(|seasons| {
                let lags = seasons * season;
                let steps = horizon.min(most_steps).min((periods - lags) / 2);
                Shape {
                    lags,
                    steps,
                    yearly,
                }
            })
            .find(|shape| {
                let examples = series * (periods - shape.lags - shape.steps);
                shape.steps > 0 && examples >= 3 * shape.width(period)
            })
    }

    /// Features in a row.
    fn width(&self, period: Period) -> usize {
        self.lags + calendar(period, NaiveDate::MIN, self.yearly).len()
    }
}

/// The fitted weights.
#[derive(Debug, Clone)]
pub struct PooledRidge {
    period: Period,
    first: NaiveDate,
    shape: Shape,
    /// One row of weights per horizon.
    weights: Array2<f64>,
}

impl PooledRidge {
    /// Fits all `series`, each starting at `first` and of the same length. `None` when the history
    /// is too short ([`Shape::of`]) or all of it is zero.
    pub fn fit(
        period: Period,
        first: NaiveDate,
        series: &[&[f64]],
        horizon: usize,
    ) -> Option<PooledRidge> {
        let live: Vec<(&[f64], f64)> = series
            .iter()
            .map(|values| (*values, scale(values)))
            .filter(|(_, scale)| *scale > 0.0)
            .collect();
        let periods = live.first()?.0.len();
        let shape = Shape::of(period, live.len(), periods, horizon)?;
        let width = shape.width(period);
        let origins = shape.lags - 1..periods - 1;

        // Rows by time, then by series, so that the examples of a horizon are a prefix.
        let mut x = Vec::with_capacity(origins.len() * live.len() * width);
        let mut levels = Vec::with_capacity(origins.len() * live.len());
        for origin in origins.clone() {
            let terms = calendar(period, period.add(first, origin), shape.yearly);
            for (values, scale) in &live {
                let level = level(&values[..=origin], period);
                levels.push(level / scale);
                push_lags(&mut x, &values[..=origin], shape.lags, level, *scale);
                x.extend_from_slice(&terms);
            }
        }
        let x = Array2::from_shape_vec((levels.len(), width), x).ok()?;

        // Horizon h lacks the last h − 1 origins; their zeros take no part in X'Y.
        let mut ahead = Array2::zeros((levels.len(), shape.steps));
        for (row, mut targets) in ahead.rows_mut().into_iter().enumerate() {
            let (values, scale) = live[row % live.len()];
            let next = shape.lags + row / live.len();
            for (target, value) in targets.iter_mut().zip(&values[next..]) {
                *target = value / scale - levels[row];
            }
        }
        let mut moments = Array2::zeros((width, shape.steps));
        general_mat_mul(1.0, &x.t(), &ahead, 0.0, &mut moments);

        let mut weights = Array2::zeros((shape.steps, width));
        let mut gram = Array2::zeros((width, width));
        let mut counted = 0;
        for h in (1..=shape.steps).rev() {
            let rows = (origins.len() + 1 - h) * live.len();
            let fresh = x.slice(s![counted..rows, ..]);
            general_mat_mul(1.0, &fresh.t(), &fresh, 1.0, &mut gram);
            counted = rows;
            let solution = ridge(gram.view(), moments.column(h - 1), shape.lags)?;
            weights.row_mut(h - 1).assign(&solution);
        }
        Some(PooledRidge {
            period,
            first,
            shape,
            weights,
        })
    }

    /// Forecasts the `horizon` periods after `history`, which starts at the panel's first period
    /// and holds at least as many periods as the model has lags.
    pub fn predict(&self, history: &[f64], horizon: usize) -> Vec<f64> {
        let scale = scale(history);
        if scale == 0.0 {
            return vec![0.0; horizon];
        }
        let mut values = history.to_vec();
        let end = history.len() + horizon;
        while values.len() < end {
            let origin = values.len() - 1;
            let level = level(&values, self.period);
            let mut row = Vec::with_capacity(self.weights.ncols());
            push_lags(&mut row, &values, self.shape.lags, level, scale);
            row.extend(calendar(
                self.period,
                self.period.add(self.first, origin),
                self.shape.yearly,
            ));
            let ahead = self.weights.dot(&Array1::from(row));
            let take = self.shape.steps.min(end - values.len());
            values.extend(ahead.iter().take(take).map(|v| level + v * scale));
        }
        values.split_off(history.len())
    }

    /// What was fitted.
    pub fn shape(&self) -> Shape {
        self.shape
    }
}

/// Solves min ‖Xw − y‖² + λ‖w‖² from X'X and X'y, λ = 1e-3·tr(X'X)/L over the L lags.
///
/// The appended-rows form of ridge hands the least-squares solver the rows of X and √λ·I. Both are
/// first reduced to the triangle R with R'R = X'X + λI, which has the same normal equations and
/// p rows instead of n + p: linfa then solves Rw = R⁻ᵀX'y.
pub fn ridge(
    gram: ArrayView2<'_, f64>,
    moments: ArrayView1<'_, f64>,
    lags: usize,
) -> Option<Array1<f64>> {
    let trace: f64 = gram.diag().iter().take(lags).sum();
    let penalty = (PENALTY * trace / lags as f64).max(f64::MIN_POSITIVE.sqrt());
    let mut penalized = gram.to_owned();
    penalized.diag_mut().mapv_inplace(|d| d + penalty);
    let lower = cholesky(penalized).ok()?;
    let mut right = moments.to_owned();
    for i in 0..right.len() {
        let known = lower.slice(s![i, ..i]).dot(&right.slice(s![..i]));
        right[i] = (right[i] - known) / lower[(i, i)];
    }
    let triangle = Dataset::new(lower.reversed_axes(), right);
    let model = LinearRegression::new()
        .with_intercept(false)
        .fit(&triangle)
        .ok()?;
    let finite = model.params().iter().all(|w| w.is_finite());
    finite.then(|| model.params().clone())
}

fn scale(values: &[f64]) -> f64 {
    mean(values.iter().map(|v| v.abs()))
}

/// What the lags are taken relative to: the mean of the last season, less noisy than one value.
fn level(values: &[f64], period: Period) -> f64 {
    let last = values.len().saturating_sub(period.season());
    mean(values[last..].iter().copied())
}

fn push_lags(row: &mut Vec<f64>, values: &[f64], lags: usize, level: f64, scale: f64) {
    let recent = &values[values.len() - lags..];
    row.extend(recent.iter().map(|v| (v - level) / scale));
}

/// The intercept and the Fourier terms of a date: of the week (and the year) for days, of the year
/// for months.
fn calendar(period: Period, date: NaiveDate, yearly: bool) -> Vec<f64> {
    let mut terms = vec![1.0];
    let mut waves = |turn: f64, harmonics: usize| {
        for k in 1..=harmonics {
            let (sin, cos) = (TAU * turn * k as f64).sin_cos();
            terms.extend([sin, cos]);
        }
    };
    match period {
        Period::Day => {
            waves(f64::from(date.weekday().num_days_from_monday()) / 7.0, 3);
            if yearly {
                waves(f64::from(date.ordinal0()) / YEAR, 3);
            }
        }
        Period::Month => waves(f64::from(date.month0()) / 12.0, 2),
    }
    terms
}
