//! The hot tail: events that are applied and not yet archived, read from the warehouse by position.

use std::fmt;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray as _, ListArray, RecordBatch, RecordBatchOptions, StructArray,
    make_array, new_null_array,
};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, SchemaRef};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::ExecutionPlan;
use schemas::OrganizationId;
use warehouse::{Params, Warehouse};

use super::CUSTOMER;
use super::live::{Question, WarehouseExec};
use super::pushdown::equals_text;

/// Offsets `from..to` of a log partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) generation: u32,
    pub(crate) partition: u32,
    pub(crate) from: u64,
    pub(crate) to: u64,
}

/// The events of one organization in these ranges.
#[derive(Clone)]
pub(crate) struct HotTail {
    organization: OrganizationId,
    ranges: Vec<Range>,
    warehouse: Arc<dyn Warehouse>,
}

impl fmt::Debug for HotTail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HotTail")
            .field("organization", &self.organization)
            .field("ranges", &self.ranges)
            .finish_non_exhaustive()
    }
}

/// The items are a `Nested` column, an array for each member.
const ITEMS: &str = "items";

impl HotTail {
    pub(crate) fn new(
        organization: OrganizationId,
        ranges: Vec<Range>,
        warehouse: Arc<dyn Warehouse>,
    ) -> Self {
        Self {
            organization,
            ranges,
            warehouse,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// A plan that reads `columns`; `filters` only spare rows that would be dropped anyway.
    pub(crate) fn scan(&self, columns: SchemaRef, filters: &[Expr]) -> Arc<dyn ExecutionPlan> {
        let question = self.question(&columns, filters);
        let shape = columns.clone();
        Arc::new(WarehouseExec::new(
            columns,
            self.warehouse.clone(),
            question,
            Arc::new(move |batch| conform(&batch, &shape)),
        ))
    }

    fn question(&self, columns: &SchemaRef, filters: &[Expr]) -> Question {
        let mut params = Params::new().with("organization", self.organization.as_str());
        let mut selected: Vec<String> = columns.fields().iter().flat_map(select).collect();
        if selected.is_empty() {
            selected.push("1 AS r_nothing".to_owned());
        }
        // Numbers of our own making, never text of a caller.
        let ranges: Vec<String> = self
            .ranges
            .iter()
            .map(|range| {
                let Range {
                    generation,
                    partition,
                    from,
                    to,
                } = range;
                format!(
                    "(generation = {generation} AND partition = {partition} AND offset >= {from} AND offset < {to})"
                )
            })
            .collect();
        let mut sql = format!(
            "SELECT {} FROM events FINAL WHERE organization = {{organization:String}} AND ({})",
            selected.join(", "),
            ranges.join(" OR ")
        );
        for (column, text) in filters.iter().filter_map(equals_text) {
            let name = match column {
                "kind" | "event_id" => column,
                "customer_id" => CUSTOMER,
                _ => continue,
            };
            // Conditions on one column twice are rare, and the first is enough to spare rows.
            let place = format!("is_{name}");
            if !sql.contains(&place) {
                sql.push_str(&format!(" AND {name} = {{{place}:String}}"));
                params = params.with(place, text);
            }
        }
        Question { sql, params }
    }
}

/// What the archive keeps as null, the warehouse keeps as empty text or zero. The names of the answer differ from the
/// table's, so that conditions mean the table's columns.
fn select(field: &Arc<Field>) -> Vec<String> {
    let name = field.name().as_str();
    match name {
        ITEMS => members(field)
            .iter()
            .map(|member| format!("items.{member} AS `r_items.{member}`"))
            .chain(["kind = 'purchase' AS r_items".to_owned()])
            .collect(),
        "customer_id" => vec![format!("{CUSTOMER} AS r_customer_id")],
        "generation" | "partition" | "offset" | "schema_version" => {
            vec![format!("toInt64({name}) AS r_{name}")]
        }
        "amount" => vec!["if(kind = 'purchase', amount, NULL) AS r_amount".to_owned()],
        _ if field.data_type() != &DataType::Utf8 => vec![format!("{name} AS r_{name}")],
        _ if field.is_nullable() => vec![format!("nullIf(toString({name}), '') AS r_{name}")],
        _ => vec![format!("toString({name}) AS r_{name}")],
    }
}

fn members(field: &Field) -> Vec<String> {
    match field.data_type() {
        DataType::List(item) => match item.data_type() {
            DataType::Struct(fields) => fields.iter().map(|field| field.name().clone()).collect(),
            _ => Vec::new(),
        },
        _ => Vec::new(),
    }
}

/// The same rows with the columns and types of `schema`.
pub(crate) fn conform(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let columns = schema
        .fields()
        .iter()
        .map(|field| match field.name().as_str() {
            ITEMS => items(batch, field),
            name => column(batch, name, field.data_type()),
        })
        .collect::<Result<Vec<_>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(
        schema.clone(),
        columns,
        &options,
    )?)
}

fn column(batch: &RecordBatch, name: &str, to: &DataType) -> Result<ArrayRef> {
    let found = batch.column_by_name(&format!("r_{name}")).ok_or_else(|| {
        DataFusionError::Internal(format!("the warehouse's answer has no column {name}"))
    })?;
    to_type(found, to)
}

/// Casts; bytes that should be text are checked, and a time without a zone is in UTC.
fn to_type(array: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
    if array.data_type() == to {
        return Ok(array.clone());
    }
    match (array.data_type(), to) {
        (DataType::Timestamp(unit, None), DataType::Timestamp(_, Some(zone))) => {
            let zoned = DataType::Timestamp(*unit, Some(zone.clone()));
            // Without a zone the number already counts from 1970 UTC; only the type is told so.
            let data = array.to_data().into_builder().data_type(zoned).build()?;
            Ok(cast(&make_array(data), to)?)
        }
        _ => Ok(cast(array, to)?),
    }
}

/// One list of structs from the lists of their members. Null where the event is no purchase.
fn items(batch: &RecordBatch, field: &Field) -> Result<ArrayRef> {
    let DataType::List(item) = field.data_type() else {
        return Err(DataFusionError::Internal("items must be a list".to_owned()));
    };
    let DataType::Struct(fields) = item.data_type() else {
        return Err(DataFusionError::Internal(
            "items must be structs".to_owned(),
        ));
    };
    let purchase = column(batch, ITEMS, &DataType::Boolean)?;
    let nulls = NullBuffer::new(purchase.as_boolean().values().clone());
    let mut offsets = None;
    let mut children = Vec::with_capacity(fields.len());
    for member in fields {
        let name = format!("r_items.{}", member.name());
        let list = batch.column_by_name(&name).ok_or_else(|| {
            DataFusionError::Internal(format!("the warehouse's answer has no column {name}"))
        })?;
        let list = list.as_list_opt::<i32>().ok_or_else(|| {
            DataFusionError::Internal(format!("{name} is {}, not a list", list.data_type()))
        })?;
        children.push(empty_is_null(to_type(list.values(), member.data_type())?)?);
        offsets.get_or_insert_with(|| list.offsets().clone());
    }
    let Some(offsets) = offsets else {
        return Ok(new_null_array(field.data_type(), batch.num_rows()));
    };
    let structs = StructArray::try_new(fields.clone(), children, None)?;
    let list = ListArray::try_new(item.clone(), offsets, Arc::new(structs), Some(nulls))?;
    Ok(Arc::new(list))
}

/// Texts that are empty become null, as in the archive.
fn empty_is_null(array: ArrayRef) -> Result<ArrayRef> {
    let Some(texts) = array.as_string_opt::<i32>() else {
        return Ok(array);
    };
    let filled = BooleanBuffer::collect_bool(texts.len(), |row| texts.value_length(row) > 0);
    let nulls = NullBuffer::union(array.nulls(), Some(&NullBuffer::new(filled)));
    Ok(make_array(
        array.to_data().into_builder().nulls(nulls).build()?,
    ))
}
