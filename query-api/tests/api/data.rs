//! Purchases made up by a fixed generator, and how they come to lie half in the archive and half in the warehouse.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Decimal128Array, Int64Array, ListArray, RecordBatch, StringArray, StructArray,
    TimestampMicrosecondArray, UInt32Array, UInt64Array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, Fields};
use schemas::{Decimal, OrganizationId};
use warehouse::archive::Archived;

use crate::harness::Installation;

#[derive(Debug, Clone)]
pub(crate) struct Item {
    pub(crate) product: String,
    pub(crate) name: String,
    pub(crate) category: String,
    pub(crate) quantity: Decimal,
    pub(crate) amount: Decimal,
}

#[derive(Debug, Clone)]
pub(crate) struct Purchase {
    pub(crate) customer: String,
    pub(crate) event_id: String,
    /// Microseconds since 1970.
    pub(crate) at: i64,
    pub(crate) amount: Decimal,
    pub(crate) currency: String,
    pub(crate) status: &'static str,
    pub(crate) items: Vec<Item>,
}

/// A generator of numbers that is the same everywhere.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

pub(crate) fn micros(text: &str) -> i64 {
    schemas::Timestamp::parse(text).unwrap().micros()
}

pub(crate) fn decimal(text: &str) -> Decimal {
    text.parse().unwrap()
}

/// Purchases with refunds, cancellations, two currencies, remainders beyond the items, purchases without items, fractions
/// of a unit and amounts of 15 digits before the point, in time around the nights when Berlin's clocks change.
pub(crate) fn mixed(count: usize, seed: u64) -> Vec<Purchase> {
    let mut dice = Dice(seed);
    let starts = [
        "2026-03-27T00:00:00Z",
        "2026-10-23T00:00:00Z",
        "2025-12-29T00:00:00Z",
    ]
    .map(micros);
    (0..count)
        .map(|number| {
            let start = starts[dice.roll(3) as usize];
            let at = start + dice.roll(6 * 24 * 3600 * 1000) as i64 * 1000 + dice.roll(1000) as i64;
            let size = dice.roll(4);
            let mut items: Vec<Item> = (0..size)
                .map(|_| {
                    let product = dice.roll(7);
                    Item {
                        product: format!("p{product}"),
                        name: if product == 6 {
                            String::new()
                        } else {
                            format!("Product {product}")
                        },
                        category: if product >= 5 {
                            String::new()
                        } else {
                            format!("c{}", product % 3)
                        },
                        quantity: Decimal::from_micros(i128::from(dice.roll(8)) * 250_000),
                        amount: Decimal::from_micros(i128::from(dice.roll(100_000_000))),
                    }
                })
                .collect();
            let mut amount: Decimal = items.iter().map(|item| item.amount).sum();
            if dice.roll(3) == 0 {
                amount += Decimal::from_micros(i128::from(dice.roll(9_000_000)) - 2_000_000);
            }
            if dice.roll(20) == 0 {
                amount += decimal("999999999999999.999999");
            }
            let mut status = [
                "completed",
                "completed",
                "completed",
                "refunded",
                "cancelled",
            ][dice.roll(5) as usize];
            if status == "refunded" {
                amount = Decimal::ZERO - amount;
                for item in &mut items {
                    item.amount = -item.amount;
                    item.quantity = -item.quantity;
                }
                if dice.roll(2) == 0 {
                    // A refund that was stated as a negative amount.
                    status = "completed";
                }
            }
            Purchase {
                customer: format!("c{}", dice.roll(12)),
                event_id: format!("e{number}"),
                at,
                amount,
                currency: if dice.roll(4) == 0 { "JPY" } else { "EUR" }.to_owned(),
                status,
                items,
            }
        })
        .collect()
}

fn texts<'a>(values: impl Iterator<Item = &'a str>) -> ArrayRef {
    Arc::new(values.map(Some).collect::<StringArray>())
}

/// Empty as null, as the archive has it.
fn texts_or_null<'a>(values: impl Iterator<Item = &'a str>) -> ArrayRef {
    Arc::new(
        values
            .map(|text| Some(text).filter(|text| !text.is_empty()))
            .collect::<StringArray>(),
    )
}

