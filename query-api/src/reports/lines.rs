//! The lines of purchases, as functions of SQL over the `items` column.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray as _, Decimal128Array, Decimal128Builder, Int32Array, Int32Builder,
    ListArray, StringArray, StructArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Decimal128Type, Field, Fields};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::dictionary::Dictionary;

/// What lines are grouped by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Dimension {
    /// The product's id, with its name.
    Product,
    /// The item's category; items without one have the group null.
    Category,
}

/// `lines_of(items, amount)`: a list of {group, amount, quantity}, each group once, and where the amount has more than
/// the items (or there are none) a line whose group is null. The group is a number of the dictionary.
#[derive(Debug, PartialEq, Eq, Hash)]
struct LinesOf {
    dimension: Dimension,
    groups: Dictionary,
    signature: Signature,
}

/// `units_of(items)`: the net quantity of a purchase's items.
#[derive(Debug, PartialEq, Eq, Hash)]
struct UnitsOf {
    signature: Signature,
}

/// `code_of(text)`: the text's number in the dictionary.
#[derive(Debug, PartialEq, Eq, Hash)]
struct CodeOf {
    texts: Dictionary,
    signature: Signature,
}

/// The functions `lines_of`, `units_of` and `code_of`, the last over customers.
pub(crate) fn functions(
    dimension: Dimension,
    groups: &Dictionary,
    customers: &Dictionary,
) -> [ScalarUDF; 3] {
    let signature = |count| Signature::any(count, Volatility::Immutable);
    [
        ScalarUDF::new_from_impl(LinesOf {
            dimension,
            groups: groups.clone(),
            signature: signature(2),
        }),
        ScalarUDF::new_from_impl(UnitsOf {
            signature: signature(1),
        }),
        ScalarUDF::new_from_impl(CodeOf {
            texts: customers.clone(),
            signature: signature(1),
        }),
    ]
}

fn line_fields() -> Fields {
    let field = |name: &str, ty| Field::new(name, ty, true);
    Fields::from(vec![
        field("group", DataType::Int32),
        field("amount", schemas::arrow::decimal()),
        field("quantity", schemas::arrow::decimal()),
    ])
}

fn line_item() -> Arc<Field> {
    Arc::new(Field::new("item", DataType::Struct(line_fields()), true))
}

fn internal(detail: &str) -> DataFusionError {
    DataFusionError::Internal(detail.to_owned())
}

fn list(array: &ArrayRef) -> Result<&ListArray> {
    array
        .as_list_opt()
        .ok_or_else(|| internal("items are no list"))
}

fn structs(list: &ListArray) -> Result<&StructArray> {
    let values = list.values().as_struct_opt();
    values.ok_or_else(|| internal("items are no structs"))
}

fn decimals<'a>(items: &'a StructArray, name: &str) -> Result<&'a Decimal128Array> {
    let column = items.column_by_name(name);
    let column = column.and_then(|column| column.as_primitive_opt::<Decimal128Type>());
    column.ok_or_else(|| internal("items lack a decimal"))
}

fn texts<'a>(items: &'a StructArray, name: &str) -> Result<&'a StringArray> {
    let column = items
        .column_by_name(name)
        .and_then(|column| column.as_string_opt::<i32>());
    column.ok_or_else(|| internal("items lack a text"))
}

fn value(array: &Decimal128Array, at: usize) -> i128 {
    if array.is_null(at) {
        0
    } else {
        array.value(at)
    }
}

/// Empty means not stated.
fn text(array: &StringArray, at: usize) -> Option<&str> {
    (array.is_valid(at) && !array.value(at).is_empty()).then(|| array.value(at))
}

/// What of a list column belongs to a row: nothing where it is null.
fn span(list: &ListArray, row: usize) -> std::ops::Range<usize> {
    let offsets = list.value_offsets();
    match list.is_null(row) {
        true => 0..0,
        false => offsets[row] as usize..offsets[row + 1] as usize,
    }
}

impl ScalarUDFImpl for CodeOf {
    fn name(&self) -> &str {
        "code_of"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int32)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [column] = &ColumnarValue::values_to_arrays(&args.args)?[..] else {
            return Err(internal("code_of takes a text"));
        };
        let column = column
            .as_string_opt::<i32>()
            .ok_or_else(|| internal("code_of takes a text"))?;
        let codes = self
            .texts
            .codes(column.iter().map(|text| text.map(|text| (text, None))))?;
        Ok(ColumnarValue::Array(Arc::new(Int32Array::from(codes))))
    }
}

impl ScalarUDFImpl for UnitsOf {
    fn name(&self) -> &str {
        "units_of"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(schemas::arrow::decimal())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [items] = &ColumnarValue::values_to_arrays(&args.args)?[..] else {
            return Err(internal("units_of takes the items"));
        };
        let items = list(items)?;
        let quantities = decimals(structs(items)?, "quantity")?;
        let units: Decimal128Array = (0..items.len())
            .map(|row| {
                Some(
                    span(items, row)
                        .map(|at| value(quantities, at))
                        .sum::<i128>(),
                )
            })
            .collect();
        let units = units.with_data_type(schemas::arrow::decimal());
        Ok(ColumnarValue::Array(Arc::new(units)))
    }
}

