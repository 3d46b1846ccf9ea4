//! What a customer's summary tells of people, interactions and what comes next.

use schemas::{OrganizationId, Problem, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::{App, now};
use crate::http::problem::warehouse_problem;
use crate::models::customers::Found;
use crate::models::interactions::{OPEN_FOLLOW_UP, RECORD, STATUS, shown, time};
use crate::models::records::{RecordJson, Records};
use crate::models::sight::Sight;
use crate::routes::contacts;

/// Interactions shown, and follow-ups looked at, at most.
const RECENT: usize = 5;
const MOST_OPEN: usize = 100;

/// Something to do for a customer.
#[derive(Serialize, ToSchema)]
pub(crate) struct NextAction {
    /// follow_up: an interaction is to be followed up; interaction: one is planned; contact: the customer is to be contacted.
    action: &'static str,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    due_at: Timestamp,
    /// Whether that has passed.
    is_overdue: bool,
    /// What it is about, where that was said.
    title: Option<String>,
    /// The interaction it is about.
    interaction_id: Option<String>,
    /// Who is responsible, `usr_…`.
    assigned_to: Option<String>,
}

/// Contacts, interactions, and what comes next.
#[derive(Serialize, ToSchema)]
pub(crate) struct Dealings {
    /// All contacts, the primary one first.
    contacts: Vec<RecordJson>,
    /// The latest five interactions, newest first.
    recent_interactions: Vec<RecordJson>,
    /// Pending interactions that are to be followed up, at most 100, newest first.
    open_follow_ups: Vec<RecordJson>,
    /// What is to be done, the soonest first.
    next_actions: Vec<NextAction>,
}

/// When the customer is to be contacted again, as its profile says.
fn next_follow_up(found: &Found) -> Option<Timestamp> {
    let json = found.state.profile.fields.get("next_follow_up")?;
    match serde_json::from_str(json).ok()? {
        serde_json::Value::String(text) => Timestamp::parse(&text).ok(),
        serde_json::Value::Number(millis) => Timestamp::from_millis(millis.as_i64()?),
        _ => None,
    }
}

/// The dealings with a customer that the caller sees.
pub(crate) async fn dealings(
    app: &App,
    organization: &OrganizationId,
    found: &Found,
) -> Result<Dealings, Problem> {
    let customer = &found.customer.customer_id;
    let all = || Records::of(organization, RECORD, &Sight::All).of_customer(customer);
    let warehouse = &*app.api.warehouse;
    let page = async |records: Records, limit| {
        let page = records.page(warehouse, None, limit).await;
        let page = page.map_err(|error| warehouse_problem(&error))?;
        Ok::<_, Problem>(page.into_iter().map(shown).collect::<Vec<_>>())
    };
    let recent_interactions = page(all(), RECENT).await?;
    let open = all().narrowed(|params| (Some(OPEN_FOLLOW_UP.to_owned()), params));
    let open_follow_ups = page(open, MOST_OPEN).await?;
    let now = now();
    let planned = all().and(format!("{STATUS} = {{is:String}}"), "is", "pending");
    let planned = page(planned.from(now), MOST_OPEN).await?;
    let mut contacts = contacts::all(app, organization, customer).await?;
    contacts.sort_by_key(|contact| {
        contact
            .fields
            .get("is_primary")
            .is_none_or(|json| json.get() != "true")
    });

    let action = |action, due_at, interaction: Option<&RecordJson>| NextAction {
        action,
        due_at,
        is_overdue: due_at <= now,
        title: interaction.and_then(|interaction| interaction.text("subject")),
        interaction_id: interaction.map(|interaction| interaction.id.clone()),
        assigned_to: match interaction {
            Some(interaction) => interaction.text("assigned_to"),
            None => found.customer.assigned_to.clone(),
        },
    };
    let follow_ups = open_follow_ups.iter().filter_map(|interaction| {
        let due = time(&interaction.fields, "follow_up_at")?;
        Some(action("follow_up", due, Some(interaction)))
    });
    let planned = planned
        .iter()
        .filter_map(|interaction| Some(action("interaction", interaction.at?, Some(interaction))));
    let contact = next_follow_up(found).map(|due| action("contact", due, None));
    let mut next_actions: Vec<NextAction> = follow_ups.chain(planned).chain(contact).collect();
    next_actions.sort_by_key(|action| action.due_at);
    Ok(Dealings {
        contacts,
        recent_interactions,
        open_follow_ups,
        next_actions,
    })
}
