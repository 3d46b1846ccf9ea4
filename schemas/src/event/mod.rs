//! Events: the four kinds of clients', and the changes that staff make. Parsed once: after this, no field is checked again.

pub mod activity;
pub mod change;
pub mod interaction;
pub mod purchase;
pub mod user;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

pub use activity::Activity;
pub use change::{Assign, Change, Effects, Json, ManualTier, Move, Points, PointsKind, RecordEdit};
pub use interaction::Interaction;
pub use purchase::{Item, Purchase, Status};
pub use user::User;

use crate::error::{Code, FieldError};
use crate::field::{Extra, Field, Slot, Type, Value, optional, read_object, required};
use crate::ids::OrganizationId;
use crate::json::{ReadError, Reader, write_string};
use crate::money::Currency;
use crate::time::Timestamp;

/// Bytes of one event at most.
pub const MAX_EVENT_BYTES: usize = 1_000_000;
/// How far in the future an event may say it happened, in microseconds: clocks differ, but not by more than a day.
pub const MAX_AHEAD_MICROS: i64 = 24 * 3600 * 1_000_000;

/// What happened, as the client names it in `type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A new or changed customer.
    User,
    /// A purchase, refund or cancellation.
    Purchase,
    /// Something the customer did.
    Activity,
    /// Something between the customer and the organization.
    Interaction,
    /// What staff state of the customer and its records.
    Change,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Kind; 5] = [
        Kind::User,
        Kind::Purchase,
        Kind::Activity,
        Kind::Interaction,
        Kind::Change,
    ];
    /// The kinds that clients send.
    pub const OF_CLIENTS: [Kind; 4] = [
        Kind::User,
        Kind::Purchase,
        Kind::Activity,
        Kind::Interaction,
    ];

    /// The word in `type`, in the log and in every table.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::User => "user",
            Kind::Purchase => "purchase",
            Kind::Activity => "activity",
            Kind::Interaction => "interaction",
            Kind::Change => "change",
        }
    }

    /// The kind of that name.
    pub fn from_name(name: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    /// What it may hold: the common fields first, then its own.
    pub fn table(self) -> &'static [Field] {
        match self {
            Kind::User => &user::TABLE,
            Kind::Purchase => &purchase::TABLE,
            Kind::Activity => &activity::TABLE,
            Kind::Interaction => &interaction::TABLE,
            Kind::Change => &change::TABLE,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The fields every kind has, at the front of every table.
pub const COMMON: [Field; 4] = [
    required(
        "customer_id",
        Type::Id { max: 256 },
        "Your id of the customer, compared byte for byte.",
    ),
    optional(
        "event_id",
        Type::Id { max: 128 },
        "Your id of this event: the same id again counts once. Made by the server if absent.",
    ),
    optional(
        "occurred_at",
        Type::Time,
        "When it happened; by default when it was received.",
    ),
    optional(
        "attributes",
        Type::Object,
        "Anything else you want kept with the event.",
    ),
];

const CUSTOMER_ID: usize = 0;
const EVENT_ID: usize = 1;
const OCCURRED_AT: usize = 2;
const ATTRIBUTES: usize = 3;
/// Where a kind's own fields begin in its table.
pub(crate) const OWN: usize = COMMON.len();

/// The common fields followed by a kind's own.
pub(crate) const fn table<const OWN_FIELDS: usize, const ALL: usize>(
    own: [Field; OWN_FIELDS],
) -> [Field; ALL] {
    let mut all = [COMMON[0]; ALL];
    let mut index = 0;
    while index < ALL {
        all[index] = if index < OWN {
            COMMON[index]
        } else {
            own[index - OWN]
        };
        index += 1;
    }
    all
}

/// Slots for the largest table.
const SLOTS: usize = 32;
pub(crate) type Slots<'a> = [Option<Slot<'a>>; SLOTS];

/// What parsing needs to know beside the text.
#[derive(Debug, Clone, Copy)]
pub struct ParseContext {
    /// When the server received it: the default of `occurred_at`, and what "ahead" is measured from.
    pub received_at: Timestamp,
    /// The organization's currency, for purchases that state none.
    pub currency: Currency,
}

/// A checked event that may still lack an id.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    /// The client's id of the event, if it gave one.
    pub event_id: Option<CompactString>,
    /// The client's id of the customer.
    pub customer_id: CompactString,
    /// When it happened.
    pub occurred_at: Timestamp,
    /// The kind and its fields.
    pub body: Body,
    /// Extra fields as a JSON object; empty text if there are none.
    pub attributes: Box<str>,
}

