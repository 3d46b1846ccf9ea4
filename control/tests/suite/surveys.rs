use control::{ControlError, NewSurvey, Question, QuestionKind, SurveyChange};
use schemas::SurveyId;
use serde_json::json;

use super::audit::entries;
use super::{Backend, register};

fn question(id: &str, kind: QuestionKind, options: &[&str]) -> Question {
    Question {
        id: id.into(),
        text: " How was it? ".into(),
        kind,
        options: options.iter().map(|text| (*text).to_owned()).collect(),
        required: false,
    }
}

fn new(questions: Vec<Question>) -> NewSurvey {
    NewSurvey {
        title: " After the visit ".into(),
        description: None,
        is_active: true,
        questions,
    }
}

fn ids(questions: &[Question]) -> Vec<&str> {
    questions
        .iter()
        .map(|question| question.id.as_str())
        .collect()
}

pub(crate) async fn surveys_are_made_changed_and_removed(backend: Backend<'_>) {
    let control = backend.open().await;
    let organization = register(&control, "ada@example.com").await.organization.id;
    let other = register(&control, "grace@example.com")
        .await
        .organization
        .id;
    let asked = vec![
        question("", QuestionKind::Rating, &[]),
        question("q1", QuestionKind::MultiChoice, &[" price ", "service"]),
        question("", QuestionKind::Text, &[]),
        question("again", QuestionKind::YesNo, &[]),
    ];
    let made = control
        .create_survey(&organization, new(asked))
        .await
        .unwrap();
    assert!(made.id.as_str().starts_with("sur_"));
    assert_eq!(
        (made.title.as_str(), made.created_by.as_str()),
        ("After the visit", "system")
    );
    assert_eq!(ids(&made.questions), ["q2", "q1", "q3", "again"]);
    assert_eq!(made.questions[1].options, ["price", "service"]);
    assert_eq!(made.questions[1].text, "How was it?");
    assert_eq!(control.survey(&organization, &made.id).await.unwrap(), made);
    let shown = serde_json::to_value(&made.questions[1]).unwrap();
    assert_eq!(shown["kind"], "multi_choice");
    let read: Question = serde_json::from_value(json!({"text": "Why?", "kind": "text"})).unwrap();
    assert_eq!((read.id.as_str(), read.required), ("", false));

    // Who gets another's place does not get its answers.
    let change = SurveyChange {
        questions: Some(vec![made.questions[3].clone(), read]),
        is_active: Some(false),
        description: Some(Some("Short".into())),
        title: None,
    };
    let changed = control
        .update_survey(&organization, &made.id, change)
        .await
        .unwrap();
    assert_eq!(ids(&changed.questions), ["again", "q4"]);
    assert!(!changed.is_active && changed.description.as_deref() == Some("Short"));
    assert_eq!(
        control.survey(&organization, &made.id).await.unwrap(),
        changed
    );
    let nothing = control.update_survey(&organization, &made.id, SurveyChange::default());
    assert_eq!(nothing.await.unwrap(), changed);

    // Pages in the order they were made.
    let mut all = vec![made.id.clone()];
    for _ in 0..4 {
        all.push(
            control
                .create_survey(&organization, new(Vec::new()))
                .await
                .unwrap()
                .id,
        );
    }
    let mut paged: Vec<SurveyId> = Vec::new();
    loop {
        let page = control
            .surveys_after(&organization, paged.last(), 2)
            .await
            .unwrap();
        if page.is_empty() {
            break;
        }
        paged.extend(page.into_iter().map(|survey| survey.id));
    }
    assert_eq!(paged, all);
    assert!(
        control
            .surveys_after(&other, None, 10)
            .await
            .unwrap()
            .is_empty()
    );

    let answered = control.delete_survey(&organization, &made.id, true).await;
    assert!(
        matches!(answered, Err(ControlError::Rule(_))),
        "{answered:?}"
    );
    for (organization, id) in [
        (&other, &made.id),
        (&organization, &SurveyId::from_text("sur_x")),
    ] {
        for refused in [
            control.survey(organization, id).await.map(drop),
            control.delete_survey(organization, id, false).await,
            control
                .update_survey(organization, id, SurveyChange::default())
                .await
                .map(drop),
        ] {
            let what = "survey";
            assert!(
                matches!(refused, Err(ControlError::NotFound { what: found }) if found == what),
                "{refused:?}"
            );
        }
    }
    control
        .delete_survey(&organization, &made.id, false)
        .await
        .unwrap();
    assert!(control.survey(&organization, &made.id).await.is_err());

    let entries = entries(&control, &organization).await;
    let of: Vec<_> = entries
        .iter()
        .filter(|entry| entry.record_id == made.id.as_str())
        .collect();
    let actions: Vec<&str> = of.iter().map(|entry| entry.action.as_str()).collect();
    assert_eq!(actions, ["created", "updated", "deleted"]);
    assert_eq!(of[1].after.as_ref().unwrap()["questions"][1]["id"], "q4");
    assert!(of[1].after.as_ref().unwrap().get("title").is_none());
}

