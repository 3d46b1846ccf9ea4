//! The Complete Journey purchases: line items of 2,469 households in 2017.

use arrow::array::{Array, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Date32Type, Float64Type, Int64Type};
use chrono::{Days, NaiveDate};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::collections::HashMap;
use std::fs::File;
use std::path::PathBuf;
use std::sync::OnceLock;

/// A line item.
pub(crate) struct Line {
    pub(crate) household: i64,
    pub(crate) basket: i64,
    pub(crate) product: i64,
    pub(crate) sales: f64,
    pub(crate) day: NaiveDate,
}

/// A product's place in the shop; empty where the data has none.
#[derive(Default)]
pub(crate) struct Product {
    pub(crate) department: String,
    pub(crate) category: String,
    pub(crate) kind: String,
}

pub(crate) struct Journey {
    pub(crate) lines: Vec<Line>,
    pub(crate) products: HashMap<i64, Product>,
}

/// The data, read once.
pub(crate) fn journey() -> &'static Journey {
    static JOURNEY: OnceLock<Journey> = OnceLock::new();
    JOURNEY.get_or_init(|| Journey {
        lines: read_lines(),
        products: read_products(),
    })
}

fn folder() -> PathBuf {
    let cache = std::env::var_os("MILLRACE_CACHE").map(PathBuf::from);
    let cache = cache.unwrap_or_else(|| {
        let home = std::env::var_os("HOME").expect("HOME or MILLRACE_CACHE is set");
        PathBuf::from(home).join(".cache/millrace")
    });
    cache.join("data/complete-journey")
}

/// The named columns of a file, cast to the types given.
fn read(file: &str, columns: &[(&str, DataType)]) -> Vec<Vec<arrow::array::ArrayRef>> {
    let path = folder().join(file);
    let opened = File::open(&path).unwrap_or_else(|error| {
        panic!(
            "{} cannot be read ({error}): run `make setup`",
            path.display()
        )
    });
    let builder = ParquetRecordBatchReaderBuilder::try_new(opened).unwrap();
    let names = columns.iter().map(|(name, _)| *name);
    let mask = ProjectionMask::columns(builder.parquet_schema(), names);
    let reader = builder
        .with_projection(mask)
        .with_batch_size(65_536)
        .build()
        .unwrap();
    reader
        .map(|batch| {
            let batch = batch.unwrap();
            let column = |(name, to): &(&str, DataType)| {
                cast(batch.column_by_name(name).unwrap(), to).unwrap()
            };
            columns.iter().map(column).collect()
        })
        .collect()
}

fn read_lines() -> Vec<Line> {
    let columns = [
        ("household_id", DataType::Int64),
        ("basket_id", DataType::Int64),
        ("product_id", DataType::Int64),
        ("sales_value", DataType::Float64),
        ("transaction_timestamp", DataType::Date32),
    ];
    let epoch = NaiveDate::default();
    let mut lines = Vec::new();
    for batch in read("transactions.parquet", &columns) {
        let integers = |i: usize| batch[i].as_primitive::<Int64Type>();
        let (households, baskets, products) = (integers(0), integers(1), integers(2));
        let sales = batch[3].as_primitive::<Float64Type>();
        let days = batch[4].as_primitive::<Date32Type>();
        lines.extend((0..sales.len()).map(|i| Line {
            household: households.value(i),
            basket: baskets.value(i),
            product: products.value(i),
            sales: sales.value(i),
            day: epoch + Days::new(u64::try_from(days.value(i)).unwrap()),
        }));
    }
    assert_eq!(lines.len(), 1_469_307);
    lines
}

fn read_products() -> HashMap<i64, Product> {
    let columns = [
        ("product_id", DataType::Int64),
        ("department", DataType::Utf8),
        ("product_category", DataType::Utf8),
        ("product_type", DataType::Utf8),
    ];
    let mut products = HashMap::new();
    for batch in read("products.parquet", &columns) {
        let ids = batch[0].as_primitive::<Int64Type>();
        let text = |column: usize, i: usize| {
            let values = batch[column].as_string::<i32>();
            let value = if values.is_null(i) {
                ""
            } else {
                values.value(i)
            };
            value.to_owned()
        };
        products.extend((0..ids.len()).map(|i| {
            let product = Product {
                department: text(1, i),
                category: text(2, i),
                kind: text(3, i),
            };
            (ids.value(i), product)
        }));
    }
    products
}
