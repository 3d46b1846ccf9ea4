//! The Arrow schema of events, as the archive holds them: made from the field tables.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field as Column, Fields, Schema, SchemaRef, TimeUnit};

use crate::event::purchase::{ITEM_TABLE, TABLE as PURCHASE};
use crate::field::{Field, Type};

/// Microseconds, UTC.
pub fn timestamp() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// `decimal128(38, 6)`: every amount and quantity.
pub fn decimal() -> DataType {
    DataType::Decimal128(38, crate::money::SCALE as i8)
}

/// The Arrow type of a field's values.
pub fn data_type(ty: Type) -> DataType {
    match ty {
        Type::Decimal => decimal(),
        Type::Time => timestamp(),
        Type::Minutes | Type::Whole { .. } => DataType::UInt32,
        Type::Bool => DataType::Boolean,
        Type::Items => DataType::List(Arc::new(Column::new(
            "item",
            DataType::Struct(item_fields()),
            true,
        ))),
        Type::Id { .. }
        | Type::Text { .. }
        | Type::Choice(_)
        | Type::Currency
        | Type::Texts
        | Type::Object
        | Type::Objects => DataType::Utf8,
    }
}

/// The struct of one item.
pub fn item_fields() -> Fields {
    ITEM_TABLE
        .iter()
        .map(|field| Column::new(field.name, data_type(field.ty), true))
        .collect()
}

/// The columns of the archive, without the partition column `month` that is derived from `occurred_at`.
///
/// One row an event. Money is `decimal128(38, 6)`, times are microseconds UTC; the columns of purchases are null for other kinds.
pub fn events() -> SchemaRef {
    let purchase = |name: &str| -> Column {
        let found: Option<&Field> = PURCHASE.iter().find(|field| field.name == name);
        let ty = found.map_or(DataType::Utf8, |field| data_type(field.ty));
        Column::new(name, ty, true)
    };
    let text = |name: &str, nullable: bool| Column::new(name, DataType::Utf8, nullable);
    Arc::new(Schema::new(vec![
        text("organization", false),
        text("customer_id", false),
        text("event_id", false),
        text("kind", false),
        Column::new("occurred_at", timestamp(), false),
        Column::new("received_at", timestamp(), false),
        Column::new("generation", DataType::Int64, false),
        Column::new("partition", DataType::Int64, false),
        Column::new("offset", DataType::Int64, false),
        purchase("amount"),
        purchase("currency"),
        purchase("status"),
        purchase("order_id"),
        purchase("refund_of"),
        purchase("items"),
        text("source", false),
        Column::new("schema_version", DataType::Int64, false),
        text("fields", true),
        text("attributes", true),
    ]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_purchase_columns_are_fields_of_a_purchase() {
        let schema = events();
        for name in [
            "amount",
            "currency",
            "status",
            "order_id",
            "refund_of",
            "items",
        ] {
            assert!(
                PURCHASE.iter().any(|field| field.name == name),
                "{name} is not a field of purchases"
            );
            assert!(schema.field_with_name(name).is_ok());
        }
        // Every field of a purchase has a column, but for `product`, which becomes an item.
        for field in PURCHASE.iter().filter(|field| field.name != "product") {
            assert!(
                schema.field_with_name(field.name).is_ok(),
                "{} has no column",
                field.name
            );
        }
    }
}
