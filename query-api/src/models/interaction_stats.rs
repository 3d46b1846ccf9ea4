//! Figures of interactions, counted where they are stored.

use std::collections::BTreeMap;

use chrono_tz::Tz;
use serde::Serialize;
use utoipa::ToSchema;
use warehouse::{Params, Warehouse, WarehouseError};

use super::interactions::{ASSIGNED_TO, PRIORITY, STATUS, time_of};
use super::records::Records;
use crate::reports::Grain;
use crate::tables::rows::Rows;

/// How many there are of each word.
pub(crate) type Counts = BTreeMap<String, i64>;

/// How many interactions somebody is responsible for.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StaffCount {
    /// `usr_…`; null for those of nobody.
    pub(crate) assigned_to: Option<String>,
    /// Interactions.
    pub(crate) count: i64,
}

/// How many interactions a period has.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PeriodCount {
    /// Its first day, in `tz`. Weeks start on Monday.
    #[schema(value_type = String, format = Date)]
    pub(crate) period: String,
    /// Interactions.
    pub(crate) count: i64,
}

/// How long something takes, over the cases where both ends are known.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(crate) struct Durations {
    /// Cases measured.
    pub(crate) cases: i64,
    /// Half of them took no longer, in seconds; null without cases. Between two cases it is interpolated.
    pub(crate) median_seconds: Option<f64>,
    /// Nine of ten took no longer, in seconds; null without cases.
    pub(crate) p90_seconds: Option<f64>,
}

/// Figures of some interactions.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(crate) struct InteractionFigures {
    /// All of them.
    pub(crate) total: i64,
    /// By kind.
    pub(crate) by_kind: Counts,
    /// By channel.
    pub(crate) by_channel: Counts,
    /// By status.
    pub(crate) by_status: Counts,
    /// By priority.
    pub(crate) by_priority: Counts,
    /// By who is responsible, most first.
    pub(crate) by_staff: Vec<StaffCount>,
    /// By period, in the order of time; periods without any are absent.
    pub(crate) by_period: Vec<PeriodCount>,
    /// Mean length in minutes of those with one; null without any.
    pub(crate) average_duration_minutes: Option<f64>,
    /// Support cases: those of kind support or with a support category.
    pub(crate) support_cases: i64,
    /// From when a support case was opened to its first response.
    pub(crate) first_response: Durations,
    /// From when a support case was opened to its resolution.
    pub(crate) resolution: Durations,
}

/// The first local day of the period that holds a record, as text.
fn period(grain: Grain, zone: Tz) -> String {
    // The name of a zone is one that chrono-tz has, and no text of a caller.
    let day = format!("toDate32(toTimeZone(at, '{zone}'))");
    match grain {
        Grain::Day | Grain::Whole => format!("toString({day})"),
        Grain::Week => format!("toString({day} - (toDayOfWeek({day}) - 1))"),
        Grain::Month => format!("concat(substring(toString({day}), 1, 7), '-01')"),
    }
}

/// Counts interactions.
pub(crate) async fn figures(
    warehouse: &dyn Warehouse,
    records: Records,
    grain: Grain,
    zone: Tz,
) -> Result<InteractionFigures, WarehouseError> {
    let (condition, params) = records.into_condition();
    let mut figures = counted(warehouse, &condition, &params, &period(grain, zone)).await?;
    let case = "(JSONExtractString(fields, 'kind') = 'support' OR JSONExtractString(fields, 'support_category') != '')";
    let opened = format!("ifNull({}, at)", time_of("opened_at"));
    let seconds = |until: &str| {
        let until = time_of(until);
        format!(
            "if({case} AND {until} >= {opened}, \
             (toUnixTimestamp64Micro(assumeNotNull({until})) - toUnixTimestamp64Micro({opened})) / 1000000, NULL)"
        )
    };
    let sql = format!(
        "SELECT toInt64(count()) AS c_total, toInt64(countIf(is_case)) AS c_cases, avg(duration) AS c_duration, \
         toInt64(count(response)) AS c_responded, toInt64(count(resolution)) AS c_resolved, \
         quantileExactInclusive(0.5)(response) AS c_response_median, quantileExactInclusive(0.9)(response) AS c_response_p90, \
         quantileExactInclusive(0.5)(resolution) AS c_resolution_median, quantileExactInclusive(0.9)(resolution) AS c_resolution_p90 \
         FROM (SELECT JSONExtract(fields, 'duration', 'Nullable(UInt32)') AS duration, {case} AS is_case, \
           {} AS response, {} AS resolution \
           FROM customer_records FINAL WHERE NOT is_deleted AND {condition})",
        seconds("first_response_at"),
        seconds("resolved_at"),
    );
    for batch in warehouse.query(&sql, &params).await? {
        let rows = Rows::new(&batch);
        let number = |name: &str| -> Result<i64, WarehouseError> {
            Ok(rows.numbers(name)?.into_iter().flatten().sum())
        };
        let real = |name: &str| -> Result<Option<f64>, WarehouseError> {
            Ok(rows.reals(name)?.into_iter().flatten().next())
        };
        figures.total = number("c_total")?;
        figures.support_cases = number("c_cases")?;
        figures.average_duration_minutes = real("c_duration")?;
        figures.first_response = Durations {
            cases: number("c_responded")?,
            median_seconds: real("c_response_median")?,
            p90_seconds: real("c_response_p90")?,
        };
        figures.resolution = Durations {
            cases: number("c_resolved")?,
            median_seconds: real("c_resolution_median")?,
            p90_seconds: real("c_resolution_p90")?,
        };
    }
    Ok(figures)
}

/// The counts by each word.
async fn counted(
    warehouse: &dyn Warehouse,
    condition: &str,
    params: &Params,
    period: &str,
) -> Result<InteractionFigures, WarehouseError> {
    let sql = format!(
        "SELECT tupleElement(pair, 1) AS c_by, tupleElement(pair, 2) AS c_word, toInt64(count()) AS c_count FROM (\
           SELECT arrayJoin([('kind', JSONExtractString(fields, 'kind')), \
             ('channel', JSONExtractString(fields, 'channel')), ('status', {STATUS}), ('priority', {PRIORITY}), \
             ('staff', {ASSIGNED_TO}), ('period', {period})]) AS pair \
           FROM customer_records FINAL WHERE NOT is_deleted AND {condition}) \
         GROUP BY c_by, c_word ORDER BY c_by, c_count DESC, c_word"
    );
    let mut figures = InteractionFigures::default();
    for batch in warehouse.query(&sql, params).await? {
        let rows = Rows::new(&batch);
        let (by, words) = (rows.texts("c_by")?, rows.texts("c_word")?);
        let counts = rows.numbers("c_count")?;
        for ((by, word), count) in by.into_iter().zip(words).zip(counts) {
            let count = count.unwrap_or_default();
            let counts = match by.as_str() {
                "kind" => &mut figures.by_kind,
                "channel" => &mut figures.by_channel,
                "status" => &mut figures.by_status,
                "priority" => &mut figures.by_priority,
                "staff" => {
                    let assigned_to = Some(word).filter(|user| !user.is_empty());
                    figures.by_staff.push(StaffCount { assigned_to, count });
                    continue;
                }
                _ => {
                    figures.by_period.push(PeriodCount {
                        period: word,
                        count,
                    });
                    continue;
                }
            };
            counts.insert(word, count);
        }
    }
    figures
        .by_period
        .sort_by(|one, other| one.period.cmp(&other.period));
    Ok(figures)
}
