//! Split-conformal prediction intervals from the errors of rolling origins.
//!
//! A score is an absolute error divided by the seasonal-naive error of its origin. Scores grow with
//! the horizon and differ by weekday, so each is divided by the mean score of its horizon (made
//! non-decreasing) and of its season position; the interval's half width is a quantile of what
//! remains, times both again. The quantile's level is (1 + 1/n)·coverage for n origins, as split
//! conformal asks; with too few origins for the level (fewer than 19 for 95%) it is the largest
//! score seen, and no smaller than what a normal error would make of the one before.

use super::naive::mean;

/// Prior observations, at the overall mean, that a season position's own mean is shrunk towards.
const SHRINK: f64 = 4.0;
/// Half widths of a normal error's 80% and 95% intervals, in units of its mean absolute error.
const NORMAL_80: f64 = 1.6063;
const NORMAL_95: f64 = 2.4565;
/// Fewer scores than this make no quantile.
const FEW: usize = 8;

/// The scores of one origin.
#[derive(Debug, Clone)]
pub struct OriginScores {
    /// Index of the first forecast period.
    pub start: usize,
    /// Absolute scaled errors at horizons 1, 2, ….
    pub scores: Vec<f64>,
}

/// Interval half widths by horizon and season position, in units of the seasonal-naive error.
#[derive(Debug, Clone)]
pub struct Calibration {
    growth: Vec<f64>,
    position: Vec<f64>,
    quantile_80: f64,
    quantile_95: f64,
}

impl Calibration {
    /// Calibrates on `origins`; `positions` is the number of season positions to tell apart.
    pub fn fit(origins: &[&OriginScores], positions: usize) -> Calibration {
        let position = position_factors(origins, positions);
        let horizons = origins.iter().map(|o| o.scores.len()).max().unwrap_or(0);
        let growth = non_decreasing(
            (0..horizons)
                .map(|h| {
                    mean(origins.iter().filter_map(|o| {
                        Some(o.scores.get(h)? / position[(o.start + h) % positions])
                    }))
                })
                .collect(),
        );
        let mut ratios: Vec<f64> = origins
            .iter()
            .flat_map(|o| {
                o.scores.iter().enumerate().filter_map(|(h, score)| {
                    let typical = growth[h] * position[(o.start + h) % positions];
                    (typical > 0.0).then(|| score / typical)
                })
            })
            .collect();
        ratios.sort_by(f64::total_cmp);
        let quantile = |coverage: f64, normal: f64| {
            if ratios.len() < FEW {
                return normal.max(ratios.last().copied().unwrap_or(0.0));
            }
            let level = coverage * (1.0 + 1.0 / origins.len() as f64);
            // A hair less, so that rounding does not lift a whole number to the next.
            let rank = (level * ratios.len() as f64 - 1e-6).ceil() as usize;
            ratios[rank.clamp(1, ratios.len()) - 1]
        };
        let quantile_80 = quantile(0.80, NORMAL_80);
        let enough = 0.95 * (1.0 + 1.0 / origins.len().max(1) as f64) <= 1.0;
        let quantile_95 = if enough {
            quantile(0.95, NORMAL_95)
        } else {
            quantile(0.95, NORMAL_95).max(quantile_80 * NORMAL_95 / NORMAL_80)
        };
        Calibration {
            growth,
            position,
            quantile_80,
            quantile_95: quantile_95.max(quantile_80),
        }
    }

    /// The 80% and 95% half widths at horizon `h` (from 0) for the period of index `index`. Beyond
    /// the horizons that were scored the width grows with the square root of the horizon, as a
    /// random walk's does.
    pub fn half_widths(&self, h: usize, index: usize) -> (f64, f64) {
        let scored = self.growth.len();
        let growth = match self.growth.get(h) {
            Some(growth) => *growth,
            None if scored == 0 => 1.0,
            None => self.growth[scored - 1] * ((h + 1) as f64 / scored as f64).sqrt(),
        };
        let typical = growth * self.position[index % self.position.len()];
        (self.quantile_80 * typical, self.quantile_95 * typical)
    }
}

