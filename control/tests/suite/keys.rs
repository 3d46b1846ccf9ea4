use std::time::{Duration, Instant};

use control::{
    AuthError, Authenticator, Control, ControlError, KeyChange, MissingScope, NewKey, Quota, Role,
    Scope, Scopes,
};
use schemas::{KeyId, OrganizationId};

use super::{Backend, raw, register};

pub(crate) fn key(scopes: impl Into<Scopes>) -> NewKey {
    NewKey {
        name: "shop".into(),
        scopes: scopes.into(),
        expires_at: None,
        quota: Quota::default(),
    }
}

pub(crate) async fn a_key_is_shown_once_and_kept_as_a_hash(backend: Backend<'_>) {
    let url = (backend.fresh)();
    let control = Control::open(&url).await.unwrap();
    let account = register(&control, "ada@example.com").await;
    let made = control
        .create_key(&account.organization.id, key([Scope::Ingest]))
        .await
        .unwrap();
    assert!(
        made.key.starts_with("mr_live_")
            && made.key.len() > 40
            && made.id.as_str().starts_with("key_")
    );
    assert!(
        !format!("{made:?} {account:?}").contains(&made.key),
        "secrets stay out of logs"
    );

    let listed = control.list_keys(&account.organization.id).await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(
        (&listed[0].id, listed[0].name.as_str(), listed[0].scopes),
        (&made.id, "shop", made.scopes)
    );
    assert!(listed[0].hint.ends_with(&made.key[made.key.len() - 4..]) && listed[0].hint.len() < 20);
    assert!(!serde_json::to_string(&listed).unwrap().contains(&made.key));

    let keys = "SELECT id || name || secret_hash || hint || scopes FROM api_keys";
    let sessions = "SELECT token_hash || user_id FROM sessions";
    let users = "SELECT name || email || password_hash FROM users";
    let mut stored = raw::texts(&url, keys).await;
    assert!(stored[0].contains(&control::TokenHash::of(&made.key).to_hex()));
    stored.extend(raw::texts(&url, sessions).await);
    stored.extend(raw::texts(&url, users).await);
    assert_eq!(stored.len(), 3);
    for text in &stored {
        for secret in [&made.key[8..], &account.token[8..], "correct horse"] {
            assert!(!text.contains(secret), "a secret is stored as it is");
        }
    }
    assert!(stored[2].contains("$argon2id$"));
    if let Some(file) = url.strip_prefix("sqlite:") {
        control.close().await;
        let mut bytes = std::fs::read(file).unwrap();
        bytes.extend(std::fs::read(format!("{file}-wal")).unwrap_or_default());
        let holds = |text: &str| {
            bytes
                .windows(text.len())
                .any(|window| window == text.as_bytes())
        };
        assert!(holds(made.id.as_str()) && !holds(&made.key[8..]) && !holds(&account.token[8..]));
        let mode = std::os::unix::fs::PermissionsExt::mode(
            &std::fs::metadata(file).unwrap().permissions(),
        );
        assert_eq!(mode & 0o077, 0, "only its owner may read the file");
    }
}

pub(crate) async fn scopes_are_what_was_given(backend: Backend<'_>) {
    let control = backend.open().await;
    let account = register(&control, "ada@example.com").await;
    let other = register(&control, "grace@example.com").await;
    let authenticator = Authenticator::new(control.clone());
    let reader = control
        .create_key(&account.organization.id, key([Scope::Read, Scope::Ingest]))
        .await
        .unwrap();
    let principal = authenticator.authenticate(&reader.key).await.unwrap();
    assert_eq!(
        (&principal.organization, &principal.key),
        (&account.organization.id, &Some(reader.id))
    );
    assert_eq!(
        (principal.role, &principal.user, principal.operator),
        (Role::None, &None, false)
    );
    assert_eq!(
        (
            principal.require(Scope::Read),
            principal.require(Scope::Ingest)
        ),
        (Ok(()), Ok(()))
    );
    assert_eq!(
        principal.require(Scope::Admin),
        Err(MissingScope(Scope::Admin))
    );
    assert_eq!(principal.require_any([Scope::Write, Scope::Read]), Ok(()));
    assert_eq!(
        principal.require_any([Scope::Write, Scope::Admin]),
        Err(MissingScope(Scope::Write))
    );

    let admin = control
        .create_key(&account.organization.id, key([Scope::Admin]))
        .await
        .unwrap();
    assert!(
        authenticator
            .authenticate(&admin.key)
            .await
            .unwrap()
            .operator
    );
    let foreign = control
        .create_key(&other.organization.id, key(Scopes::ALL))
        .await
        .unwrap();
    assert!(
        !authenticator
            .authenticate(&foreign.key)
            .await
            .unwrap()
            .operator,
        "not the first organization"
    );
}