fn decimals(values: impl Iterator<Item = Decimal>) -> ArrayRef {
    let values: Vec<i128> = values.map(Decimal::micros).collect();
    Arc::new(
        Decimal128Array::from(values)
            .with_precision_and_scale(38, 6)
            .unwrap(),
    )
}

fn times(values: impl Iterator<Item = i64>) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from(values.collect::<Vec<_>>()).with_timezone("UTC"))
}

/// Purchases at offsets `from..` of a partition, as rows of the archive.
pub(crate) fn archive_rows(
    organization: &OrganizationId,
    partition: u32,
    from: u64,
    purchases: &[Purchase],
) -> RecordBatch {
    let schema = schemas::arrow::events();
    let rows = purchases.len();
    let all = || purchases.iter();
    let lines = || all().flat_map(|purchase| &purchase.items);
    let nothing = |ty: &DataType| arrow::array::new_null_array(ty, rows);
    let columns = schema
        .fields()
        .iter()
        .map(|field| -> ArrayRef {
            match field.name().as_str() {
                "organization" => texts(all().map(|_| organization.as_str())),
                "customer_id" => texts(all().map(|purchase| purchase.customer.as_str())),
                "event_id" => texts(all().map(|purchase| purchase.event_id.as_str())),
                "kind" => texts(all().map(|_| "purchase")),
                "occurred_at" | "received_at" => times(all().map(|purchase| purchase.at)),
                "generation" | "schema_version" => Arc::new(Int64Array::from(vec![1; rows])),
                "partition" => Arc::new(Int64Array::from(vec![i64::from(partition); rows])),
                "offset" => Arc::new(Int64Array::from_iter_values(
                    (0..rows).map(|row| from as i64 + row as i64),
                )),
                "amount" => decimals(all().map(|purchase| purchase.amount)),
                "currency" => texts(all().map(|purchase| purchase.currency.as_str())),
                "status" => texts(all().map(|purchase| purchase.status)),
                "source" => texts(all().map(|_| "test")),
                "items" => {
                    let DataType::List(item) = field.data_type() else {
                        panic!()
                    };
                    let DataType::Struct(fields) = item.data_type() else {
                        panic!()
                    };
                    let columns = vec![
                        texts(lines().map(|item| item.product.as_str())),
                        texts_or_null(lines().map(|item| item.name.as_str())),
                        texts_or_null(lines().map(|item| item.category.as_str())),
                        decimals(lines().map(|item| item.quantity)),
                        arrow::array::new_null_array(fields[4].data_type(), lines().count()),
                        decimals(lines().map(|item| item.amount)),
                    ];
                    let nulls: Option<NullBuffer> = None;
                    let structs = StructArray::try_new_with_length(
                        fields.clone(),
                        columns,
                        nulls,
                        lines().count(),
                    );
                    let offsets =
                        OffsetBuffer::from_lengths(all().map(|purchase| purchase.items.len()));
                    Arc::new(ListArray::new(
                        item.clone(),
                        offsets,
                        Arc::new(structs.unwrap()),
                        None,
                    ))
                }
                _ => nothing(field.data_type()),
            }
        })
        .collect();
    RecordBatch::try_new(schema, columns).unwrap()
}