pub(crate) async fn bad_questions_name_their_field(backend: Backend<'_>) {
    let control = backend.open().await;
    let organization = register(&control, "ada@example.com").await.organization.id;
    let rating = || question("", QuestionKind::Rating, &[]);
    let (long, many) = ("x".repeat(201), (0..51).map(|number| number.to_string()));
    let many: Vec<String> = many.collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let text = |text: &str| Question {
        text: text.into(),
        ..rating()
    };
    let cases = [
        ("questions", vec![rating(); 101]),
        ("questions[1].text", vec![rating(), text(" \n")]),
        ("questions[0].text", vec![text(&"x".repeat(501))]),
        ("questions[0].text", vec![text("a\0b")]),
        (
            "questions[0].id",
            vec![question("a b", QuestionKind::Text, &[])],
        ),
        (
            "questions[0].id",
            vec![question(&"x".repeat(65), QuestionKind::Text, &[])],
        ),
        (
            "questions[2].id",
            vec![
                question("a", QuestionKind::Text, &[]),
                rating(),
                question("a", QuestionKind::Rating, &[]),
            ],
        ),
        (
            "questions[0].options",
            vec![question("", QuestionKind::Choice, &[])],
        ),
        (
            "questions[0].options",
            vec![question("", QuestionKind::Choice, &many)],
        ),
        (
            "questions[0].options",
            vec![question("", QuestionKind::YesNo, &["yes"])],
        ),
        (
            "questions[0].options[1]",
            vec![question("", QuestionKind::Choice, &["yes", " yes "])],
        ),
        (
            "questions[1].options[0]",
            vec![rating(), question("", QuestionKind::MultiChoice, &[""])],
        ),
        (
            "questions[0].options[0]",
            vec![question("", QuestionKind::Choice, &[&long])],
        ),
    ];
    let kept = control
        .create_survey(&organization, new(vec![rating(); 100]))
        .await
        .unwrap();
    for (field, questions) in cases {
        let change = SurveyChange {
            questions: Some(questions.clone()),
            ..SurveyChange::default()
        };
        for refused in [
            control.create_survey(&organization, new(questions)).await,
            control.update_survey(&organization, &kept.id, change).await,
        ] {
            match refused {
                Err(ControlError::Invalid(error)) => assert_eq!(error.field, field),
                other => panic!("{field}: {other:?}"),
            }
        }
    }
    let untitled = NewSurvey {
        title: " ".into(),
        ..new(Vec::new())
    };
    let untitled = control.create_survey(&organization, untitled).await;
    assert!(matches!(untitled, Err(ControlError::Invalid(error)) if error.field == "title"));
    assert_eq!(
        control
            .surveys_after(&organization, None, 10)
            .await
            .unwrap(),
        [kept]
    );
}
