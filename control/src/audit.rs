//! The audit: who changed what of an organization's configuration, and who read personal data.
//!
//! Entries of changes are written with the change (see [`crate::edit`]), those of reads a moment later (see
//! [`crate::reads`]). Nothing here edits or removes one.

use std::sync::Arc;

use schemas::{AuditId, OrganizationId, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use uuid::Uuid;

use crate::control::Control;
use crate::db::{Value, values};
use crate::error::ControlError;

/// More than any id or name has; keeps them within what an index takes.
const MAX_CHARACTERS: usize = 500;

/// Who does something, as the audit names them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// A user's or key's id, or what else names the caller.
    pub name: String,
    /// Where the request came from, such as an address.
    pub origin: Option<String>,
}

impl Actor {
    /// The program itself.
    pub fn system() -> Self {
        Self {
            name: "system".to_owned(),
            origin: None,
        }
    }

    pub(crate) fn clean(self) -> Self {
        Self {
            name: clean(&self.name),
            origin: self.origin.as_deref().map(clean),
        }
    }
}

/// PostgreSQL refuses NUL in text, and one entry that cannot be written would hold up those after it.
fn clean(text: &str) -> String {
    let letters = text.chars().take(MAX_CHARACTERS);
    letters
        .map(|letter| if letter == '\0' { '\u{fffd}' } else { letter })
        .collect()
}

/// One thing that was done.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AuditEntry {
    /// `aud_…`.
    pub id: AuditId,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub actor: String,
    /// From where.
    pub origin: Option<String>,
    /// What was done, for example `created`, `updated`, `deleted` or `read`.
    pub action: String,
    /// To what kind of thing, for example `user` or `customer`.
    pub record: String,
    /// To which one.
    pub record_id: String,
    /// How it was; of a change only what is different afterwards.
    pub before: Option<Json>,
    /// How it is since then; of a change only what was different before.
    pub after: Option<Json>,
}

impl AuditEntry {
    /// The place after this entry; see [`Control::audit_after`].
    pub fn place(&self) -> AuditPlace {
        AuditPlace(self.at.micros(), self.id.clone())
    }
}

/// A place in the audit: entries that come later do not move it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditPlace(i64, AuditId);

/// Which entries are asked for; what is absent does not matter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// From then on.
    pub from: Option<Timestamp>,
    /// Before then.
    pub to: Option<Timestamp>,
    /// By whom.
    pub actor: Option<String>,
    /// What was done.
    pub action: Option<String>,
    /// To what kind of thing.
    pub record: Option<String>,
    /// To which one.
    pub record_id: Option<String>,
}

/// An entry to be written.
#[derive(Debug)]
pub(crate) struct Entry {
    id: AuditId,
    at: Timestamp,
    organization: String,
    actor: Arc<Actor>,
    action: &'static str,
    record: String,
    record_id: String,
    before: Option<String>,
    after: Option<String>,
}

impl Entry {
    /// Twice written it is there once.
    pub(crate) const INSERT: &str =
        "INSERT INTO audit (id, organization_id, at, actor, origin, action, record, record_id, before, after)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (id) DO NOTHING";

    pub(crate) fn new(
        at: Timestamp,
        organization: &OrganizationId,
        actor: Arc<Actor>,
        action: &'static str,
        record: &str,
        record_id: &str,
    ) -> Self {
        Self {
            id: AuditId::from_uuid(Uuid::now_v7()),
            at,
            organization: clean(organization.as_str()),
            actor,
            action,
            record: clean(record),
            record_id: clean(record_id),
            before: None,
            after: None,
        }
    }

    pub(crate) fn with(mut self, before: Option<&Json>, after: Option<&Json>) -> Self {
        self.before = before.map(Json::to_string);
        self.after = after.map(Json::to_string);
        self
    }

    /// For [`Entry::INSERT`].
    pub(crate) fn row(&self) -> Vec<Value> {
        values![
            self.id.as_str(),
            self.organization.as_str(),
            self.at,
            self.actor.name.as_str(),
            self.actor.origin.as_deref(),
            self.action,
            self.record.as_str(),
            self.record_id.as_str(),
            self.before.as_deref(),
            self.after.as_deref()
        ]
    }

    /// About what it takes in memory.
    pub(crate) fn bytes(&self) -> usize {
        // The id of its own, and what allocations cost.
        size_of::<Self>() + 100 + self.organization.len() + self.record.len() + self.record_id.len()
    }
}

#[derive(sqlx::FromRow)]
struct EntryRow {
    id: String,
    at: i64,
    actor: String,
    origin: Option<String>,
    action: String,
    record: String,
    record_id: String,
    before: Option<String>,
    after: Option<String>,
}

impl TryFrom<EntryRow> for AuditEntry {
    type Error = ControlError;

    fn try_from(row: EntryRow) -> Result<Self, Self::Error> {
        let json = |text: Option<String>| text.map(|text| serde_json::from_str(&text)).transpose();
        let broken = |error| ControlError::Corrupt(format!("the entry {}: {error}", row.id));
        Ok(AuditEntry {
            before: json(row.before).map_err(broken)?,
            after: json(row.after).map_err(broken)?,
            id: AuditId::from_text(row.id),
            at: Timestamp::from_micros(row.at),
            actor: row.actor,
            origin: row.origin,
            action: row.action,
            record: row.record,
            record_id: row.record_id,
        })
    }
}

macro_rules! entries {
    ($actor:literal, $record:literal) => {
        concat!(
            "SELECT id, at, actor, origin, action, record, record_id, before, after FROM audit
             WHERE organization_id = $1 AND at >= $2 AND at < $3 AND (at, id) < ($4, $5) AND ",
            $actor,
            " AND ",
            $record,
            " AND ($8 = '' OR action = $8) AND ($9 = '' OR record = $9)
             ORDER BY at DESC, id DESC LIMIT $10"
        )
    };
}

/// Three statements for one question, so that each is answered from its own index.
const OF_ALL: &str = entries!("($6 = '' OR actor = $6)", "($7 = '' OR record_id = $7)");
const OF_ACTOR: &str = entries!("actor = $6", "($7 = '' OR record_id = $7)");
const OF_RECORD: &str = entries!("($6 = '' OR actor = $6)", "record_id = $7");

impl Control {
    /// At most `limit` entries of an organization after a place, the newest first.
    pub async fn audit_after(
        &self,
        organization: &OrganizationId,
        filter: &AuditFilter,
        place: Option<&AuditPlace>,
        limit: usize,
    ) -> Result<Vec<AuditEntry>, ControlError> {
        let text = |wanted: &Option<String>| wanted.as_deref().map(clean).unwrap_or_default();
        let sql = match (&filter.actor, &filter.record_id) {
            (_, Some(_)) => OF_RECORD,
            (Some(_), None) => OF_ACTOR,
            (None, None) => OF_ALL,
        };
        let row = values![
            organization.as_str(),
            filter.from.map_or(i64::MIN, Timestamp::micros),
            filter.to.map_or(i64::MAX, Timestamp::micros),
            place.map_or(i64::MAX, |place| place.0),
            place.map_or("", |place| place.1.as_str()),
            text(&filter.actor),
            text(&filter.record_id),
            text(&filter.action),
            text(&filter.record),
            i64::try_from(limit).unwrap_or(i64::MAX)
        ];
        let rows: Vec<EntryRow> = self.db().all(sql, row).await?;
        rows.into_iter().map(AuditEntry::try_from).collect()
    }
}
