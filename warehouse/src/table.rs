//! Compares rows with the table before they are sent. ClickHouse maps columns by position, wraps numbers and turns
//! NULL into the type's default without a word, so the adapters refuse what would not arrive as it is.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::{max, min};
use arrow::datatypes::{DataType, Date32Type, Field, TimeUnit, TimestampMicrosecondType};
use parking_lot::Mutex;

use crate::params::Params;
use crate::port::{MAX_BLOCK_ROWS, Warehouse, WarehouseError};

/// 1900-01-01 and 2299-12-31, between which ClickHouse keeps times, in microseconds and in days since 1970.
const MICROS: std::ops::RangeInclusive<i64> = -2_208_988_800_000_000..=10_413_791_999_999_999;
const DAYS: std::ops::RangeInclusive<i32> = -25_567..=120_529;

/// The columns of the tables inserted into, read once each.
#[derive(Debug, Default)]
pub(crate) struct Tables(Mutex<HashMap<String, Arc<Table>>>);

#[derive(Debug)]
struct Table {
    /// `INSERT INTO table (columns)`.
    head: String,
    columns: Vec<Column>,
}

#[derive(Debug)]
struct Column {
    name: String,
    ty: String,
    shape: Option<Shape>,
}

/// What a column takes.
#[derive(Debug, Clone, PartialEq)]
struct Shape {
    data: Data,
    nullable: bool,
}

#[derive(Debug, Clone, PartialEq)]
enum Data {
    Exact(DataType),
    Text,
    List(Box<Shape>),
}

impl Tables {
    /// Forgets all columns: a statement may have changed them.
    pub(crate) fn forget(&self) {
        self.0.lock().clear();
    }

    /// Checks rows against a table and returns the head of the INSERT.
    pub(crate) async fn check(
        &self,
        warehouse: &dyn Warehouse,
        table: &str,
        rows: &RecordBatch,
    ) -> Result<String, WarehouseError> {
        let known = self.0.lock().get(table).cloned();
        let known = match known {
            Some(known) => known,
            None => {
                let read = Arc::new(Table::read(warehouse, table).await?);
                self.0.lock().insert(table.to_owned(), Arc::clone(&read));
                read
            }
        };
        known
            .check(rows)
            .map_err(|reason| WarehouseError::rows(table, reason))?;
        Ok(known.head.clone())
    }
}

fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('\\', "\\\\").replace('`', "\\`"))
}

impl Table {
    async fn read(warehouse: &dyn Warehouse, table: &str) -> Result<Self, WarehouseError> {
        let batches = warehouse
            .query(
                "SELECT name, type FROM system.columns WHERE database = currentDatabase() AND table = {table:String} \
                 AND default_kind NOT IN ('MATERIALIZED', 'ALIAS', 'EPHEMERAL') ORDER BY position",
                &Params::new().with("table", table),
            )
            .await?;
        let mut columns = Vec::new();
        for batch in &batches {
            let (Some(names), Some(types)) = (
                batch.column(0).as_string_opt::<i32>(),
                batch.column(1).as_string_opt::<i32>(),
            ) else {
                return Err(WarehouseError::Answer(
                    "system.columns has other types".into(),
                ));
            };
            columns.extend((0..batch.num_rows()).map(|row| Column {
                name: names.value(row).to_owned(),
                ty: types.value(row).to_owned(),
                shape: shape(types.value(row)),
            }));
        }
        if columns.is_empty() {
            return Err(WarehouseError::rows(
                table,
                "there is no such table; run the migrations",
            ));
        }
        let names: Vec<String> = columns.iter().map(|column| quoted(&column.name)).collect();
        Ok(Self {
            head: format!("INSERT INTO {} ({})", quoted(table), names.join(", ")),
            columns,
        })
    }

    fn check(&self, rows: &RecordBatch) -> Result<(), String> {
        if rows.num_rows() > MAX_BLOCK_ROWS {
            return Err(format!(
                "{} rows are too many for one block; send at most {MAX_BLOCK_ROWS}",
                rows.num_rows()
            ));
        }
        let schema = rows.schema_ref();
        let given: Vec<&str> = schema
            .fields()
            .iter()
            .map(|field| field.name().as_str())
            .collect();
        let wanted: Vec<&str> = self
            .columns
            .iter()
            .map(|column| column.name.as_str())
            .collect();
        if given != wanted {
            return Err(difference(&given, &wanted));
        }
        for (column, array) in self.columns.iter().zip(rows.columns()) {
            let fits = match &column.shape {
                Some(shape) => shape.check(array),
                None => Err("is of a type that rows cannot be inserted into here".to_owned()),
            };
            fits.map_err(|reason| format!("column {} ({}) {reason}", column.name, column.ty))?;
        }
        Ok(())
    }
}

fn difference(given: &[&str], wanted: &[&str]) -> String {
    if let Some(missing) = wanted.iter().find(|name| !given.contains(name)) {
        return format!("column {missing} is missing");
    }
    if let Some(unknown) = given.iter().find(|name| !wanted.contains(name)) {
        return format!("the table has no column {unknown}");
    }
    let place = given
        .iter()
        .zip(wanted)
        .position(|(given, wanted)| given != wanted);
    match place {
        Some(place) => format!(
            "column {} is {}, and the table has {} there",
            place + 1,
            given[place],
            wanted[place]
        ),
        None => "a column is given twice".to_owned(),
    }
}

/// The text between `name(` and the closing parenthesis.
fn inner<'a>(ty: &'a str, name: &str) -> Option<&'a str> {
    ty.strip_prefix(name)?.strip_prefix('(')?.strip_suffix(')')
}

