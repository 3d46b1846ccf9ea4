//! The Complete Journey purchases as events: one purchase per basket, one user per household.
//!
//! Times in the data have no zone; they are sent as UTC.

use std::collections::HashMap;
use std::fs::File;
use std::path::Path;

use anyhow::{Context, Result, bail};
use arrow::array::{AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type, TimeUnit, TimestampMicrosecondType};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use schemas::json::write_string;
use schemas::{Decimal, Timestamp};

/// One event that will be sent.
#[derive(Debug)]
pub(super) enum Outgoing {
    /// A household, when it is first seen.
    Household { household: i64, at: Timestamp },
    /// A basket and its lines.
    Basket {
        basket: i64,
        household: i64,
        at: Timestamp,
        lines: std::ops::Range<usize>,
    },
}

#[derive(Debug)]
struct Line {
    product: i64,
    quantity: i64,
    cents: i64,
}

#[derive(Debug, Default)]
struct Product {
    name: String,
    category: String,
}

/// Everything that will be sent, in order of time.
#[derive(Debug)]
pub(super) struct Dataset {
    events: Vec<Outgoing>,
    lines: Vec<Line>,
    products: HashMap<i64, Product>,
}

impl Dataset {
    /// Reads `transactions.parquet` and `products.parquet` of a folder.
    pub(super) fn read(folder: &Path) -> Result<Self> {
        let products = products(&folder.join("products.parquet"))?;
        let mut lines = Vec::new();
        let mut baskets: HashMap<i64, (i64, i64, Vec<usize>)> = HashMap::new();
        for batch in batches(&folder.join("transactions.parquet"))? {
            let household = ints(&batch, "household_id")?;
            let basket = ints(&batch, "basket_id")?;
            let product = ints(&batch, "product_id")?;
            let quantity = ints(&batch, "quantity")?;
            let value = cast(column(&batch, "sales_value")?, &DataType::Float64)?;
            let value = value.as_primitive::<Float64Type>();
            let time = DataType::Timestamp(TimeUnit::Microsecond, None);
            let time = cast(column(&batch, "transaction_timestamp")?, &time)?;
            let time = time.as_primitive::<TimestampMicrosecondType>();
            for row in 0..batch.num_rows() {
                let line = lines.len();
                lines.push(Line {
                    product: product[row],
                    quantity: quantity[row],
                    // The file holds cents as binary floating point: the nearest whole cent is what was paid.
                    cents: (value.value(row) * 100.0).round() as i64,
                });
                let at = time.value(row);
                baskets
                    .entry(basket[row])
                    .or_insert((household[row], at, Vec::new()))
                    .2
                    .push(line);
            }
        }
        Ok(Self::in_order(baskets, lines, products))
    }

    fn in_order(
        baskets: HashMap<i64, (i64, i64, Vec<usize>)>,
        mut lines: Vec<Line>,
        products: HashMap<i64, Product>,
    ) -> Self {
        let mut order: Vec<_> = baskets.into_iter().collect();
        order.sort_unstable_by_key(|(basket, (_, at, _))| (*at, *basket));
        let mut events = Vec::with_capacity(order.len() + 3000);
        let mut sorted = Vec::with_capacity(lines.len());
        let mut seen = std::collections::HashSet::new();
        for (basket, (household, at, indexes)) in order {
            let at = Timestamp::from_micros(at);
            if seen.insert(household) {
                events.push(Outgoing::Household { household, at });
            }
            let start = sorted.len();
            for index in indexes {
                sorted.push(std::mem::replace(
                    &mut lines[index],
                    Line {
                        product: 0,
                        quantity: 0,
                        cents: 0,
                    },
                ));
            }
            events.push(Outgoing::Basket {
                basket,
                household,
                at,
                lines: start..sorted.len(),
            });
        }
        Self {
            events,
            lines: sorted,
            products,
        }
    }

    /// Keeps the first events only.
    pub(super) fn truncate(&mut self, events: usize) {
        self.events.truncate(events);
    }

    /// How many events there are.
    pub(super) fn len(&self) -> usize {
        self.events.len()
    }

    /// The sum of all purchases, exact.
    pub(super) fn revenue(&self) -> Decimal {
        self.events.iter().map(|event| self.amount(event)).sum()
    }