pub(crate) async fn another_organization_cannot_touch_a_key(backend: Backend<'_>) {
    let control = backend.open().await;
    let mine = register(&control, "ada@example.com").await.organization.id;
    let theirs = register(&control, "grace@example.com")
        .await
        .organization
        .id;
    let made = control.create_key(&mine, key([Scope::Read])).await.unwrap();
    for refused in [
        control.revoke_key(&theirs, &made.id).await,
        control.rotate_key(&theirs, &made.id).await.map(drop),
    ] {
        assert!(
            matches!(refused, Err(ControlError::NotFound { what: "key" })),
            "{refused:?}"
        );
    }
    assert!(control.list_keys(&theirs).await.unwrap().is_empty());
    assert!(
        Authenticator::new(control.clone())
            .authenticate(&made.key)
            .await
            .is_ok()
    );
    control.revoke_key(&mine, &made.id).await.unwrap();
    let revoked_at = control.list_keys(&mine).await.unwrap()[0].revoked_at;
    assert!(revoked_at.is_some());
    control.revoke_key(&mine, &made.id).await.unwrap();
    assert_eq!(
        control.list_keys(&mine).await.unwrap()[0].revoked_at,
        revoked_at,
        "the first time counts"
    );
    assert!(
        control
            .revoke_key(&mine, &KeyId::from_text("key_x"))
            .await
            .is_err()
    );
}

pub(crate) async fn keys_expire(backend: Backend<'_>) {
    let (control, clock) = backend.open_with_clock().await;
    let organization = register(&control, "ada@example.com").await.organization.id;
    let end = clock.now().plus_micros(60_000_000);
    let made = control
        .create_key(
            &organization,
            NewKey {
                expires_at: Some(end),
                ..key([Scope::Read])
            },
        )
        .await
        .unwrap();
    clock.forward(59);
    let principal = Authenticator::new(control.clone())
        .authenticate(&made.key)
        .await
        .unwrap();
    assert_eq!(principal.expires_at, Some(end));
    clock.forward(1);
    assert_eq!(
        Authenticator::new(control.clone())
            .authenticate(&made.key)
            .await,
        Err(AuthError::Unknown)
    );
    let late = control
        .create_key(
            &organization,
            NewKey {
                expires_at: Some(end),
                ..key([Scope::Read])
            },
        )
        .await;
    assert!(matches!(late, Err(ControlError::Invalid(error)) if error.field == "expires_at"));
}

pub(crate) async fn a_rotated_key_has_a_new_secret_and_the_old_one_is_dead(backend: Backend<'_>) {
    let control = backend.open().await;
    let organization = register(&control, "ada@example.com").await.organization.id;
    let authenticator = Authenticator::new(control.clone());
    let old = control
        .create_key(&organization, key([Scope::Write]))
        .await
        .unwrap();
    assert!(authenticator.authenticate(&old.key).await.is_ok());
    let new = control.rotate_key(&organization, &old.id).await.unwrap();
    assert_eq!(
        (&new.id, &new.name, new.scopes),
        (&old.id, &old.name, old.scopes)
    );
    assert_ne!(new.key, old.key);
    assert_eq!(
        authenticator.authenticate(&old.key).await,
        Err(AuthError::Unknown)
    );
    assert_eq!(
        authenticator.authenticate(&new.key).await.unwrap().key,
        Some(old.id.clone())
    );
    let listed = control.list_keys(&organization).await.unwrap();
    assert!(listed.len() == 1 && listed[0].rotated_at.is_some() && listed[0].hint == new.hint);
    control.revoke_key(&organization, &old.id).await.unwrap();
    let again = control.rotate_key(&organization, &old.id).await;
    assert!(
        matches!(again, Err(ControlError::NotFound { .. })),
        "a revoked key stays dead"
    );
}

pub(crate) async fn bad_keys_name_their_field(backend: Backend<'_>) {
    let control = backend.open().await;
    let organization = register(&control, "ada@example.com").await.organization.id;
    let nameless = NewKey {
        name: "".into(),
        ..key([Scope::Read])
    };
    for (field, new) in [("name", nameless), ("scopes", key(Scopes::NONE))] {
        let refused = control.create_key(&organization, new).await;
        assert!(
            matches!(&refused, Err(ControlError::Invalid(error)) if error.field == field),
            "{refused:?}"
        );
    }
    let nowhere = control
        .create_key(&OrganizationId::from_text("org_x"), key([Scope::Read]))
        .await;
    assert!(matches!(
        nowhere,
        Err(ControlError::NotFound {
            what: "organization"
        })
    ));
}

