//! Runs cases and says what came out.

use std::time::Instant;

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

use crate::settings::Settings;

/// What one run measured: names with their units, and values.
pub(crate) type Figures = Vec<(&'static str, f64)>;

/// Runs the cases of one benchmark and prints a line of each kind for every case.
#[derive(Debug)]
pub(crate) struct Reporter {
    bench: &'static str,
    runs: usize,
    only: Option<String>,
}

impl Reporter {
    pub(crate) fn new(bench: &'static str, settings: &Settings) -> Self {
        Self {
            bench,
            runs: settings.runs(),
            only: settings.only.clone(),
        }
    }

    /// Whether any of these cases was asked for; what they share is only prepared then.
    pub(crate) fn wants(&self, case: &str) -> bool {
        self.only
            .as_ref()
            .is_none_or(|only| case.contains(only.as_str()))
    }

    /// Runs a case as often as was asked for, and prints the medians.
    pub(crate) async fn case(
        &self,
        case: &str,
        mut run: impl AsyncFnMut() -> Result<Figures>,
    ) -> Result<()> {
        if !self.wants(case) {
            eprintln!("{} · {case}: not run, --only names others", self.bench);
            return Ok(());
        }
        let started = Instant::now();
        let mut runs = Vec::with_capacity(self.runs);
        for _ in 0..self.runs {
            runs.push(
                run()
                    .await
                    .with_context(|| format!("{} · {case}", self.bench))?,
            );
        }
        self.print(case, &runs, started.elapsed().as_secs_f64());
        Ok(())
    }

    fn print(&self, case: &str, runs: &[Figures], seconds: f64) {
        let mut figures = Map::new();
        let mut words = Vec::new();
        for (index, (name, _)) in runs.first().into_iter().flatten().enumerate() {
            let mut values: Vec<f64> = runs.iter().map(|run| run[index].1).collect();
            values.sort_by(f64::total_cmp);
            let (low, middle, high) = (values[0], median(&values), values[values.len() - 1]);
            figures.insert(
                (*name).to_owned(),
                json!({"median": rounded(middle), "min": rounded(low), "max": rounded(high)}),
            );
            words.push(match values.len() {
                1 => format!("{name} {}", rounded(middle)),
                _ => format!(
                    "{name} {} ({}–{})",
                    rounded(middle),
                    rounded(low),
                    rounded(high)
                ),
            });
        }
        println!(
            "{}",
            json!({
                "bench": self.bench,
                "case": case,
                "runs": runs.len(),
                "figures": Value::Object(figures),
                "load_average": load_average(),
                "seconds": rounded(seconds),
            })
        );
        eprintln!("{} · {case}: {}", self.bench, words.join(", "));
    }
}

/// The middle of sorted values, or the mean of the two in the middle.
fn median(sorted: &[f64]) -> f64 {
    let half = sorted.len() / 2;
    match sorted.len() % 2 {
        1 => sorted[half],
        _ => (sorted[half - 1] + sorted[half]) / 2.0,
    }
}

/// The value below which this share of sorted values lies; 0 of none.
pub(crate) fn quantile(sorted: &[f64], share: f64) -> f64 {
    match sorted.len() {
        0 => 0.0,
        length => sorted[((length - 1) as f64 * share).round() as usize],
    }
}

/// Four significant digits say all that such a figure knows.
fn rounded(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return value;
    }
    let digits = 3 - value.abs().log10().floor() as i32;
    let scale = 10_f64.powi(digits.abs());
    match digits >= 0 {
        true => (value * scale).round() / scale,
        false => (value / scale).round() * scale,
    }
}

/// How busy the machine was in the last minute: beside a figure it says how far to trust it.
fn load_average() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/loadavg").ok()?;
    text.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_quantiles() {
        assert_eq!(median(&[1.0, 2.0, 9.0]), 2.0);
        assert_eq!(median(&[1.0, 2.0, 4.0, 9.0]), 3.0);
        let hundred: Vec<f64> = (0..=100).map(f64::from).collect();
        assert_eq!(quantile(&hundred, 0.95), 95.0);
        assert_eq!(quantile(&hundred, 0.5), 50.0);
        assert_eq!(quantile(&[], 0.5), 0.0);
    }

    #[test]
    fn figures_keep_four_digits() {
        assert_eq!(rounded(123_456.0), 123_500.0);
        assert_eq!(rounded(1.234_56), 1.235);
        assert_eq!(rounded(0.000_123_456), 0.000_123_5);
        assert_eq!(rounded(0.0), 0.0);
    }
}
