//! Reading typed columns out of what the warehouse answers.

use arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray, RecordBatch, StringArray};
use arrow::datatypes::{ArrowPrimitiveType, DataType};
use schemas::Control;

use super::StoreError;

/// A column as this Arrow type.
pub(crate) fn typed(
    batch: &RecordBatch,
    name: &str,
    ty: &DataType,
) -> Result<ArrayRef, StoreError> {
    let column = batch
        .column_by_name(name)
        .ok_or_else(|| unreadable(format!("no column {name}")))?;
    match column.data_type() == ty {
        true => Ok(column.clone()),
        false => arrow::compute::cast(column, ty)
            .map_err(|error| unreadable(format!("column {name}: {error}"))),
    }
}

/// A column of numbers.
pub(crate) fn numbers<T: ArrowPrimitiveType>(
    batch: &RecordBatch,
    name: &str,
) -> Result<PrimitiveArray<T>, StoreError> {
    Ok(typed(batch, name, &T::DATA_TYPE)?
        .as_primitive::<T>()
        .clone())
}

/// A column of decimals, in millionths.
pub(crate) fn decimals(batch: &RecordBatch, name: &str) -> Result<Vec<i128>, StoreError> {
    let array = typed(batch, name, &schemas::arrow::decimal())?;
    Ok(array
        .as_primitive::<arrow::datatypes::Decimal128Type>()
        .values()
        .to_vec())
}

/// A column of texts.
pub(crate) fn texts(batch: &RecordBatch, name: &str) -> Result<StringArray, StoreError> {
    Ok(typed(batch, name, &DataType::Utf8)?
        .as_string::<i32>()
        .clone())
}

/// A column of 16 bytes each.
pub(crate) fn hashes(batch: &RecordBatch, name: &str) -> Result<Vec<u128>, StoreError> {
    let column = batch
        .column_by_name(name)
        .ok_or_else(|| unreadable(format!("no column {name}")))?;
    let bytes = |row: usize| -> Option<[u8; 16]> {
        match column.data_type() {
            DataType::FixedSizeBinary(16) => {
                column.as_fixed_size_binary().value(row).try_into().ok()
            }
            DataType::Binary => column.as_binary::<i32>().value(row).try_into().ok(),
            _ => None,
        }
    };
    (0..column.len())
        .map(|row| {
            bytes(row)
                .map(u128::from_be_bytes)
                .ok_or_else(|| unreadable(format!("column {name} is no hash")))
        })
        .collect()
}

/// A control record, as `controls` has it.
pub(crate) fn control(json: &str) -> Result<Control, StoreError> {
    serde_json::from_str(json).map_err(|error| unreadable(format!("a control record: {error}")))
}

pub(crate) fn unreadable(what: String) -> StoreError {
    let message = format!(
        "the warehouse answered something unreadable ({what}); check that its migrations are this program's"
    );
    StoreError {
        message,
        retryable: false,
    }
}
