//! Questions of surveys: what they may be.

use std::collections::HashSet;

use schemas::{Code, FieldError};
use serde::{Deserialize, Serialize};

use crate::error::ControlError;
use crate::validate;

const MAX_QUESTIONS: usize = 100;
const MAX_TEXT: usize = 500;
const MAX_ID: usize = 64;
const MAX_OPTIONS: usize = 50;
const MAX_OPTION: usize = 200;

/// How a question is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QuestionKind {
    /// With a number from 1 to 5.
    Rating,
    /// With a text.
    Text,
    /// With one of the options.
    Choice,
    /// With any of the options.
    MultiChoice,
    /// With yes or no.
    YesNo,
}

/// A question of a survey.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// What answers name it by: 1 to 64 letters, digits, `_` and `-`, its own in the survey. Empty to be given one.
    #[serde(default)]
    pub id: String,
    /// 1 to 500 characters.
    pub text: String,
    /// How it is answered.
    pub kind: QuestionKind,
    /// Of a choice, 1 to 50 different ones of 1 to 200 characters each; of others none.
    #[serde(default)]
    pub options: Vec<String>,
    /// Whether a response must answer it.
    #[serde(default)]
    pub required: bool,
}

pub(crate) fn from_json(text: &str) -> Result<Vec<Question>, ControlError> {
    serde_json::from_str(text)
        .map_err(|error| ControlError::Corrupt(format!("questions of a survey: {error}")))
}

pub(crate) fn to_json(questions: &[Question]) -> Result<String, ControlError> {
    serde_json::to_string(questions).map_err(|error| ControlError::Corrupt(error.to_string()))
}

/// Questions as they are stored. Those without an id get one that none of the `earlier` had: its answers are not theirs.
pub(crate) fn checked(
    questions: Vec<Question>,
    earlier: &[Question],
) -> Result<Vec<Question>, ControlError> {
    if questions.len() > MAX_QUESTIONS {
        let error = FieldError::new(
            "questions",
            Code::InvalidLength,
            "ask at most 100 questions",
        );
        return Err(error.into());
    }
    let mut ids = HashSet::new();
    let mut checked = Vec::with_capacity(questions.len());
    for (at, question) in questions.into_iter().enumerate() {
        let within = |error: FieldError| error.within(&format!("questions[{at}]"));
        let question = one(question).map_err(within)?;
        if !question.id.is_empty() && !ids.insert(question.id.clone()) {
            let error =
                FieldError::new("id", Code::Conflict, "give each question an id of its own");
            return Err(within(error).into());
        }
        checked.push(question);
    }
    ids.extend(earlier.iter().map(|question| question.id.clone()));
    let mut free = (1..).map(|number| format!("q{number}"));
    for question in checked.iter_mut().filter(|question| question.id.is_empty()) {
        question.id = free.find(|id| !ids.contains(id)).unwrap_or_default();
    }
    Ok(checked)
}

fn one(question: Question) -> Result<Question, FieldError> {
    let named = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-');
    if question.id.len() > MAX_ID || !question.id.chars().all(named) {
        let detail = "use at most 64 letters, digits, _ and -";
        return Err(FieldError::new("id", Code::InvalidFormat, detail));
    }
    let text = validate::line("text", &question.text, MAX_TEXT)?;
    let chosen = matches!(
        question.kind,
        QuestionKind::Choice | QuestionKind::MultiChoice
    );
    let refuse = |code, detail: &'static str| Err(FieldError::new("options", code, detail));
    match (chosen, question.options.len()) {
        (true, 0) => return refuse(Code::Required, "give the options to choose from"),
        (true, 1..=MAX_OPTIONS) | (false, 0) => {}
        (true, _) => return refuse(Code::InvalidLength, "give at most 50 options"),
        (false, _) => {
            return refuse(
                Code::Conflict,
                "give options to the kinds choice and multi_choice only",
            );
        }
    }
    let mut options: Vec<String> = Vec::with_capacity(question.options.len());
    for (at, option) in question.options.iter().enumerate() {
        let field = format!("options[{at}]");
        let option = validate::line(&field, option, MAX_OPTION)?;
        if options.contains(&option) {
            let detail = "give each option once";
            return Err(FieldError::new(field, Code::Conflict, detail));
        }
        options.push(option);
    }
    Ok(Question {
        text,
        options,
        ..question
    })
}
