//! Surveys: the questions. Responses are facts of the log.

use schemas::{OrganizationId, SurveyId, Timestamp};
use serde::Serialize;
use uuid::Uuid;

use crate::control::Control;
use crate::db::values;
use crate::edit::Note;
use crate::error::ControlError;
use crate::questions::{self, Question};
use crate::validate;

const MAX_DESCRIPTION: usize = 2_000;

/// A survey.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Survey {
    /// `sur_…`.
    pub id: SurveyId,
    /// For people.
    pub title: String,
    /// For people.
    pub description: Option<String>,
    /// Whether it is to be answered.
    pub is_active: bool,
    /// In the order in which they are asked.
    pub questions: Vec<Question>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When anything of it last changed.
    pub updated_at: Timestamp,
    /// Who made it, as the audit names them.
    pub created_by: String,
}

/// A survey to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSurvey {
    /// 1 to 200 characters.
    pub title: String,
    /// At most 2,000 characters.
    pub description: Option<String>,
    /// Whether it is to be answered.
    pub is_active: bool,
    /// At most 100.
    pub questions: Vec<Question>,
}

/// What is to change of a survey; what is absent stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SurveyChange {
    /// 1 to 200 characters.
    pub title: Option<String>,
    /// Another description, or none.
    pub description: Option<Option<String>>,
    /// Whether it is to be answered.
    pub is_active: Option<bool>,
    /// All questions anew; one that keeps its id keeps its answers.
    pub questions: Option<Vec<Question>>,
}

#[derive(sqlx::FromRow)]
struct SurveyRow {
    id: String,
    title: String,
    description: Option<String>,
    is_active: i64,
    questions: String,
    created_at: i64,
    updated_at: i64,
    created_by: String,
}

impl TryFrom<SurveyRow> for Survey {
    type Error = ControlError;

    fn try_from(row: SurveyRow) -> Result<Self, Self::Error> {
        Ok(Survey {
            questions: questions::from_json(&row.questions)?,
            id: SurveyId::from_text(row.id),
            title: row.title,
            description: row.description,
            is_active: row.is_active != 0,
            created_at: Timestamp::from_micros(row.created_at),
            updated_at: Timestamp::from_micros(row.updated_at),
            created_by: row.created_by,
        })
    }
}

macro_rules! surveys {
    ($rest:literal) => {
        concat!(
            "SELECT id, title, description, is_active, questions, created_at, updated_at, created_by FROM surveys ",
            $rest
        )
    };
}

const ONE: &str = surveys!("WHERE organization_id = $1 AND id = $2");
const NOT_FOUND: ControlError = ControlError::NotFound { what: "survey" };

fn check_description(text: Option<&str>) -> Result<Option<String>, ControlError> {
    let text = text.unwrap_or_default();
    Ok(validate::prose("description", text, MAX_DESCRIPTION)?)
}

