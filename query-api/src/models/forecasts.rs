//! The series a forecast is made of: net revenue by day or month, in all and of the largest categories.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array as _, AsArray as _};
use arrow::datatypes::TimestampMicrosecondType;
use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, TimeZone as _};
use chrono_tz::Tz;
use datafusion::common::ScalarValue;
use datafusion::error::DataFusionError;
use datafusion::functions_aggregate::expr_fn::max;
use datafusion::prelude::{SessionContext, col, lit};
use schemas::{Currency, Decimal, OrganizationId, Problem};

use crate::analytics::forecast::{Panel, Period};
use crate::api::App;
use crate::http::as_of::AsOf;
use crate::http::problem::query_problem;
use crate::reports::sales::{self, Group, SalesQuery};
use crate::reports::{Calendar, Grain};
use crate::tables::session;

/// Categories whose series the pooled model learns from beside the total.
const CATEGORIES: usize = 50;

/// The series of an organization, and what they are computed from.
pub(crate) struct Series {
    pub(crate) as_of: AsOf,
    /// The last whole period with events; none without any sale.
    pub(crate) last: Option<NaiveDate>,
    pub(crate) panel: Panel,
}

/// Revenue by period of `currency` in `zone`, up to the last whole period with events.
pub(crate) async fn series(
    app: &Arc<App>,
    organization: &OrganizationId,
    period: Period,
    currency: Currency,
    zone: Tz,
) -> Result<Series, Problem> {
    let (shared, organization) = (app.clone(), organization.clone());
    let work = async move {
        let tables = session::open(&shared, &organization).await?;
        let query = |group| SalesQuery {
            calendar: Calendar {
                grain: match period {
                    Period::Day => Grain::Day,
                    Period::Month => Grain::Month,
                },
                zone,
            },
            from: None,
            to: None,
            group,
            currency,
            offset: 0,
            limit: None,
            earlier: None,
        };
        let failed = |error| query_problem(&error);
        let context = &tables.context;
        let total = sales::collect(context, tables.cut.clone(), &query(Group::None))
            .await
            .map_err(failed)?;
        let parts = sales::collect(context, tables.cut.clone(), &query(Group::Category))
            .await
            .map_err(failed)?;
        let micros = tables.cut.time.micros();
        let today = DateTime::from_timestamp_micros(micros)
            .map(|time| time.with_timezone(&zone).date_naive());
        let today = period.start(today.unwrap_or(NaiveDate::MAX));
        let last = last_day(context, today, zone).await.map_err(failed)?;
        let mut target = Vec::new();
        let mut categories: HashMap<String, Vec<(NaiveDate, Decimal)>> = HashMap::new();
        // A period that is not over yet is not a period's sales.
        let rows = total.rows(0..total.len()).map_err(failed)?;
        target.extend(
            rows.iter()
                .filter(|row| row.period < today)
                .map(|row| (row.period, row.figures.revenue)),
        );
        for row in parts.rows(0..parts.len()).map_err(failed)? {
            if let Some(group) = row.group {
                let series = categories.entry(group.to_owned()).or_default();
                series.push((row.period, row.figures.revenue));
            }
        }
        Ok(Series {
            as_of: tables.cut.as_of(),
            last: last
                .filter(|_| !target.is_empty())
                .map(|day| period.start(day)),
            panel: panel(period, &target, last, categories),
        })
    };
    app.engine.run("forecast", work).await
}

/// The last day before `today` with events of any kind: days after the last sale were days without sales.
async fn last_day(
    context: &SessionContext,
    today: NaiveDate,
    zone: Tz,
) -> Result<Option<NaiveDate>, DataFusionError> {
    let midnight = today.and_time(NaiveTime::MIN);
    // Where clocks are put forward at midnight, the day starts an hour later.
    let start = zone.from_local_datetime(&midnight).earliest().or_else(|| {
        zone.from_local_datetime(&(midnight + TimeDelta::hours(1)))
            .earliest()
    });
    let micros = start.map_or(i64::MAX, |start| start.timestamp_micros());
    let start = lit(ScalarValue::TimestampMicrosecond(
        Some(micros),
        Some("UTC".into()),
    ));
    let batches = context
        .table("events")
        .await?
        .filter(col("occurred_at").lt(start))?
        .aggregate(vec![], vec![max(col("occurred_at"))])?
        .collect()
        .await?;
    let newest = batches.iter().find(|batch| batch.num_rows() > 0);
    let newest = newest.and_then(|batch| {
        let times = batch
            .column(0)
            .as_primitive_opt::<TimestampMicrosecondType>()?;
        times.is_valid(0).then(|| times.value(0))
    });
    Ok(newest
        .and_then(DateTime::from_timestamp_micros)
        .map(|time| time.with_timezone(&zone).date_naive()))
}

fn panel(
    period: Period,
    target: &[(NaiveDate, Decimal)],
    last: Option<NaiveDate>,
    categories: HashMap<String, Vec<(NaiveDate, Decimal)>>,
) -> Panel {
    let numbers = |rows: &[(NaiveDate, Decimal)]| -> Vec<(NaiveDate, f64)> {
        rows.iter()
            .map(|(date, revenue)| (*date, revenue.to_f64()))
            .collect()
    };
    let dates = || target.iter().map(|(date, _)| *date);
    let (Some(first), Some(last)) = (dates().min(), last) else {
        // An empty panel: its last day is before its first.
        return Panel::new(period, NaiveDate::default(), NaiveDate::MIN, []);
    };
    let mut largest: Vec<_> = categories
        .into_iter()
        .map(|(name, rows)| {
            (
                rows.iter().map(|(_, revenue)| *revenue).sum::<Decimal>(),
                name,
                rows,
            )
        })
        .collect();
    // By name among equals, so that the same data gives the same answer.
    largest.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    largest.truncate(CATEGORIES);
    let mut panel = Panel::new(period, first, last, numbers(target));
    for (_, _, rows) in &largest {
        panel = panel.with_component(numbers(rows));
    }
    panel
}
