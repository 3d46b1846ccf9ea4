//! The statistics the transaction log keeps of each data file, by which readers skip whole files.

use arrow::array::{Array as _, ArrayRef, AsArray, RecordBatch};
use arrow::compute::kernels::aggregate::{max, max_string, min, min_string};
use arrow::datatypes::{DataType, Int64Type, SchemaRef, TimestampMicrosecondType};
use serde_json::{Map, Value, json};

use super::columns::WITH_STATS;

/// Longer texts are cut (minimum) or left out (maximum).
const STATS_TEXT: usize = 64;

/// Minimum, maximum and null count of the columns in [`WITH_STATS`].
pub(crate) struct Stats {
    pub(crate) rows: u64,
    columns: Vec<ColumnStats>,
}

struct ColumnStats {
    name: &'static str,
    at: usize,
    nulls: u64,
    range: Range,
}

enum Range {
    Text(Option<(String, String)>),
    Number(Option<(i64, i64)>),
    Time(Option<(i64, i64)>),
}

impl Stats {
    pub(crate) fn new(schema: &SchemaRef) -> Self {
        let columns = WITH_STATS
            .into_iter()
            .filter_map(|name| {
                let (at, field) = schema.column_with_name(name)?;
                let range = match field.data_type() {
                    DataType::Utf8 => Range::Text(None),
                    DataType::Timestamp(..) => Range::Time(None),
                    DataType::Int64 => Range::Number(None),
                    _ => return None,
                };
                Some(ColumnStats {
                    name,
                    at,
                    nulls: 0,
                    range,
                })
            })
            .collect();
        Self { rows: 0, columns }
    }

    pub(crate) fn add(&mut self, batch: &RecordBatch) {
        self.rows += batch.num_rows() as u64;
        for column in &mut self.columns {
            let array = batch.column(column.at);
            column.nulls += array.null_count() as u64;
            column.range.add(array);
        }
    }

    /// As Delta's protocol writes them.
    pub(crate) fn finish(self) -> String {
        let (mut lows, mut highs, mut nulls) = (Map::new(), Map::new(), Map::new());
        for column in self.columns {
            nulls.insert(column.name.to_owned(), json!(column.nulls));
            let (low, high) = column.range.bounds();
            if let Some(low) = low {
                lows.insert(column.name.to_owned(), low);
            }
            if let Some(high) = high {
                highs.insert(column.name.to_owned(), high);
            }
        }
        json!({ "numRecords": self.rows, "minValues": lows, "maxValues": highs, "nullCount": nulls }).to_string()
    }
}

impl Range {
    fn add(&mut self, array: &ArrayRef) {
        match self {
            Range::Text(range) => {
                let array = array.as_string::<i32>();
                let (Some(low), Some(high)) = (min_string(array), max_string(array)) else {
                    return;
                };
                match range {
                    None => *range = Some((low.to_owned(), high.to_owned())),
                    Some((lowest, highest)) => {
                        if low < lowest.as_str() {
                            *lowest = low.to_owned();
                        }
                        if high > highest.as_str() {
                            *highest = high.to_owned();
                        }
                    }
                }
            }
            Range::Number(range) => {
                let array = array.as_primitive::<Int64Type>();
                widen(range, min(array), max(array));
            }
            Range::Time(range) => {
                let array = array.as_primitive::<TimestampMicrosecondType>();
                widen(range, min(array), max(array));
            }
        }
    }

    fn bounds(self) -> (Option<Value>, Option<Value>) {
        match self {
            Range::Text(Some((low, high))) => {
                let cut = low
                    .char_indices()
                    .nth(STATS_TEXT)
                    .map_or(low.as_str(), |(end, _)| &low[..end]);
                let high = (high.chars().count() <= STATS_TEXT).then(|| json!(high));
                (Some(json!(cut)), high)
            }
            Range::Number(Some((low, high))) => (Some(json!(low)), Some(json!(high))),
            // The log keeps milliseconds: down for the minimum, up for the maximum, so that no row falls outside.
            Range::Time(Some((low, high))) => {
                let up = high.div_euclid(1_000) + i64::from(high.rem_euclid(1_000) != 0);
                (instant(low.div_euclid(1_000)), instant(up))
            }
            Range::Text(None) | Range::Number(None) | Range::Time(None) => (None, None),
        }
    }
}

fn widen(range: &mut Option<(i64, i64)>, low: Option<i64>, high: Option<i64>) {
    let (Some(low), Some(high)) = (low, high) else {
        return;
    };
    *range = Some(range.map_or((low, high), |(lowest, highest)| {
        (lowest.min(low), highest.max(high))
    }));
}

fn instant(millis: i64) -> Option<Value> {
    let time = chrono::DateTime::from_timestamp_millis(millis)?;
    Some(json!(time.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;

    use arrow::array::StringArray;

    use super::*;

    #[test]
    fn times_in_statistics_enclose_the_rows() {
        let (low, high) = Range::Time(Some((-1, 1_001))).bounds();
        assert_eq!(low.unwrap(), "1969-12-31T23:59:59.999Z");
        assert_eq!(high.unwrap(), "1970-01-01T00:00:00.002Z");
        let (low, high) = Range::Time(Some((2_000, 2_000))).bounds();
        assert_eq!(low.unwrap(), high.unwrap());
    }

    #[test]
    fn long_texts_never_narrow_a_range() {
        let long = "ä".repeat(STATS_TEXT + 1);
        let mut range = Range::Text(None);
        range.add(&(Arc::new(StringArray::from(vec![long.as_str()])) as ArrayRef));
        let (low, high) = range.bounds();
        assert!(long.starts_with(low.unwrap().as_str().unwrap()));
        assert_eq!(high, None);
    }
}
