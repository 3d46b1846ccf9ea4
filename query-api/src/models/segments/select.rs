//! Criteria asked of everybody at once, without any segment: what a preview shows.

use control::Principal;
use schemas::Criteria;
use schemas::criteria::SqlValue;
use warehouse::{Params, Value, Warehouse, WarehouseError};

use crate::api::now;
use crate::tables::CUSTOMER;
use crate::tables::rows::Rows;

/// Who fulfils criteria.
#[derive(Debug, Clone, Default)]
pub(crate) struct Selected {
    /// How many customers.
    pub(crate) count: i64,
    /// The first of them, in the order of their ids.
    pub(crate) sample: Vec<String>,
}

/// Asks criteria of every customer as the tables hold it now.
pub(crate) async fn select(
    warehouse: &dyn Warehouse,
    principal: &Principal,
    criteria: &Criteria,
    sample: usize,
) -> Result<Selected, WarehouseError> {
    let at = now();
    let mut params = Params::new().with("organization", principal.organization.as_str());
    let mut count = 0;
    let condition = criteria.to_sql(&mut |value| {
        count += 1;
        let (name, kind) = (format!("v{count}"), value.sql_type());
        let value: Value = match value {
            SqlValue::Organization => principal.organization.as_str().into(),
            SqlValue::Currency => principal.currency.as_str().into(),
            SqlValue::Now => at.into(),
            SqlValue::Text(text) => text.into(),
            SqlValue::Texts(texts) => texts.into(),
            SqlValue::Integer(number) => number.into(),
            SqlValue::Integers(numbers) => numbers.into(),
            SqlValue::Decimal(number) => number.into(),
            SqlValue::Decimals(numbers) => {
                let texts: Vec<String> = numbers.iter().map(ToString::to_string).collect();
                texts.into()
            }
            SqlValue::Time(time) => time.into(),
        };
        params = std::mem::take(&mut params).with(&name, value);
        format!("{{{name}:{kind}}}")
    });
    let from = format!(
        "FROM customer_state FINAL WHERE organization = {{organization:String}} AND NOT is_deleted AND ({condition})"
    );
    let mut selected = Selected::default();
    let counted = format!("SELECT toInt64(count()) AS c_count {from}");
    for batch in warehouse.query(&counted, &params).await? {
        let counts = Rows::new(&batch).numbers("c_count")?;
        selected.count += counts.into_iter().flatten().sum::<i64>();
    }
    let sampled =
        format!("SELECT {CUSTOMER} AS c_customer {from} ORDER BY {CUSTOMER} LIMIT {sample}");
    for batch in warehouse.query(&sampled, &params).await? {
        selected
            .sample
            .extend(Rows::new(&batch).texts("c_customer")?);
    }
    Ok(selected)
}
