//! Which rows go into which data file, and in which order.

use std::collections::HashMap;

use arrow::array::{Array as _, AsArray, RecordBatch};
use arrow::datatypes::TimestampMicrosecondType;
use chrono::{DateTime, Datelike as _, NaiveDate};

use super::columns::{Columns, KIND};
use super::error::ArchiveError;

/// The rows of one directory, as (batch, row), in the order of the log.
#[derive(Debug)]
pub(crate) struct Slice {
    pub(crate) kind: String,
    /// `YYYY-MM`.
    pub(crate) month: String,
    pub(crate) rows: Vec<(usize, usize)>,
}

/// A month of UTC, as microseconds since the epoch from `start` and before `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Month {
    year: i32,
    month: u32,
    start: i64,
    end: i64,
}

impl Month {
    fn of(micros: i64) -> Option<Self> {
        let date = DateTime::from_timestamp_micros(micros)?;
        let (year, month) = (date.year(), date.month());
        let start = |year, month| {
            Some(
                NaiveDate::from_ymd_opt(year, month, 1)?
                    .and_hms_opt(0, 0, 0)?
                    .and_utc()
                    .timestamp_micros(),
            )
        };
        let (next_year, next_month) = if month == 12 {
            (year + 1, 1)
        } else {
            (year, month + 1)
        };
        Some(Self {
            year,
            month,
            start: start(year, month)?,
            end: start(next_year, next_month)?,
        })
    }

    fn contains(&self, micros: i64) -> bool {
        self.start <= micros && micros < self.end
    }
}

/// Splits rows by kind and month and leaves them in the order of the log: rows that came together are then written
/// without copying them, which is half the cost of an append. Compaction orders them.
pub(crate) fn split(
    batches: &[RecordBatch],
    columns: &Columns,
) -> Result<Vec<Slice>, ArchiveError> {
    let organization_at = columns.index("organization")?;
    let kind_at = columns.index(KIND)?;
    let occurred_at = columns.index("occurred_at")?;
    let mut months: Vec<Month> = Vec::new();
    let mut slices: Vec<Slice> = Vec::new();
    let mut last = 0;
    for (batch_index, batch) in batches.iter().enumerate() {
        let kind = batch.column(kind_at).as_string::<i32>();
        let occurred = batch
            .column(occurred_at)
            .as_primitive::<TimestampMicrosecondType>();
        if batch.column(organization_at).null_count() + kind.null_count() + occurred.null_count()
            > 0
        {
            return Err(ArchiveError::Rows(
                "organization, kind and occurred_at must be in every row".to_owned(),
            ));
        }
        for row in 0..batch.num_rows() {
            let (kind, micros) = (kind.value(row), occurred.value(row));
            let belongs =
                |(month, slice): (&Month, &Slice)| month.contains(micros) && slice.kind == kind;
            if !months.get(last).zip(slices.get(last)).is_some_and(belongs) {
                last = match months.iter().zip(&slices).position(belongs) {
                    Some(found) => found,
                    None => {
                        let month = Month::of(micros).ok_or_else(|| {
                            ArchiveError::Rows(format!("occurred_at {micros} is no date"))
                        })?;
                        slices.push(Slice::new(kind, month)?);
                        months.push(month);
                        slices.len() - 1
                    }
                };
            }
            slices[last].rows.push((batch_index, row));
        }
    }
    Ok(slices)
}

impl Slice {
    fn new(kind: &str, month: Month) -> Result<Self, ArchiveError> {
        if !is_directory_name(kind) {
            return Err(ArchiveError::Rows(format!(
                "kind {kind:?} cannot name a directory"
            )));
        }
        let month = format!("{:04}-{:02}", month.year, month.month);
        Ok(Self {
            kind: kind.to_owned(),
            month,
            rows: Vec::new(),
        })
    }
}

