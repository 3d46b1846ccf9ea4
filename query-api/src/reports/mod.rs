//! Reports: a `.sql` file each, run over the tables of one organization.

mod calendar;
mod dictionary;
mod lines;
pub(crate) mod sales;
mod sales_json;

pub(crate) use calendar::from_days;
pub(crate) use calendar::{Calendar, Grain};
pub(crate) use dictionary::{Dictionary, Text};

use chrono_tz::Tz;
use datafusion::error::Result;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::prelude::SessionContext;

/// Products of completed purchases as numbers: customer, day (UTC), product. The dictionaries, of customers and of
/// products, hold all once the stream has ended.
pub(crate) async fn baskets(
    context: &SessionContext,
) -> Result<(SendableRecordBatchStream, [Dictionary; 2])> {
    let calendar = Calendar {
        grain: Grain::Day,
        zone: Tz::UTC,
    };
    for function in calendar::functions(calendar) {
        context.register_udf(function);
    }
    let (products, customers) = (Dictionary::default(), Dictionary::default());
    for function in lines::functions(lines::Dimension::Product, &products, &customers) {
        context.register_udf(function);
    }
    let rows = context.sql(include_str!("baskets.sql")).await?;
    Ok((rows.execute_stream().await?, [customers, products]))
}
