use std::time::Duration;

use control::{Control, ControlError, Reserved, Unique};
use schemas::OrganizationId;

use super::{Backend, raw, register};

const NAME: Unique = Unique::CustomerName;

async fn started(backend: &Backend<'_>) -> (Control, OrganizationId) {
    let control = backend.open().await;
    let organization = register(&control, "ada@example.com").await.organization.id;
    (control, organization)
}

fn is_taken<T>(result: &Result<T, ControlError>) -> bool {
    matches!(result, Err(ControlError::Conflict { field: "name" }))
}

fn values(reserved: &[Reserved]) -> Vec<(&str, bool)> {
    let mut values: Vec<_> = reserved
        .iter()
        .map(|reserved| (reserved.value.as_str(), reserved.confirmed_at.is_some()))
        .collect();
    values.sort_unstable();
    values
}

pub(crate) async fn a_name_has_one_holder_whatever_its_spelling(backend: Backend<'_>) {
    let (control, organization) = started(&backend).await;
    let first = control
        .reserve(&organization, NAME, "  Köln \t MEDIA ", "c-1")
        .await
        .unwrap();
    assert_eq!(
        (first.value.as_str(), first.confirmed_at),
        ("köln media", None)
    );
    for spelling in ["Köln Media", "KÖLN  media"] {
        let again = control.reserve(&organization, NAME, spelling, "c-1").await;
        assert_eq!(again.unwrap().value, first.value, "its own is free to it");
        let other = control.reserve(&organization, NAME, spelling, "c-2").await;
        assert!(is_taken(&other), "{other:?}");
    }
    let theirs = register(&control, "grace@example.com")
        .await
        .organization
        .id;
    let elsewhere = control.reserve(&theirs, NAME, "Köln Media", "c-2").await;
    assert!(
        elsewhere.is_ok(),
        "another organization has names of its own"
    );
    for _ in 0..2 {
        control
            .confirm(&organization, NAME, "Köln Media", "c-1")
            .await
            .unwrap();
    }
    let held = control.reserved(&organization, NAME, "KÖLN MEDIA").await;
    let held = held.unwrap().unwrap();
    assert_eq!(held.holder, "c-1");
    assert!(held.confirmed_at.is_some());
    control.undo(&held).await.unwrap();
    let again = control
        .reserve(&organization, NAME, "Köln Media", "c-1")
        .await;
    assert_eq!(again.unwrap(), held, "what is confirmed stays so");

    // Only its holder gives it up.
    for (holder, free) in [("c-2", false), ("c-1", true)] {
        control
            .release(&organization, NAME, "KÖLN media", holder)
            .await
            .unwrap();
        let held = control.reserved(&organization, NAME, "Köln Media").await;
        assert_eq!(held.unwrap().is_none(), free, "{holder}");
    }
    assert!(
        control
            .reserve(&organization, NAME, "Köln Media", "c-2")
            .await
            .is_ok()
    );

    // A fact that counts has its name, reserved or not.
    let confirmed = control
        .confirm(&organization, NAME, "Köln Media", "c-1")
        .await;
    assert!(is_taken(&confirmed), "{confirmed:?}");
    control
        .confirm(&organization, NAME, "Bonn Media", "c-1")
        .await
        .unwrap();
    assert!(is_taken(
        &control
            .reserve(&organization, NAME, "bonn media", "c-2")
            .await
    ));
}

pub(crate) async fn of_many_who_want_a_name_one_gets_it(backend: Backend<'_>) {
    let url = (backend.fresh)();
    // Two handles with pools of their own stand for two processes.
    let (one, two) = (
        Control::open(&url).await.unwrap(),
        Control::open(&url).await.unwrap(),
    );
    let organization = register(&one, "ada@example.com").await.organization.id;
    let tasks: Vec<_> = (0..30)
        .map(|number| {
            let control = if number % 2 == 0 { &one } else { &two }.clone();
            let organization = organization.clone();
            tokio::spawn(async move {
                let holder = format!("c-{number}");
                let won = control.reserve(&organization, NAME, "Ada", &holder).await;
                (holder, won)
            })
        })
        .collect();
    let mut winners = Vec::new();
    for task in tasks {
        match task.await.unwrap() {
            (holder, Ok(reserved)) => {
                assert_eq!(reserved.holder, holder);
                winners.push(holder);
            }
            (_, lost) => assert!(is_taken(&lost), "{lost:?}"),
        }
    }
    let stored = raw::texts(&url, "SELECT holder FROM reservations").await;
    assert_eq!((winners.len(), stored), (1, winners));
}

