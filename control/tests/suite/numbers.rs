use std::time::Duration;

use control::{Control, ControlError, Numbered};
use schemas::OrganizationId;

use super::{Backend, raw, register};

const QUOTE: Numbered = Numbered::Quote;

async fn started(backend: &Backend<'_>) -> (Control, OrganizationId) {
    let control = backend.open().await;
    let organization = register(&control, "ada@example.com").await.organization.id;
    (control, organization)
}

pub(crate) async fn numbers_begin_at_one_and_are_one_holders(backend: Backend<'_>) {
    let (control, mine) = started(&backend).await;
    let theirs = register(&control, "grace@example.com")
        .await
        .organization
        .id;
    let take = |organization: &OrganizationId, holder: &'static str| {
        let (control, organization) = (control.clone(), organization.clone());
        async move {
            control
                .take_number(&organization, QUOTE, holder)
                .await
                .unwrap()
        }
    };
    assert_eq!(take(&mine, "q-a").await.number, 1);
    let second = take(&mine, "q-b").await;
    assert_eq!(second.number, 2);
    assert_eq!(take(&mine, "q-a").await.number, 1, "the same one again");
    assert_eq!(take(&theirs, "q-a").await.number, 1);

    // The smallest that is free is next.
    let first = take(&mine, "q-a").await;
    control.give_back_number(&first).await.unwrap();
    control.give_back_number(&first).await.unwrap();
    let again = take(&mine, "q-c").await;
    assert_eq!((again.number, take(&mine, "q-d").await.number), (1, 3));
    control.give_back_number(&first).await.unwrap();
    assert_eq!(take(&mine, "q-c").await.number, 1, "it is somebody else's");

    // What is confirmed stays.
    for _ in 0..2 {
        control
            .confirm_number(&mine, QUOTE, 2, "q-b")
            .await
            .unwrap();
    }
    control.give_back_number(&second).await.unwrap();
    let kept = take(&mine, "q-b").await;
    assert!(kept.number == 2 && kept.confirmed_at.is_some());
    let taken = control.confirm_number(&mine, QUOTE, 2, "q-a").await;
    assert!(matches!(
        taken,
        Err(ControlError::Conflict { field: "number" })
    ));
    let unknown = control.confirm_number(&mine, QUOTE, 99, "q-a").await;
    assert!(matches!(
        unknown,
        Err(ControlError::NotFound { what: "number" })
    ));

    // Given back too early: the fact has it as long as nobody else does.
    let early = take(&mine, "q-e").await;
    control.give_back_number(&early).await.unwrap();
    control
        .confirm_number(&mine, QUOTE, early.number, "q-e")
        .await
        .unwrap();
    assert!(take(&mine, "q-e").await.confirmed_at.is_some());

    let nowhere = OrganizationId::from_text("org_x");
    let refused = control.take_number(&nowhere, QUOTE, "q-a").await;
    assert!(matches!(
        refused,
        Err(ControlError::NotFound {
            what: "organization"
        })
    ));
    let nobody = control.take_number(&mine, QUOTE, "").await;
    assert!(matches!(nobody, Err(ControlError::Invalid(_))));
}

pub(crate) async fn many_at_once_leave_no_gap_and_no_double(backend: Backend<'_>) {
    let url = (backend.fresh)();
    let (one, two) = (
        Control::open(&url).await.unwrap(),
        Control::open(&url).await.unwrap(),
    );
    let organization = register(&one, "ada@example.com").await.organization.id;
    // Every fourth gives its number back in the first round and keeps one in the second.
    let takers = |round: usize| {
        let tasks = (0..40).filter(move |taker| round == 0 || taker % 4 == 0);
        let tasks: Vec<_> = tasks
            .map(|taker| {
                let control = if taker % 2 == 0 { &one } else { &two }.clone();
                let organization = organization.clone();
                tokio::spawn(async move {
                    let holder = format!("q-{taker}");
                    let taken = control.take_number(&organization, QUOTE, &holder).await;
                    let taken = taken.unwrap();
                    if round == 0 && taker % 4 == 0 {
                        control.give_back_number(&taken).await.unwrap();
                        return None;
                    }
                    control
                        .confirm_number(&organization, QUOTE, taken.number, &holder)
                        .await
                        .unwrap();
                    Some(taken.number)
                })
            })
            .collect();
        async move {
            let mut confirmed = Vec::new();
            for task in tasks {
                confirmed.extend(task.await.unwrap());
            }
            confirmed
        }
    };
    let mut confirmed = takers(0).await;
    assert_eq!(confirmed.len(), 30);
    confirmed.extend(takers(1).await);
    confirmed.sort_unstable();
    assert_eq!(confirmed, (1..=40).collect::<Vec<i64>>());
    let stored = "SELECT CAST(number AS TEXT) FROM numbers WHERE confirmed_at IS NOT NULL ORDER BY numbers.number";
    let stored = raw::texts(&url, stored).await;
    let confirmed: Vec<String> = confirmed.iter().map(ToString::to_string).collect();
    assert_eq!(stored, confirmed);
}

pub(crate) async fn numbers_that_were_left_are_found(backend: Backend<'_>) {
    let (control, clock) = backend.open_with_clock().await;
    let organization = register(&control, "ada@example.com").await.organization.id;
    let age = Duration::from_secs(60);
    let mut taken = Vec::new();
    for holder in ["q-a", "q-b", "q-c", "q-d"] {
        taken.push(
            control
                .take_number(&organization, QUOTE, holder)
                .await
                .unwrap(),
        );
    }
    control
        .confirm_number(&organization, QUOTE, 2, "q-b")
        .await
        .unwrap();
    control.give_back_number(&taken[2]).await.unwrap();
    let old = control.unconfirmed_numbers(QUOTE, age, None, 10).await;
    assert!(old.unwrap().is_empty());
    clock.forward(60);
    let old = control
        .unconfirmed_numbers(QUOTE, age, None, 10)
        .await
        .unwrap();
    assert_eq!(old, [taken[0].clone(), taken[3].clone()]);
    let next = control
        .unconfirmed_numbers(QUOTE, age, Some(&old[0]), 10)
        .await;
    assert_eq!(next.unwrap(), old[1..]);

    // Whoever asks again is alive.
    control
        .take_number(&organization, QUOTE, "q-a")
        .await
        .unwrap();
    for old in &old {
        control.give_back_number(old).await.unwrap();
    }
    let first = control
        .take_number(&organization, QUOTE, "q-a")
        .await
        .unwrap();
    assert_eq!(first.number, 1);
    let next = control
        .take_number(&organization, QUOTE, "q-e")
        .await
        .unwrap();
    let last = control
        .take_number(&organization, QUOTE, "q-f")
        .await
        .unwrap();
    assert_eq!((next.number, last.number), (3, 4));
}