/// The kind's own part of an event.
#[derive(Debug, Clone, PartialEq)]
pub enum Body {
    /// See [`User`].
    User(User),
    /// See [`Purchase`].
    Purchase(Purchase),
    /// See [`Activity`].
    Activity(Activity),
    /// See [`Interaction`].
    Interaction(Interaction),
    /// See [`Change`]. Rare, and large beside the others.
    Change(Box<Change>),
}

impl Body {
    /// Which kind it is.
    pub fn kind(&self) -> Kind {
        match self {
            Body::User(_) => Kind::User,
            Body::Purchase(_) => Kind::Purchase,
            Body::Activity(_) => Kind::Activity,
            Body::Interaction(_) => Kind::Interaction,
            Body::Change(_) => Kind::Change,
        }
    }

    /// The purchase, if it is one.
    pub fn purchase(&self) -> Option<&Purchase> {
        match self {
            Body::Purchase(purchase) => Some(purchase),
            _ => None,
        }
    }
}

/// One event of one customer, with everything the fold and the archive need.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// The tenant.
    pub organization: OrganizationId,
    /// The client's id of the customer.
    pub customer_id: CompactString,
    /// The client's id of the event, or the server's.
    pub event_id: CompactString,
    /// When it happened.
    pub occurred_at: Timestamp,
    /// When the server received it.
    pub received_at: Timestamp,
    /// What sent it, for example the id of an API key.
    pub source: Arc<str>,
    /// 0 from clients; an operator's retry of a rejected event counts up.
    pub attempt: u32,
    /// The kind and its fields.
    pub body: Body,
    /// Extra fields as a JSON object; empty text if there are none.
    pub attributes: Box<str>,
}

impl Event {
    /// Which kind it is.
    pub fn kind(&self) -> Kind {
        self.body.kind()
    }

    /// The kind's own fields that have no column of their own, as a JSON object; empty text for purchases.
    pub fn fields_json(&self) -> String {
        match &self.body {
            Body::User(user) => user.fields.to_json(),
            Body::Purchase(_) => String::new(),
            Body::Activity(activity) => activity.fields.to_json(),
            Body::Interaction(interaction) => interaction.fields.to_json(),
            Body::Change(change) => change.fields.to_json(),
        }
    }

    /// Roughly the bytes it holds in memory, for bounding queues.
    pub fn weight(&self) -> usize {
        let items = self
            .body
            .purchase()
            .map_or(0, |purchase| purchase.items.len() * 160);
        let stated = match &self.body {
            Body::Change(change) => 2 * change.fields.weight(),
            _ => 0,
        };
        512 + items + stated + self.attributes.len()
    }
}

/// Named JSON values as they were stated, in the order of the kind's table; `None` is an explicit null.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Fields(pub Vec<(&'static str, Option<Box<str>>)>);

impl Fields {
    /// The stated own fields of a kind.
    pub(crate) fn take(table: &'static [Field], slots: &Slots<'_>) -> Self {
        let stated = table.iter().zip(slots.iter()).skip(OWN);
        Self(
            stated
                .filter_map(|(field, slot)| {
                    let slot = slot.as_ref()?;
                    let value = (slot.value != Value::Null).then(|| slot.raw.into());
                    Some((field.name, value))
                })
                .collect(),
        )
    }

    /// The JSON text of a field that was stated and not null.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(field, _)| *field == name)?
            .1
            .as_deref()
    }

    /// Bytes of JSON held.
    pub fn weight(&self) -> usize {
        let bytes = self.0.iter().filter_map(|(_, value)| value.as_deref());
        bytes.map(str::len).sum()
    }

    /// As one JSON object.
    pub fn to_json(&self) -> String {
        let mut out = String::from("{");
        for (name, value) in &self.0 {
            if out.len() > 1 {
                out.push(',');
            }
            out.push('"');
            out.push_str(name);
            out.push_str("\":");
            out.push_str(value.as_deref().unwrap_or("null"));
        }
        out.push('}');
        out
    }
}

/// One event found in a longer text: where it stands, and what it is or what is wrong with it.
#[derive(Debug)]
pub struct Found {
    /// The bytes of the event in the text.
    pub at: std::ops::Range<usize>,
    /// The event, or the one reason to refuse it.
    pub draft: Result<Draft, FieldError>,
    /// The id that a refused event states, where it can be made out: its sender knows it by that.
    pub refused_id: Option<CompactString>,
}