/// Kinds become part of a path, so they are plain words.
fn is_directory_name(kind: &str) -> bool {
    !kind.is_empty()
        && kind
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

/// All rows of some files of one directory, ordered by (organization, occurred_at).
pub(crate) fn order(batches: &[RecordBatch]) -> Result<Vec<(usize, usize)>, ArchiveError> {
    let mut organizations = Ranks::default();
    let mut keys = Vec::with_capacity(batches.iter().map(RecordBatch::num_rows).sum());
    for (batch_index, batch) in batches.iter().enumerate() {
        let schema = batch.schema_ref();
        let organization = batch
            .column(schema.index_of("organization")?)
            .as_string::<i32>();
        let occurred = batch
            .column(schema.index_of("occurred_at")?)
            .as_primitive::<TimestampMicrosecondType>();
        for row in 0..batch.num_rows() {
            let organization = organizations.id(organization.value(row));
            keys.push((
                organization,
                occurred.value(row),
                batch_index as u32,
                row as u32,
            ));
        }
    }
    Ok(ordered(keys, &organizations.ranks()))
}

fn ordered(mut keys: Vec<(u32, i64, u32, u32)>, ranks: &[u32]) -> Vec<(usize, usize)> {
    for key in &mut keys {
        key.0 = ranks[key.0 as usize];
    }
    // Equal times keep the order of the log: batch and row come last in the key.
    if !keys.is_sorted() {
        keys.sort_unstable();
    }
    keys.into_iter()
        .map(|(_, _, batch, row)| (batch as usize, row as usize))
        .collect()
}

/// Numbers texts as they come, so that rows sort by a number instead of a text.
#[derive(Default)]
struct Ranks<'a> {
    ids: HashMap<&'a str, u32>,
    last: Option<(&'a str, u32)>,
}

impl<'a> Ranks<'a> {
    fn id(&mut self, text: &'a str) -> u32 {
        if let Some((last, id)) = self.last
            && last == text
        {
            return id;
        }
        let next = self.ids.len() as u32;
        let id = *self.ids.entry(text).or_insert(next);
        self.last = Some((text, id));
        id
    }

    /// For each id, its place among all texts in order.
    fn ranks(&self) -> Vec<u32> {
        let mut texts: Vec<_> = self.ids.iter().collect();
        texts.sort_unstable();
        let mut ranks = vec![0; texts.len()];
        for (rank, (_, &id)) in texts.into_iter().enumerate() {
            ranks[id as usize] = rank as u32;
        }
        ranks
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn micros(text: &str) -> i64 {
        DateTime::parse_from_rfc3339(text)
            .unwrap()
            .timestamp_micros()
    }

    #[test]
    fn months_end_where_the_next_begins() {
        for (last, first) in [
            ("2024-02-29T23:59:59.999999Z", "2024-03-01T00:00:00Z"),
            ("1969-12-31T23:59:59.999999Z", "1970-01-01T00:00:00Z"),
            ("1900-01-31T23:59:59.999999Z", "1900-02-01T00:00:00Z"),
        ] {
            let (before, after) = (
                Month::of(micros(last)).unwrap(),
                Month::of(micros(first)).unwrap(),
            );
            assert_eq!(before.end, after.start, "{last}");
            assert!(before.contains(micros(last)) && !before.contains(micros(first)));
            assert!(after.contains(micros(first)) && !after.contains(micros(last)));
        }
    }

    #[test]
    fn ranks_follow_the_order_of_the_texts() {
        let mut ranks = Ranks::default();
        let ids: Vec<_> = ["pear", "apple", "pear", "fig"]
            .into_iter()
            .map(|text| ranks.id(text))
            .collect();
        assert_eq!(ids, [0, 1, 0, 2]);
        assert_eq!(ranks.ranks(), [2, 0, 1]);
    }

    #[test]
    fn rows_of_one_time_keep_the_order_of_the_log() {
        let keys = vec![(0, 5, 0, 1), (1, 5, 1, 0), (0, 5, 0, 0), (1, 1, 1, 1)];
        assert_eq!(ordered(keys, &[1, 0]), [(1, 1), (1, 0), (0, 0), (0, 1)]);
    }
}