fn shape(ty: &str) -> Option<Shape> {
    if let Some(ty) = inner(ty, "LowCardinality") {
        return shape(ty);
    }
    if let Some(ty) = inner(ty, "Nullable") {
        return Some(Shape {
            nullable: true,
            ..shape(ty)?
        });
    }
    let data = if let Some(ty) = inner(ty, "Array") {
        Data::List(Box::new(shape(ty)?))
    } else if ty == "String" {
        Data::Text
    } else {
        Data::Exact(exact(ty)?)
    };
    Some(Shape {
        data,
        nullable: false,
    })
}

fn exact(ty: &str) -> Option<DataType> {
    if let Some(width) = inner(ty, "FixedString") {
        return Some(DataType::FixedSizeBinary(width.parse().ok()?));
    }
    if let Some(arguments) = inner(ty, "Decimal") {
        let (precision, scale) = arguments.split_once(',')?;
        return Some(DataType::Decimal128(
            precision
                .trim()
                .parse()
                .ok()
                .filter(|precision| *precision <= 38)?,
            scale.trim().parse().ok()?,
        ));
    }
    if let Some(arguments) = inner(ty, "DateTime64") {
        let (scale, zone) = arguments.split_once(',')?;
        let zone = zone.trim().trim_matches('\'');
        return (scale.trim() == "6")
            .then(|| DataType::Timestamp(TimeUnit::Microsecond, Some(zone.into())));
    }
    Some(match ty {
        "Bool" => DataType::Boolean,
        "UInt8" => DataType::UInt8,
        "UInt16" => DataType::UInt16,
        "UInt32" => DataType::UInt32,
        "UInt64" => DataType::UInt64,
        "Int8" => DataType::Int8,
        "Int16" => DataType::Int16,
        "Int32" => DataType::Int32,
        "Int64" => DataType::Int64,
        "Float32" => DataType::Float32,
        "Float64" => DataType::Float64,
        "Date32" => DataType::Date32,
        _ => return None,
    })
}

impl Shape {
    fn check(&self, array: &ArrayRef) -> Result<(), String> {
        let fits = match (&self.data, array.data_type()) {
            (Data::Exact(wanted), given) => wanted == given,
            // A String of ClickHouse holds any bytes.
            (Data::Text, given) => matches!(
                given,
                DataType::Utf8 | DataType::LargeUtf8 | DataType::Binary
            ),
            (Data::List(_), DataType::List(_)) => true,
            (Data::List(_), _) => false,
        };
        if !fits {
            return Err(format!("takes {}, not {}", self.arrow(), array.data_type()));
        }
        if !self.nullable && array.null_count() > 0 {
            let row = (0..array.len())
                .find(|row| array.is_null(*row))
                .unwrap_or_default();
            return Err(format!("takes no null, and row {row} has one"));
        }
        match &self.data {
            Data::List(item) => {
                let list = array.as_list::<i32>();
                let offsets = list.value_offsets();
                let (Some(first), Some(last)) = (offsets.first(), offsets.last()) else {
                    return Ok(());
                };
                // Only what the rows use: a sliced list still carries the values of its neighbours.
                let used = list
                    .values()
                    .slice(*first as usize, (last - first) as usize);
                item.check(&used)
                    .map_err(|reason| format!("in its lists {reason}"))
            }
            Data::Exact(DataType::Timestamp(..)) => {
                let times = array.as_primitive::<TimestampMicrosecondType>();
                within(min(times), max(times), &MICROS)
            }
            Data::Exact(DataType::Date32) => {
                let days = array.as_primitive::<Date32Type>();
                within(min(days), max(days), &DAYS)
            }
            _ => Ok(()),
        }
    }

    /// The Arrow type to send, for messages.
    fn arrow(&self) -> DataType {
        match &self.data {
            Data::Exact(ty) => ty.clone(),
            Data::Text => DataType::Utf8,
            Data::List(item) => {
                DataType::List(Arc::new(Field::new("item", item.arrow(), item.nullable)))
            }
        }
    }
}

fn within<T: PartialOrd>(
    least: Option<T>,
    most: Option<T>,
    range: &std::ops::RangeInclusive<T>,
) -> Result<(), String> {
    let outside = |value: Option<T>| value.is_some_and(|value| !range.contains(&value));
    if outside(least) || outside(most) {
        return Err("takes times from 1900-01-01 to 2299-12-31".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_of_the_tables_are_understood() {
        for (ty, arrow) in [
            ("String", DataType::Utf8),
            ("LowCardinality(String)", DataType::Utf8),
            ("FixedString(16)", DataType::FixedSizeBinary(16)),
            ("Decimal(38, 6)", DataType::Decimal128(38, 6)),
            (
                "DateTime64(6, 'UTC')",
                DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            ),
            ("Date32", DataType::Date32),
        ] {
            assert_eq!(
                shape(ty).map(|shape| (shape.arrow(), shape.nullable)),
                Some((arrow, false)),
                "{ty}"
            );
        }
        let list = shape("Array(Nullable(UInt64))").map(|shape| shape.arrow().to_string());
        assert_eq!(list.as_deref(), Some("List(UInt64)"));
        assert!(shape("Nullable(DateTime64(6, 'UTC'))").is_some_and(|shape| shape.nullable));
        for unknown in [
            "JSON",
            "Decimal(76, 6)",
            "DateTime64(3, 'UTC')",
            "AggregateFunction(sum, UInt8)",
        ] {
            assert_eq!(shape(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn differences_are_named() {
        assert_eq!(difference(&["a"], &["a", "b"]), "column b is missing");
        assert_eq!(difference(&["a", "c"], &["a"]), "the table has no column c");
        assert_eq!(
            difference(&["b", "a"], &["a", "b"]),
            "column 1 is b, and the table has a there"
        );
    }
}
