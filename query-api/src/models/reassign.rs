//! Giving all that a member of staff is responsible for to somebody else, or to nobody.
//!
//! Customers are taken one after the other in the order of their ids, and what is done of one is no longer found: begun
//! again after a failure, it goes on where it ended.

use control::Principal;
use futures::future::join_all;
use schemas::event::change::PROFILE;
use schemas::event::{Effects, RecordEdit};
use schemas::{Problem, Timestamp};
use warehouse::Params;
use xxhash_rust::xxh3::xxh3_128;

use super::authoring::{Author, Outcome};
use super::customers::find;
use super::interactions::{ASSIGNED_TO, RECORD, STATUS, set};
use super::records::{RecordJson, Records};
use super::sight::Sight;
use crate::api::App;
use crate::http::problem::warehouse_problem;
use crate::http::writing::Writing;
use crate::routes::customer_edits::json;
use crate::tables::CUSTOMER;
use crate::tables::rows::Rows;

/// Customers looked up at once, and changed at the same time.
const PAGE: usize = 64;
const AT_ONCE: usize = 8;
/// Interactions of one change, and bytes of them, at most: an event holds a megabyte.
const RECORDS_AT_ONCE: usize = 50;
const BYTES_AT_ONCE: usize = 400_000;
/// Changes of one customer at most, stale ones included.
const MOST_CHANGES: usize = 1_000;

/// What is handed over.
#[derive(Debug)]
pub(crate) struct Handover<'a> {
    /// Who was responsible.
    pub(crate) from: &'a str,
    /// Since when that user works here no more.
    pub(crate) since: Timestamp,
    /// Who is responsible from now on.
    pub(crate) to: Option<&'a str>,
}

/// What was handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct HandedOver {
    /// Customers.
    pub(crate) customers: u64,
    /// Pending interactions.
    pub(crate) interactions: u64,
    /// Customers of whom it is in the log and not applied yet.
    pub(crate) waiting: u64,
}

impl std::ops::AddAssign for HandedOver {
    fn add_assign(&mut self, other: Self) {
        self.customers += other.customers;
        self.interactions += other.interactions;
        self.waiting += other.waiting;
    }
}

/// Hands everything over.
pub(crate) async fn hand_over(
    app: &App,
    principal: &Principal,
    writing: &Writing,
    handover: &Handover<'_>,
) -> Result<HandedOver, Problem> {
    let mut done = HandedOver::default();
    let mut after = String::new();
    loop {
        let customers = customers(app, principal, handover.from, &after).await?;
        let Some(last) = customers.last() else {
            return Ok(done);
        };
        after.clone_from(last);
        for some in customers.chunks(AT_ONCE) {
            let each = some
                .iter()
                .map(|customer| of_customer(app, principal, writing, handover, customer));
            for outcome in join_all(each).await {
                done += outcome?;
            }
        }
    }
}

/// Customers of whom anything is the user's, by their ids, after one of them.
async fn customers(
    app: &App,
    principal: &Principal,
    user: &str,
    after: &str,
) -> Result<Vec<String>, Problem> {
    let sql = format!(
        "SELECT DISTINCT whose AS c_customer FROM (\
           SELECT {CUSTOMER} AS whose FROM customer_state FINAL WHERE organization = {{organization:String}} \
             AND {CUSTOMER} > {{after:String}} AND assigned_to = {{user:String}} AND NOT is_deleted \
           UNION ALL \
           SELECT {CUSTOMER} AS whose FROM customer_records FINAL WHERE organization = {{organization:String}} \
             AND record = {{record:String}} AND {CUSTOMER} > {{after:String}} AND NOT is_deleted \
             AND {ASSIGNED_TO} = {{user:String}} AND {STATUS} = 'pending'\
         ) ORDER BY whose LIMIT {PAGE}"
    );
    let params = Params::new()
        .with("organization", principal.organization.as_str())
        .with("record", RECORD)
        .with("user", user)
        .with("after", after);
    let read = async {
        let mut found = Vec::new();
        for batch in app.api.warehouse.query(&sql, &params).await? {
            found.extend(Rows::new(&batch).texts("c_customer")?);
        }
        Ok(found)
    };
    read.await.map_err(|error| warehouse_problem(&error))
}

/// Hands a customer over, and its interactions, as many at once as one change holds.
async fn of_customer(
    app: &App,
    principal: &Principal,
    writing: &Writing,
    handover: &Handover<'_>,
    customer: &str,
) -> Result<HandedOver, Problem> {
    let warehouse = &*app.api.warehouse;
    let mut done = HandedOver::default();
    for _ in 0..MOST_CHANGES {
        // Before its records: what is edited in between counts as edited since.
        let found = find(warehouse, &principal.organization, customer).await;
        let found = found.map_err(|error| warehouse_problem(&error))?;
        let Some(found) = found.filter(|found| found.customer.customer_id == customer) else {
            return Ok(done);
        };
        let left = Records::of(&principal.organization, RECORD, &Sight::All)
            .of_customer(customer)
            .with_text("assigned_to", handover.from)
            .and(format!("{STATUS} = {{is:String}}"), "is", "pending");
        let left = left.page(warehouse, None, RECORDS_AT_ONCE).await;
        let left = left.map_err(|error| warehouse_problem(&error))?;
        let mut effects = Effects {
            action: "customer.reassign".into(),
            seen: found.state.edits.count,
            ..Effects::default()
        };
        let is_own = found.customer.assigned_to.as_deref() == Some(handover.from);
        if is_own {
            effects.guards.push(PROFILE.into());
            effects
                .profile
                .insert("assigned_to".into(), json(&handover.to)?);
        }
        let mut bytes = 0;
        for interaction in left {
            let edit = given(&interaction, handover.to)?;
            bytes += [&edit.before, &edit.after]
                .into_iter()
                .flatten()
                .map(|json| json.get().len())
                .sum::<usize>();
            if bytes > BYTES_AT_ONCE && !effects.records.is_empty() {
                break;
            }
            effects.guards.push(RecordEdit::guard(RECORD, &edit.id));
            effects.records.push(edit);
        }
        let records = effects.records.len() as u64;
        if !is_own && records == 0 {
            return Ok(done);
        }
        // The same again is the same change: two who hand over at the same time do not do it twice.
        let of = (
            handover.from,
            handover.since,
            customer,
            handover.to,
            effects.seen,
        );
        let id = format!("chg_{:032x}", xxh3_128(format!("{of:?}").as_bytes()));
        let mut author = Author::new(app, principal, writing, "").under(id);
        match author.state(customer, effects).await? {
            None => {}
            Some(Outcome::Applied) => {
                done.customers += u64::from(is_own);
                done.interactions += records;
            }
            // What else there is of this customer rests on what is not applied yet.
            Some(Outcome::Accepted(_)) => {
                done.waiting += 1;
                return Ok(done);
            }
        }
    }
    done.waiting += 1;
    Ok(done)
}

/// An interaction for which somebody else is responsible, or nobody.
fn given(interaction: &RecordJson, to: Option<&str>) -> Result<RecordEdit, Problem> {
    let mut fields = interaction.fields.clone();
    fields.remove("assigned_to");
    if let Some(to) = to {
        set(&mut fields, "assigned_to", to)?;
    }
    Ok(RecordEdit {
        record: RECORD.into(),
        id: interaction.id.as_str().into(),
        at: interaction.at,
        before: Some(json(&interaction.fields)?),
        after: Some(json(&fields)?),
    })
}