    fn amount(&self, event: &Outgoing) -> Decimal {
        match event {
            Outgoing::Household { .. } => Decimal::ZERO,
            Outgoing::Basket { lines, .. } => self.lines[lines.clone()]
                .iter()
                .map(|line| cents(line.cents))
                .sum(),
        }
    }

    /// The client's id of an event, and of its customer.
    pub(super) fn ids(&self, index: usize) -> (String, String) {
        match &self.events[index] {
            Outgoing::Household { household, .. } => {
                (format!("household-{household}"), household.to_string())
            }
            Outgoing::Basket {
                basket, household, ..
            } => (format!("basket-{basket}"), household.to_string()),
        }
    }

    /// Appends one event as a line of NDJSON.
    pub(super) fn write(&self, index: usize, out: &mut Vec<u8>) {
        use std::io::Write;
        // Writing to a Vec cannot fail.
        match &self.events[index] {
            Outgoing::Household { household, at } => {
                let _ = write!(
                    out,
                    r#"{{"type":"user","event_id":"household-{household}","customer_id":"{household}","occurred_at":"{at}","name":"Household {household}","source":"loyalty card"}}"#
                );
            }
            event @ Outgoing::Basket {
                basket,
                household,
                at,
                lines,
            } => {
                let amount = self.amount(event).to_text(2);
                let _ = write!(
                    out,
                    r#"{{"type":"purchase","event_id":"basket-{basket}","customer_id":"{household}","occurred_at":"{at}","order_id":"{basket}","amount":"{amount}","currency":"USD","items":["#
                );
                for (position, line) in self.lines[lines.clone()].iter().enumerate() {
                    if position > 0 {
                        out.push(b',');
                    }
                    self.write_item(line, out);
                }
                out.extend_from_slice(b"]}");
            }
        }
        out.push(b'\n');
    }

    fn write_item(&self, line: &Line, out: &mut Vec<u8>) {
        use std::io::Write;
        let _ = write!(out, r#"{{"product_id":"{}""#, line.product);
        if let Some(product) = self.products.get(&line.product) {
            for (field, text) in [("name", &product.name), ("category", &product.category)] {
                if !text.is_empty() {
                    let _ = write!(out, ",\"{field}\":");
                    write_string(out, text);
                }
            }
        }
        let _ = write!(
            out,
            r#","quantity":{},"amount":"{}"}}"#,
            line.quantity,
            cents(line.cents).to_text(2)
        );
    }
}

fn cents(cents: i64) -> Decimal {
    Decimal::from_micros(i128::from(cents) * 10_000)
}

fn batches(path: &Path) -> Result<Vec<RecordBatch>> {
    let file = File::open(path)
        .with_context(|| format!("{} cannot be read; run `make data`", path.display()))?;
    let reader = ParquetRecordBatchReaderBuilder::try_new(file)?
        .with_batch_size(65_536)
        .build()?;
    Ok(reader.collect::<Result<_, _>>()?)
}

fn column<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a dyn arrow::array::Array> {
    batch
        .column_by_name(name)
        .map(AsRef::as_ref)
        .with_context(|| format!("the data has no column {name}"))
}

fn ints(batch: &RecordBatch, name: &str) -> Result<Vec<i64>> {
    let values = cast(column(batch, name)?, &DataType::Int64)?;
    if values.null_count() > 0 {
        bail!("the column {name} of the data has gaps");
    }
    Ok(values.as_primitive::<Int64Type>().values().to_vec())
}

fn products(path: &Path) -> Result<HashMap<i64, Product>> {
    let mut products = HashMap::new();
    for batch in batches(path)? {
        let ids = ints(&batch, "product_id")?;
        let text = |name: &str| -> Result<arrow::array::ArrayRef> {
            Ok(cast(column(&batch, name)?, &DataType::Utf8)?)
        };
        let (names, categories) = (text("product_type")?, text("product_category")?);
        let (names, categories) = (names.as_string::<i32>(), categories.as_string::<i32>());
        let at = |column: &arrow::array::StringArray, row: usize| {
            use arrow::array::Array;
            if column.is_null(row) {
                String::new()
            } else {
                column.value(row).to_owned()
            }
        };
        for (row, id) in ids.into_iter().enumerate() {
            products.insert(
                id,
                Product {
                    name: at(names, row),
                    category: at(categories, row),
                },
            );
        }
    }
    Ok(products)
}