pub(crate) async fn a_rename_keeps_the_old_name_until_it_counts(backend: Backend<'_>) {
    let (control, organization) = started(&backend).await;
    let replace = |value: &'static str| control.replace(&organization, NAME, "c-1", value);
    let held = || async {
        let held = control.reserved_by(&organization, NAME, "c-1").await;
        held.unwrap()
    };
    control
        .reserve(&organization, NAME, "Ada", "c-1")
        .await
        .unwrap();
    control
        .confirm(&organization, NAME, "Ada", "c-1")
        .await
        .unwrap();
    control
        .reserve(&organization, NAME, "Grace", "c-2")
        .await
        .unwrap();
    assert!(is_taken(&replace("grace").await));
    assert_eq!(values(&held().await), [("ada", true)]);

    let pending = replace("Lovelace").await.unwrap();
    assert_eq!(values(&held().await), [("ada", true), ("lovelace", false)]);
    for name in ["Ada", "Lovelace"] {
        let refused = control.reserve(&organization, NAME, name, "c-2").await;
        assert!(is_taken(&refused), "{name}: {refused:?}");
    }
    let second = replace("Byron").await;
    assert!(matches!(second, Err(ControlError::Rule(_))), "{second:?}");
    control.undo(&pending).await.unwrap();
    assert_eq!(values(&held().await), [("ada", true)]);

    replace("Byron").await.unwrap();
    control
        .confirm(&organization, NAME, "Byron", "c-1")
        .await
        .unwrap();
    assert_eq!(values(&held().await), [("byron", true)]);
    assert!(
        control
            .reserve(&organization, NAME, "Ada", "c-2")
            .await
            .is_ok()
    );

    // Another spelling of its own name takes nothing and gives nothing back.
    let same = replace("BYRON").await.unwrap();
    control.undo(&same).await.unwrap();
    control
        .confirm(&organization, NAME, "BYRON", "c-1")
        .await
        .unwrap();
    assert_eq!(values(&held().await), [("byron", true)]);

    // Of renames at once, one is under way.
    let tasks: Vec<_> = (0..10)
        .map(|number| {
            let (control, organization) = (control.clone(), organization.clone());
            let name = format!("Name {number}");
            tokio::spawn(async move { control.replace(&organization, NAME, "c-9", &name).await })
        })
        .collect();
    let mut under_way = 0;
    for task in tasks {
        match task.await.unwrap() {
            Ok(_) => under_way += 1,
            Err(ControlError::Rule(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(under_way, 1);
}

pub(crate) async fn what_was_abandoned_is_found_and_taken_over(backend: Backend<'_>) {
    let (control, clock) = backend.open_with_clock().await;
    let organization = register(&control, "ada@example.com").await.organization.id;
    let age = Duration::from_secs(60);
    let old = |after: Option<Reserved>, limit| {
        let control = control.clone();
        async move {
            let found = control.unconfirmed(NAME, age, after.as_ref(), limit).await;
            found.unwrap()
        }
    };
    for number in 0..5 {
        let (name, holder) = (format!("name {number}"), format!("c-{number}"));
        control
            .reserve(&organization, NAME, &name, &holder)
            .await
            .unwrap();
    }
    control
        .confirm(&organization, NAME, "name 4", "c-4")
        .await
        .unwrap();
    clock.forward(59);
    assert!(old(None, 10).await.is_empty());
    clock.forward(1);
    let all = old(None, 10).await;
    assert_eq!(all.len(), 4, "the confirmed one is not among them");
    let (first, rest) = (old(None, 1).await, old(Some(all[0].clone()), 10).await);
    assert_eq!([first, rest].concat(), all, "pages have everything once");

    // Whoever asks again is alive.
    control
        .reserve(&organization, NAME, "name 0", "c-0")
        .await
        .unwrap();
    let stale = control.take_over(&all[0], "c-9").await;
    assert!(is_taken(&stale), "{stale:?}");
    control.undo(&all[0]).await.unwrap();
    let alive = control.reserved(&organization, NAME, "name 0").await;
    assert_eq!(alive.unwrap().unwrap().holder, "c-0");

    // A fact that came after all.
    control
        .confirm(&organization, NAME, "name 1", "c-1")
        .await
        .unwrap();
    assert!(is_taken(&control.take_over(&all[1], "c-9").await));

    // Abandoned: one of those who see it gets it.
    let tasks: Vec<_> = (0..10)
        .map(|number| {
            let (control, seen) = (control.clone(), all[2].clone());
            tokio::spawn(async move { control.take_over(&seen, &format!("n-{number}")).await })
        })
        .collect();
    let mut winners = Vec::new();
    for task in tasks {
        match task.await.unwrap() {
            Ok(reserved) => winners.push(reserved.holder),
            lost => assert!(is_taken(&lost), "{lost:?}"),
        }
    }
    let held = control.reserved(&organization, NAME, "name 2").await;
    assert_eq!(winners, [held.unwrap().unwrap().holder]);
    let late = control.confirm(&organization, NAME, "name 2", "c-2").await;
    assert!(is_taken(&late), "the one who was slow is told: {late:?}");

    control.undo(&all[3]).await.unwrap();
    let free = control.take_over(&all[3], "c-9").await;
    assert_eq!(
        free.unwrap().holder,
        "c-9",
        "what is free by now is reserved"
    );
    assert!(old(None, 10).await.is_empty());
}

pub(crate) async fn what_cannot_be_a_name_is_refused(backend: Backend<'_>) {
    let (control, organization) = started(&backend).await;
    let long = "x".repeat(501);
    for (field, name, holder) in [
        ("name", " \t", "c-1"),
        ("name", "a\0b", "c-1"),
        ("name", &long, "c-1"),
        ("id", "Ada", ""),
        ("id", "Ada", "c\0"),
        ("id", "Ada", &long),
    ] {
        match control.reserve(&organization, NAME, name, holder).await {
            Err(ControlError::Invalid(error)) => assert_eq!(error.field, field),
            other => panic!("{other:?}"),
        }
    }
    // The longest there is, in the widest letters, fits into the index.
    let wide = "𐐀".repeat(500);
    let holder = "𐐀".repeat(500);
    let kept = control
        .reserve(&organization, NAME, &wide, &holder)
        .await
        .unwrap();
    assert_eq!(kept.value, "𐐨".repeat(500));
    let nowhere = OrganizationId::from_text("org_x");
    let refused = [
        control
            .reserve(&nowhere, NAME, "Ada", "c-1")
            .await
            .map(drop),
        control
            .replace(&nowhere, NAME, "c-1", "Ada")
            .await
            .map(drop),
        control.confirm(&nowhere, NAME, "Ada", "c-1").await,
    ];
    for refused in refused {
        let what = "organization";
        assert!(
            matches!(refused, Err(ControlError::NotFound { what: found }) if found == what),
            "{refused:?}"
        );
    }
}