/// The same as rows of the warehouse.
pub(crate) fn hot_rows(
    organization: &OrganizationId,
    partition: u32,
    from: u64,
    purchases: &[Purchase],
) -> RecordBatch {
    let rows = purchases.len();
    let all = || purchases.iter();
    let lines = || all().flat_map(|purchase| &purchase.items);
    let list = |values: ArrayRef| -> ArrayRef {
        let item = Arc::new(Field::new("item", values.data_type().clone(), false));
        let offsets = OffsetBuffer::from_lengths(all().map(|purchase| purchase.items.len()));
        Arc::new(ListArray::new(item, offsets, values, None))
    };
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("generation", Arc::new(UInt32Array::from(vec![1; rows]))),
        (
            "partition",
            Arc::new(UInt32Array::from(vec![partition; rows])),
        ),
        (
            "offset",
            Arc::new(UInt64Array::from_iter_values(
                (0..rows).map(|row| from + row as u64),
            )),
        ),
        ("organization", texts(all().map(|_| organization.as_str()))),
        (
            "customer",
            texts(all().map(|purchase| purchase.customer.as_str())),
        ),
        (
            "event_id",
            texts(all().map(|purchase| purchase.event_id.as_str())),
        ),
        ("kind", texts(all().map(|_| "purchase"))),
        ("schema_version", Arc::new(UInt32Array::from(vec![1; rows]))),
        ("occurred_at", times(all().map(|purchase| purchase.at))),
        ("received_at", times(all().map(|_| 1_767_225_600_000_000))),
        ("source", texts(all().map(|_| "test"))),
        (
            "currency",
            texts(all().map(|purchase| purchase.currency.as_str())),
        ),
        ("amount", decimals(all().map(|purchase| purchase.amount))),
        ("status", texts(all().map(|purchase| purchase.status))),
        ("order_id", texts(all().map(|_| ""))),
        ("refund_of", texts(all().map(|_| ""))),
        (
            "items.product_id",
            list(texts(lines().map(|item| item.product.as_str()))),
        ),
        (
            "items.name",
            list(texts(lines().map(|item| item.name.as_str()))),
        ),
        (
            "items.category",
            list(texts(lines().map(|item| item.category.as_str()))),
        ),
        (
            "items.quantity",
            list(decimals(lines().map(|item| item.quantity))),
        ),
        (
            "items.unit_price",
            list(decimals(lines().map(|_| Decimal::ZERO))),
        ),
        (
            "items.amount",
            list(decimals(lines().map(|item| item.amount))),
        ),
        ("fields", texts(all().map(|_| ""))),
        ("attributes", texts(all().map(|_| ""))),
    ];
    let fields: Fields = columns
        .iter()
        .map(|(name, column)| Field::new(*name, column.data_type().clone(), false))
        .collect();
    let columns = columns.into_iter().map(|(_, column)| column).collect();
    RecordBatch::try_new(Arc::new(arrow::datatypes::Schema::new(fields)), columns).unwrap()
}

impl Installation {
    /// Commits progress of a partition: `next` records are applied.
    pub(crate) async fn progress(&self, partition: u32, next: u64) {
        let sql = format!(
            "INSERT INTO progress (generation, partition, offset, records, events) VALUES (1, {partition}, {next}, {next}, {next})"
        );
        self.warehouse
            .execute(&sql, &warehouse::Params::new())
            .await
            .unwrap();
    }

    /// Commits offsets `..next` of a partition to the archive, with these rows.
    pub(crate) async fn archive(&self, partition: u32, next: u64, rows: &[RecordBatch]) {
        let _turn = self.archiving.lock().await;
        let snapshot = self.archive.snapshot().await.unwrap();
        let progress = [Archived {
            generation: 1,
            partition,
            next_offset: next,
        }];
        self.archive
            .commit(&snapshot, rows, &progress)
            .await
            .unwrap();
    }

    /// Lays purchases out in a partition of their own: the first half archived, the second half hot, the quarter around
    /// the middle in both, some of the hot rows twice; and behind all of them junk that is not applied yet.
    pub(crate) async fn lay_out(
        &self,
        organization: &OrganizationId,
        purchases: &[Purchase],
    ) -> u32 {
        let partition = self.partition();
        let (half, quarter) = (purchases.len() / 2, purchases.len() / 4);
        let rows = archive_rows(organization, partition, 0, &purchases[..half]);
        self.archive(partition, half as u64, &[rows]).await;
        let hot = |from: usize, purchases: &[Purchase]| {
            hot_rows(organization, partition, from as u64, purchases)
        };
        self.warehouse
            .insert("events", hot(quarter, &purchases[quarter..]))
            .await
            .unwrap();
        self.warehouse
            .insert("events", hot(half, &purchases[half..half + quarter / 2]))
            .await
            .unwrap();
        let junk = &purchases[..quarter];
        self.warehouse
            .insert("events", hot(purchases.len(), junk))
            .await
            .unwrap();
        self.progress(partition, purchases.len() as u64).await;
        partition
    }
}