/// Reads the event that starts at byte `at` of `text`, which may go on after it. Its kind is `kind`, or what its `type` says.
///
/// # Errors
/// [`ReadError::Syntax`] when the text is not JSON up to the end of the event: then nothing after it can be found either.
pub fn read_event(
    text: &str,
    at: usize,
    kind: Option<Kind>,
    context: &ParseContext,
) -> Result<Found, ReadError> {
    let mut reader = Reader::at(text, at);
    reader.peek()?;
    let start = reader.position();
    let draft = match kind.map_or_else(|| peek_kind(&text[start..]), Ok) {
        Ok(kind) => Draft::read(kind, &mut reader, context),
        Err(error) => Err(error),
    };
    let draft = match draft {
        Ok(draft) => Ok(draft),
        // What broke a rule may have stopped anywhere inside: find the end again, by syntax alone.
        Err(error) => {
            reader = Reader::at(text, start);
            reader.skip_value()?;
            Err(error.into_field_error())
        }
    };
    let at = start..reader.position();
    let draft = match at.len() > MAX_EVENT_BYTES {
        true => Err(FieldError::new(
            "",
            Code::TooLarge,
            "an event may have one megabyte at most",
        )),
        false => draft,
    };
    let refused_id = match &draft {
        Ok(_) => None,
        Err(_) => stated_id(&text[at.clone()]),
    };
    Ok(Found {
        at,
        draft,
        refused_id,
    })
}

/// The `event_id` of an event that broke some rule, if that one is as it should be.
fn stated_id(text: &str) -> Option<CompactString> {
    let mut reader = Reader::new(text);
    reader.enter_object().ok()?;
    let mut first = true;
    while let Some(key) = reader.key(first).ok()? {
        first = false;
        if key != "event_id" {
            reader.skip_value().ok()?;
            continue;
        }
        if reader.peek().ok()? != crate::json::Peek::Text {
            return None;
        }
        let id = reader.string().ok()?;
        let good = (1..=128).contains(&id.chars().count()) && !id.chars().any(char::is_control);
        return good.then(|| CompactString::from(id));
    }
    None
}

/// The `type` of an event in a batch: the first top-level key of that name.
pub fn peek_kind(text: &str) -> Result<Kind, ReadError> {
    let mut reader = Reader::new(text);
    if reader.peek()? != crate::json::Peek::Object {
        return Err(ReadError::rule(
            Code::InvalidType,
            "an event must be an object",
        ));
    }
    reader.enter_object()?;
    let mut first = true;
    while let Some(key) = reader.key(first)? {
        first = false;
        if key != "type" {
            reader.skip_value()?;
            continue;
        }
        let words = "must be one of user, purchase, activity, interaction";
        if reader.peek()? != crate::json::Peek::Text {
            return Err(ReadError::rule(Code::InvalidType, words).within("type"));
        }
        let name = reader.string().map_err(|error| error.within("type"))?;
        return Kind::OF_CLIENTS
            .into_iter()
            .find(|kind| kind.as_str() == name)
            .ok_or_else(|| ReadError::rule(Code::InvalidValue, words).within("type"));
    }
    Err(ReadError::rule(
        Code::Required,
        "say what it is: user, purchase, activity or interaction",
    )
    .within("type"))
}

impl Draft {
    /// Parses one event of a kind: `text` is exactly one JSON object.
    pub fn parse(kind: Kind, text: &str, context: &ParseContext) -> Result<Draft, FieldError> {
        if text.len() > MAX_EVENT_BYTES {
            return Err(FieldError::new(
                "",
                Code::TooLarge,
                "an event may have one megabyte at most",
            ));
        }
        let mut reader = Reader::new(text);
        let draft = Self::read(kind, &mut reader, context).map_err(ReadError::into_field_error)?;
        reader.finish().map_err(ReadError::into_field_error)?;
        Ok(draft)
    }

