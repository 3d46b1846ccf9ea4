//! Rows for the suite.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, FixedSizeBinaryArray, Float64Array,
    Int8Array, Int64Array, ListArray, RecordBatch, StringArray, TimestampMicrosecondArray,
    UInt16Array, UInt32Array, UInt64Array,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::Field;

/// A batch of named columns.
pub fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| {
        let nullable = arrow::array::Array::null_count(&array) > 0;
        (name, array, nullable)
    }))
    .unwrap()
}

pub fn texts(values: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

pub fn u64s(values: impl IntoIterator<Item = u64>) -> ArrayRef {
    Arc::new(UInt64Array::from_iter_values(values))
}

pub fn u32s(values: impl IntoIterator<Item = u32>) -> ArrayRef {
    Arc::new(UInt32Array::from_iter_values(values))
}

pub fn times(values: Vec<i64>) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from(values).with_timezone("UTC"))
}

/// In millionths.
pub fn decimals(values: Vec<i128>) -> ArrayRef {
    Arc::new(
        Decimal128Array::from(values)
            .with_precision_and_scale(38, 6)
            .unwrap(),
    )
}

/// Lists without nulls.
pub fn lists(lengths: &[usize], values: ArrayRef) -> ArrayRef {
    let field = Field::new("item", values.data_type().clone(), false);
    let offsets = OffsetBuffer::from_lengths(lengths.iter().copied());
    Arc::new(ListArray::new(Arc::new(field), offsets, values, None))
}

/// Two rows with every type that the tables use, and some more; and the table for them.
pub fn every_type() -> (&'static str, RecordBatch) {
    let table = "CREATE TABLE every_type (a_bool Bool, a_i8 Int8, a_i64 Int64, a_u16 UInt16, a_u32 UInt32, a_u64 UInt64, \
         a_f64 Float64, a_text String, a_low LowCardinality(String), a_fixed FixedString(4), a_money Decimal(38, 6), \
         a_time DateTime64(6, 'UTC'), a_maybe Nullable(DateTime64(6, 'UTC')), a_day Date32, a_list Array(String), \
         a_moneys Array(Decimal(38, 6))) ENGINE = MergeTree ORDER BY a_u64";
    let maybe = TimestampMicrosecondArray::from(vec![None, Some(1)]).with_timezone("UTC");
    let fixed =
        FixedSizeBinaryArray::try_from_iter([[0_u8, 255, 128, 7], [1, 2, 3, 4]].into_iter())
            .unwrap();
    let rows = batch(vec![
        ("a_bool", Arc::new(BooleanArray::from(vec![true, false]))),
        ("a_i8", Arc::new(Int8Array::from(vec![i8::MIN, i8::MAX]))),
        (
            "a_i64",
            Arc::new(Int64Array::from(vec![i64::MIN, i64::MAX])),
        ),
        ("a_u16", Arc::new(UInt16Array::from(vec![0, u16::MAX]))),
        ("a_u32", u32s([0, u32::MAX])),
        ("a_u64", u64s([0, u64::MAX])),
        ("a_f64", Arc::new(Float64Array::from(vec![-0.1, f64::MAX]))),
        ("a_text", texts(&["", "naïve 'quoted' \\ \t\n \u{0} 🙂"])),
        ("a_low", texts(&["purchase", ""])),
        ("a_fixed", Arc::new(fixed)),
        ("a_money", decimals(vec![-1, 123_456_789_012_345_678_901])),
        (
            "a_time",
            times(vec![-2_208_988_800_000_000, 1_767_225_600_000_001]),
        ),
        ("a_maybe", Arc::new(maybe)),
        ("a_day", Arc::new(Date32Array::from(vec![-25_567, 20_000]))),
        ("a_list", lists(&[0, 2], texts(&["a", "it's"]))),
        ("a_moneys", lists(&[2, 0], decimals(vec![1, -2]))),
    ]);
    (table, rows)
}

/// Two rows of `events`: a purchase of two items and an activity.
pub fn events() -> RecordBatch {
    let items = |values: ArrayRef| lists(&[2, 0], values);
    batch(vec![
        ("generation", u32s([1, 1])),
        ("partition", u32s([0, 3])),
        ("offset", u64s([7, 8])),
        ("organization", texts(&["org_1", "org_1"])),
        ("customer", texts(&["c-1", "c-2"])),
        ("event_id", texts(&["e-1", "e-2"])),
        ("kind", texts(&["purchase", "activity"])),
        ("schema_version", u32s([1, 1])),
        (
            "occurred_at",
            times(vec![-2_208_988_800_000_000, 1_767_225_600_000_000]),
        ),
        ("received_at", times(vec![1_767_225_600_000_000; 2])),
        ("source", texts(&["key_1", "key_1"])),
        ("currency", texts(&["USD", ""])),
        ("amount", decimals(vec![5_100_000, 0])),
        ("status", texts(&["completed", ""])),
        ("order_id", texts(&["o-1", ""])),
        ("refund_of", texts(&["", ""])),
        ("items.product_id", items(texts(&["p-1", "p-2"]))),
        ("items.name", items(texts(&["One", "Two"]))),
        ("items.category", items(texts(&["", "k"]))),
        ("items.quantity", items(decimals(vec![1_000_000, 500_000]))),
        (
            "items.unit_price",
            items(decimals(vec![5_000_000, 200_000])),
        ),
        ("items.amount", items(decimals(vec![5_000_000, 100_000]))),
        ("fields", texts(&["{}", "{\"name\":\"login\"}"])),
        ("attributes", texts(&["{}", "{}"])),
    ])
}

/// One row of `progress`.
pub fn progress(offset: u64) -> RecordBatch {
    let no_tick = TimestampMicrosecondArray::from(vec![None]).with_timezone("UTC");
    batch(vec![
        ("generation", u32s([1])),
        ("partition", u32s([0])),
        ("offset", u64s([offset])),
        ("records", u64s([offset])),
        ("events", u64s([offset])),
        ("rejections", u64s([0])),
        ("duplicates", u64s([0])),
        ("internal", u64s([0])),
        ("erased", u64s([0])),
        ("record_hash", u64s([u64::MAX])),
        ("tick", Arc::new(no_tick)),
        ("owner", texts(&["test"])),
        ("committed_at", times(vec![1_767_225_600_000_000])),
    ])
}

/// One row of `event_ids`.
pub fn event_id(id: [u8; 16], who: u64) -> RecordBatch {
    batch(vec![
        (
            "id",
            Arc::new(FixedSizeBinaryArray::try_from_iter([id].into_iter()).unwrap()),
        ),
        ("who", u64s([who])),
        ("bucket", Arc::new(UInt16Array::from(vec![255]))),
        ("generation", u32s([1])),
        ("partition", u32s([0])),
        ("offset", u64s([9])),
        ("received_at", times(vec![1_767_225_600_000_000])),
    ])
}

/// `count` rows of (id, text), ids from `first`.
pub fn numbered(first: u64, count: usize) -> RecordBatch {
    let ids = first..first + count as u64;
    batch(vec![
        ("id", u64s(ids.clone())),
        (
            "text",
            Arc::new(StringArray::from_iter_values(
                ids.map(|id| format!("row {id}")),
            )),
        ),
    ])
}