/// Each position's mean score over the overall mean, shrunk towards 1.
fn position_factors(origins: &[&OriginScores], positions: usize) -> Vec<f64> {
    let mut sums = vec![(0.0, 0.0); positions];
    for origin in origins {
        for (h, score) in origin.scores.iter().enumerate() {
            let slot = &mut sums[(origin.start + h) % positions];
            slot.0 += score;
            slot.1 += 1.0;
        }
    }
    let total: f64 = sums.iter().map(|s| s.0).sum();
    let count: f64 = sums.iter().map(|s| s.1).sum();
    if positions == 1 || total == 0.0 {
        return vec![1.0; positions];
    }
    let overall = total / count;
    sums.iter()
        .map(|(sum, n)| (sum / overall + SHRINK) / (n + SHRINK))
        .collect()
}

/// The closest non-decreasing sequence in least squares (pool adjacent violators).
fn non_decreasing(values: Vec<f64>) -> Vec<f64> {
    let mut pools: Vec<(f64, usize)> = Vec::new();
    for value in values {
        let mut pool = (value, 1);
        while let Some(&(before, n)) = pools.last()
            && before > pool.0
        {
            pools.pop();
            let total = before * n as f64 + pool.0 * pool.1 as f64;
            pool = (total / (n + pool.1) as f64, n + pool.1);
        }
        pools.push(pool);
    }
    pools
        .into_iter()
        .flat_map(|(value, n)| std::iter::repeat_n(value, n))
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn origins(scores: &[&[f64]]) -> Vec<OriginScores> {
        let make = |(start, scores): (usize, &&[f64])| OriginScores {
            start,
            scores: scores.to_vec(),
        };
        scores.iter().enumerate().map(make).collect()
    }

    #[test]
    fn adjacent_violators_are_pooled() {
        assert_eq!(
            non_decreasing(vec![1.0, 3.0, 2.0, 2.5, 0.5, 4.0]),
            vec![1.0, 2.0, 2.0, 2.0, 2.0, 4.0]
        );
    }

    #[test]
    fn the_quantiles_are_the_split_conformal_ones() {
        // 99 origins of one horizon with scores 1…99, mean 50: ranks ⌈100·.8⌉ and ⌈100·.95⌉.
        let rows: Vec<Vec<f64>> = (1..=99).map(|i| vec![f64::from(i)]).collect();
        let rows: Vec<&[f64]> = rows.iter().map(Vec::as_slice).collect();
        let origins = origins(&rows);
        let calibration = Calibration::fit(&origins.iter().collect::<Vec<_>>(), 1);
        let (w80, w95) = calibration.half_widths(0, 0);
        assert!((w80 - 80.0).abs() < 1e-9, "{w80}");
        assert!((w95 - 95.0).abs() < 1e-9, "{w95}");
    }

    #[test]
    fn widths_grow_with_the_horizon_and_beyond_it() {
        let origins = origins(&[&[1.0, 2.0, 1.5], &[1.2, 1.8, 2.0], &[0.8, 2.2, 2.2]]);
        let calibration = Calibration::fit(&origins.iter().collect::<Vec<_>>(), 1);
        let widths: Vec<(f64, f64)> = (0..12).map(|h| calibration.half_widths(h, h)).collect();
        assert!(widths.windows(2).all(|w| w[0].0 <= w[1].0));
        assert!(widths.iter().all(|(w80, w95)| w80 < w95));
        assert!((widths[11].0 / widths[2].0 - 2.0).abs() < 1e-9);
    }

    #[test]
    fn a_position_without_errors_has_a_narrow_interval() {
        let origins: Vec<OriginScores> = (0..14)
            .map(|start| OriginScores {
                start,
                scores: (start..start + 28)
                    .map(|i| f64::from(u8::from(i % 7 != 0)))
                    .collect(),
            })
            .collect();
        let calibration = Calibration::fit(&origins.iter().collect::<Vec<_>>(), 7);
        let closed = calibration.half_widths(0, 0).1;
        let open = calibration.half_widths(0, 1).1;
        assert!(closed < 0.3 * open, "{closed} {open}");
    }
}
