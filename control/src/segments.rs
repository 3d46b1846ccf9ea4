//! Definitions of segments. What criteria mean is not this crate's business: here they are JSON.

use schemas::{Code, OrganizationId, SegmentId, Timestamp};
use serde::{Serialize, Serializer};
use serde_json::Value as Json;
use uuid::Uuid;

use crate::control::Control;
use crate::db::{Transaction, values};
use crate::edit::Note;
use crate::error::ControlError;
use crate::validate;

/// Every event is checked against each of them.
const MAX_ACTIVE: i64 = 200;
const MAX_DESCRIPTION: usize = 2_000;
const MAX_CRITERIA_BYTES: usize = 64 << 10;

/// The definition of a segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Segment {
    /// `seg_…`.
    pub id: SegmentId,
    /// Unique in the organization, whatever its case.
    pub name: String,
    /// For people.
    pub description: Option<String>,
    /// JSON, as it was given; serialised as the JSON that it is.
    #[serde(serialize_with = "as_json")]
    pub criteria: String,
    /// Whether customers enter and leave it.
    pub is_active: bool,
    /// From 1, and one more whenever `criteria` or `is_active` change.
    pub version: i64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When anything of it last changed.
    pub updated_at: Timestamp,
    /// Who made it, as the audit names them.
    pub created_by: String,
}

/// A segment to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSegment {
    /// 1 to 200 characters.
    pub name: String,
    /// At most 2,000 characters.
    pub description: Option<String>,
    /// JSON of at most 64 KiB, and not null.
    pub criteria: String,
    /// At most 200 segments of an organization are active.
    pub is_active: bool,
}

/// What is to change of a segment; what is absent stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SegmentChange {
    /// 1 to 200 characters.
    pub name: Option<String>,
    /// Another description, or none.
    pub description: Option<Option<String>>,
    /// JSON of at most 64 KiB, and not null.
    pub criteria: Option<String>,
    /// Whether customers enter and leave it.
    pub is_active: Option<bool>,
}

fn as_json<S: Serializer>(criteria: &str, serializer: S) -> Result<S::Ok, S::Error> {
    let parsed: Result<Json, _> = serde_json::from_str(criteria);
    parsed
        .map_err(serde::ser::Error::custom)?
        .serialize(serializer)
}

#[derive(sqlx::FromRow)]
struct SegmentRow {
    id: String,
    name: String,
    description: Option<String>,
    criteria: String,
    is_active: i64,
    version: i64,
    created_at: i64,
    updated_at: i64,
    created_by: String,
}

impl From<SegmentRow> for Segment {
    fn from(row: SegmentRow) -> Self {
        Segment {
            id: SegmentId::from_text(row.id),
            name: row.name,
            description: row.description,
            criteria: row.criteria,
            is_active: row.is_active != 0,
            version: row.version,
            created_at: Timestamp::from_micros(row.created_at),
            updated_at: Timestamp::from_micros(row.updated_at),
            created_by: row.created_by,
        }
    }
}

macro_rules! segments {
    ($rest:literal) => {
        concat!(
            "SELECT id, name, description, criteria, is_active, version, created_at, updated_at, created_by FROM segments ",
            $rest
        )
    };
}

const ONE: &str = segments!("WHERE organization_id = $1 AND id = $2");
const NOT_FOUND: ControlError = ControlError::NotFound { what: "segment" };

fn check_criteria(text: &str) -> Result<Json, ControlError> {
    let refuse = |code, detail| Err(ControlError::invalid("criteria", code, detail));
    if text.len() > MAX_CRITERIA_BYTES {
        return refuse(Code::InvalidLength, "use at most 65536 bytes");
    }
    match serde_json::from_str(text) {
        Ok(Json::Null) => refuse(Code::Required, "say who belongs to the segment"),
        Ok(criteria) => Ok(criteria),
        Err(_) => refuse(Code::Malformed, "write JSON"),
    }
}

fn check_description(text: Option<&str>) -> Result<Option<String>, ControlError> {
    let text = text.unwrap_or_default();
    Ok(validate::prose("description", text, MAX_DESCRIPTION)?)
}

/// Called after the change, in its transaction.
async fn check_count(
    transaction: &mut Transaction,
    organization: &OrganizationId,
) -> Result<(), ControlError> {
    let sql = "SELECT COUNT(*) FROM segments WHERE organization_id = $1 AND is_active = 1";
    let found: Vec<(i64,)> = transaction.all(sql, values![organization.as_str()]).await?;
    match found.first() {
        Some((active,)) if *active > MAX_ACTIVE => Err(ControlError::Rule(
            "200 segments are active and more cannot be, deactivate one first",
        )),
        _ => Ok(()),
    }
}

