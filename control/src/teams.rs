//! Teams of an organization's staff.

use schemas::{Code, OrganizationId, TeamId, Timestamp};
use serde::Serialize;
use uuid::Uuid;

use crate::control::Control;
use crate::db::{Transaction, values};
use crate::edit::Note;
use crate::error::ControlError;
use crate::model::Team;
use crate::validate;

#[derive(sqlx::FromRow)]
struct TeamRow {
    id: String,
    name: String,
    created_at: i64,
}

impl From<TeamRow> for Team {
    fn from(row: TeamRow) -> Self {
        Team {
            id: TeamId::from_text(row.id),
            name: row.name,
            created_at: Timestamp::from_micros(row.created_at),
        }
    }
}

/// What the audit keeps of a team that is gone.
#[derive(Serialize)]
struct Deleted {
    #[serde(flatten)]
    team: Team,
    /// Who was in it until then.
    members: Vec<String>,
}

/// Two spellings of one name are one name.
fn name_key(name: &str) -> String {
    name.to_lowercase()
}

impl Control {
    /// Makes a team.
    ///
    /// # Errors
    /// `Conflict` where another one has that name.
    pub async fn create_team(
        &self,
        organization: &OrganizationId,
        name: &str,
    ) -> Result<Team, ControlError> {
        let team = Team {
            id: TeamId::from_uuid(Uuid::now_v7()),
            name: validate::name("name", name)?,
            created_at: self.now(),
        };
        let sql = "INSERT INTO teams (id, organization_id, name, name_key, created_at) VALUES ($1, $2, $3, $4, $5)";
        let row = values![
            team.id.as_str(),
            organization.as_str(),
            team.name.as_str(),
            name_key(&team.name),
            team.created_at
        ];
        let mut edit = self.edit(organization).await?;
        let made = edit.transaction.execute(sql, row).await;
        made.map_err(|error| ControlError::or_conflict(error, "name"))?;
        edit.finish([Note::created("team", team.id.as_str(), &team)])
            .await?;
        Ok(team)
    }

    /// Gives a team another name.
    pub async fn rename_team(
        &self,
        organization: &OrganizationId,
        id: &TeamId,
        name: &str,
    ) -> Result<Team, ControlError> {
        let name = validate::name("name", name)?;
        let mut edit = self.edit(organization).await?;
        let before = find(&mut edit.transaction, organization, id).await?;
        let before = before.ok_or(ControlError::NotFound { what: "team" })?;
        let after = Team {
            name,
            ..before.clone()
        };
        let sql =
            "UPDATE teams SET name = $3, name_key = $4 WHERE organization_id = $1 AND id = $2";
        let row = values![
            organization.as_str(),
            id.as_str(),
            after.name.as_str(),
            name_key(&after.name)
        ];
        let changed = edit.transaction.execute(sql, row).await;
        changed.map_err(|error| ControlError::or_conflict(error, "name"))?;
        edit.finish(Note::changed(
            "updated",
            "team",
            id.as_str(),
            &before,
            &after,
        ))
        .await?;
        Ok(after)
    }

    /// Removes a team; its members are in none then.
    pub async fn delete_team(
        &self,
        organization: &OrganizationId,
        id: &TeamId,
    ) -> Result<(), ControlError> {
        let row = || values![organization.as_str(), id.as_str()];
        let mut edit = self.edit(organization).await?;
        let transaction = &mut edit.transaction;
        let team = find(transaction, organization, id).await?;
        let team = team.ok_or(ControlError::NotFound { what: "team" })?;
        let sql = "SELECT id FROM users WHERE organization_id = $1 AND team_id = $2 ORDER BY id";
        let members: Vec<(String,)> = transaction.all(sql, row()).await?;
        let sql = "UPDATE users SET team_id = NULL WHERE organization_id = $1 AND team_id = $2";
        transaction.execute(sql, row()).await?;
        let sql = "DELETE FROM teams WHERE organization_id = $1 AND id = $2";
        transaction.execute(sql, row()).await?;
        let deleted = Deleted {
            team,
            members: members.into_iter().map(|(id,)| id).collect(),
        };
        let note = Note::deleted("team", id.as_str(), &deleted);
        let committed = edit.finish([note]).await;
        committed.map_err(|error| ControlError::or_conflict(error, "team_id"))?;
        Ok(())
    }

    /// A team of an organization.
    pub async fn team(
        &self,
        organization: &OrganizationId,
        id: &TeamId,
    ) -> Result<Team, ControlError> {
        let row = values![organization.as_str(), id.as_str()];
        let row: Option<TeamRow> = self.db().one(ONE, row).await?;
        row.map(Team::from)
            .ok_or(ControlError::NotFound { what: "team" })
    }

    /// At most `limit` teams of an organization after one of them, in the order they were made.
    pub async fn teams_after(
        &self,
        organization: &OrganizationId,
        after: Option<&TeamId>,
        limit: usize,
    ) -> Result<Vec<Team>, ControlError> {
        let sql = "SELECT id, name, created_at FROM teams WHERE organization_id = $1 AND id > $2 ORDER BY id LIMIT $3";
        let row = values![
            organization.as_str(),
            after.map_or("", TeamId::as_str),
            i64::try_from(limit).unwrap_or(i64::MAX)
        ];
        let rows: Vec<TeamRow> = self.db().all(sql, row).await?;
        Ok(rows.into_iter().map(Team::from).collect())
    }
}

const ONE: &str = "SELECT id, name, created_at FROM teams WHERE organization_id = $1 AND id = $2";

async fn find(
    transaction: &mut Transaction,
    organization: &OrganizationId,
    id: &TeamId,
) -> Result<Option<Team>, ControlError> {
    // PostgreSQL refuses NUL in text, and no team has it in its id.
    let id = id.as_str().replace('\0', " ");
    let found: Vec<TeamRow> = transaction
        .all(ONE, values![organization.as_str(), id])
        .await?;
    Ok(found.into_iter().next().map(Team::from))
}

/// A team that is named must be one of the organization's.
pub(crate) async fn check_team(
    transaction: &mut Transaction,
    organization: &OrganizationId,
    team: Option<&TeamId>,
) -> Result<(), ControlError> {
    let Some(team) = team else { return Ok(()) };
    match find(transaction, organization, team).await? {
        Some(_) => Ok(()),
        None => Err(ControlError::invalid(
            "team_id",
            Code::InvalidValue,
            "name a team of this organization, or none",
        )),
    }
}
