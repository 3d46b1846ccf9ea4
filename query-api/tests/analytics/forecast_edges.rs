//! What real sales do to a forecast: gaps, closed days, refunds, nothing at all.

use crate::forecast::{date, noisy_weeks, options, panel, rows, values};
use crate::noise::Noise;
use chrono::Datelike;
use query_api::analytics::forecast::{Forecast, MAX_HORIZON, Panel, Period, forecast};

/// What holds for every forecast, whatever the history.
fn check(answer: &Forecast, horizon: usize) {
    assert_eq!(answer.rows.len(), horizon);
    for row in &answer.rows {
        let ordered = [
            row.lower_95,
            row.lower_80,
            row.value,
            row.upper_80,
            row.upper_95,
        ];
        assert!(ordered.iter().all(|v| v.is_finite()), "{row:?}");
        assert!(ordered.is_sorted(), "{row:?}");
    }
    let b = &answer.backtest;
    for share in [b.coverage_80, b.coverage_95] {
        assert!((0.0..=1.0).contains(&share));
    }
    assert!(b.coverage_80 <= b.coverage_95);
    assert!(
        [b.mase, b.wape, b.bias, b.baseline_mase]
            .iter()
            .all(|v| v.is_finite())
    );
    assert!(b.mase <= b.baseline_mase);
    assert!(b.origins > 0 && b.horizon > 0);
}

#[test]
fn two_seasons_are_needed_and_the_time_before_the_first_sale_does_not_count() {
    let mut history = vec![0.0; 30];
    history.extend(noisy_weeks(13, 10.0, 1));
    let error = forecast(&panel(Period::Day, &history), &options(7)).unwrap_err();
    assert_eq!((error.have, error.need), (13, 14));
    let text = error.to_string();
    assert!(
        text.contains("13 days") && text.contains("14 days"),
        "{text}"
    );

    history.push(900.0);
    check(
        &forecast(&panel(Period::Day, &history), &options(7)).unwrap(),
        7,
    );

    let months = vec![5.0; 23];
    let error = forecast(&panel(Period::Month, &months), &options(1)).unwrap_err();
    assert_eq!((error.have, error.need, error.unit), (23, 24, "months"));
    let none = Panel::new(Period::Day, date(2026, 1, 2), date(2026, 1, 1), []);
    assert_eq!(forecast(&none, &options(1)).unwrap_err().have, 0);
}

#[test]
fn every_length_of_history_and_horizon_gives_a_sound_answer() {
    for period in [Period::Day, Period::Month] {
        for length in [24, 25, 30, 37, 48, 61, 75, 100, 130] {
            for horizon in [1, 3, 14, 40] {
                let history = noisy_weeks(length, 200.0, length as u64);
                let answer = forecast(&panel(period, &history), &options(horizon)).unwrap();
                check(&answer, horizon);
                assert!(answer.rows.iter().all(|r| r.lower_95 >= 0.0));
            }
        }
    }
}

#[test]
fn absent_days_are_days_without_sales() {
    let history = noisy_weeks(200, 50.0, 3);
    let sparse: Vec<_> = rows(Period::Day, &history)
        .into_iter()
        .filter(|(day, _)| day.weekday().num_days_from_monday() != 6)
        .collect();
    // A row outside the panel and one that is no number change nothing.
    let strays = [(date(2025, 12, 31), 1e9), (date(2026, 2, 3), f64::NAN)];
    let last = date(2026, 7, 19);
    let sales = sparse.into_iter().chain(strays);
    let panel = Panel::new(Period::Day, date(2026, 1, 1), last, sales);
    assert_eq!(panel.len(), 200);
    let answer = forecast(&panel, &options(28)).unwrap();
    check(&answer, 28);
    let open = answer.rows.iter().map(|r| r.upper_95 - r.lower_95);
    let usual = open.fold(0.0, f64::max);
    for row in &answer.rows {
        let closed = row.period.weekday().num_days_from_monday() == 6;
        assert_eq!(closed, row.value < 100.0, "{row:?}");
        if closed {
            assert_eq!(row.value, 0.0);
            assert!(row.upper_95 < 0.25 * usual, "{row:?}");
        }
    }
}

