//! Reading the warehouse's answers by name, in the few types that statements of this crate cast to.

use arrow::array::{ArrayRef, AsArray as _, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use schemas::{Decimal, Timestamp};
use warehouse::WarehouseError;

/// One batch, its columns found by name.
#[derive(Debug)]
pub(crate) struct Rows<'a> {
    batch: &'a RecordBatch,
}

impl<'a> Rows<'a> {
    pub(crate) fn new(batch: &'a RecordBatch) -> Self {
        Self { batch }
    }

    fn column(&self, name: &str, to: &DataType) -> Result<ArrayRef, WarehouseError> {
        let column = self
            .batch
            .column_by_name(name)
            .ok_or_else(|| WarehouseError::Answer(format!("there is no column {name}")))?;
        cast(column, to).map_err(|error| WarehouseError::Answer(format!("column {name}: {error}")))
    }

    /// A text column; null reads as empty.
    pub(crate) fn texts(&self, name: &str) -> Result<Vec<String>, WarehouseError> {
        let column = self.column(name, &DataType::Utf8)?;
        let texts = column.as_string::<i32>();
        Ok(texts
            .iter()
            .map(|text| text.unwrap_or_default().to_owned())
            .collect())
    }

    /// A whole-number column.
    pub(crate) fn numbers(&self, name: &str) -> Result<Vec<Option<i64>>, WarehouseError> {
        let column = self.column(name, &DataType::Int64)?;
        Ok(column.as_primitive::<Int64Type>().iter().collect())
    }

    /// A column of numbers with fractions.
    pub(crate) fn reals(&self, name: &str) -> Result<Vec<Option<f64>>, WarehouseError> {
        let column = self.column(name, &DataType::Float64)?;
        let reals = column.as_primitive::<Float64Type>().iter();
        Ok(reals
            .map(|real| real.filter(|real| real.is_finite()))
            .collect())
    }

    /// A column of microseconds since 1970.
    pub(crate) fn times(&self, name: &str) -> Result<Vec<Option<Timestamp>>, WarehouseError> {
        let numbers = self.numbers(name)?;
        Ok(numbers
            .into_iter()
            .map(|micros| micros.map(Timestamp::from_micros))
            .collect())
    }

    /// A column of decimals in six places.
    pub(crate) fn decimals(&self, name: &str) -> Result<Vec<Decimal>, WarehouseError> {
        let column = self.column(name, &schemas::arrow::decimal())?;
        let decimals = column.as_primitive::<arrow::datatypes::Decimal128Type>();
        Ok(decimals
            .iter()
            .map(|micros| Decimal::from_micros(micros.unwrap_or_default()))
            .collect())
    }
}
