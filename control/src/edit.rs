//! Changes of what belongs to one organization. They end by saying what was changed, and both are one transaction: there
//! is no change without its entry in the audit.

use std::sync::Arc;

use schemas::{OrganizationId, Timestamp};
use serde::Serialize;
use serde_json::{Map, Value as Json};

use crate::audit::{Actor, Entry};
use crate::control::Control;
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

/// What the audit is to say about a change.
#[derive(Debug)]
pub(crate) struct Note {
    action: &'static str,
    record: &'static str,
    id: String,
    before: Option<Json>,
    after: Option<Json>,
}

fn json(value: &impl Serialize) -> Json {
    // Plain data with string keys always serialises.
    serde_json::to_value(value).unwrap_or_default()
}

impl Note {
    /// Something that is there since then.
    pub(crate) fn created(record: &'static str, id: &str, after: &impl Serialize) -> Self {
        Self {
            after: Some(json(after)),
            ..Self::done("created", record, id)
        }
    }

    /// Something that is gone since then.
    pub(crate) fn deleted(record: &'static str, id: &str, before: &impl Serialize) -> Self {
        Self {
            before: Some(json(before)),
            ..Self::done("deleted", record, id)
        }
    }

    /// Something that is different since then. Only what differs is noted; nothing where nothing does.
    pub(crate) fn changed<T: Serialize>(
        action: &'static str,
        record: &'static str,
        id: &str,
        before: &T,
        after: &T,
    ) -> Option<Self> {
        let (before, after) = difference(json(before), json(after))?;
        Some(Self {
            before: Some(before),
            after: Some(after),
            ..Self::done(action, record, id)
        })
    }

    /// Something that was done, and has no content or none that may be kept.
    pub(crate) fn done(action: &'static str, record: &'static str, id: &str) -> Self {
        Self {
            action,
            record,
            id: id.to_owned(),
            before: None,
            after: None,
        }
    }
}

/// What differs between two values; of objects, the fields that do.
fn difference(before: Json, after: Json) -> Option<(Json, Json)> {
    if before == after {
        return None;
    }
    let (Json::Object(before), Json::Object(after)) = (&before, &after) else {
        return Some((before, after));
    };
    let only = |these: &Map<String, Json>, those: &Map<String, Json>| {
        let differ = these
            .iter()
            .filter(|(name, value)| those.get(*name) != Some(value));
        Json::Object(
            differ
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect(),
        )
    };
    Some((only(before, after), only(after, before)))
}

/// A change under way. Dropped without [`Edit::finish`], nothing has happened.
#[derive(Debug)]
pub(crate) struct Edit {
    /// What the change is made with.
    pub(crate) transaction: Transaction,
    organization: OrganizationId,
    actor: Arc<Actor>,
    at: Timestamp,
}

impl Edit {
    /// A change in a transaction that nobody else has to wait for.
    pub(crate) fn new(
        transaction: Transaction,
        organization: &OrganizationId,
        actor: Arc<Actor>,
        at: Timestamp,
    ) -> Self {
        Self {
            transaction,
            organization: organization.clone(),
            actor,
            at,
        }
    }

    /// Notes what was done and makes both true.
    pub(crate) async fn finish(
        mut self,
        notes: impl IntoIterator<Item = Note>,
    ) -> Result<(), sqlx::Error> {
        for note in notes {
            let (organization, actor) = (&self.organization, self.actor.clone());
            let entry = Entry::new(
                self.at,
                organization,
                actor,
                note.action,
                note.record,
                &note.id,
            );
            let entry = entry.with(note.before.as_ref(), note.after.as_ref());
            self.transaction.execute(Entry::INSERT, entry.row()).await?;
        }
        self.transaction.commit().await
    }
}

impl Control {
    /// Begins a change of what belongs to an organization; others that begin one wait until it has ended.
    ///
    /// # Errors
    /// `NotFound` where there is no such organization.
    pub(crate) async fn edit(&self, organization: &OrganizationId) -> Result<Edit, ControlError> {
        let mut transaction = self.db().begin().await?;
        transaction.lock(organization).await?;
        // After the wait, so that times rise with the order of changes.
        let at = self.now();
        Ok(Edit::new(transaction, organization, self.actor(), at))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_differs_is_noted() {
        let before = json!({"name": "Ada", "team": null, "role": "sales"});
        let after = json!({"name": "Ada", "team": "team_1", "role": "support"});
        assert_eq!(
            difference(before.clone(), after),
            Some((
                json!({"team": null, "role": "sales"}),
                json!({"team": "team_1", "role": "support"})
            ))
        );
        assert_eq!(difference(before.clone(), before), None);
        let lists = (json!(["a"]), json!(["a", "b"]));
        assert_eq!(difference(lists.0.clone(), lists.1.clone()), Some(lists));
        let gone = difference(json!({"a": 1, "b": 2}), json!({"a": 1}));
        assert_eq!(gone, Some((json!({"b": 2}), json!({}))));
    }
}
