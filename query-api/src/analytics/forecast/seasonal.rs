//! Trend and season by least squares: the fallback where there is too little history for the
//! pooled ridge.

use super::panel::Period;
use linfa::Dataset;
use linfa::traits::{Fit, Predict};
use linfa_linear::LinearRegression;
use ndarray::{Array1, Array2};
use std::f64::consts::TAU;

/// Seasons the regression looks back: older ones say little about the level now.
pub(super) const SEASONS: usize = 8;

/// Forecasts `horizon` periods by a straight line and one harmonic per pair of season positions,
/// fitted to the last eight seasons. The line goes on for a quarter of the fitted length and is
/// level from there: no sales trend goes on for ever. `None` when there are too few periods.
pub fn trend_and_season(history: &[f64], period: Period, horizon: usize) -> Option<Vec<f64>> {
    let season = period.season();
    let start = history.len().saturating_sub(SEASONS * season);
    let window = &history[start..];
    let n = window.len();
    let columns = season;
    if n < columns + 2 {
        return None;
    }
    let scale = super::naive::mean(window.iter().map(|v| v.abs()));
    if scale == 0.0 {
        return Some(vec![0.0; horizon]);
    }
    let ahead = (n as f64 / 4.0).max(1.0);
    let row = |i: usize| -> Vec<f64> {
        let time = (i as f64).min(n as f64 - 1.0 + ahead);
        let mut row = Vec::with_capacity(columns);
        row.push(time / n as f64 - 0.5);
        for k in 1..=season / 2 {
            let angle = TAU * (k * (i % season)) as f64 / season as f64;
            row.push(angle.cos());
            if 2 * k < season {
                row.push(angle.sin());
            }
        }
        row
    };
    let x = Array2::from_shape_vec((n, columns), (0..n).flat_map(row).collect()).ok()?;
    let y = Array1::from_iter(window.iter().map(|v| v / scale));
    let model = LinearRegression::new().fit(&Dataset::new(x, y)).ok()?;
    let future: Vec<f64> = (n..n + horizon).flat_map(row).collect();
    let future = Array2::from_shape_vec((horizon, columns), future).ok()?;
    let values: Array1<f64> = model.predict(&future);
    values
        .iter()
        .all(|v| v.is_finite())
        .then(|| values.iter().map(|v| v * scale).collect())
}
