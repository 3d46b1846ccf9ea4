//! What an answer is computed from.

use std::collections::BTreeMap;

use schemas::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

/// The positions an answer is computed from, and when they were read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct AsOf {
    /// For every log partition, as `generation:partition`, the next offset: all before it is in the answer.
    #[schema(example = json!({"1:0": 1200, "1:1": 1187}))]
    pub positions: BTreeMap<String, u64>,
    /// When the positions were read.
    #[schema(value_type = String, format = DateTime)]
    pub time: Timestamp,
}
