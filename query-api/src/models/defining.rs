//! Definitions: what folds go by, written to the log.

use schemas::{Control, Define};
use stream::{AppendError, NewRecord};

use crate::api::App;

/// Appends a definition to every partition; it holds from there on. Repeat it after an error: that does no harm.
///
/// # Errors
/// The first failure. The definition may then hold in some partitions and not in others.
pub(crate) async fn define(app: &App, define: Define) -> Result<(), AppendError> {
    let log = &app.api.log;
    let payload = Control::Define { define }.encode();
    let records = (0..log.partitions())
        .map(|partition| NewRecord {
            partition,
            payload: payload.clone(),
            decoded: None,
            trace: None,
        })
        .collect();
    let appended: Result<Vec<_>, _> = log.append(records).await.into_iter().collect();
    appended.map(drop)
}