pub(crate) async fn a_quota_is_kept_and_changed(backend: Backend<'_>) {
    let control = backend.open().await;
    let mine = register(&control, "ada@example.com").await.organization.id;
    let theirs = register(&control, "grace@example.com")
        .await
        .organization
        .id;
    let authenticator = Authenticator::new(control.clone());
    let quota = Quota {
        events_per_second: Some(50),
        burst: None,
        events_per_day: Some(1_000),
    };
    let new = NewKey {
        quota,
        ..key([Scope::Ingest])
    };
    let made = control.create_key(&mine, new).await.unwrap();
    assert_eq!(made.quota, quota);
    assert_eq!(control.list_keys(&mine).await.unwrap()[0].quota, quota);
    let seen = authenticator.authenticate(&made.key).await.unwrap();
    assert_eq!(seen.quota, quota);

    let change = KeyChange {
        events_per_second: Some(None),
        burst: Some(Some(7)),
        ..KeyChange::default()
    };
    let changed = control
        .update_key(Some(&mine), &made.id, change.clone())
        .await
        .unwrap();
    let expected = Quota {
        events_per_second: None,
        burst: Some(7),
        events_per_day: Some(1_000),
    };
    assert_eq!(
        (changed.quota, changed.name.as_str()),
        (expected, "shop"),
        "what is absent stays"
    );
    let seen = authenticator.authenticate(&made.key).await.unwrap();
    assert_eq!(seen.quota, expected, "at once in this process");
    let rename = KeyChange {
        name: Some(" till ".into()),
        ..KeyChange::default()
    };
    let renamed = control.update_key(None, &made.id, rename).await.unwrap();
    assert_eq!((renamed.quota, renamed.name.as_str()), (expected, "till"));

    // A quota that was given is not for the organization to change; another name is.
    let given = control.update_key(None, &made.id, change.clone()).await;
    assert_eq!(given.unwrap().quota, expected);
    let refused = control
        .update_key(Some(&mine), &made.id, change.clone())
        .await;
    assert!(matches!(refused, Err(ControlError::Forbidden(_))));
    let rename = KeyChange {
        name: Some("shop".into()),
        ..KeyChange::default()
    };
    let renamed = control.update_key(Some(&mine), &made.id, rename).await;
    assert_eq!(renamed.unwrap().quota, expected);

    let foreign = control
        .update_key(Some(&theirs), &made.id, change.clone())
        .await;
    assert!(matches!(
        foreign,
        Err(ControlError::NotFound { what: "key" })
    ));
    let huge = KeyChange {
        events_per_day: Some(Some(u64::MAX)),
        ..KeyChange::default()
    };
    let huge = control.update_key(None, &made.id, huge).await;
    assert!(matches!(huge, Err(ControlError::Invalid(error)) if error.field == "events_per_day"));
    control.revoke_key(&mine, &made.id).await.unwrap();
    let dead = control.update_key(Some(&mine), &made.id, change).await;
    assert!(matches!(dead, Err(ControlError::NotFound { what: "key" })));
}

pub(crate) async fn a_days_quota_is_given_out_once(backend: Backend<'_>) {
    let url = (backend.fresh)();
    let (one, other) = (
        Control::open(&url).await.unwrap(),
        Control::open(&url).await.unwrap(),
    );
    let first = one.take_quota("key_1", 20_000, 30, 100).await.unwrap();
    assert_eq!((first.given, first.left), (30, 70));
    let second = other.take_quota("key_1", 20_000, 90, 100).await.unwrap();
    assert_eq!(
        (second.given, second.left),
        (70, 0),
        "no more than there is"
    );
    let third = one.take_quota("key_1", 20_000, 1, 100).await.unwrap();
    assert_eq!((third.given, third.left), (0, 0));
    other.give_quota_back("key_1", 20_000, 10).await.unwrap();
    let fourth = one.take_quota("key_1", 20_000, 50, 100).await.unwrap();
    assert_eq!((fourth.given, fourth.left), (10, 0));
    for (subject, day) in [("key_1", 20_001), ("key_2", 20_000)] {
        let fresh = one.take_quota(subject, day, 5, 100).await.unwrap();
        assert_eq!((fresh.given, fresh.left), (5, 95), "{subject} on day {day}");
    }
    let lowered = one.take_quota("key_2", 20_000, 5, 3).await.unwrap();
    assert_eq!((lowered.given, lowered.left), (0, 0));

    // Many processes at once get exactly the quota between them.
    let begun = Instant::now();
    let taking = (0..40).map(|number| {
        let control = if number % 2 == 0 { &one } else { &other };
        async move {
            loop {
                match control.take_quota("key_3", 20_000, 7, 200).await {
                    // Who waits too long for a turn is told so, and has been given nothing.
                    Err(error)
                        if error.is_retryable() && begun.elapsed() < Duration::from_secs(60) =>
                    {
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                    piece => return piece.unwrap().given,
                }
            }
        }
    });
    let given: u64 = futures::future::join_all(taking).await.into_iter().sum();
    assert_eq!(given, 200);

    // Counts of long ago go when a new day begins.
    one.take_quota("key_1", 20_100, 5, 100).await.unwrap();
    let days = "SELECT CAST(day AS TEXT) FROM quota_use WHERE subject = 'key_1'";
    assert_eq!(raw::texts(&url, days).await, ["20100"]);
}
