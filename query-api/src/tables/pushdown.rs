//! Which predicates may be evaluated below the barrier: those that cannot fail on any value.

use datafusion::arrow::datatypes::Schema;
use datafusion::logical_expr::{Expr, Operator};
use datafusion::scalar::ScalarValue;

/// Whether the predicate only compares columns with constants of their own type, so that it has no error to give
/// and skips files and row groups.
pub(crate) fn harmless(expr: &Expr, schema: &Schema) -> bool {
    match expr {
        Expr::BinaryExpr(binary) => match binary.op {
            Operator::And | Operator::Or => {
                harmless(&binary.left, schema) && harmless(&binary.right, schema)
            }
            Operator::Eq
            | Operator::NotEq
            | Operator::Lt
            | Operator::LtEq
            | Operator::Gt
            | Operator::GtEq => {
                compares(&binary.left, &binary.right, schema)
                    || compares(&binary.right, &binary.left, schema)
            }
            _ => false,
        },
        Expr::Between(between) => {
            compares(&between.expr, &between.low, schema)
                && compares(&between.expr, &between.high, schema)
        }
        Expr::InList(list) => {
            list.list.len() <= 100
                && list
                    .list
                    .iter()
                    .all(|item| compares(&list.expr, item, schema))
        }
        Expr::IsNull(inner) | Expr::IsNotNull(inner) => matches!(**inner, Expr::Column(_)),
        _ => false,
    }
}

fn compares(column: &Expr, constant: &Expr, schema: &Schema) -> bool {
    let (Expr::Column(column), Expr::Literal(value, _)) = (column, constant) else {
        return false;
    };
    let field = schema.field_with_name(&column.name);
    field.is_ok_and(|field| {
        !field.data_type().is_nested() && *field.data_type() == value.data_type()
    })
}

/// A text column and the constant it must equal, where the predicate says that.
pub(crate) fn equals_text(expr: &Expr) -> Option<(&str, &str)> {
    let Expr::BinaryExpr(binary) = expr else {
        return None;
    };
    match (binary.op, &*binary.left, &*binary.right) {
        (Operator::Eq, Expr::Column(column), Expr::Literal(ScalarValue::Utf8(Some(text)), _))
        | (Operator::Eq, Expr::Literal(ScalarValue::Utf8(Some(text)), _), Expr::Column(column)) => {
            Some((&column.name, text))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use datafusion::prelude::{cast, col, lit};

    use super::*;
    use datafusion::arrow::datatypes::DataType;

    #[test]
    fn only_what_cannot_fail_passes() {
        let schema = schemas::arrow::events();
        for passes in [
            col("kind").eq(lit("purchase")),
            lit("EUR").eq(col("currency")),
            col("offset")
                .gt(lit(3_i64))
                .and(col("kind").not_eq(lit("user"))),
            col("order_id").is_null(),
            col("kind").in_list(vec![lit("a"), lit("b")], false),
        ] {
            assert!(harmless(&passes, &schema), "{passes}");
        }
        for stays in [
            cast(col("customer_id"), DataType::Int64).gt(lit(3_i64)),
            col("offset").gt(lit("3")),
            col("kind").eq(col("currency")),
            col("customer_id").like(lit("%a%")),
            (lit(1_i64) / col("offset")).gt(lit(0_i64)),
            col("kind")
                .eq(lit("a"))
                .or(cast(col("customer_id"), DataType::Int64).gt(lit(3_i64))),
            col("items").eq(col("items")),
        ] {
            assert!(!harmless(&stays, &schema), "{stays}");
        }
    }

    #[test]
    fn equalities_are_recognised() {
        assert_eq!(
            equals_text(&col("kind").eq(lit("user"))),
            Some(("kind", "user"))
        );
        assert_eq!(equals_text(&col("kind").not_eq(lit("user"))), None);
    }
}
