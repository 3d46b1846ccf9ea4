//! Events of the archive, as the fold takes them.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, AsArray, ListArray, RecordBatch, StringArray, StructArray};
use arrow::datatypes::{Decimal128Type, Int64Type, TimestampMicrosecondType};
use compact_str::CompactString;
use schemas::event::{Fields, Status};
use schemas::{
    Activity, Body, Change, Currency, Decimal, Event, Interaction, Item, Kind, OrganizationId,
    Purchase, Timestamp, User,
};
use serde_json::value::RawValue;

use crate::store::StoreError;
use crate::store::columns::{decimals, numbers, texts, typed, unreadable};

/// The events of a batch of the archive with their offsets. What the archive does not keep, the attempt, is 0.
pub(crate) fn read(batch: &RecordBatch) -> Result<Vec<(u64, Event)>, StoreError> {
    let offsets = numbers::<Int64Type>(batch, "offset")?;
    let text = |name| texts(batch, name);
    let (organizations, customers) = (text("organization")?, text("customer_id")?);
    let (event_ids, kinds, sources) = (text("event_id")?, text("kind")?, text("source")?);
    let times = |name| typed(batch, name, &schemas::arrow::timestamp());
    let (occurred, received) = (times("occurred_at")?, times("received_at")?);
    let occurred = occurred.as_primitive::<TimestampMicrosecondType>();
    let received = received.as_primitive::<TimestampMicrosecondType>();
    let (fields, attributes) = (text("fields")?, text("attributes")?);
    let purchases = Purchases::of(batch)?;
    let mut interned: BTreeMap<&str, OrganizationId> = BTreeMap::new();
    let mut events = Vec::with_capacity(batch.num_rows());
    for row in 0..batch.num_rows() {
        let kind = Kind::from_name(kinds.value(row))
            .ok_or_else(|| unreadable(format!("kind {}", kinds.value(row))))?;
        let body = match kind {
            Kind::Purchase => Body::Purchase(purchases.get(row)?),
            kind => stated(kind, optional(&fields, row).unwrap_or("{}"))?,
        };
        let organization = interned
            .entry(organizations.value(row))
            .or_insert_with(|| OrganizationId::from_text(organizations.value(row)))
            .clone();
        let event = Event {
            organization,
            customer_id: CompactString::new(customers.value(row)),
            event_id: CompactString::new(event_ids.value(row)),
            occurred_at: Timestamp::from_micros(occurred.value(row)),
            received_at: Timestamp::from_micros(received.value(row)),
            source: Arc::from(sources.value(row)),
            attempt: 0,
            body,
            attributes: optional(&attributes, row).unwrap_or_default().into(),
        };
        events.push((offsets.value(row).unsigned_abs(), event));
    }
    Ok(events)
}

fn optional(texts: &StringArray, row: usize) -> Option<&str> {
    texts.is_valid(row).then(|| texts.value(row))
}

/// The body of a kind whose fields are kept as they were stated.
fn stated(kind: Kind, json: &str) -> Result<Body, StoreError> {
    let stated: BTreeMap<CompactString, Option<&RawValue>> = serde_json::from_str(json)
        .map_err(|error| unreadable(format!("fields of an event: {error}")))?;
    let fields = Fields(
        kind.table()
            .iter()
            .filter_map(|field| {
                let value = stated.get(field.name)?;
                Some((field.name, value.map(|json| json.get().into())))
            })
            .collect(),
    );
    let word = |name: &str| -> CompactString {
        let json = fields.get(name).unwrap_or("\"\"");
        serde_json::from_str(json).unwrap_or_default()
    };
    Ok(match kind {
        Kind::Activity => Body::Activity(Activity {
            name: word("name"),
            fields,
        }),
        Kind::Interaction => Body::Interaction(Interaction {
            channel: word("channel"),
            kind: word("kind"),
            fields,
        }),
        Kind::Change => {
            let change =
                Change::read(fields).map_err(|error| unreadable(format!("a change: {error}")))?;
            Body::Change(Box::new(change))
        }
        Kind::User | Kind::Purchase => Body::User(User { fields }),
    })
}

/// The columns of purchases.
struct Purchases {
    amounts: Vec<i128>,
    currencies: StringArray,
    statuses: StringArray,
    order_ids: StringArray,
    refunds_of: StringArray,
    lines: ListArray,
}

