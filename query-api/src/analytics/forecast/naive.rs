//! The seasonal naive: the value one season ago. Every model is judged against it.

/// Repeats the last season of `history` over `horizon` periods. `history` holds at least one
/// season.
pub fn seasonal_naive(history: &[f64], season: usize, horizon: usize) -> Vec<f64> {
    let last = &history[history.len() - season..];
    (0..horizon).map(|h| last[h % season]).collect()
}

/// The mean absolute error of the seasonal naive inside `history`: the scale of MASE (Hyndman &
/// Koehler 2006). Where it is zero (a constant series, an exact pattern) the mean absolute value
/// stands in, and where that is zero too, one: errors stay finite and a perfect forecast scores 0.
pub fn naive_scale(history: &[f64], season: usize) -> f64 {
    let pairs = history.len().saturating_sub(season);
    let error = mean((0..pairs).map(|i| (history[i + season] - history[i]).abs()));
    if error > 0.0 {
        return error;
    }
    let size = mean(history.iter().map(|v| v.abs()));
    if size > 0.0 { size } else { 1.0 }
}

pub(super) fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (mut sum, mut count) = (0.0, 0usize);
    for value in values {
        sum += value;
        count += 1;
    }
    if count == 0 { 0.0 } else { sum / count as f64 }
}
