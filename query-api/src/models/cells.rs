//! Arrow values as JSON: decimals as texts, digit for digit, times as RFC 3339.

use arrow::array::{Array, AsArray as _, RecordBatch};
use arrow::datatypes::{DataType, Float32Type, Float64Type};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use serde_json::value::RawValue;

/// The name of a type in answers.
pub(crate) fn kind(ty: &DataType) -> &'static str {
    match ty {
        DataType::Null | DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "text",
        DataType::Boolean => "boolean",
        ty if ty.is_integer() => "integer",
        ty if ty.is_floating() => "number",
        DataType::Decimal32(..)
        | DataType::Decimal64(..)
        | DataType::Decimal128(..)
        | DataType::Decimal256(..) => "decimal",
        DataType::Date32 | DataType::Date64 => "date",
        DataType::Time32(_) | DataType::Time64(_) => "time",
        DataType::Timestamp(..) => "timestamp",
        DataType::Interval(_) | DataType::Duration(_) => "interval",
        DataType::Binary
        | DataType::LargeBinary
        | DataType::BinaryView
        | DataType::FixedSizeBinary(_) => "binary",
        DataType::Struct(_) => "struct",
        DataType::Map(..) => "map",
        DataType::Dictionary(_, values) => kind(values),
        _ => "list",
    }
}

/// The rows of a batch, each a JSON array.
pub(crate) fn rows(batch: &RecordBatch) -> Vec<Box<RawValue>> {
    (0..batch.num_rows())
        .map(|row| {
            let mut out = String::from("[");
            for (index, column) in batch.columns().iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                cell(&mut out, column, row);
            }
            out.push(']');
            RawValue::from_string(out).unwrap_or_default()
        })
        .collect()
}

fn text(out: &mut String, text: &str) {
    // A text always serialises.
    out.push_str(&serde_json::to_string(text).unwrap_or_else(|_| "null".to_owned()));
}

/// A value as its own text form.
fn display(array: &dyn Array, row: usize) -> String {
    let options = FormatOptions::default()
        .with_display_error(true)
        .with_timestamp_format(Some("%Y-%m-%dT%H:%M:%S%.f"))
        .with_timestamp_tz_format(Some("%Y-%m-%dT%H:%M:%S%.fZ"));
    match ArrayFormatter::try_new(array, &options) {
        Ok(formatter) => formatter.value(row).to_string(),
        Err(_) => String::new(),
    }
}

fn list(out: &mut String, values: &dyn Array) {
    out.push('[');
    for at in 0..values.len() {
        if at > 0 {
            out.push(',');
        }
        cell(out, values, at);
    }
    out.push(']');
}

fn cell(out: &mut String, array: &dyn Array, row: usize) {
    if array.is_null(row) {
        out.push_str("null");
        return;
    }
    let number = |out: &mut String, value: f64| match serde_json::Number::from_f64(value) {
        Some(number) => out.push_str(&number.to_string()),
        // JSON has neither NaN nor infinities.
        None => out.push_str("null"),
    };
    match array.data_type() {
        DataType::Null => out.push_str("null"),
        DataType::Boolean => out.push_str(if array.as_boolean().value(row) {
            "true"
        } else {
            "false"
        }),
        ty if ty.is_integer() => out.push_str(&display(array, row)),
        DataType::Float32 => number(
            out,
            f64::from(array.as_primitive::<Float32Type>().value(row)),
        ),
        DataType::Float64 => number(out, array.as_primitive::<Float64Type>().value(row)),
        DataType::Utf8 => text(out, array.as_string::<i32>().value(row)),
        DataType::LargeUtf8 => text(out, array.as_string::<i64>().value(row)),
        DataType::Utf8View => text(out, array.as_string_view().value(row)),
        DataType::Dictionary(..) => {
            let dictionary = array.as_any_dictionary();
            cell(out, dictionary.values(), dictionary.normalized_keys()[row]);
        }
        DataType::List(_) => list(out, &array.as_list::<i32>().value(row)),
        DataType::LargeList(_) => list(out, &array.as_list::<i64>().value(row)),
        DataType::FixedSizeList(..) => list(out, &array.as_fixed_size_list().value(row)),
        DataType::Struct(fields) => {
            out.push('{');
            for (at, (field, column)) in fields.iter().zip(array.as_struct().columns()).enumerate()
            {
                if at > 0 {
                    out.push(',');
                }
                text(out, field.name());
                out.push(':');
                cell(out, column, row);
            }
            out.push('}');
        }
        _ => text(out, &display(array, row)),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        ArrayRef, Decimal128Array, Float64Array, Int64Array, StringArray, TimestampMicrosecondArray,
    };

    use super::*;

    #[test]
    fn cells_keep_every_digit() {
        let columns: Vec<(&str, ArrayRef)> = vec![
            (
                "a",
                Arc::new(Int64Array::from(vec![Some(9_007_199_254_740_993), None])),
            ),
            (
                "b",
                Arc::new(
                    Decimal128Array::from(vec![123_456_789_012_345_678_901_234_i128, -1])
                        .with_precision_and_scale(38, 6)
                        .unwrap(),
                ),
            ),
            ("c", Arc::new(StringArray::from(vec!["é\"\n", ""]))),
            ("d", Arc::new(Float64Array::from(vec![0.5, f64::NAN]))),
            (
                "e",
                Arc::new(TimestampMicrosecondArray::from(vec![1_500_000, 0]).with_timezone("UTC")),
            ),
        ];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let rows = rows(&batch);
        assert_eq!(
            rows[0].get(),
            "[9007199254740993,\"123456789012345678.901234\",\"é\\\"\\n\",0.5,\"1970-01-01T00:00:01.500Z\"]"
        );
        assert_eq!(
            rows[1].get(),
            "[null,\"-0.000001\",\"\",null,\"1970-01-01T00:00:00Z\"]"
        );
    }
}