impl Purchases {
    fn of(batch: &RecordBatch) -> Result<Self, StoreError> {
        let lines = batch
            .column_by_name("items")
            .and_then(|items| items.as_list_opt::<i32>())
            .ok_or_else(|| unreadable("no list of items".to_owned()))?;
        Ok(Self {
            amounts: decimals(batch, "amount")?,
            currencies: texts(batch, "currency")?,
            statuses: texts(batch, "status")?,
            order_ids: texts(batch, "order_id")?,
            refunds_of: texts(batch, "refund_of")?,
            lines: lines.clone(),
        })
    }

    fn get(&self, row: usize) -> Result<Purchase, StoreError> {
        let currency = Currency::parse(self.currencies.value(row))
            .map_err(|_| unreadable(format!("currency {}", self.currencies.value(row))))?;
        let status = Status::from_name(self.statuses.value(row))
            .ok_or_else(|| unreadable(format!("status {}", self.statuses.value(row))))?;
        let items = match self.lines.is_valid(row) {
            true => items(self.lines.value(row).as_struct())?,
            false => Vec::new(),
        };
        Ok(Purchase {
            amount: Decimal::from_micros(self.amounts[row]),
            currency,
            order_id: optional(&self.order_ids, row).map(CompactString::new),
            status,
            refund_of: optional(&self.refunds_of, row).map(CompactString::new),
            items,
        })
    }
}

fn items(lines: &StructArray) -> Result<Vec<Item>, StoreError> {
    let lines = RecordBatch::from(lines);
    let (ids, names) = (texts(&lines, "product_id")?, texts(&lines, "name")?);
    let categories = texts(&lines, "category")?;
    let (quantities, amounts) = (decimals(&lines, "quantity")?, decimals(&lines, "amount")?);
    let prices = typed(&lines, "unit_price", &schemas::arrow::decimal())?;
    let prices = prices.as_primitive::<Decimal128Type>();
    let word =
        |texts: &StringArray, row| CompactString::new(optional(texts, row).unwrap_or_default());
    Ok((0..lines.num_rows())
        .map(|row| Item {
            product_id: word(&ids, row),
            name: word(&names, row),
            category: word(&categories, row),
            quantity: Decimal::from_micros(quantities[row]),
            unit_price: prices
                .is_valid(row)
                .then(|| Decimal::from_micros(prices.value(row))),
            amount: Decimal::from_micros(amounts[row]),
        })
        .collect())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use schemas::{Draft, ParseContext, Position};

    use super::*;
    use crate::rows::{EventRows, archive_rows};

    #[test]
    fn an_event_comes_out_of_the_archive_as_it_went_in() {
        let received_at = Timestamp::from_micros(1_770_000_000_000_001);
        let stated = [
            (
                Kind::User,
                r#"{"customer_id":"c","name":"A \"x\"","email":null,"vip":true,"tags":["a"],"next_follow_up":"2026-03-01T00:00:00Z"}"#,
            ),
            (
                Kind::Purchase,
                r#"{"customer_id":"c","amount":"5.10","status":"refunded","order_id":"o","items":[{"product_id":"p","unit_price":"0"},{"product_id":"q","name":"Q","quantity":"0.5"}]}"#,
            ),
            (
                Kind::Purchase,
                r#"{"customer_id":"c","amount":"999999999999999.999999","status":"cancelled","refund_of":"x","more":1.50}"#,
            ),
            (
                Kind::Activity,
                r#"{"customer_id":"c","name":"login","properties":{"a":1},"occurred_at":"1900-01-01T00:00:00Z"}"#,
            ),
            (
                Kind::Interaction,
                r#"{"customer_id":"c","channel":"phone","kind":"call"}"#,
            ),
            (
                Kind::Change,
                r#"{"customer_id":"c","change":{"action":"contact.update","seen":3,"guards":["contact/a"],"profile":{"notes":null},"records":[{"record":"contact","id":"a","after":{"rate":1.50}}]}}"#,
            ),
        ];
        let mut rows = EventRows::default();
        let mut events = Vec::new();
        for (offset, (kind, stated)) in (7..).zip(stated) {
            let context = ParseContext {
                received_at,
                currency: Currency::USD,
            };
            let event = Draft::parse(kind, stated, &context).unwrap().into_event(
                OrganizationId::from_text("org_1"),
                || "made".into(),
                received_at,
                "key".into(),
                0,
            );
            let position = Position {
                generation: 1,
                partition: 0,
                offset,
            };
            rows.push(position, &event);
            events.push((offset, event));
        }
        let archived = archive_rows(&rows.finish().unwrap()).unwrap();
        assert_eq!(read(&archived).unwrap(), events);
    }
}
