//! Rows of `events`, and the same rows in the archive's form, sharing buffers.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, ListArray, RecordBatch, StringArray, StructArray,
    UInt32Array, UInt64Array, make_array, new_null_array,
};
use arrow::buffer::{BooleanBuffer, NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field};
use arrow::error::ArrowError;
use schemas::record::SCHEMA_VERSION;
use schemas::{Decimal, Event, Kind, Position};

use super::{Texts, batch, decimals, times};

/// Builds rows of `events`. Columns of purchases hold empty texts and zeros for other kinds.
#[derive(Debug, Default)]
pub struct EventRows {
    generations: Vec<u32>,
    partitions: Vec<u32>,
    offsets: Vec<u64>,
    organizations: Texts,
    customers: Texts,
    event_ids: Texts,
    kinds: Texts,
    occurred: Vec<i64>,
    received: Vec<i64>,
    sources: Texts,
    currencies: Texts,
    amounts: Vec<i128>,
    statuses: Texts,
    order_ids: Texts,
    refund_ofs: Texts,
    item_ends: Vec<i32>,
    items: ItemRows,
    fields: Texts,
    attributes: Texts,
}

#[derive(Debug, Default)]
struct ItemRows {
    product_ids: Texts,
    names: Texts,
    categories: Texts,
    quantities: Vec<i128>,
    prices: Vec<Option<i128>>,
    amounts: Vec<i128>,
}