    fn read(
        kind: Kind,
        reader: &mut Reader<'_>,
        context: &ParseContext,
    ) -> Result<Draft, ReadError> {
        let mut slots: Slots<'_> = [const { None }; SLOTS];
        let mut extra = Vec::new();
        read_object(reader, kind.table(), &mut slots, &mut extra)?;
        let named = |kind: Kind| {
            extra
                .iter()
                .any(|extra| extra.key == "type" && is_text(extra.raw, kind.as_str()))
        };
        if let Some(other) = Kind::ALL
            .into_iter()
            .find(|other| *other != kind && named(*other))
        {
            let detail = format!(
                "this is a place for a {kind}, not for a {other}",
                kind = kind.as_str(),
                other = other.as_str()
            );
            return Err(ReadError::rule(Code::InvalidValue, detail).within("type"));
        }
        extra.retain(|extra| !(extra.key == "type" && is_text(extra.raw, kind.as_str())));

        let occurred_at = match take_time(&mut slots[OCCURRED_AT]) {
            Some(stated) => in_range(stated, context.received_at)?,
            None => context.received_at,
        };
        let attributes = attributes(slots[ATTRIBUTES].take(), &extra)?;
        let customer_id = take_text(&mut slots[CUSTOMER_ID]).unwrap_or_default();
        let event_id = take_text(&mut slots[EVENT_ID]);
        let body = match kind {
            Kind::User => Body::User(User::take(&mut slots)),
            Kind::Purchase => Body::Purchase(Purchase::take(&mut slots, context)?),
            Kind::Activity => Body::Activity(Activity::take(&mut slots)),
            Kind::Interaction => Body::Interaction(Interaction::take(&mut slots)),
            Kind::Change => Body::Change(Box::new(Change::take(&mut slots)?)),
        };
        Ok(Draft {
            event_id,
            customer_id,
            occurred_at,
            body,
            attributes,
        })
    }

    /// Completes the event; `event_id` is used where the client gave none.
    pub fn into_event(
        self,
        organization: OrganizationId,
        event_id: impl FnOnce() -> CompactString,
        received_at: Timestamp,
        source: Arc<str>,
        attempt: u32,
    ) -> Event {
        Event {
            organization,
            customer_id: self.customer_id,
            event_id: self.event_id.unwrap_or_else(event_id),
            occurred_at: self.occurred_at,
            received_at,
            source,
            attempt,
            body: self.body,
            attributes: self.attributes,
        }
    }
}

fn in_range(stated: Timestamp, received_at: Timestamp) -> Result<Timestamp, ReadError> {
    match stated >= Timestamp::EARLIEST && stated <= received_at.plus_micros(MAX_AHEAD_MICROS) {
        true => Ok(stated),
        false => Err(ReadError::rule(
            Code::OutOfRange,
            "must be from 1900 on and at most 24 hours ahead",
        )
        .within("occurred_at")),
    }
}

fn is_text(raw: &str, text: &str) -> bool {
    Reader::new(raw).string().is_ok_and(|found| found == text)
}

/// The attributes object as stated, with the unknown fields it does not name itself.
fn attributes(stated: Option<Slot<'_>>, extra: &[Extra<'_>]) -> Result<Box<str>, ReadError> {
    let stated = stated
        .filter(|slot| slot.value != Value::Null)
        .map_or("{}", |slot| slot.raw);
    if extra.is_empty() {
        let empty = stated.len() <= 2 || stated[1..stated.len() - 1].trim().is_empty();
        return Ok(if empty { "".into() } else { stated.into() });
    }
    let named = keys(stated)?;
    let mut out = Vec::with_capacity(stated.len() + 64 * extra.len());
    out.extend_from_slice(stated[..stated.len() - 1].trim_end().as_bytes());
    let mut first = named.is_empty();
    for extra in extra {
        if named.contains(&extra.key) {
            continue;
        }
        if !first {
            out.push(b',');
        }
        first = false;
        write_string(&mut out, &extra.key);
        out.push(b':');
        out.extend_from_slice(extra.raw.as_bytes());
    }
    out.push(b'}');
    // Pieces of UTF-8 text put together are UTF-8.
    Ok(String::from_utf8(out).unwrap_or_default().into())
}

fn keys(object: &str) -> Result<std::collections::HashSet<Cow<'_, str>>, ReadError> {
    let mut reader = Reader::new(object);
    let mut keys = std::collections::HashSet::new();
    reader.enter_object()?;
    while let Some(key) = reader.key(keys.is_empty())? {
        keys.insert(key);
        reader.skip_value()?;
    }
    Ok(keys)
}

/// Takes the text of a slot.
pub(crate) fn take_text(slot: &mut Option<Slot<'_>>) -> Option<CompactString> {
    match slot.take()?.value {
        Value::Text(Cow::Borrowed(text)) => Some(CompactString::new(text)),
        Value::Text(Cow::Owned(text)) => Some(CompactString::from(text)),
        _ => None,
    }
}

fn take_time(slot: &mut Option<Slot<'_>>) -> Option<Timestamp> {
    match slot.take()?.value {
        Value::Time(time) => Some(time),
        _ => None,
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
