//! Names of customers.

use std::collections::HashMap;

use schemas::{OrganizationId, Problem};
use warehouse::Params;

use crate::api::App;
use crate::http::problem::warehouse_problem;
use crate::tables::CUSTOMER;
use crate::tables::rows::Rows;

/// Ids asked for at once, in bytes: a server takes no longer value.
const MOST_BYTES: usize = 60_000;

/// The present names of these customers; those without one are absent.
pub(crate) async fn customer_names(
    app: &App,
    organization: &OrganizationId,
    customers: &[String],
) -> Result<HashMap<String, String>, Problem> {
    let sql = format!(
        "SELECT {CUSTOMER} AS id, argMax(name, version) AS found FROM customer_state \
         WHERE organization = {{organization:String}} AND {CUSTOMER} IN {{ids:Array(String)}} GROUP BY {CUSTOMER}"
    );
    let mut names = HashMap::new();
    let mut rest = customers;
    while !rest.is_empty() {
        let mut bytes = 0;
        let fits = rest.iter().take_while(|id| {
            bytes += id.len() * 2 + 4;
            bytes <= MOST_BYTES
        });
        let (ids, others) = rest.split_at(fits.count().max(1));
        rest = others;
        let params = Params::new()
            .with("organization", organization.as_str())
            .with("ids", ids.to_vec());
        let batches = app.api.warehouse.query(&sql, &params).await;
        for batch in batches.map_err(|error| warehouse_problem(&error))? {
            let rows = Rows::new(&batch);
            let read = || Ok((rows.texts("id")?, rows.texts("found")?));
            let (ids, found) = read().map_err(|error| warehouse_problem(&error))?;
            names.extend(
                ids.into_iter()
                    .zip(found)
                    .filter(|(_, name)| !name.is_empty()),
            );
        }
    }
    Ok(names)
}