#[derive(Clone, Copy)]
struct Line {
    group: Option<i32>,
    amount: i128,
    quantity: i128,
}

/// Gathers the lines of one purchase. Kept between purchases to spare allocations.
#[derive(Default)]
struct Gather {
    lines: Vec<Line>,
    places: HashMap<Option<i32>, usize>,
}

impl Gather {
    /// Purchases of more lines than this look groups up in a map.
    const FEW: usize = 32;

    fn clear(&mut self) {
        self.lines.clear();
        self.places.clear();
    }

    fn add(&mut self, line: Line) {
        let found = match self.lines.len() <= Self::FEW {
            true => self
                .lines
                .iter()
                .position(|other| other.group == line.group),
            false => self.places.get(&line.group).copied(),
        };
        match found {
            Some(place) => {
                let other = &mut self.lines[place];
                other.amount += line.amount;
                other.quantity += line.quantity;
            }
            None => {
                self.lines.push(line);
                if self.lines.len() == Self::FEW + 1 {
                    let places = self.lines.iter().enumerate();
                    self.places = places.map(|(at, line)| (line.group, at)).collect();
                } else if self.lines.len() > Self::FEW {
                    self.places.insert(line.group, self.lines.len() - 1);
                }
            }
        }
    }
}

impl LinesOf {
    /// The numbers of the items' groups from `first` to `end`.
    fn groups(&self, members: &StructArray, first: usize, end: usize) -> Result<Vec<Option<i32>>> {
        match self.dimension {
            Dimension::Product => {
                let (ids, names) = (texts(members, "product_id")?, texts(members, "name")?);
                self.groups
                    .codes((first..end).map(|at| text(ids, at).map(|id| (id, text(names, at)))))
            }
            Dimension::Category => {
                let categories = texts(members, "category")?;
                self.groups.codes(
                    (first..end).map(|at| text(categories, at).map(|category| (category, None))),
                )
            }
        }
    }
}

impl ScalarUDFImpl for LinesOf {
    fn name(&self) -> &str {
        "lines_of"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::List(line_item()))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [items, amounts] = &ColumnarValue::values_to_arrays(&args.args)?[..] else {
            return Err(internal("lines_of takes the items and the amount"));
        };
        let items = list(items)?;
        let whole = amounts
            .as_primitive_opt::<Decimal128Type>()
            .ok_or_else(|| internal("the amount is no decimal"))?;
        let members = structs(items)?;
        // A slice keeps its parent's items: only its own are looked at.
        let (first, end) = (
            items.value_offsets()[0] as usize,
            items.value_offsets()[items.len()] as usize,
        );
        let groups = self.groups(members, first, end)?;
        let (amounts, quantities) = (decimals(members, "amount")?, decimals(members, "quantity")?);

        let rows = end - first + items.len();
        let mut group_column = Int32Builder::with_capacity(rows);
        let mut amount_column = Decimal128Builder::with_capacity(rows);
        let mut quantity_column = Decimal128Builder::with_capacity(rows);
        let mut lengths = Vec::with_capacity(items.len());
        let mut gather = Gather::default();
        for row in 0..items.len() {
            gather.clear();
            let span = span(items, row);
            let none = span.is_empty();
            let mut rest = value(whole, row);
            for at in span {
                rest -= value(amounts, at);
                gather.add(Line {
                    group: groups[at - first],
                    amount: value(amounts, at),
                    quantity: value(quantities, at),
                });
            }
            if rest != 0 || none {
                gather.add(Line {
                    group: None,
                    amount: rest,
                    quantity: 0,
                });
            }
            lengths.push(gather.lines.len());
            for line in &gather.lines {
                group_column.append_option(line.group);
                amount_column.append_value(line.amount);
                quantity_column.append_value(line.quantity);
            }
        }
        let decimal = schemas::arrow::decimal();
        let columns: Vec<ArrayRef> = vec![
            Arc::new(group_column.finish()),
            Arc::new(amount_column.finish().with_data_type(decimal.clone())),
            Arc::new(quantity_column.finish().with_data_type(decimal)),
        ];
        let lines = StructArray::try_new(line_fields(), columns, None)?;
        let offsets = OffsetBuffer::from_lengths(lengths);
        let lists = ListArray::try_new(line_item(), offsets, Arc::new(lines), None)?;
        Ok(ColumnarValue::Array(Arc::new(lists)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_one_line_however_many_items_it_has() {
        for count in [1, Gather::FEW, Gather::FEW + 1, 200] {
            let mut gather = Gather::default();
            for round in 0..3 {
                for group in 0..count {
                    gather.add(Line {
                        group: Some(group as i32),
                        amount: round,
                        quantity: 1,
                    });
                }
                gather.add(Line {
                    group: None,
                    amount: 5,
                    quantity: 0,
                });
            }
            assert_eq!(gather.lines.len(), count + 1);
            let whole =
                |line: &Line| line.group.is_none() || (line.amount, line.quantity) == (3, 3);
            assert!(gather.lines.iter().all(whole));
            assert!(
                gather
                    .lines
                    .iter()
                    .any(|line| line.group.is_none() && line.amount == 15)
            );
        }
    }
}
