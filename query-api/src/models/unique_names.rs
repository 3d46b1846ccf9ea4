//! Names that no two customers of an organization have: reserved before the fact that gives the name, confirmed when it
//! counts. Customers that client applications send are keyed by their own ids, and reserve nothing.

use control::{ControlError, NameUniqueness, Reserved, Unique};
use schemas::{OrganizationId, Problem};

use super::authoring::Outcome;
use super::customers::find;
use crate::api::{App, now};
use crate::http::problem::{control_problem, warehouse_problem};

/// An unconfirmed reservation may be somebody's who is gone when it is so old, in microseconds.
const ABANDONED_AFTER: i64 = 60_000_000;

/// A name reserved for a customer while it is written.
pub(crate) struct NameHold<'a> {
    app: &'a App,
    organization: &'a OrganizationId,
    customer: &'a str,
    /// None where names need not be unique.
    reserved: Option<Reserved>,
}

impl<'a> NameHold<'a> {
    /// Reserves a name for a customer, where the organization wants names to be unique.
    pub(crate) async fn take(
        app: &'a App,
        organization: &'a OrganizationId,
        customer: &'a str,
        name: &str,
        is_company: bool,
    ) -> Result<Self, Problem> {
        let control = &app.api.control;
        let settings = control.settings(organization).await;
        let wanted = match settings.map_err(control_problem)?.name_uniqueness {
            NameUniqueness::All => true,
            NameUniqueness::Companies => is_company,
            NameUniqueness::Off => false,
        };
        let mut hold = Self {
            app,
            organization,
            customer,
            reserved: None,
        };
        if wanted {
            hold.reserved = Some(hold.reserve(name).await?);
        }
        Ok(hold)
    }

    async fn reserve(&self, name: &str) -> Result<Reserved, Problem> {
        let (control, kind) = (&self.app.api.control, Unique::CustomerName);
        let taken = control
            .reserve(self.organization, kind, name, self.customer)
            .await;
        let conflict = match taken {
            Ok(reserved) => return Ok(reserved),
            Err(conflict @ ControlError::Conflict { .. }) => conflict,
            Err(error) => return Err(control_problem(error)),
        };
        let other = control.reserved(self.organization, kind, name).await;
        let Some(other) = other.map_err(control_problem)? else {
            return Err(control_problem(conflict));
        };
        let is_old = other.reserved_at.plus_micros(ABANDONED_AFTER) < now();
        if other.confirmed_at.is_some() || !is_old {
            return Err(control_problem(conflict));
        }
        // Whoever reserved it may have written it and not said so.
        let holder = find(&*self.app.api.warehouse, self.organization, &other.holder).await;
        let holder = holder.map_err(|error| warehouse_problem(&error))?;
        if holder.is_some_and(|holder| holder.customer.name.is_some()) {
            return Err(control_problem(conflict));
        }
        let taken = control.take_over(&other, self.customer).await;
        taken.map_err(control_problem)
    }

    /// Keeps the name or gives it back, by what became of the fact. Where that is not known it stays reserved.
    pub(crate) async fn settle(&self, outcome: Option<&Outcome>) {
        let Some(reserved) = &self.reserved else {
            return;
        };
        let control = &self.app.api.control;
        let settled = match outcome {
            Some(Outcome::Applied) => {
                control
                    .confirm(
                        self.organization,
                        reserved.kind,
                        &reserved.value,
                        self.customer,
                    )
                    .await
            }
            Some(Outcome::Accepted(_)) => Ok(()),
            None => control.undo(reserved).await,
        };
        if let Err(error) = settled {
            // It stays unconfirmed, and whoever wants the name next looks at the customer.
            tracing::warn!(%error, "a reserved name could not be settled; it is settled when it is wanted again");
        }
    }
}

/// Frees the name of a customer that is removed.
pub(crate) async fn release(
    app: &App,
    organization: &OrganizationId,
    customer: &str,
    name: &str,
) -> Result<(), Problem> {
    let control = &app.api.control;
    let released = control
        .release(organization, Unique::CustomerName, name, customer)
        .await;
    released.map_err(control_problem)
}