impl EventRows {
    pub(super) fn with_capacity(rows: usize) -> Self {
        Self {
            generations: Vec::with_capacity(rows),
            partitions: Vec::with_capacity(rows),
            offsets: Vec::with_capacity(rows),
            organizations: Texts::with_capacity(rows, rows * 36),
            customers: Texts::with_capacity(rows, rows * 12),
            event_ids: Texts::with_capacity(rows, rows * 16),
            kinds: Texts::with_capacity(rows, rows * 8),
            occurred: Vec::with_capacity(rows),
            received: Vec::with_capacity(rows),
            sources: Texts::with_capacity(rows, rows * 36),
            currencies: Texts::with_capacity(rows, rows * 3),
            amounts: Vec::with_capacity(rows),
            statuses: Texts::with_capacity(rows, rows * 9),
            order_ids: Texts::with_capacity(rows, rows * 12),
            refund_ofs: Texts::with_capacity(rows, 0),
            item_ends: Vec::with_capacity(rows),
            items: ItemRows::default(),
            fields: Texts::with_capacity(rows, 0),
            attributes: Texts::with_capacity(rows, 0),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.offsets.len()
    }

    /// Adds an event.
    pub fn push(&mut self, position: Position, event: &Event) {
        self.generations.push(position.generation);
        self.partitions.push(position.partition);
        self.offsets.push(position.offset);
        self.organizations.push(event.organization.as_str());
        self.customers.push(&event.customer_id);
        self.event_ids.push(&event.event_id);
        self.kinds.push(event.kind().as_str());
        self.occurred.push(event.occurred_at.micros());
        self.received.push(event.received_at.micros());
        self.sources.push(&event.source);
        match event.body.purchase() {
            Some(purchase) => {
                self.currencies.push(purchase.currency.as_str());
                self.amounts.push(purchase.amount.micros());
                self.statuses.push(purchase.status.as_str());
                self.order_ids
                    .push(purchase.order_id.as_deref().unwrap_or_default());
                self.refund_ofs
                    .push(purchase.refund_of.as_deref().unwrap_or_default());
                for item in &purchase.items {
                    self.items.product_ids.push(&item.product_id);
                    self.items.names.push(&item.name);
                    self.items.categories.push(&item.category);
                    self.items.quantities.push(item.quantity.micros());
                    self.items.prices.push(item.unit_price.map(Decimal::micros));
                    self.items.amounts.push(item.amount.micros());
                }
                self.fields.push("");
            }
            None => {
                self.currencies.push("");
                self.amounts.push(0);
                self.statuses.push("");
                self.order_ids.push("");
                self.refund_ofs.push("");
                self.fields.push(&event.fields_json());
            }
        }
        self.item_ends
            .push(i32::try_from(self.items.amounts.len()).unwrap_or(-1));
        self.attributes.push(&event.attributes);
    }

    pub(crate) fn finish(self) -> Result<RecordBatch, ArrowError> {
        let rows = self.offsets.len();
        if self.item_ends.contains(&-1) {
            return Err(ArrowError::OffsetOverflowError(self.items.amounts.len()));
        }
        let ends = OffsetBuffer::new(
            std::iter::once(0)
                .chain(self.item_ends)
                .collect::<Vec<i32>>()
                .into(),
        );
        let list_of = |values: ArrayRef, nullable: bool| -> Result<ArrayRef, ArrowError> {
            let item = Arc::new(Field::new("item", values.data_type().clone(), nullable));
            Ok(Arc::new(ListArray::try_new(
                item,
                ends.clone(),
                values,
                None,
            )?))
        };
        let list = |values| list_of(values, false);
        batch(vec![
            (
                "generation",
                Arc::new(UInt32Array::from(self.generations)),
                false,
            ),
            (
                "partition",
                Arc::new(UInt32Array::from(self.partitions)),
                false,
            ),
            ("offset", Arc::new(UInt64Array::from(self.offsets)), false),
            ("organization", self.organizations.finish()?, false),
            ("customer", self.customers.finish()?, false),
            ("event_id", self.event_ids.finish()?, false),
            ("kind", self.kinds.finish()?, false),
            (
                "schema_version",
                Arc::new(UInt32Array::from(vec![SCHEMA_VERSION; rows])),
                false,
            ),
            ("occurred_at", times(self.occurred), false),
            ("received_at", times(self.received), false),
            ("source", self.sources.finish()?, false),
            ("currency", self.currencies.finish()?, false),
            ("amount", decimals(self.amounts)?, false),
            ("status", self.statuses.finish()?, false),
            ("order_id", self.order_ids.finish()?, false),
            ("refund_of", self.refund_ofs.finish()?, false),
            (
                "items.product_id",
                list(self.items.product_ids.finish()?)?,
                false,
            ),
            ("items.name", list(self.items.names.finish()?)?, false),
            (
                "items.category",
                list(self.items.categories.finish()?)?,
                false,
            ),
            (
                "items.quantity",
                list(decimals(self.items.quantities)?)?,
                false,
            ),
            (
                "items.unit_price",
                list_of(decimals(self.items.prices)?, true)?,
                false,
            ),
            ("items.amount", list(decimals(self.items.amounts)?)?, false),
            ("fields", self.fields.finish()?, false),
            ("attributes", self.attributes.finish()?, false),
        ])
    }
}

/// Rows of `events`, as they were built or as they were read back, in the archive's form: what is empty or another
/// kind's is NULL.
///
/// # Errors
/// When a column is missing or of a type that does not convert.
pub fn archive_rows(rows: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let schema = schemas::arrow::events();
    let kinds = arrow::compute::cast(column(rows, "kind")?, &DataType::Utf8)?;
    let purchases = BooleanArray::from_iter(
        kinds
            .as_string::<i32>()
            .iter()
            .map(|kind| Some(kind == Some(Kind::Purchase.as_str()))),
    );
    let purchases = NullBuffer::new(purchases.values().clone());
    let columns = schema
        .fields()
        .iter()
        .map(|field| match field.name().as_str() {
            "items" => items(rows, field.data_type(), &purchases),
            name @ ("amount" | "currency" | "status") => nulled(
                arrow::compute::cast(column(rows, name)?, field.data_type())?,
                &purchases,
            ),
            name if field.is_nullable() => empty_is_null(arrow::compute::cast(
                column(rows, name)?,
                field.data_type(),
            )?),
            "customer_id" => arrow::compute::cast(column(rows, "customer")?, field.data_type()),
            name => arrow::compute::cast(column(rows, name)?, field.data_type()),
        })
        .collect::<Result<Vec<_>, _>>()?;
    RecordBatch::try_new(schema, columns)
}

fn column<'a>(rows: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef, ArrowError> {
    rows.column_by_name(name)
        .ok_or_else(|| ArrowError::SchemaError(format!("events have no column {name}")))
}