#[test]
fn nothing_and_always_the_same_are_forecast_as_such() {
    for period in [Period::Day, Period::Month] {
        for value in [0.0, 42.0] {
            let answer = forecast(&panel(period, &[value; 90]), &options(20)).unwrap();
            check(&answer, 20);
            for row in &answer.rows {
                assert_eq!(
                    (row.lower_95, row.value, row.upper_95),
                    (value, value, value)
                );
            }
            assert_eq!(answer.backtest.mase, 0.0);
        }
    }
}

#[test]
fn refund_days_may_go_below_zero_and_only_they() {
    let mut history = noisy_weeks(250, 60.0, 4);
    let answer = forecast(&panel(Period::Day, &history), &options(28)).unwrap();
    assert!(answer.rows.iter().all(|r| r.lower_95 >= 0.0));
    for value in history.iter_mut() {
        *value = (*value - 1000.0) * 3.0;
    }
    let answer = forecast(&panel(Period::Day, &history), &options(28)).unwrap();
    check(&answer, 28);
    assert!(
        answer
            .rows
            .iter()
            .any(|r| r.lower_95 < 0.0 && r.value < 0.0)
    );
}

#[test]
fn a_forecast_scales_with_the_unit_of_the_money() {
    let history = noisy_weeks(300, 80.0, 5);
    let answer = forecast(&panel(Period::Day, &history), &options(28)).unwrap();
    for factor in [1e-6, 1e12] {
        let scaled: Vec<f64> = history.iter().map(|v| v * factor).collect();
        let other = forecast(&panel(Period::Day, &scaled), &options(28)).unwrap();
        check(&other, 28);
        assert_eq!(other.model, answer.model);
        for (a, b) in answer.rows.iter().zip(&other.rows) {
            assert!((a.value * factor - b.value).abs() < 1e-6 * b.value.abs());
            assert!((a.upper_95 * factor - b.upper_95).abs() < 1e-6 * b.upper_95.abs());
        }
    }
}

#[test]
fn leap_years_and_a_year_ahead() {
    // Three years of days to 2028-02-20 with a strong yearly season.
    let first = date(2025, 2, 21);
    let days = 1095;
    let mut noise = Noise(6);
    let at = |d: usize| {
        let turn = f64::from(Period::Day.add(first, d).ordinal0()) / 365.25;
        1000.0 + 400.0 * (std::f64::consts::TAU * turn).cos()
    };
    let sales: Vec<_> = (0..days)
        .map(|d| (Period::Day.add(first, d), at(d) + 40.0 * noise.normal()))
        .collect();
    let last = Period::Day.add(first, days - 1);
    assert_eq!(last, date(2028, 2, 20));
    let panel = Panel::new(Period::Day, first, last, sales);
    let answer = forecast(&panel, &options(10_000)).unwrap();
    check(&answer, MAX_HORIZON);
    assert_eq!(answer.rows[8].period, date(2028, 2, 29));
    assert_eq!(answer.rows[365].period, date(2029, 2, 20));
    let errors = answer.rows.iter().enumerate();
    let error: f64 = errors.map(|(h, r)| (r.value - at(days + h)).abs()).sum();
    let mean = error / MAX_HORIZON as f64;
    // Knowing only the level would be off by 250 a day on average.
    assert!(mean < 100.0, "{mean}");
    let width = |h: usize| answer.rows[h].upper_80 - answer.rows[h].value;
    assert!(width(0) < width(182) && width(182) < width(364));
}

#[test]
fn months_start_on_their_first_day() {
    let first = date(2023, 11, 17);
    let sales = (0..40).map(|i| {
        (
            Period::Month.add(date(2023, 11, 28), i),
            10.0 + (i % 12) as f64,
        )
    });
    let panel = Panel::new(Period::Month, first, date(2027, 2, 28), sales);
    assert_eq!(panel.len(), 40);
    let answer = forecast(&panel, &options(13)).unwrap();
    assert_eq!(answer.rows[0].period, date(2027, 3, 1));
    assert_eq!(answer.rows[12].period, date(2028, 3, 1));
    assert_eq!(values(&answer)[..4], [14.0, 15.0, 16.0, 17.0]);
}

#[test]
fn the_same_question_has_the_same_answer() {
    let history = noisy_weeks(200, 90.0, 7);
    let pool =
        panel(Period::Day, &history).with_component(rows(Period::Day, &noisy_weeks(200, 90.0, 8)));
    assert_eq!(
        forecast(&pool, &options(28)).unwrap(),
        forecast(&pool, &options(28)).unwrap()
    );
}
