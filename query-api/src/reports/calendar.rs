//! Days, weeks and months of a time zone, as functions of SQL.

use std::sync::Arc;

use arrow::array::{ArrayRef, Date32Array};
use arrow::datatypes::{DataType, TimestampMicrosecondType};
use chrono::{DateTime, Datelike, Days, NaiveDate, TimeZone};
use chrono_tz::Tz;
use datafusion::common::cast::as_primitive_array;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

/// The length of a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Grain {
    /// A calendar day.
    Day,
    /// Seven days from a Monday.
    Week,
    /// A calendar month.
    Month,
    /// All of time, as one period.
    Whole,
}

/// Periods of one length in one time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Calendar {
    pub(crate) grain: Grain,
    pub(crate) zone: Tz,
}

/// 1970-01-01 in days from the start of our era, as chrono counts them.
const EPOCH: i32 = 719_163;

/// Days since 1970.
pub(crate) fn to_days(date: NaiveDate) -> i32 {
    date.num_days_from_ce() - EPOCH
}

/// The date of days since 1970.
pub(crate) fn from_days(days: i32) -> NaiveDate {
    NaiveDate::from_num_days_from_ce_opt(days.saturating_add(EPOCH)).unwrap_or(NaiveDate::MAX)
}

impl Calendar {
    /// The local date of a point in time.
    pub(crate) fn day(&self, micros: i64) -> Option<NaiveDate> {
        let utc = DateTime::from_timestamp_micros(micros)?.naive_utc();
        Some(self.zone.from_utc_datetime(&utc).date_naive())
    }

    /// The first day of the period that holds a date.
    pub(crate) fn first_day(&self, date: NaiveDate) -> NaiveDate {
        match self.grain {
            Grain::Day => date,
            Grain::Week => {
                let since_monday = u64::from(date.weekday().num_days_from_monday());
                date.checked_sub_days(Days::new(since_monday))
                    .unwrap_or(date)
            }
            Grain::Month => date.with_day(1).unwrap_or(date),
            Grain::Whole => NaiveDate::default(),
        }
    }
}

/// `period_of(time)` or `day_of(time)`: the first local day of the period that holds a time, as a date.
#[derive(Debug, PartialEq, Eq, Hash)]
struct PeriodOf {
    name: &'static str,
    calendar: Calendar,
    signature: Signature,
}

fn function(name: &'static str, calendar: Calendar) -> ScalarUDF {
    let times = vec![schemas::arrow::timestamp()];
    ScalarUDF::new_from_impl(PeriodOf {
        name,
        calendar,
        signature: Signature::exact(times, Volatility::Immutable),
    })
}

/// The functions `period_of` and `day_of` for this calendar.
pub(crate) fn functions(calendar: Calendar) -> [ScalarUDF; 2] {
    let days = Calendar {
        grain: Grain::Day,
        ..calendar
    };
    [function("period_of", calendar), function("day_of", days)]
}

impl ScalarUDFImpl for PeriodOf {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Date32)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [times] = &ColumnarValue::values_to_arrays(&args.args)?[..] else {
            return Err(DataFusionError::Internal(format!(
                "{} takes one time",
                self.name
            )));
        };
        let times = as_primitive_array::<TimestampMicrosecondType>(times)?;
        // Rows come nearly in order of time: most fall into the same local day as the one before.
        let mut last: Option<(i64, Option<i32>)> = None;
        const QUARTER: i64 = 15 * 60 * 1_000_000;
        let days: Date32Array = times
            .iter()
            .map(|micros| {
                let micros = micros?;
                let quarter = micros.div_euclid(QUARTER);
                match last {
                    // Midnights of all zones are at whole quarters of an hour since 1972; before that, look.
                    Some((at, day)) if at == quarter && micros > 100_000_000_000_000 => day,
                    _ => {
                        let day = self.calendar.day(micros)?;
                        let day = Some(to_days(self.calendar.first_day(day)));
                        last = Some((quarter, day));
                        day
                    }
                }
            })
            .collect();
        Ok(ColumnarValue::Array(Arc::new(days) as ArrayRef))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn date(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    fn micros(text: &str) -> i64 {
        DateTime::parse_from_rfc3339(text)
            .unwrap()
            .timestamp_micros()
    }

    #[test]
    fn days_are_those_of_the_zone() {
        let berlin = Calendar {
            grain: Grain::Day,
            zone: Tz::Europe__Berlin,
        };
        // The night summer time begins, and the one it ends.
        assert_eq!(
            berlin.day(micros("2026-03-28T22:59:59Z")),
            Some(date("2026-03-28"))
        );
        assert_eq!(
            berlin.day(micros("2026-03-28T23:00:00Z")),
            Some(date("2026-03-29"))
        );
        assert_eq!(
            berlin.day(micros("2026-03-29T21:59:59Z")),
            Some(date("2026-03-29"))
        );
        assert_eq!(
            berlin.day(micros("2026-03-29T22:00:00Z")),
            Some(date("2026-03-30"))
        );
        assert_eq!(
            berlin.day(micros("2026-10-25T22:59:59Z")),
            Some(date("2026-10-25"))
        );
        assert_eq!(
            berlin.day(micros("2026-10-25T23:00:00Z")),
            Some(date("2026-10-26"))
        );
    }

    #[test]
    fn weeks_start_on_monday_and_months_on_the_first() {
        let zone = Tz::UTC;
        let week = Calendar {
            grain: Grain::Week,
            zone,
        };
        assert_eq!(week.first_day(date("2026-03-01")), date("2026-02-23"));
        assert_eq!(week.first_day(date("2026-03-02")), date("2026-03-02"));
        let month = Calendar {
            grain: Grain::Month,
            zone,
        };
        assert_eq!(month.first_day(date("2026-02-28")), date("2026-02-01"));
        assert_eq!(from_days(to_days(date("1900-01-01"))), date("1900-01-01"));
    }
}
