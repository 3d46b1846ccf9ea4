//! Made-up events whose sums are known.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Decimal128Array, Int64Array, ListArray, RecordBatch, StringArray, StructArray,
    TimestampMicrosecondArray, new_null_array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::DataType;

const DAY: i64 = 86_400_000_000;
/// 2024-01-01T00:00:00Z.
const START: i64 = 1_704_067_200_000_000;

/// Which events a batch holds.
#[derive(Debug, Clone)]
pub struct Events {
    pub generation: u32,
    pub partition: u32,
    pub offsets: Range<u64>,
    /// `None`: three organizations in turn.
    pub organization: Option<&'static str>,
    /// First day, from 2024-01-01.
    pub day: i64,
    /// Events a day.
    pub per_day: i64,
}

impl Events {
    /// Events of partition `partition` of generation 1, four a day from 2024-01-01.
    pub fn of(partition: u32, offsets: Range<u64>) -> Self {
        Self {
            generation: 1,
            partition,
            offsets,
            organization: None,
            day: 0,
            per_day: 4,
        }
    }

    fn is_purchase(offset: u64) -> bool {
        !offset.is_multiple_of(10)
    }

    /// In millionths: not representable in binary floating point, every seventh a refund.
    fn amount(offset: u64) -> i128 {
        let amount = i128::from(offset) * 1_234_567 + 10_001;
        if offset % 7 == 3 { -amount } else { amount }
    }

    pub fn rows(&self) -> u64 {
        self.offsets.end - self.offsets.start
    }

    /// The sum of the amounts in millionths.
    pub fn total(&self) -> i128 {
        self.offsets
            .clone()
            .filter(|&offset| Self::is_purchase(offset))
            .map(Self::amount)
            .sum()
    }

    fn organization(&self, offset: u64) -> String {
        self.organization
            .map_or_else(|| format!("org-{}", offset % 3), str::to_owned)
    }

    /// The events as the archive takes them.
    pub fn batch(&self) -> RecordBatch {
        let schema = schemas::arrow::events();
        let all = || self.offsets.clone();
        let text = |value: &dyn Fn(u64) -> Option<String>| -> ArrayRef {
            Arc::new(all().map(value).collect::<StringArray>())
        };
        let number = |value: &dyn Fn(u64) -> i64| -> ArrayRef {
            Arc::new(all().map(value).collect::<Int64Array>())
        };
        let time = |value: &dyn Fn(u64) -> i64| -> ArrayRef {
            Arc::new(
                TimestampMicrosecondArray::from_iter_values(all().map(value)).with_timezone("UTC"),
            )
        };
        let if_purchase = |offset, text: String| Self::is_purchase(offset).then_some(text);
        let columns = schema
            .fields()
            .iter()
            .map(|field| match field.name().as_str() {
                "organization" => text(&|offset| Some(self.organization(offset))),
                "customer_id" => text(&|offset| Some(format!("customer-{}", offset % 17))),
                "event_id" => text(&|offset| {
                    Some(format!(
                        "event-{}-{}-{offset}",
                        self.generation, self.partition
                    ))
                }),
                "kind" => text(&|offset| {
                    Some(
                        if Self::is_purchase(offset) {
                            "purchase"
                        } else {
                            "user"
                        }
                        .to_owned(),
                    )
                }),
                // A few microseconds, so that milliseconds in statistics are not exact.
                "occurred_at" => time(&|offset| {
                    let nth = (offset - self.offsets.start) as i64;
                    START + self.day * DAY + nth * (DAY / self.per_day) + offset as i64 % 1_000
                }),
                "received_at" => time(&|offset| START + 400 * DAY + offset as i64 * 1_001),
                "generation" => number(&|_| i64::from(self.generation)),
                "partition" => number(&|_| i64::from(self.partition)),
                "offset" => number(&|offset| offset as i64),
                "amount" => decimals(
                    all().map(|offset| Self::is_purchase(offset).then(|| Self::amount(offset))),
                ),
                "currency" => text(&|offset| if_purchase(offset, "USD".to_owned())),
                "status" => text(&|offset| if_purchase(offset, "completed".to_owned())),
                "order_id" => text(&|offset| if_purchase(offset, format!("order-{offset}"))),
                "items" => items(field.data_type(), all()),
                "source" => text(&|_| Some("test".to_owned())),
                "schema_version" => number(&|_| 1),
                "attributes" => {
                    text(&|offset| (offset % 5 == 0).then(|| format!(r#"{{"n":{offset}}}"#)))
                }
                _ => new_null_array(field.data_type(), self.rows() as usize),
            });
        RecordBatch::try_new(schema.clone(), columns.collect()).unwrap()
    }
}

fn decimals(values: impl Iterator<Item = Option<i128>>) -> ArrayRef {
    Arc::new(
        values
            .collect::<Decimal128Array>()
            .with_precision_and_scale(38, 6)
            .unwrap(),
    )
}

/// Two items for each purchase, none for others.
fn items(list: &DataType, offsets: Range<u64>) -> ArrayRef {
    let DataType::List(item) = list else {
        panic!("items are {list}")
    };
    let DataType::Struct(fields) = item.data_type() else {
        panic!("an item is {}", item.data_type())
    };
    let purchases: Vec<u64> = offsets
        .clone()
        .filter(|&offset| Events::is_purchase(offset))
        .collect();
    let each = || {
        purchases
            .iter()
            .flat_map(|&offset| [(offset, 0), (offset, 1)])
    };
    let columns = fields.iter().map(|field| -> ArrayRef {
        match field.name().as_str() {
            "product_id" => Arc::new(
                each()
                    .map(|(o, n)| Some(format!("p-{}", o % 50 + n)))
                    .collect::<StringArray>(),
            ),
            "name" => Arc::new(
                each()
                    .map(|(o, n)| (n == 0).then(|| format!("name {o}")))
                    .collect::<StringArray>(),
            ),
            "category" => Arc::new(
                each()
                    .map(|(o, _)| Some(format!("c-{}", o % 4)))
                    .collect::<StringArray>(),
            ),
            "quantity" => decimals(each().map(|(o, n)| Some(i128::from(o % 3 + n) * 500_000))),
            "unit_price" => decimals(each().map(|(o, n)| (n == 1).then(|| i128::from(o) * 10_000))),
            "amount" => decimals(each().map(|(o, n)| Some(i128::from(o * 3 + n) * 10_000))),
            other => panic!("no values for the item's {other}"),
        }
    });
    let values = StructArray::try_new(fields.clone(), columns.collect(), None).unwrap();
    let lengths = offsets
        .clone()
        .map(|offset| if Events::is_purchase(offset) { 2 } else { 0 });
    let nulls = NullBuffer::from_iter(offsets.map(Events::is_purchase));
    let list = ListArray::try_new(
        item.clone(),
        OffsetBuffer::from_lengths(lengths),
        Arc::new(values),
        Some(nulls),
    );
    Arc::new(list.unwrap())
}
