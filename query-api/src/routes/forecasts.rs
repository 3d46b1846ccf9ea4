//! `/forecasts`: what sales will be, how sure that is, and how good such forecasts have been.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use chrono::NaiveDate;
use schemas::{Problem, ProblemKind};
use serde::Serialize;
use utoipa::ToSchema;

use crate::analytics::forecast::{MAX_HORIZON, Options, Period, forecast};
use crate::api::{App, internal};
use crate::http::as_of::AsOf;
use crate::http::caller::ReportReader;
use crate::http::params::Params;
use crate::models::forecasts::series;

/// What a forecast is computed from.
#[derive(Serialize, ToSchema)]
pub(crate) struct ForecastAsOf {
    /// First day of the last whole period with sales; the forecast begins after it.
    #[schema(value_type = String, format = Date)]
    last_period: NaiveDate,
    #[serde(flatten)]
    as_of: AsOf,
}

/// The forecast of one period.
#[derive(Serialize, ToSchema)]
pub(crate) struct ForecastRow {
    /// First day of the period.
    #[schema(value_type = String, format = Date)]
    period: NaiveDate,
    /// The forecast, in the currency.
    value: f64,
    /// Lower end of the 80 % interval, in the currency.
    lower_80: f64,
    /// Upper end of the 80 % interval, in the currency.
    upper_80: f64,
    /// Lower end of the 95 % interval, in the currency.
    lower_95: f64,
    /// Upper end of the 95 % interval, in the currency.
    upper_95: f64,
}

/// Errors at earlier origins. Shares are fractions.
#[derive(Serialize, ToSchema)]
pub(crate) struct BacktestJson {
    /// Mean absolute error over the seasonal naive's in-sample error.
    mase: f64,
    /// Σ|forecast − actual| / Σ|actual|.
    wape: f64,
    /// Σ(forecast − actual) / Σ|actual|.
    bias: f64,
    /// Share of actuals inside the 80% interval.
    coverage_80: f64,
    /// Share of actuals inside the 95% interval.
    coverage_95: f64,
    /// MASE of the baseline at the same origins.
    baseline_mase: f64,
    /// Origins tried.
    origins: usize,
    /// Periods forecast at each.
    horizon: usize,
}

/// A forecast and the evidence for it.
#[derive(Serialize, ToSchema)]
pub(crate) struct ForecastJson {
    as_of: ForecastAsOf,
    /// What is forecast.
    measure: &'static str,
    /// `day` or `month`.
    #[schema(value_type = String)]
    period: Period,
    /// ISO 4217.
    currency: String,
    /// The periods to come, the next one first.
    rows: Vec<ForecastRow>,
    /// The model that answered.
    model: String,
    /// The model in a sentence, and why it answered.
    description: String,
    /// The naive forecast that the model is compared with.
    baseline: String,
    backtest: BacktestJson,
}

/// JSON has neither NaN nor infinities: what cannot be computed is 0.
fn finite(value: f64) -> f64 {
    if value.is_finite() { value } else { 0.0 }
}

/// Forecast revenue.
#[utoipa::path(
    get, path = "/forecasts", tag = "analytics",
    params(
        ("measure" = Option<String>, Query, description = "revenue"),
        ("period" = Option<String>, Query, description = "day (default) or month"),
        ("horizon" = Option<usize>, Query, description = "periods ahead, 1 to 366; by default 28 days or 12 months"),
        ("currency" = Option<String>, Query, description = "ISO 4217; by default the organization's"),
        ("tz" = Option<String>, Query, description = "IANA time zone; by default the organization's"),
    ),
    responses((status = 200, description = "The forecast", body = ForecastJson))
)]
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    ReportReader(principal): ReportReader,
    mut params: Params,
) -> Result<Json<ForecastJson>, Problem> {
    params.choice("measure", &[("revenue", ())])?;
    let period = params.choice("period", &[("day", Period::Day), ("month", Period::Month)])?;
    let period = period.unwrap_or(Period::Day);
    let default = match period {
        Period::Day => 28,
        Period::Month => 12,
    };
    let horizon = params.count("horizon", default, MAX_HORIZON)?;
    let currency = params.currency(principal.currency)?;
    let zone = params.timezone(&principal.timezone)?;
    params.finish()?;

    let series = series(&app, &principal.organization, period, currency, zone).await?;
    let too_short = |detail: String| {
        Problem::new(ProblemKind::Unprocessable, detail).with("code", "history_too_short".into())
    };
    let Some(last_period) = series.last else {
        let detail = format!(
            "there are no sales in {currency} up to the last whole {}; ask for another currency or tz, or send purchases",
            unit(period)
        );
        return Err(too_short(detail));
    };
    let options = Options {
        horizon,
        ..Options::default()
    };
    let panel = series.panel;
    let fitted = tokio::task::spawn_blocking(move || forecast(&panel, &options)).await;
    let fitted = fitted.map_err(|error| internal("a forecast ended abnormally", &error))?;
    let forecast = fitted.map_err(|error| too_short(error.to_string()))?;
    let backtest = &forecast.backtest;
    Ok(Json(ForecastJson {
        as_of: ForecastAsOf {
            last_period,
            as_of: series.as_of,
        },
        measure: "revenue",
        period,
        currency: currency.to_string(),
        rows: forecast
            .rows
            .iter()
            .map(|row| ForecastRow {
                period: row.period,
                value: finite(row.value),
                lower_80: finite(row.lower_80),
                upper_80: finite(row.upper_80),
                lower_95: finite(row.lower_95),
                upper_95: finite(row.upper_95),
            })
            .collect(),
        backtest: BacktestJson {
            mase: finite(backtest.mase),
            wape: finite(backtest.wape),
            bias: finite(backtest.bias),
            coverage_80: finite(backtest.coverage_80),
            coverage_95: finite(backtest.coverage_95),
            baseline_mase: finite(backtest.baseline_mase),
            origins: backtest.origins,
            horizon: backtest.horizon,
        },
        model: forecast.model,
        description: forecast.description,
        baseline: forecast.baseline,
    }))
}

fn unit(period: Period) -> &'static str {
    match period {
        Period::Day => "day",
        Period::Month => "month",
    }
}
