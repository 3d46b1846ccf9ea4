//! Known answers and simulated coverage.

use crate::noise::Noise;
use chrono::NaiveDate;
use query_api::analytics::forecast::naive::{naive_scale, seasonal_naive};
use query_api::analytics::forecast::{Forecast, Options, Panel, Period, forecast};

pub(crate) fn date(year: i32, month: u32, day: u32) -> NaiveDate {
    NaiveDate::from_ymd_opt(year, month, day).unwrap()
}

/// A panel of `values` from the first of January 2026, a Thursday.
pub(crate) fn panel(period: Period, values: &[f64]) -> Panel {
    let first = date(2026, 1, 1);
    let last = period.add(first, values.len() - 1);
    Panel::new(period, first, last, rows(period, values))
}

pub(crate) fn rows(period: Period, values: &[f64]) -> Vec<(NaiveDate, f64)> {
    let first = date(2026, 1, 1);
    let dated = values.iter().enumerate();
    dated.map(|(i, v)| (period.add(first, i), *v)).collect()
}

pub(crate) fn options(horizon: usize) -> Options {
    Options {
        horizon,
        ..Options::default()
    }
}

pub(crate) fn values(forecast: &Forecast) -> Vec<f64> {
    forecast.rows.iter().map(|r| r.value).collect()
}

/// Daily sales around 1,000 with a weekly pattern, and normal noise of standard deviation `sigma`.
pub(crate) fn noisy_weeks(days: usize, sigma: f64, seed: u64) -> Vec<f64> {
    const WEEK: [f64; 7] = [0.8, 0.9, 0.95, 1.0, 1.1, 1.3, 0.95];
    let mut noise = Noise(seed);
    (0..days)
        .map(|d| 1000.0 * WEEK[d % 7] + sigma * noise.normal())
        .collect()
}

#[test]
fn the_seasonal_naive_and_its_scale_by_hand() {
    let history = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 9.0, 2.0, 3.0, 0.0];
    assert_eq!(
        seasonal_naive(&history, 7, 9),
        [5.0, 6.0, 7.0, 9.0, 2.0, 3.0, 0.0, 5.0, 6.0]
    );
    // |9−1|, |2−2|, |3−3|, |0−4| over four pairs.
    assert_eq!(naive_scale(&history, 7), 3.0);
    assert_eq!(naive_scale(&[2.0, 5.0, 2.0, 5.0], 2), 3.5);
    assert_eq!(naive_scale(&[0.0; 9], 2), 1.0);
}

#[test]
fn an_exact_weekly_pattern_goes_on_exactly() {
    let week = [5.0, 8.0, 13.0, 21.0, 34.0, 55.0, 89.0];
    let history: Vec<f64> = (0..120).map(|d| week[d % 7]).collect();
    let answer = forecast(&panel(Period::Day, &history), &options(30)).unwrap();
    for (h, row) in answer.rows.iter().enumerate() {
        let expected = week[(120 + h) % 7];
        assert_eq!(row.value, expected);
        assert_eq!((row.lower_95, row.upper_95), (expected, expected));
    }
    assert_eq!(answer.rows[0].period, date(2026, 5, 1));
    assert_eq!(answer.backtest.mase, 0.0);
    assert_eq!(answer.backtest.coverage_80, 1.0);
}

#[test]
fn a_line_with_a_season_is_found_by_the_regression() {
    let at = |i: usize| 500.0 + 10.0 * i as f64 + [0.0, 90.0, -40.0, 20.0][i % 12 % 4];
    let history: Vec<f64> = (0..36).map(at).collect();
    let answer = forecast(&panel(Period::Month, &history), &options(4)).unwrap();
    assert_eq!(answer.model, "trend-and-season");
    assert!(answer.description.contains("too short for the ridge"));
    for (h, value) in values(&answer).iter().enumerate() {
        assert!(
            (value - at(36 + h)).abs() < 1e-6 * at(36 + h),
            "{h}: {value}"
        );
    }
    assert_eq!(answer.rows[3].period, date(2029, 4, 1));
    assert!(answer.backtest.mase < 1e-6);
    assert!(answer.backtest.baseline_mase > 0.5);
}

#[test]
fn the_ridge_beats_the_naive_where_noise_is_all_there_is_to_beat() {
    let history = noisy_weeks(365, 100.0, 1);
    let answer = forecast(&panel(Period::Day, &history), &options(28)).unwrap();
    assert_eq!(answer.model, "ridge-and-trend");
    // Repeating one noisy week doubles the variance: the best possible ratio is 1/√2.
    let ratio = answer.backtest.mase / answer.backtest.baseline_mase;
    assert!((0.69..0.85).contains(&ratio), "{ratio}");
    assert!(
        answer.backtest.bias.abs() < 0.02,
        "{}",
        answer.backtest.bias
    );
    assert_eq!(answer.backtest.horizon, 28);
    assert!(answer.backtest.origins >= 20);
}

#[test]
fn components_teach_the_target() {
    let target = noisy_weeks(80, 150.0, 2);
    let alone = forecast(&panel(Period::Day, &target), &options(14)).unwrap();
    assert_eq!(alone.model, "trend-and-season");
    let mut pool = panel(Period::Day, &target);
    for seed in 3..30 {
        pool = pool.with_component(rows(Period::Day, &noisy_weeks(80, 150.0, seed)));
    }
    let pooled = forecast(&pool, &options(14)).unwrap();
    assert_eq!(pooled.model, "pooled-ridge");
    assert!(pooled.description.contains("28 series"));
    assert!(pooled.backtest.mase < pooled.backtest.baseline_mase);
}

/// On data where the truth is known the intervals must hold what they promise.
#[test]
fn intervals_cover_what_they_say_on_simulated_sales() {
    let (mut inside_80, mut inside_95, mut count) = (0, 0, 0);
    let (mut told_80, mut told_95) = (0.0, 0.0);
    let runs = 30;
    for seed in 0..runs {
        let all = noisy_weeks(300 + 28, 120.0, 1000 + seed);
        let answer = forecast(&panel(Period::Day, &all[..300]), &options(28)).unwrap();
        for (row, actual) in answer.rows.iter().zip(&all[300..]) {
            inside_80 += i32::from((row.lower_80..=row.upper_80).contains(actual));
            inside_95 += i32::from((row.lower_95..=row.upper_95).contains(actual));
            count += 1;
        }
        told_80 += answer.backtest.coverage_80;
        told_95 += answer.backtest.coverage_95;
    }
    let share = |inside: i32| f64::from(inside) / f64::from(count);
    assert!(
        (0.75..=0.87).contains(&share(inside_80)),
        "{}",
        share(inside_80)
    );
    assert!(
        (0.92..=0.985).contains(&share(inside_95)),
        "{}",
        share(inside_95)
    );
    let told = |sum: f64| sum / runs as f64;
    assert!(
        (told(told_80) - share(inside_80)).abs() < 0.05,
        "{}",
        told(told_80)
    );
    assert!(
        (told(told_95) - share(inside_95)).abs() < 0.03,
        "{}",
        told(told_95)
    );
}
