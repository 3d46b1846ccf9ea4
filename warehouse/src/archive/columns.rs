//! The table's columns, derived from the one Arrow schema of events so that they cannot drift from it.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, RecordBatch, StructArray};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, TimeUnit};
use deltalake::kernel::StructType;
use deltalake::kernel::engine::arrow_conversion::{TryIntoArrow as _, TryIntoKernel as _};

use super::error::ArchiveError;

/// Partition column: the kind of event, one of the rows' own columns.
pub(crate) const KIND: &str = "kind";
/// Partition column: UTC month of `occurred_at`, `YYYY-MM`; made here.
pub(crate) const MONTH: &str = "month";
/// The partition columns in the order of the directories.
pub(crate) const PARTITION_BY: [&str; 2] = [KIND, MONTH];
/// Columns with minimum, maximum and null count in the transaction log.
pub(crate) const WITH_STATS: [&str; 7] = [
    "organization",
    "customer_id",
    "occurred_at",
    "received_at",
    "generation",
    "partition",
    "offset",
];

/// The forms one row takes on its way into the table.
#[derive(Debug)]
pub(crate) struct Columns {
    /// What callers hand over: all but the month.
    pub(crate) rows: SchemaRef,
    /// What readers see: the rows and the month.
    pub(crate) table: SchemaRef,
    /// What a data file holds: neither of the partition columns.
    pub(crate) file: SchemaRef,
    /// Of the rows' columns, those in a file.
    in_file: Vec<usize>,
}

impl Columns {
    /// The forms of a schema of rows, refused unless it has the columns the archive works with.
    pub(crate) fn new(rows: SchemaRef) -> Result<Self, ArchiveError> {
        let micros = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        for (name, expected) in [
            ("organization", &DataType::Utf8),
            ("customer_id", &DataType::Utf8),
            (KIND, &DataType::Utf8),
            ("occurred_at", &micros),
            ("received_at", &micros),
            ("generation", &DataType::Int64),
            ("partition", &DataType::Int64),
            ("offset", &DataType::Int64),
        ] {
            let field = rows.field_with_name(name)?;
            if field.data_type() != expected {
                let found = field.data_type();
                return Err(ArchiveError::Rows(format!(
                    "column {name} is {found}, the archive takes {expected}"
                )));
            }
        }
        let month = Arc::new(Field::new(MONTH, DataType::Utf8, false));
        let table = Arc::new(Schema::new(
            rows.fields()
                .iter()
                .cloned()
                .chain([month])
                .collect::<Vec<_>>(),
        ));
        let in_file: Vec<usize> = (0..rows.fields().len())
            .filter(|&index| rows.field(index).name() != KIND)
            .collect();
        // Through Delta's types and back, so that lists and timestamps in the files are named and typed the way
        // every Delta reader expects them.
        let delta: StructType = rows.as_ref().try_into_kernel()?;
        let arrow: Schema = (&delta).try_into_arrow()?;
        let file = Arc::new(arrow.project(&in_file)?);
        Ok(Self {
            rows,
            table,
            file,
            in_file,
        })
    }

    /// The table's columns in Delta's types.
    pub(crate) fn delta(&self) -> Result<StructType, ArchiveError> {
        Ok(self.table.as_ref().try_into_kernel()?)
    }

    /// Where a column is in a batch of rows.
    pub(crate) fn index(&self, name: &str) -> Result<usize, ArchiveError> {
        Ok(self.rows.index_of(name)?)
    }

    /// The part of a batch of rows that goes into a file. Copies no values.
    pub(crate) fn project(&self, batch: &RecordBatch) -> Result<RecordBatch, ArchiveError> {
        if batch.num_columns() != self.rows.fields().len() {
            return Err(ArchiveError::Rows(format!(
                "{} columns, the archive takes {}",
                batch.num_columns(),
                self.rows.fields().len()
            )));
        }
        let mut columns = Vec::with_capacity(self.in_file.len());
        for (&from, to) in self.in_file.iter().zip(self.file.fields()) {
            let name = batch.schema_ref().field(from).name();
            if name != to.name() {
                return Err(ArchiveError::Rows(format!(
                    "column {from} is {name}, the archive takes {}",
                    to.name()
                )));
            }
            columns.push(conform(batch.column(from), to)?);
        }
        Ok(RecordBatch::try_new(self.file.clone(), columns)?)
    }

    /// A batch read from a data file in the form of this schema: files of other writers may name list items otherwise.
    pub(crate) fn conform_file(&self, batch: &RecordBatch) -> Result<RecordBatch, ArchiveError> {
        let columns = self
            .file
            .fields()
            .iter()
            .map(|field| {
                let column = batch.column_by_name(field.name()).ok_or_else(|| {
                    ArchiveError::Damaged(format!("a data file has no column {}", field.name()))
                })?;
                conform(column, field)
            })
            .collect::<Result<Vec<_>, _>>()?;
        Ok(RecordBatch::try_new(self.file.clone(), columns)?)
    }
}

/// The same values under the names of `field`'s type. Shares the buffers.
fn conform(array: &ArrayRef, field: &FieldRef) -> Result<ArrayRef, ArchiveError> {
    if array.data_type() == field.data_type() {
        return Ok(array.clone());
    }
    match (array.data_type(), field.data_type()) {
        (DataType::List(_), DataType::List(item)) => {
            let list = array.as_list::<i32>();
            let values = conform(list.values(), item)?;
            Ok(Arc::new(ListArray::try_new(
                item.clone(),
                list.offsets().clone(),
                values,
                list.nulls().cloned(),
            )?))
        }
        (DataType::Struct(from), DataType::Struct(to)) if from.len() == to.len() => {
            let structs = array.as_struct();
            let columns = structs
                .columns()
                .iter()
                .zip(to)
                .map(|(column, field)| conform(column, field))
                .collect::<Result<Vec<_>, _>>()?;
            Ok(Arc::new(StructArray::try_new(
                to.clone(),
                columns,
                structs.nulls().cloned(),
            )?))
        }
        (found, expected) => Err(ArchiveError::Rows(format!(
            "column {} is {found}, the archive takes {expected}",
            field.name()
        ))),
    }
}
