//! Changes of what belongs to one organization.

use schemas::OrganizationId;

use crate::db::{Transaction, values};
use crate::error::ControlError;

impl Transaction {
    /// Waits until every other transaction that has done this has ended: of two changes in one organization, the second
    /// sees what the first has done.
    pub(crate) async fn lock(&mut self, organization: &OrganizationId) -> Result<(), ControlError> {
        let sql = "UPDATE organizations SET name = name WHERE id = $1";
        match self.execute(sql, values![organization.as_str()]).await? {
            0 => Err(ControlError::NotFound {
                what: "organization",
            }),
            _ => Ok(()),
        }
    }
}
