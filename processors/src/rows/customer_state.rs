//! Rows of `customer_state`: columns for lists, and the fold's own state.

use std::sync::Arc;

use arrow::array::{BooleanArray, Int64Array, ListArray, RecordBatch, UInt16Array, UInt64Array};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field};
use arrow::error::ArrowError;
use schemas::{Currency, CustomerRef, Timestamp, customer_key};

use super::{Texts, batch, decimals, times, times_or_null};
use crate::fold::{Profile, State, next_due};

/// Builds rows of `customer_state`.
#[derive(Debug, Default)]
pub struct StateRows {
    organizations: Texts,
    customers: Texts,
    versions: Vec<u64>,
    buckets: Vec<u16>,
    keys: Texts,
    names: Texts,
    emails: Texts,
    phones: Texts,
    companies: Texts,
    types: Texts,
    statuses: Texts,
    cities: Texts,
    countries: Texts,
    tiers: Texts,
    manual_tiers: Texts,
    points: Vec<i64>,
    orders: Vec<u64>,
    revenue: Vec<i128>,
    currencies: Texts,
    first_seen: Vec<i64>,
    last_seen: Vec<i64>,
    last_contact: Vec<Option<i64>>,
    last_order: Vec<Option<i64>>,
    next_due: Vec<Option<i64>>,
    created_at: Vec<i64>,
    updated_at: Vec<i64>,
    activities: Vec<u64>,
    interactions: Vec<u64>,
    assignees: Texts,
    users: Texts,
    deleted: Vec<bool>,
    tags: Texts,
    tag_ends: Vec<i32>,
    states: Texts,
}

impl StateRows {
    pub(super) fn len(&self) -> usize {
        self.versions.len()
    }

    /// Adds a customer. `currency` is the organization's: the one `revenue` is in.
    pub fn push(&mut self, customer: &CustomerRef, bucket: u16, currency: Currency, state: &State) {
        self.organizations.push(customer.organization.as_str());
        self.customers.push(&customer.customer_id);
        self.versions.push(state.version);
        self.buckets.push(bucket);
        self.keys
            .push(&customer_key(&customer.organization, &customer.customer_id));
        self.profile(&state.profile);
        self.statuses.push(state.status.as_str());
        self.tiers.push(&state.loyalty.tier);
        let manual = state.loyalty.manual_tier.as_deref();
        self.manual_tiers.push(manual.unwrap_or_default());
        self.points.push(state.loyalty.points);
        self.orders.push(state.orders);
        self.revenue.push(state.money(currency).revenue.micros());
        self.currencies.push(currency.as_str());
        self.first_seen.push(state.first_seen.micros());
        self.last_seen.push(state.last_seen.micros());
        self.last_contact
            .push(state.last_contact.map(Timestamp::micros));
        self.last_order
            .push(state.last_order.map(Timestamp::micros));
        // Events keep to the times a table keeps, what a profile names need not.
        self.next_due
            .push(next_due(state).map(|due| due.kept().micros()));
        self.created_at.push(state.created_at.micros());
        self.updated_at.push(state.updated_at.micros());
        self.activities.push(state.activities);
        self.interactions.push(state.interactions);
        self.deleted.push(state.is_deleted);
        self.states.push_with(|out| {
            // Plain data with string keys always serialises.
            let _ = serde_json::to_writer(out, state);
        });
    }

    fn profile(&mut self, profile: &Profile) {
        push_text(&mut self.names, profile, "name");
        push_text(&mut self.emails, profile, "email");
        push_text(&mut self.phones, profile, "phone");
        push_text(&mut self.companies, profile, "company_name");
        push_text(&mut self.assignees, profile, "assigned_to");
        push_text(&mut self.users, profile, "user_id");
        let tags = profile.get("tags").map(serde_json::from_str::<Vec<String>>);
        for tag in tags.into_iter().flatten().flatten() {
            self.tags.push(&tag);
        }
        self.tag_ends
            .push(i32::try_from(self.tags.ends.len()).unwrap_or(-1));
        match profile.get("customer_type") {
            // Two words of the sources for one thing.
            Some(r#""corporate""#) => self.types.push("business"),
            _ => push_text(&mut self.types, profile, "customer_type"),
        }
        let (city, country) = profile.place();
        self.cities.push(city.as_deref().unwrap_or_default());
        self.countries.push(country.as_deref().unwrap_or_default());
    }

    pub(crate) fn finish(self) -> Result<RecordBatch, ArrowError> {
        if self.tag_ends.contains(&-1) {
            return Err(ArrowError::OffsetOverflowError(self.tags.ends.len()));
        }
        let ends = std::iter::once(0)
            .chain(self.tag_ends)
            .collect::<Vec<i32>>();
        let tag = Arc::new(Field::new("item", DataType::Utf8, false));
        let tags = ListArray::try_new(
            tag,
            OffsetBuffer::new(ends.into()),
            self.tags.finish()?,
            None,
        )?;
        let counts = |values: Vec<u64>| Arc::new(UInt64Array::from(values));
        batch(vec![
            ("organization", self.organizations.finish()?, false),
            ("customer", self.customers.finish()?, false),
            ("version", counts(self.versions), false),
            ("bucket", Arc::new(UInt16Array::from(self.buckets)), false),
            ("customer_key", self.keys.finish()?, false),
            ("name", self.names.finish()?, false),
            ("email", self.emails.finish()?, false),
            ("phone", self.phones.finish()?, false),
            ("company_name", self.companies.finish()?, false),
            ("customer_type", self.types.finish()?, false),
            ("status", self.statuses.finish()?, false),
            ("city", self.cities.finish()?, false),
            ("country", self.countries.finish()?, false),
            ("tier", self.tiers.finish()?, false),
            ("manual_tier", self.manual_tiers.finish()?, false),
            ("points", Arc::new(Int64Array::from(self.points)), false),
            ("orders", counts(self.orders), false),
            ("revenue", decimals(self.revenue)?, false),
            ("currency", self.currencies.finish()?, false),
            ("first_seen", times(self.first_seen), false),
            ("last_seen", times(self.last_seen), false),
            ("last_contact", times_or_null(self.last_contact), true),
            ("last_order", times_or_null(self.last_order), true),
            ("next_due", times_or_null(self.next_due), true),
            ("created_at", times(self.created_at), false),
            ("updated_at", times(self.updated_at), false),
            ("activities", counts(self.activities), false),
            ("interactions", counts(self.interactions), false),
            ("assigned_to", self.assignees.finish()?, false),
            ("user_id", self.users.finish()?, false),
            (
                "is_deleted",
                Arc::new(BooleanArray::from(self.deleted)),
                false,
            ),
            ("tags", Arc::new(tags), false),
            ("state", self.states.finish()?, false),
        ])
    }
}

/// A profile field that holds a string; empty where it is not stated.
fn push_text(column: &mut Texts, profile: &Profile, name: &str) {
    match profile.get(name) {
        None => column.push(""),
        // Most texts have nothing escaped: take them as they are.
        Some(json) if json.len() >= 2 && !json.contains('\\') => {
            column.push(&json[1..json.len() - 1])
        }
        Some(_) => column.push(&profile.text(name).unwrap_or_default()),
    }
}
