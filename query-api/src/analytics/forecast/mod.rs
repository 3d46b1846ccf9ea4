//! Sales forecasts with intervals, always beside the seasonal naive and with the errors of a
//! rolling-origin backtest.
//!
//! A panel goes to the pooled ridge ([`ridge`]) where the history is long enough (with fewer than
//! five series to the mean of it and the next), otherwise to a regression on trend and season
//! ([`seasonal`]). The model is tried at earlier origins, and the seasonal naive answers where it
//! was no worse there. Intervals are split-conformal
//! ([`conformal`]).

mod backtest;
pub mod conformal;
mod models;
pub mod naive;
mod panel;
pub mod ridge;
pub mod seasonal;

pub use backtest::Backtest;
pub use panel::{Panel, Period};

use backtest::Trial;
use chrono::NaiveDate;
use models::{Candidate, History};

/// The longest horizon: a year of days.
pub const MAX_HORIZON: usize = 366;

/// What to forecast.
#[derive(Debug, Clone)]
pub struct Options {
    /// Periods after the last one of the panel; between 1 and [`MAX_HORIZON`], clamped to it.
    pub horizon: usize,
    /// The most origins of the backtest. More make better intervals and take longer.
    pub origins: usize,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            horizon: 28,
            origins: 36,
        }
    }
}

/// The forecast of one period, in the unit of the panel.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Row {
    /// The first day of the period.
    pub period: NaiveDate,
    /// The expected value.
    pub value: f64,
    /// Lower bound of the 80% interval; not below zero unless the history was.
    pub lower_80: f64,
    /// Upper bound of the 80% interval.
    pub upper_80: f64,
    /// Lower bound of the 95% interval, never above that of the 80% one.
    pub lower_95: f64,
    /// Upper bound of the 95% interval.
    pub upper_95: f64,
}

/// A forecast and the evidence for it.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Forecast {
    /// One row per period, the first right after the panel's last.
    pub rows: Vec<Row>,
    /// The model that answered: `pooled-ridge`, `ridge-and-trend`, `trend-and-season` or
    /// `seasonal-naive`.
    pub model: String,
    /// The model in a sentence, and why it answered.
    pub description: String,
    /// The baseline: `seasonal-naive`.
    pub baseline: String,
    /// Errors and coverage at earlier origins.
    pub backtest: Backtest,
}

/// The history is shorter than two seasons, so that no season can be told from chance. Waiting
/// helps, retrying does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{have} {unit} of history are too few: two seasons, {need} {unit}, are needed")]
pub struct TooShort {
    /// Periods from the first with a value to the last.
    pub have: usize,
    /// Periods needed.
    pub need: usize,
    /// `days` or `months`.
    pub unit: &'static str,
}

/// Forecasts the target of `series`.
///
/// # Errors
/// [`TooShort`] when there are fewer than two seasons (14 days, 24 months) from the target's first
/// value that is not zero.
pub fn forecast(series: &Panel, options: &Options) -> Result<Forecast, TooShort> {
    let panel = series.trimmed();
    let season = panel.period.season();
    if panel.len() < 2 * season {
        return Err(TooShort {
            have: panel.len(),
            need: 2 * season,
            unit: match panel.period {
                Period::Day => "days",
                Period::Month => "months",
            },
        });
    }
    let history = History {
        period: panel.period,
        first: panel.first,
        target: &panel.target,
        components: panel.components.iter().map(Vec::as_slice).collect(),
    };
    let horizon = options.horizon.clamp(1, MAX_HORIZON);
    let chosen = choose(&history, horizon, options.origins);

    // Twelve months are too few errors each to tell months apart; seven weekdays are not.
    let positions = match panel.period {
        Period::Day => season,
        Period::Month => 1,
    };
    let never_negative = panel.target.iter().all(|v| *v >= 0.0);
    let floor = if never_negative {
        0.0
    } else {
        f64::NEG_INFINITY
    };
    let (backtest, calibration) =
        backtest::assess(&chosen.trials, &chosen.baseline, positions, floor);
    let scale = naive::naive_scale(&panel.target, season);
    let rows = chosen.values.iter().enumerate().map(|(h, &value)| {
        let (w80, w95) = calibration.half_widths(h, panel.len() + h);
        Row {
            period: panel.period.add(panel.first, panel.len() + h),
            value,
            lower_80: (value - w80 * scale).max(floor),
            upper_80: value + w80 * scale,
            lower_95: (value - w95 * scale).max(floor),
            upper_95: value + w95 * scale,
        }
    });
    Ok(Forecast {
        rows: rows.collect(),
        model: chosen.model.name().to_owned(),
        description: chosen.description,
        baseline: Candidate::SeasonalNaive.name().to_owned(),
        backtest,
    })
}

struct Chosen {
    model: Candidate,
    description: String,
    values: Vec<f64>,
    trials: Vec<Trial>,
    baseline: Vec<Trial>,
}

/// Takes the first model that can be fitted at every origin, unless the naive beat it there.
fn choose(history: &History<'_>, horizon: usize, most: usize) -> Chosen {
    let season = history.period.season();
    let (origins, tried) = backtest::plan(history.target.len(), season, horizon, most);
    let naive = Candidate::SeasonalNaive;
    let baseline = backtest::run(naive, history, &origins, tried).unwrap_or_default();
    let baseline_mase = backtest::mean_mase(&baseline);
    let fitted = Candidate::ranked(history, horizon)
        .into_iter()
        .find_map(|model| {
            let trials = backtest::run(model, history, &origins, tried)?;
            Some((model, model.forecast(history, horizon)?, trials))
        });
    if let Some((model, values, trials)) = fitted {
        let mase = backtest::mean_mase(&trials);
        if mase < baseline_mase {
            let short = match model {
                Candidate::TrendAndSeason => "; the history is too short for the ridge",
                _ => "",
            };
            let description = format!("{}{short}", model.description(history));
            return Chosen {
                model,
                description,
                values,
                trials,
                baseline,
            };
        }
        let description = format!(
            "{}; in the backtest it did no worse than {} (MASE {baseline_mase:.3} against {mase:.3})",
            naive.description(history),
            model.name(),
        );
        return repeat_last(history, horizon, baseline, description);
    }
    let description = format!(
        "{}; the history is too short for a regression",
        naive.description(history)
    );
    repeat_last(history, horizon, baseline, description)
}

fn repeat_last(
    history: &History<'_>,
    horizon: usize,
    baseline: Vec<Trial>,
    description: String,
) -> Chosen {
    let season = history.period.season();
    Chosen {
        model: Candidate::SeasonalNaive,
        description,
        values: naive::seasonal_naive(history.target, season, horizon),
        trials: baseline.clone(),
        baseline,
    }
}
