//! Sales: revenue, refunds, orders, units and customers by period and group, exact to the last digit.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    Array as _, ArrowPrimitiveType, AsArray as _, Date32Array, Decimal128Array, Int32Array,
    Int64Array, PrimitiveArray, RecordBatch,
};
use arrow::datatypes::{Date32Type, Decimal128Type, Int64Type};
use chrono::NaiveDate;
use datafusion::error::{DataFusionError, Result};
use datafusion::prelude::SessionContext;
use datafusion::scalar::ScalarValue;
use schemas::{Currency, Decimal, OrganizationId, Problem};

use super::calendar::{self, Calendar, Grain, from_days, to_days};
use super::dictionary::{Dictionary, Text};
use super::lines::{self, Dimension};
use crate::api::App;
use crate::http::problem::query_problem;
use crate::tables::cut::Cut;
use crate::tables::session;

/// What the rows are by, beside the period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Group {
    /// Only the period.
    None,
    /// Product of the items.
    Product,
    /// Category of the items.
    Category,
    /// The customer who bought.
    Customer,
}

/// What to report.
#[derive(Debug, Clone)]
pub(crate) struct SalesQuery {
    pub(crate) calendar: Calendar,
    /// First local day inside.
    pub(crate) from: Option<NaiveDate>,
    /// First local day outside.
    pub(crate) to: Option<NaiveDate>,
    pub(crate) group: Group,
    pub(crate) currency: Currency,
    /// Rows left out at the start.
    pub(crate) offset: usize,
    /// Most rows.
    pub(crate) limit: Option<usize>,
    /// The cut of an earlier page.
    pub(crate) earlier: Option<Cut>,
}

/// The figures of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Figures {
    pub(crate) revenue: Decimal,
    pub(crate) refunds: Decimal,
    pub(crate) orders: i64,
    pub(crate) units: Decimal,
    pub(crate) customers: i64,
}

impl Figures {
    /// What an order was worth before refunds; none without orders.
    pub(crate) fn average_order(&self, places: u32) -> Option<Decimal> {
        let orders = u64::try_from(self.orders).ok()?;
        (self.revenue + self.refunds).divided(orders, places)
    }
}

/// The rows, still as columns, and what they add up to.
#[derive(Debug)]
pub(crate) struct Sales {
    pub(crate) cut: Cut,
    batches: Vec<RecordBatch>,
    /// Where the rows of the answer are, in its order: batch and row.
    order: Vec<(u32, u32)>,
    /// What the numbers of groups stand for.
    texts: Vec<Text>,
    pub(crate) totals: Figures,
    /// The one period of [`Grain::Whole`].
    whole: Option<NaiveDate>,
    /// Whether there are rows beyond the limit.
    pub(crate) more: bool,
}

/// One row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Row<'a> {
    pub(crate) period: NaiveDate,
    pub(crate) group: Option<&'a str>,
    pub(crate) name: Option<&'a str>,
    pub(crate) figures: Figures,
}

/// A day that comes before, and one after, all that events can have.
const BEYOND: (i32, i32) = (-1_000_000, 4_000_000);
const DAY: i64 = 86_400_000_000;

impl SalesQuery {
    fn sql(&self) -> &'static str {
        match self.group {
            Group::None => include_str!("sales_by_period.sql"),
            Group::Customer => include_str!("sales_by_customer.sql"),
            Group::Product | Group::Category => include_str!("sales_by_line.sql"),
        }
    }

    /// Values of the `$name` places. The bounds in time are wide enough for every zone, and skip files; the bounds in
    /// local days are exact.
    fn params(&self) -> Vec<(&'static str, ScalarValue)> {
        let first = self.from.map_or(BEYOND.0, to_days);
        let end = self.to.map_or(BEYOND.1, to_days);
        let time = |days: i32, slack: i64| {
            let micros = (i64::from(days) + slack) * DAY;
            ScalarValue::TimestampMicrosecond(Some(micros), Some("UTC".into()))
        };
        vec![
            ("currency", ScalarValue::from(self.currency.as_str())),
            ("earliest", time(first, -2)),
            ("latest", time(end, 2)),
            ("first_day", ScalarValue::Date32(Some(first))),
            ("end_day", ScalarValue::Date32(Some(end))),
        ]
    }

    /// Makes the functions of the statements, which number groups and customers; what rows are grouped by.
    fn register(&self, context: &SessionContext) -> Dictionary {
        for function in calendar::functions(self.calendar) {
            context.register_udf(function);
        }
        let dimension = match self.group {
            Group::Category => Dimension::Category,
            _ => Dimension::Product,
        };
        let (groups, customers) = (Dictionary::default(), Dictionary::default());
        for function in lines::functions(dimension, &groups, &customers) {
            context.register_udf(function);
        }
        match self.group {
            Group::Customer => customers,
            _ => groups,
        }
    }
}

/// The columns of a batch of rows.
struct Columns<'a> {
    periods: &'a Date32Array,
    groups: &'a Int32Array,
    revenue: &'a Decimal128Array,
    refunds: &'a Decimal128Array,
    orders: &'a Int64Array,
    units: &'a Decimal128Array,
    customers: &'a Int64Array,
}

fn column<'a, T: ArrowPrimitiveType>(
    batch: &'a RecordBatch,
    name: &str,
) -> Result<&'a PrimitiveArray<T>> {
    let column = batch
        .column_by_name(name)
        .and_then(|column| column.as_primitive_opt::<T>());
    column.ok_or_else(|| {
        DataFusionError::Internal(format!("the report's column {name} is of another type"))
    })
}

/// Null where nothing was added up.
fn value<T: ArrowPrimitiveType>(column: &PrimitiveArray<T>, row: usize) -> T::Native {
    match column.is_null(row) {
        true => T::default_value(),
        false => column.value(row),
    }
}