impl Control {
    /// Makes a segment.
    ///
    /// # Errors
    /// `Invalid` names the field, `Conflict` where another one has that name, `Rule` where 200 are active.
    pub async fn create_segment(
        &self,
        organization: &OrganizationId,
        new: NewSegment,
    ) -> Result<Segment, ControlError> {
        check_criteria(&new.criteria)?;
        let created_at = self.now();
        let segment = Segment {
            id: SegmentId::from_uuid(Uuid::now_v7()),
            name: validate::name("name", &new.name)?,
            description: check_description(new.description.as_deref())?,
            criteria: new.criteria,
            is_active: new.is_active,
            version: 1,
            created_at,
            updated_at: created_at,
            created_by: self.actor().name.clone(),
        };
        let mut edit = self.edit(organization).await?;
        let sql = "INSERT INTO segments (id, organization_id, name, name_key, description, criteria, is_active, version,
                       created_at, updated_at, created_by)
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9, $10)";
        let row = values![
            segment.id.as_str(),
            organization.as_str(),
            segment.name.as_str(),
            validate::folded(&segment.name),
            segment.description.as_deref(),
            segment.criteria.as_str(),
            i64::from(segment.is_active),
            segment.version,
            created_at,
            segment.created_by.as_str()
        ];
        let made = edit.transaction.execute(sql, row).await;
        made.map_err(|error| ControlError::or_conflict(error, "name"))?;
        if segment.is_active {
            check_count(&mut edit.transaction, organization).await?;
        }
        let note = Note::created("segment", segment.id.as_str(), &segment);
        edit.finish([note]).await?;
        Ok(segment)
    }

    /// Changes a segment; only from the `expected` version where one is given.
    ///
    /// # Errors
    /// `Stale` where it has another version, and as for making one.
    pub async fn update_segment(
        &self,
        organization: &OrganizationId,
        id: &SegmentId,
        expected: Option<i64>,
        change: SegmentChange,
    ) -> Result<Segment, ControlError> {
        let name = change.name.map(|name| validate::name("name", &name));
        let name = name.transpose()?;
        let description = change
            .description
            .map(|text| check_description(text.as_deref()));
        let description = description.transpose()?;
        let criteria = match change.criteria {
            Some(text) => Some((check_criteria(&text)?, text)),
            None => None,
        };
        let mut edit = self.edit(organization).await?;
        let transaction = &mut edit.transaction;
        let row = values![organization.as_str(), id.as_str()];
        let found: Vec<SegmentRow> = transaction.all(ONE, row).await?;
        let before: Segment = found.into_iter().next().ok_or(NOT_FOUND)?.into();
        if expected.is_some_and(|expected| expected != before.version) {
            return Err(ControlError::Stale { what: "segment" });
        }
        let mut after = before.clone();
        after.name = name.unwrap_or(after.name);
        after.description = description.unwrap_or(after.description);
        after.is_active = change.is_active.unwrap_or(after.is_active);
        // Another spelling of the same criteria is no change.
        if let Some((criteria, text)) = criteria
            && serde_json::from_str::<Json>(&before.criteria).ok() != Some(criteria)
        {
            after.criteria = text;
        }
        if after == before {
            return Ok(before);
        }
        if (&after.criteria, after.is_active) != (&before.criteria, before.is_active) {
            after.version += 1;
        }
        after.updated_at = self.now();
        let sql = "UPDATE segments SET name = $3, name_key = $4, description = $5, criteria = $6, is_active = $7,
                       version = $8, updated_at = $9
                   WHERE organization_id = $1 AND id = $2";
        let row = values![
            organization.as_str(),
            id.as_str(),
            after.name.as_str(),
            validate::folded(&after.name),
            after.description.as_deref(),
            after.criteria.as_str(),
            i64::from(after.is_active),
            after.version,
            after.updated_at
        ];
        let changed = transaction.execute(sql, row).await;
        changed.map_err(|error| ControlError::or_conflict(error, "name"))?;
        if after.is_active && !before.is_active {
            check_count(transaction, organization).await?;
        }
        edit.finish(Note::changed(
            "updated",
            "segment",
            id.as_str(),
            &before,
            &after,
        ))
        .await?;
        Ok(after)
    }

    /// Removes a segment's definition. Others whose criteria name it are not looked at.
    pub async fn delete_segment(
        &self,
        organization: &OrganizationId,
        id: &SegmentId,
    ) -> Result<(), ControlError> {
        let mut edit = self.edit(organization).await?;
        let row = || values![organization.as_str(), id.as_str()];
        let found: Vec<SegmentRow> = edit.transaction.all(ONE, row()).await?;
        let before: Segment = found.into_iter().next().ok_or(NOT_FOUND)?.into();
        let sql = "DELETE FROM segments WHERE organization_id = $1 AND id = $2";
        edit.transaction.execute(sql, row()).await?;
        edit.finish([Note::deleted("segment", id.as_str(), &before)])
            .await?;
        Ok(())
    }

    /// A segment of an organization.
    pub async fn segment(
        &self,
        organization: &OrganizationId,
        id: &SegmentId,
    ) -> Result<Segment, ControlError> {
        let row = values![organization.as_str(), id.as_str()];
        let row: Option<SegmentRow> = self.db().one(ONE, row).await?;
        row.map(Segment::from).ok_or(NOT_FOUND)
    }

    /// At most `limit` segments of an organization after one of them, in the order they were made.
    pub async fn segments_after(
        &self,
        organization: &OrganizationId,
        after: Option<&SegmentId>,
        limit: usize,
    ) -> Result<Vec<Segment>, ControlError> {
        let sql = segments!("WHERE organization_id = $1 AND id > $2 ORDER BY id LIMIT $3");
        let row = values![
            organization.as_str(),
            after.map_or("", SegmentId::as_str),
            i64::try_from(limit).unwrap_or(i64::MAX)
        ];
        let rows: Vec<SegmentRow> = self.db().all(sql, row).await?;
        Ok(rows.into_iter().map(Segment::from).collect())
    }
}
