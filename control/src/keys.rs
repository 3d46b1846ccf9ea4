//! API keys: made, listed, replaced and revoked by the organization they belong to.

use schemas::{Code, KeyId, OrganizationId};
use uuid::Uuid;

use crate::control::Control;
use crate::db::{Transaction, values};
use crate::edit::Note;
use crate::error::ControlError;
use crate::key_model::{CreatedKey, KeyChange, KeyInfo, KeyRow, NewKey, column};
use crate::quota::Quota;
use crate::token::{self, TokenHash, TokenKind};
use crate::validate;

macro_rules! keys {
    ($rest:literal) => {
        concat!(
            "SELECT id, name, hint, scopes, created_at, expires_at, rotated_at, revoked_at, last_used_at,
                events_per_second, burst, events_per_day, quota_given
             FROM api_keys WHERE organization_id = $1 ",
            $rest
        )
    };
}

impl Control {
    /// Makes a key for the organization. Errors: `Invalid` names the field, `NotFound` the organization.
    pub async fn create_key(
        &self,
        organization: &OrganizationId,
        new: NewKey,
    ) -> Result<CreatedKey, ControlError> {
        let name = validate::name("name", &new.name)?;
        let created_at = self.now();
        if new.scopes.is_empty() {
            return Err(ControlError::invalid(
                "scopes",
                Code::Required,
                "give at least one of ingest, read, write, admin",
            ));
        }
        if new.expires_at.is_some_and(|end| end <= created_at) {
            return Err(ControlError::invalid(
                "expires_at",
                Code::OutOfRange,
                "give a time in the future",
            ));
        }
        new.quota.check()?;
        let key = token::generate(TokenKind::Key);
        let created = CreatedKey {
            id: KeyId::from_uuid(Uuid::now_v7()),
            hint: token::hint(&key),
            name,
            scopes: new.scopes,
            created_at,
            expires_at: new.expires_at,
            quota: new.quota,
            key,
        };
        let sql = "INSERT INTO api_keys (id, organization_id, name, secret_hash, hint, scopes, created_at, expires_at,
                       events_per_second, burst, events_per_day)
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
        let row = values![
            created.id.as_str(),
            organization.as_str(),
            created.name.as_str(),
            TokenHash::of(&created.key).to_hex(),
            created.hint.as_str(),
            created.scopes.to_text(),
            created_at,
            created.expires_at,
            column(new.quota.events_per_second),
            column(new.quota.burst),
            column(new.quota.events_per_day)
        ];
        let mut edit = self.edit(organization).await?;
        edit.transaction.execute(sql, row).await?;
        let note = Note::created("key", created.id.as_str(), &created.info());
        edit.finish([note]).await?;
        Ok(created)
    }

    /// The organization's keys in the order they were made, revoked ones included.
    pub async fn list_keys(
        &self,
        organization: &OrganizationId,
    ) -> Result<Vec<KeyInfo>, ControlError> {
        let rows: Vec<KeyRow> = self
            .db()
            .all(
                keys!("ORDER BY created_at, id"),
                values![organization.as_str()],
            )
            .await?;
        rows.into_iter().map(KeyInfo::try_from).collect()
    }

    /// Changes a key of the organization, or of any where none is named: at once in this process, within 5 s in every
    /// other. Who names none runs the installation: the quota that is set so is for others to keep to.
    ///
    /// # Errors
    /// `Forbidden` where the organization changes a quota that it was given.
    pub async fn update_key(
        &self,
        organization: Option<&OrganizationId>,
        id: &KeyId,
        change: KeyChange,
    ) -> Result<KeyInfo, ControlError> {
        let name = change.name.map(|name| validate::name("name", &name));
        let name = name.transpose()?;
        let sets_quota = [
            change.events_per_second,
            change.burst,
            change.events_per_day,
        ];
        let sets_quota = sets_quota.iter().any(Option::is_some);
        let not_found = ControlError::NotFound { what: "key" };
        let owner = match organization {
            Some(organization) => organization.clone(),
            None => self.owner_of(id).await?,
        };
        let mut edit = self.edit(&owner).await?;
        let found = find(&mut edit.transaction, &owner, id).await?;
        let found = found.filter(|found| found.revoked_at.is_none());
        let found = found.ok_or(not_found)?;
        let given = found.quota_given != 0;
        if organization.is_some() && sets_quota && given {
            return Err(ControlError::Forbidden(
                "who runs the installation has set what this key may send, ask for another quota",
            ));
        }
        let given = given || (organization.is_none() && sets_quota);
        let before = KeyInfo::try_from(found)?;
        let quota = Quota {
            events_per_second: change
                .events_per_second
                .unwrap_or(before.quota.events_per_second),
            burst: change.burst.unwrap_or(before.quota.burst),
            events_per_day: change.events_per_day.unwrap_or(before.quota.events_per_day),
        };
        quota.check()?;
        let after = KeyInfo {
            name: name.unwrap_or_else(|| before.name.clone()),
            quota,
            ..before.clone()
        };
        let sql = "UPDATE api_keys SET name = $3, events_per_second = $4, burst = $5, events_per_day = $6, quota_given = $7
                   WHERE organization_id = $1 AND id = $2";
        let row = values![
            owner.as_str(),
            id.as_str(),
            after.name.as_str(),
            column(quota.events_per_second),
            column(quota.burst),
            column(quota.events_per_day),
            i64::from(given)
        ];
        edit.transaction.execute(sql, row).await?;
        edit.finish(Note::changed(
            "updated",
            "key",
            id.as_str(),
            &before,
            &after,
        ))
        .await?;
        self.forget_cached();
        Ok(after)
    }

    /// Whose key it is.
    async fn owner_of(&self, id: &KeyId) -> Result<OrganizationId, ControlError> {
        let sql = "SELECT organization_id FROM api_keys WHERE id = $1";
        let found: Option<(String,)> = self.db().one(sql, values![id.as_str()]).await?;
        let (owner,) = found.ok_or(ControlError::NotFound { what: "key" })?;
        Ok(OrganizationId::from_text(owner))
    }

    /// Ends a key of the organization: at once in this process, within 5 s in every other. Again is no error.
    pub async fn revoke_key(
        &self,
        organization: &OrganizationId,
        id: &KeyId,
    ) -> Result<(), ControlError> {
        let mut edit = self.edit(organization).await?;
        let found = find(&mut edit.transaction, organization, id).await?;
        let found = found.ok_or(ControlError::NotFound { what: "key" })?;
        let before = KeyInfo::try_from(found)?;
        let revoked_at = before.revoked_at.unwrap_or_else(|| self.now());
        let after = KeyInfo {
            revoked_at: Some(revoked_at),
            ..before.clone()
        };
        let sql = "UPDATE api_keys SET revoked_at = $3 WHERE organization_id = $1 AND id = $2";
        let row = values![organization.as_str(), id.as_str(), revoked_at];
        edit.transaction.execute(sql, row).await?;
        edit.finish(Note::changed(
            "revoked",
            "key",
            id.as_str(),
            &before,
            &after,
        ))
        .await?;
        self.forget_cached();
        Ok(())
    }

    /// Gives a key that is not revoked a new secret; name, scopes and expiry stay, the old secret ends as a revoked key does.
    pub async fn rotate_key(
        &self,
        organization: &OrganizationId,
        id: &KeyId,
    ) -> Result<CreatedKey, ControlError> {
        let mut edit = self.edit(organization).await?;
        let found = find(&mut edit.transaction, organization, id).await?;
        let found = found.filter(|found| found.revoked_at.is_none());
        let found = found.ok_or(ControlError::NotFound { what: "key" })?;
        let before = KeyInfo::try_from(found)?;
        let key = token::generate(TokenKind::Key);
        let rotated_at = self.now();
        let after = KeyInfo {
            hint: token::hint(&key),
            rotated_at: Some(rotated_at),
            ..before.clone()
        };
        let sql = "UPDATE api_keys SET secret_hash = $3, hint = $4, rotated_at = $5 WHERE organization_id = $1 AND id = $2";
        let row = values![
            organization.as_str(),
            id.as_str(),
            TokenHash::of(&key).to_hex(),
            after.hint.as_str(),
            rotated_at
        ];
        edit.transaction.execute(sql, row).await?;
        edit.finish(Note::changed(
            "rotated",
            "key",
            id.as_str(),
            &before,
            &after,
        ))
        .await?;
        self.forget_cached();
        Ok(CreatedKey {
            id: after.id,
            key,
            name: after.name,
            scopes: after.scopes,
            hint: after.hint,
            created_at: after.created_at,
            expires_at: after.expires_at,
            quota: after.quota,
        })
    }
}

async fn find(
    transaction: &mut Transaction,
    organization: &OrganizationId,
    id: &KeyId,
) -> Result<Option<KeyRow>, ControlError> {
    let row = values![organization.as_str(), id.as_str()];
    let found: Vec<KeyRow> = transaction.all(keys!("AND id = $2"), row).await?;
    Ok(found.into_iter().next())
}
