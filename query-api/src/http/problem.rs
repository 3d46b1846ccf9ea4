//! The one mapping from the errors of other crates to problem details.

use control::ControlError;
use datafusion::error::DataFusionError;
use schemas::{Problem, ProblemKind};
use warehouse::WarehouseError;

use crate::api::internal;

/// What the control database could not do.
pub(crate) fn control_problem(error: ControlError) -> Problem {
    let detail = error.to_string();
    match error {
        ControlError::Invalid(field) => Problem::new(ProblemKind::BadRequest, field.to_string())
            .field(field.field)
            .with("code", field.code.as_str().into()),
        ControlError::Conflict { field } => {
            Problem::new(ProblemKind::Conflict, detail).field(field)
        }
        ControlError::Stale { .. } => Problem::new(ProblemKind::Conflict, detail),
        ControlError::Credentials => Problem::new(ProblemKind::Unauthorized, detail),
        ControlError::Rule(_) => Problem::new(ProblemKind::Unprocessable, detail),
        ControlError::Forbidden(_) => Problem::new(ProblemKind::Forbidden, detail),
        ControlError::NotFound { .. } => Problem::new(ProblemKind::NotFound, detail),
        ControlError::Busy => Problem::new(ProblemKind::Unavailable, detail),
        ControlError::Unavailable(_) => {
            tracing::warn!(error = detail, "the control database does not answer");
            let detail = "the control database does not answer, try again";
            Problem::new(ProblemKind::Unavailable, detail)
        }
        ControlError::Database(_)
        | ControlError::Url { .. }
        | ControlError::Schema(_)
        | ControlError::Corrupt(_) => internal("the control database failed", &detail),
    }
}

/// What the warehouse could not do.
pub(crate) fn warehouse_problem(error: &WarehouseError) -> Problem {
    if error.is_retryable() || matches!(error, WarehouseError::Closed) {
        tracing::warn!(%error, "the warehouse does not answer");
        let detail = "the warehouse does not answer, try again";
        return Problem::new(ProblemKind::Unavailable, detail);
    }
    internal("the warehouse failed", error)
}

/// What a query of ours could not do.
pub(crate) fn query_problem(error: &DataFusionError) -> Problem {
    match error.find_root() {
        DataFusionError::ResourcesExhausted(_) => {
            tracing::warn!(%error, "a query ran out of memory");
            let detail =
                "it needs more memory than queries may take; ask for less, such as a shorter range";
            Problem::new(ProblemKind::Unprocessable, detail).with("code", "memory".into())
        }
        DataFusionError::External(source) => match source.downcast_ref::<WarehouseError>() {
            Some(error) => warehouse_problem(error),
            None => internal("a query failed", error),
        },
        _ => internal("a query failed", error),
    }
}