impl Control {
    /// Makes a survey. Questions without an id get one.
    ///
    /// # Errors
    /// `Invalid` names the field, for example `questions[2].options`.
    pub async fn create_survey(
        &self,
        organization: &OrganizationId,
        new: NewSurvey,
    ) -> Result<Survey, ControlError> {
        let created_at = self.now();
        let survey = Survey {
            id: SurveyId::from_uuid(Uuid::now_v7()),
            title: validate::name("title", &new.title)?,
            description: check_description(new.description.as_deref())?,
            is_active: new.is_active,
            questions: questions::checked(new.questions, &[])?,
            created_at,
            updated_at: created_at,
            created_by: self.actor().name.clone(),
        };
        let mut edit = self.edit(organization).await?;
        let sql =
            "INSERT INTO surveys (id, organization_id, title, description, is_active, questions, created_at, updated_at,
                       created_by)
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $7, $8)";
        let row = values![
            survey.id.as_str(),
            organization.as_str(),
            survey.title.as_str(),
            survey.description.as_deref(),
            i64::from(survey.is_active),
            questions::to_json(&survey.questions)?,
            created_at,
            survey.created_by.as_str()
        ];
        edit.transaction.execute(sql, row).await?;
        let note = Note::created("survey", survey.id.as_str(), &survey);
        edit.finish([note]).await?;
        Ok(survey)
    }

    /// Changes a survey.
    ///
    /// # Errors
    /// As for making one.
    pub async fn update_survey(
        &self,
        organization: &OrganizationId,
        id: &SurveyId,
        change: SurveyChange,
    ) -> Result<Survey, ControlError> {
        let title = change.title.map(|title| validate::name("title", &title));
        let title = title.transpose()?;
        let description = change
            .description
            .map(|text| check_description(text.as_deref()));
        let description = description.transpose()?;
        let mut edit = self.edit(organization).await?;
        let row = values![organization.as_str(), id.as_str()];
        let found: Vec<SurveyRow> = edit.transaction.all(ONE, row).await?;
        let before = Survey::try_from(found.into_iter().next().ok_or(NOT_FOUND)?)?;
        let mut after = before.clone();
        after.title = title.unwrap_or(after.title);
        after.description = description.unwrap_or(after.description);
        after.is_active = change.is_active.unwrap_or(after.is_active);
        if let Some(new) = change.questions {
            after.questions = questions::checked(new, &before.questions)?;
        }
        if after == before {
            return Ok(before);
        }
        after.updated_at = self.now();
        let sql = "UPDATE surveys SET title = $3, description = $4, is_active = $5, questions = $6, updated_at = $7
                   WHERE organization_id = $1 AND id = $2";
        let row = values![
            organization.as_str(),
            id.as_str(),
            after.title.as_str(),
            after.description.as_deref(),
            i64::from(after.is_active),
            questions::to_json(&after.questions)?,
            after.updated_at
        ];
        edit.transaction.execute(sql, row).await?;
        edit.finish(Note::changed(
            "updated",
            "survey",
            id.as_str(),
            &before,
            &after,
        ))
        .await?;
        Ok(after)
    }

    /// Removes a survey. Whether it has responses, the caller knows from the warehouse.
    ///
    /// # Errors
    /// `Rule` where it has.
    pub async fn delete_survey(
        &self,
        organization: &OrganizationId,
        id: &SurveyId,
        has_responses: bool,
    ) -> Result<(), ControlError> {
        let mut edit = self.edit(organization).await?;
        let row = || values![organization.as_str(), id.as_str()];
        let found: Vec<SurveyRow> = edit.transaction.all(ONE, row()).await?;
        let before = Survey::try_from(found.into_iter().next().ok_or(NOT_FOUND)?)?;
        if has_responses {
            return Err(ControlError::Rule(
                "the survey has responses, which would lose their questions, deactivate it instead",
            ));
        }
        let sql = "DELETE FROM surveys WHERE organization_id = $1 AND id = $2";
        edit.transaction.execute(sql, row()).await?;
        edit.finish([Note::deleted("survey", id.as_str(), &before)])
            .await?;
        Ok(())
    }

    /// A survey of an organization.
    pub async fn survey(
        &self,
        organization: &OrganizationId,
        id: &SurveyId,
    ) -> Result<Survey, ControlError> {
        let row = values![organization.as_str(), id.as_str()];
        let row: Option<SurveyRow> = self.db().one(ONE, row).await?;
        row.ok_or(NOT_FOUND)?.try_into()
    }

    /// At most `limit` surveys of an organization after one of them, in the order they were made.
    pub async fn surveys_after(
        &self,
        organization: &OrganizationId,
        after: Option<&SurveyId>,
        limit: usize,
    ) -> Result<Vec<Survey>, ControlError> {
        let sql = surveys!("WHERE organization_id = $1 AND id > $2 ORDER BY id LIMIT $3");
        let row = values![
            organization.as_str(),
            after.map_or("", SurveyId::as_str),
            i64::try_from(limit).unwrap_or(i64::MAX)
        ];
        let rows: Vec<SurveyRow> = self.db().all(sql, row).await?;
        rows.into_iter().map(Survey::try_from).collect()
    }
}