impl<'a> Columns<'a> {
    fn of(batch: &'a RecordBatch) -> Result<Self> {
        Ok(Self {
            periods: column(batch, "period")?,
            groups: column(batch, "grp")?,
            revenue: column(batch, "revenue")?,
            refunds: column(batch, "refunds")?,
            orders: column(batch, "orders")?,
            units: column(batch, "units")?,
            customers: column(batch, "customers")?,
        })
    }

    fn group(&self, row: usize) -> Option<usize> {
        self.groups
            .is_valid(row)
            .then(|| self.groups.value(row) as usize)
    }
}

impl Sales {
    /// How many rows the answer has.
    pub(crate) fn len(&self) -> usize {
        self.order.len()
    }

    /// The rows of the answer in a range of its order.
    pub(crate) fn rows(&self, range: Range<usize>) -> Result<Vec<Row<'_>>> {
        let columns: Vec<Columns<'_>> = self
            .batches
            .iter()
            .map(Columns::of)
            .collect::<Result<_>>()?;
        let range = range.start.min(self.len())..range.end.min(self.len());
        Ok(self.order[range]
            .iter()
            .map(|&(batch, row)| {
                let (columns, row) = (&columns[batch as usize], row as usize);
                let text = columns.group(row).and_then(|group| self.texts.get(group));
                Row {
                    period: self
                        .whole
                        .unwrap_or_else(|| from_days(columns.periods.value(row))),
                    group: text.map(|text| &*text.text),
                    name: text.and_then(|text| text.name.as_deref()),
                    figures: Figures {
                        revenue: Decimal::from_micros(value(columns.revenue, row)),
                        refunds: Decimal::from_micros(value(columns.refunds, row)),
                        orders: value(columns.orders, row),
                        units: Decimal::from_micros(value(columns.units, row)),
                        customers: value(columns.customers, row),
                    },
                }
            })
            .collect())
    }

    /// Puts the rows in order: by period, then revenue, the largest first, then group, null last.
    fn sort(&mut self) -> Result<()> {
        // The numbers of groups are in the order they came: their texts decide.
        let mut texts: Vec<usize> = (0..self.texts.len()).collect();
        texts.sort_unstable_by(|a, b| self.texts[*a].text.cmp(&self.texts[*b].text));
        let mut places = vec![0; texts.len()];
        for (place, text) in texts.into_iter().enumerate() {
            places[text] = place;
        }
        let mut keys = Vec::new();
        for (number, batch) in self.batches.iter().enumerate() {
            let columns = Columns::of(batch)?;
            keys.extend((0..batch.num_rows()).map(|row| {
                let group = columns
                    .group(row)
                    .and_then(|group| places.get(group).copied());
                let revenue = std::cmp::Reverse(value(columns.revenue, row));
                let period = columns.periods.value(row);
                (
                    period,
                    revenue,
                    group.unwrap_or(usize::MAX),
                    (number as u32, row as u32),
                )
            }));
        }
        keys.sort_unstable();
        self.order = keys.into_iter().map(|(.., place)| place).collect();
        Ok(())
    }

    /// Leaves out the first rows and those beyond the limit.
    fn cut_page(&mut self, offset: usize, limit: Option<usize>) {
        self.order.drain(..offset.min(self.order.len()));
        if let Some(limit) = limit {
            self.more = self.order.len() > limit;
            self.order.truncate(limit);
        }
    }
}

/// Runs the report for an organization.
pub(crate) async fn run(
    app: &Arc<App>,
    organization: &OrganizationId,
    query: SalesQuery,
) -> std::result::Result<Sales, Problem> {
    let (shared, organization) = (app.clone(), organization.clone());
    let work = async move {
        let engine = &shared.engine;
        let tables =
            session::open_at(&shared, engine, &organization, query.earlier.as_ref()).await?;
        collect(&tables.context, tables.cut, &query)
            .await
            .map_err(|error| query_problem(&error))
    };
    app.engine.run("sales", work).await
}

/// The report over a session's tables.
pub(crate) async fn collect(
    context: &SessionContext,
    cut: Cut,
    query: &SalesQuery,
) -> Result<Sales> {
    let dictionary = query.register(context);
    let statement = async |sql: &str| {
        context
            .sql(sql)
            .await?
            .with_param_values(query.params())?
            .collect()
            .await
    };
    let batches = statement(query.sql()).await?;
    let totals = statement(include_str!("sales_totals.sql")).await?;
    let mut sales = Sales {
        cut,
        batches,
        order: Vec::new(),
        texts: dictionary.texts(),
        totals: Figures::default(),
        whole: None,
        more: false,
    };
    if let Some(batch) = totals.iter().find(|batch| batch.num_rows() > 0) {
        sales.totals.revenue =
            Decimal::from_micros(value(column::<Decimal128Type>(batch, "revenue")?, 0));
        sales.totals.refunds =
            Decimal::from_micros(value(column::<Decimal128Type>(batch, "refunds")?, 0));
        sales.totals.orders = value(column::<Int64Type>(batch, "orders")?, 0);
        sales.totals.customers = value(column::<Int64Type>(batch, "customers")?, 0);
        if query.calendar.grain == Grain::Whole {
            let days = column::<Date32Type>(batch, "first_day")?;
            let first = days.is_valid(0).then(|| from_days(days.value(0)));
            sales.whole = query.from.or(first);
        }
    }
    for batch in &sales.batches {
        let units = column::<Decimal128Type>(batch, "units")?;
        sales.totals.units += (0..units.len())
            .map(|row| Decimal::from_micros(value(units, row)))
            .sum();
    }
    sales.sort()?;
    sales.cut_page(query.offset, query.limit);
    Ok(sales)
}