fn items(
    rows: &RecordBatch,
    ty: &DataType,
    purchases: &NullBuffer,
) -> Result<ArrayRef, ArrowError> {
    let DataType::List(item) = ty else {
        return Ok(new_null_array(ty, rows.num_rows()));
    };
    let DataType::Struct(fields) = item.data_type() else {
        return Ok(new_null_array(ty, rows.num_rows()));
    };
    let mut ends = None;
    let columns = fields
        .iter()
        .map(|field| {
            let list = column(rows, &format!("items.{}", field.name()))?;
            let list = list.as_list_opt::<i32>().ok_or_else(|| {
                ArrowError::SchemaError(format!(
                    "items.{} is {}, not a list",
                    field.name(),
                    list.data_type()
                ))
            })?;
            // A slice keeps its parent's values: cut them to its own, so that all columns share one set of ends.
            let (first, last) = (
                list.offsets()[0] as usize,
                list.offsets()[list.len()] as usize,
            );
            let values =
                arrow::compute::cast(&list.values().slice(first, last - first), field.data_type())?;
            ends.get_or_insert_with(|| {
                OffsetBuffer::new(
                    list.offsets()
                        .iter()
                        .map(|end| end - first as i32)
                        .collect::<Vec<_>>()
                        .into(),
                )
            });
            empty_is_null(values)
        })
        .collect::<Result<Vec<_>, ArrowError>>()?;
    let ends = ends.unwrap_or_else(|| OffsetBuffer::new_zeroed(rows.num_rows()));
    let structs = StructArray::try_new(fields.clone(), columns, None)?;
    Ok(Arc::new(ListArray::try_new(
        item.clone(),
        ends,
        Arc::new(structs),
        Some(purchases.clone()),
    )?))
}

/// Adds NULLs where `valid` is not set. Shares the values.
fn nulled(array: ArrayRef, valid: &NullBuffer) -> Result<ArrayRef, ArrowError> {
    let valid = NullBuffer::union(array.nulls(), Some(valid));
    Ok(make_array(
        array.to_data().into_builder().nulls(valid).build()?,
    ))
}

/// Texts that are empty become NULL; other columns stay as they are.
fn empty_is_null(array: ArrayRef) -> Result<ArrayRef, ArrowError> {
    let Some(texts) = array.as_any().downcast_ref::<StringArray>() else {
        return Ok(array);
    };
    let filled = BooleanBuffer::collect_bool(texts.len(), |row| texts.value_length(row) > 0);
    nulled(array, &NullBuffer::new(filled))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use arrow::datatypes::Decimal128Type;
    use schemas::{Currency, Draft, OrganizationId, ParseContext, Timestamp};

    use super::*;

    fn event(kind: Kind, stated: &str) -> Event {
        let received_at = Timestamp::from_micros(1_700_000_000_000_000);
        let context = ParseContext {
            received_at,
            currency: Currency::USD,
        };
        let draft = Draft::parse(kind, stated, &context).unwrap();
        draft.into_event(
            OrganizationId::from_text("org_1"),
            || "made".into(),
            received_at,
            "key".into(),
            0,
        )
    }

    #[test]
    fn the_archive_has_the_same_rows_with_nulls_where_nothing_was_said() {
        let mut rows = EventRows::default();
        let purchase = r#"{"customer_id":"c","event_id":"e1","amount":"-5.10","items":[{"product_id":"p","unit_price":"2"},{"product_id":"q","name":"Q"}]}"#;
        let activity = r#"{"customer_id":"c","event_id":"e2","name":"login","extra":1}"#;
        for (offset, (kind, stated)) in [
            (Kind::Activity, activity),
            (Kind::Purchase, purchase),
            (Kind::Activity, activity),
        ]
        .into_iter()
        .enumerate()
        {
            rows.push(
                Position {
                    generation: 1,
                    partition: 3,
                    offset: offset as u64,
                },
                &event(kind, stated),
            );
        }
        let rows = rows.finish().unwrap();
        for (from, rows) in [(0, rows.clone()), (1, rows.slice(1, 2))] {
            let archive = archive_rows(&rows).unwrap();
            assert_eq!(archive.schema(), schemas::arrow::events());
            let purchase = 1 - from;
            let get = |name: &str| archive.column_by_name(name).unwrap().clone();
            assert!(get("amount").is_null(purchase + 1) && get("items").is_null(purchase + 1));
            assert_eq!(
                get("amount")
                    .as_primitive::<Decimal128Type>()
                    .value(purchase),
                -5_100_000
            );
            assert!(get("order_id").is_null(purchase) && get("attributes").is_null(purchase));
            assert_eq!(
                get("attributes").as_string::<i32>().value(purchase + 1),
                r#"{"extra":1}"#
            );
            assert_eq!(
                get("fields").as_string::<i32>().value(purchase + 1),
                r#"{"name":"login"}"#
            );
            let items = get("items").as_list::<i32>().value(purchase);
            let items = items.as_struct();
            assert_eq!(items.len(), 2);
            let names = items.column_by_name("name").unwrap();
            assert!(names.is_null(0));
            assert_eq!(names.as_string::<i32>().value(1), "Q");
            assert!(items.column_by_name("unit_price").unwrap().is_null(1));
        }
    }
}
