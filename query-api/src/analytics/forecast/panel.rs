//! Series on a regular calendar of days or months.

use chrono::{Datelike, Days, Months, NaiveDate};

/// The length of one period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Period {
    /// Calendar days; the season is the week.
    Day,
    /// Calendar months, named by their first day; the season is the year.
    Month,
}

impl Period {
    /// Periods in a season: 7 days or 12 months.
    pub fn season(self) -> usize {
        match self {
            Period::Day => 7,
            Period::Month => 12,
        }
    }

    /// The first day of the period that holds `date`.
    pub fn start(self, date: NaiveDate) -> NaiveDate {
        match self {
            Period::Day => date,
            Period::Month => date.with_day(1).unwrap_or(date),
        }
    }

    /// The period `count` after the one that starts at `start`; the calendar's last one where it
    /// would end.
    pub fn add(self, start: NaiveDate, count: usize) -> NaiveDate {
        let moved = match self {
            Period::Day => start.checked_add_days(Days::new(count as u64)),
            Period::Month => u32::try_from(count)
                .ok()
                .and_then(|months| start.checked_add_months(Months::new(months))),
        };
        moved.unwrap_or(NaiveDate::MAX)
    }

    /// Periods from the one of `first` to the one of `date`; negative when it is earlier.
    pub fn between(self, first: NaiveDate, date: NaiveDate) -> i64 {
        match self {
            Period::Day => (date - first).num_days(),
            Period::Month => {
                i64::from(date.year() - first.year()) * 12 + i64::from(date.month())
                    - i64::from(first.month())
            }
        }
    }
}

/// A target series (total revenue, say) and, optionally, the component series it consists of
/// (revenue by product category), all on the same calendar.
///
/// Components are more examples for the pooled model to learn from; they need not add up to the
/// target. A period without rows is zero, and rows of the same period add up.
#[derive(Debug, Clone)]
pub struct Panel {
    pub(super) period: Period,
    pub(super) first: NaiveDate,
    pub(super) target: Vec<f64>,
    pub(super) components: Vec<Vec<f64>>,
}

impl Panel {
    /// A panel from the period of `first` to that of `last`, both inside. `last` must be the last
    /// *whole* period: half a day of sales is not a day's sales. Rows outside and values that are
    /// not finite are left out.
    pub fn new(
        period: Period,
        first: NaiveDate,
        last: NaiveDate,
        target: impl IntoIterator<Item = (NaiveDate, f64)>,
    ) -> Panel {
        let first = period.start(first);
        let periods = usize::try_from(period.between(first, last) + 1).unwrap_or(0);
        let mut panel = Panel {
            period,
            first,
            target: vec![0.0; periods],
            components: Vec::new(),
        };
        panel.target = panel.spread(target);
        panel
    }

    /// Adds one component series.
    #[must_use]
    pub fn with_component(mut self, rows: impl IntoIterator<Item = (NaiveDate, f64)>) -> Panel {
        let values = self.spread(rows);
        self.components.push(values);
        self
    }

    /// Periods from the first to the last.
    pub fn len(&self) -> usize {
        self.target.len()
    }

    /// True when the panel holds no period.
    pub fn is_empty(&self) -> bool {
        self.target.is_empty()
    }

    fn spread(&self, rows: impl IntoIterator<Item = (NaiveDate, f64)>) -> Vec<f64> {
        let mut values = vec![0.0; self.target.len()];
        for (date, value) in rows {
            let index = self.period.between(self.first, date);
            let slot = usize::try_from(index).ok().and_then(|i| values.get_mut(i));
            if let Some(slot) = slot
                && value.is_finite()
            {
                *slot += value;
            }
        }
        values
    }

    /// The panel from the first period in which the target was not zero: what lies before is not
    /// history but the time before there was a business. All zeros stay as they are.
    pub(super) fn trimmed(&self) -> Panel {
        let skip = self.target.iter().position(|v| *v != 0.0).unwrap_or(0);
        Panel {
            period: self.period,
            first: self.period.add(self.first, skip),
            target: self.target[skip..].to_vec(),
            components: self.components.iter().map(|c| c[skip..].to_vec()).collect(),
        }
    }
}
