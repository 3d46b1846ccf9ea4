use std::collections::HashSet;

use control::{
    Actor, AuditEntry, AuditFilter, Authenticator, Control, ControlError, KeyChange, NewUser,
    Registered, Role, Scope, Setting, UserChange,
};
use schemas::{OrganizationId, Timestamp};
use serde_json::{Value, json};

use super::keys::key;
use super::{Backend, register};

fn actor(name: &str) -> Actor {
    Actor {
        name: name.into(),
        origin: Some("192.0.2.7".into()),
    }
}

/// Everything there is, the oldest first.
pub(crate) async fn entries(control: &Control, organization: &OrganizationId) -> Vec<AuditEntry> {
    let filter = AuditFilter::default();
    let found = control
        .audit_after(organization, &filter, None, 10_000)
        .await;
    let mut found = found.unwrap();
    found.reverse();
    found
}

fn told(entries: &[AuditEntry]) -> Vec<(&str, &str)> {
    let told = entries.iter();
    told.map(|entry| (entry.action.as_str(), entry.record.as_str()))
        .collect()
}

fn user(email: &str) -> NewUser {
    NewUser {
        name: "Grace".into(),
        email: email.into(),
        password: "first secret".into(),
        role: Role::Sales,
        team: None,
    }
}

pub(crate) async fn every_change_is_told(backend: Backend<'_>) {
    let control = backend.open().await;
    let account = register(&control, "ada@example.com").await;
    let (organization, owner) = (&account.organization.id, &account.user.id);
    let principal = Authenticator::new(control.clone())
        .authenticate(&account.token)
        .await
        .unwrap();
    let ada = control.on_behalf_of(actor(owner.as_str()));

    let team = ada.create_team(organization, "North").await.unwrap();
    let made = ada.create_user(organization, Role::Owner, user("grace@example.com"));
    let made = made.await.unwrap();
    let session = control
        .login("grace@example.com", "first secret")
        .await
        .unwrap();
    let change = UserChange {
        role: Some(Role::Support),
        team: Some(Some(team.id.clone())),
        ..UserChange::default()
    };
    let changed = ada.update_user(organization, Role::Owner, &made.id, change);
    changed.await.unwrap();
    let change = UserChange {
        password: Some("second secret".into()),
        active: Some(true),
        ..UserChange::default()
    };
    let changed = ada.update_user(organization, Role::Owner, &made.id, change);
    changed.await.unwrap();
    control
        .login("grace@example.com", "second secret")
        .await
        .unwrap();
    ada.rename_team(organization, &team.id, "South")
        .await
        .unwrap();
    ada.delete_team(organization, &team.id).await.unwrap();
    let key = ada
        .create_key(organization, key([Scope::Read]))
        .await
        .unwrap();
    let change = KeyChange {
        burst: Some(Some(7)),
        ..KeyChange::default()
    };
    ada.update_key(Some(organization), &key.id, change.clone())
        .await
        .unwrap();
    let rotated = ada.rotate_key(organization, &key.id).await.unwrap();
    control.update_key(None, &key.id, change).await.unwrap();
    for _ in 0..2 {
        ada.revoke_key(organization, &key.id).await.unwrap();
    }
    ada.end_sessions_of(organization, Role::Owner, &made.id)
        .await
        .unwrap();
    let own = principal.session.as_ref();
    let (old, new) = ("correct horse".to_owned(), "third secret".to_owned());
    ada.change_password(owner, old, new, own).await.unwrap();
    ada.end_session(owner, own.unwrap()).await.unwrap();
    for setting in [
        Setting::Timezone("Asia/Tokyo".into()),
        Setting::PointsPerUnit(3),
        Setting::PointsPerUnit(3),
    ] {
        ada.set_setting(organization, setting).await.unwrap();
    }

    let entries = entries(&control, organization).await;
    assert_eq!(
        told(&entries),
        [
            ("created", "organization"),
            ("created", "user"),
            ("created", "team"),
            ("created", "user"),
            ("updated", "user"),
            ("password_changed", "user"),
            ("updated", "team"),
            ("deleted", "team"),
            ("created", "key"),
            ("updated", "key"),
            ("rotated", "key"),
            ("revoked", "key"),
            ("sessions_ended", "user"),
            ("password_changed", "user"),
            ("ended", "session"),
            ("updated", "setting"),
            ("updated", "setting"),
        ]
    );
    for (at, entry) in entries.iter().enumerate() {
        assert_eq!(
            entry.actor,
            owner.as_str(),
            "who registers is the first actor"
        );
        let origin = (at > 1).then_some("192.0.2.7");
        assert_eq!(entry.origin.as_deref(), origin);
        assert!(entry.id.as_str().starts_with("aud_"));
        assert!(entry.at >= account.organization.created_at);
    }
    let of = |at: usize| {
        let entry: &AuditEntry = &entries[at];
        let json = |value: &Option<Value>| value.clone().unwrap_or_default();
        (
            entry.record_id.as_str(),
            json(&entry.before),
            json(&entry.after),
        )
    };
    let (id, before, after) = of(3);
    assert_eq!((id, before), (made.id.as_str(), Value::Null));
    assert_eq!(after["email"], "grace@example.com");
    assert_eq!(
        of(4),
        (
            made.id.as_str(),
            json!({"role": "sales", "team": null}),
            json!({"role": "support", "team": team.id})
        )
    );
    assert_eq!(of(5), (made.id.as_str(), Value::Null, Value::Null));
    let (_, before, after) = of(7);
    assert_eq!(
        (&before["name"], &before["members"]),
        (&json!("South"), &json!([made.id]))
    );
    assert_eq!(after, Value::Null);
    let (_, before, after) = of(10);
    assert_eq!(
        (&before["hint"], &after["hint"]),
        (&json!(key.hint), &json!(rotated.hint))
    );
    assert_eq!(of(16), ("points_per_unit", json!(1), json!(3)));

    let text = serde_json::to_string(&entries).unwrap();
    for secret in [
        &key.key[8..],
        &rotated.key[8..],
        &account.token[8..],
        &session.token[8..],
        "secret",
        "correct horse",
        "argon2",
    ] {
        assert!(!text.contains(secret), "{secret} is in the audit");
    }
}

async fn started(backend: &Backend<'_>) -> (Control, Registered) {
    let control = backend.open().await;
    let account = register(&control, "ada@example.com").await;
    (control, account)
}

pub(crate) async fn what_did_not_happen_is_not_told(backend: Backend<'_>) {
    let (control, account) = started(&backend).await;
    let (organization, owner) = (&account.organization.id, &account.user.id);
    let team = control.create_team(organization, "North").await.unwrap();
    let before = entries(&control, organization).await;
    assert_eq!(before.last().unwrap().actor, "system");
    assert_eq!(before.last().unwrap().origin, None);

    assert!(control.create_team(organization, "NORTH").await.is_err());
    let double = control.create_user(organization, Role::Owner, user("ada@example.com"));
    assert!(double.await.is_err());
    let away = UserChange {
        active: Some(false),
        ..UserChange::default()
    };
    assert!(
        control
            .update_user(organization, Role::Owner, owner, away)
            .await
            .is_err()
    );
    let wrong = control.change_password(owner, "wrong".into(), "long enough".into(), None);
    assert!(wrong.await.is_err());
    let unknown = schemas::SessionId::from_text("ses_x");
    assert!(control.end_session(owner, &unknown).await.is_err());
    // Nor is what changes nothing.
    control
        .rename_team(organization, &team.id, "North")
        .await
        .unwrap();
    control
        .update_user(organization, Role::Owner, owner, UserChange::default())
        .await
        .unwrap();
    assert_eq!(entries(&control, organization).await, before);
}

pub(crate) async fn entries_of_changes_at_once_follow_each_other(backend: Backend<'_>) {
    let (control, account) = started(&backend).await;
    let organization = account.organization.id;
    let team = control.create_team(&organization, "0").await.unwrap();
    let tasks: Vec<_> = (1..=20)
        .map(|number| {
            let control = control.on_behalf_of(actor(&number.to_string()));
            let (organization, team) = (organization.clone(), team.id.clone());
            let name = number.to_string();
            tokio::spawn(async move { control.rename_team(&organization, &team, &name).await })
        })
        .collect();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    let entries = entries(&control, &organization).await;
    let renames = &entries[3..];
    assert_eq!(renames.len(), 20);
    let mut name = "0".to_owned();
    for entry in renames {
        assert_eq!(entry.before, Some(json!({"name": name})));
        name.clone_from(&entry.actor);
        assert_eq!(entry.after, Some(json!({"name": name})));
    }
    assert_eq!(
        control.team(&organization, &team.id).await.unwrap().name,
        name
    );
}

pub(crate) async fn the_audit_is_read_in_pages(backend: Backend<'_>) {
    let (control, clock) = backend.open_with_clock().await;
    let organization = register(&control, "ada@example.com").await.organization.id;
    let other = register(&control, "grace@example.com")
        .await
        .organization
        .id;
    // Several at the same time, and some later.
    for number in 0..9 {
        let by = control.on_behalf_of(actor(if number % 3 == 0 { "one" } else { "two" }));
        by.create_team(&organization, &format!("team {number}"))
            .await
            .unwrap();
        if number % 2 == 1 {
            clock.forward(1);
        }
    }
    let mut all = entries(&control, &organization).await;
    all.reverse();
    assert_eq!(all.len(), 11);
    assert!(all.windows(2).all(|pair| pair[0].at >= pair[1].at));
    let filter = AuditFilter::default();
    let (mut paged, mut place) = (Vec::new(), None);
    loop {
        let page = control
            .audit_after(&organization, &filter, place.as_ref(), 3)
            .await;
        let page = page.unwrap();
        let Some(last) = page.last() else { break };
        // A place survives being written into a cursor.
        let written = serde_json::to_string(&last.place()).unwrap();
        place = Some(serde_json::from_str(&written).unwrap());
        paged.extend(page);
        control
            .create_team(&organization, &format!("late {}", paged.len()))
            .await
            .unwrap();
    }
    assert_eq!(paged, all, "what comes meanwhile moves nothing");

    let found = |filter: AuditFilter| {
        let (control, organization) = (control.clone(), organization.clone());
        async move {
            let found = control.audit_after(&organization, &filter, None, 100).await;
            let found = found.unwrap();
            found
                .into_iter()
                .map(|entry| entry.id)
                .collect::<HashSet<_>>()
        }
    };
    let which = |wanted: &dyn Fn(&AuditEntry) -> bool| {
        let wanted = all.iter().filter(|entry| wanted(entry));
        wanted.map(|entry| entry.id.clone()).collect::<HashSet<_>>()
    };
    let text = |text: &str| Some(text.to_owned());
    let by = AuditFilter {
        actor: text("one"),
        ..filter.clone()
    };
    let of = which(&|entry| entry.actor == "one");
    assert_eq!((of.len(), found(by).await), (3, of));
    let (from, to) = (all[7].at, all[2].at);
    let between = AuditFilter {
        from: Some(from),
        to: Some(to),
        record: text("team"),
        action: text("created"),
        ..filter.clone()
    };
    let of = which(&|entry| entry.at >= from && entry.at < to && entry.record == "team");
    assert!((2..9).contains(&of.len()));
    assert_eq!(found(between).await, of);
    for (actor, count) in [(None, 1), (text("nobody"), 0)] {
        let one = AuditFilter {
            actor,
            record_id: Some(all[0].record_id.clone()),
            ..filter.clone()
        };
        assert_eq!(found(one).await.len(), count);
    }
    let later = AuditFilter {
        from: Some(Timestamp::from_micros(i64::MAX)),
        ..filter
    };
    assert!(found(later).await.is_empty());
    assert_eq!(
        entries(&control, &other).await.len(),
        2,
        "an organization sees its own"
    );
}

pub(crate) async fn reads_are_told_even_when_the_database_is_closed_at_once(backend: Backend<'_>) {
    let url = (backend.fresh)();
    let control = Control::open(&url).await.unwrap();
    let organization = register(&control, "ada@example.com").await.organization.id;
    let reader = control.on_behalf_of(actor("usr_1"));
    let long = "é".repeat(10_000);
    // Nothing that is read holds up what is read after it.
    for id in ["c\0", long.as_str()] {
        reader
            .note_read(&organization, "customer", [id])
            .await
            .unwrap();
    }
    let tasks: Vec<_> = (0..20)
        .map(|task| {
            let (reader, organization) = (reader.clone(), organization.clone());
            let ids: Vec<String> = (0..150)
                .map(|number| format!("c-{task}-{number}"))
                .collect();
            tokio::spawn(async move { reader.note_read(&organization, "customer", &ids).await })
        })
        .collect();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    control.close().await;
    let late = reader.note_read(&organization, "customer", ["c-9"]).await;
    assert!(late.unwrap_err().is_retryable());

    let control = Control::open(&url).await.unwrap();
    let reads = AuditFilter {
        action: Some("read".into()),
        record: Some("customer".into()),
        ..AuditFilter::default()
    };
    let found = control
        .audit_after(&organization, &reads, None, 10_000)
        .await;
    let found = found.unwrap();
    let ids: HashSet<&str> = found.iter().map(|entry| entry.record_id.as_str()).collect();
    assert_eq!((found.len(), ids.len()), (3_002, 3_002));
    assert!(ids.contains("c-0-0") && ids.contains("c-19-149"));
    for entry in &found {
        assert_eq!(
            (entry.actor.as_str(), entry.origin.as_deref()),
            ("usr_1", Some("192.0.2.7"))
        );
        assert!(entry.before.is_none() && entry.after.is_none());
    }

    // And without closing, a little later.
    let ids: [&str; 0] = [];
    control
        .note_read(&organization, "customer", ids)
        .await
        .unwrap();
    control
        .note_read(&organization, "interaction", ["i-1"])
        .await
        .unwrap();
    let one = AuditFilter {
        record_id: Some("i-1".into()),
        ..AuditFilter::default()
    };
    let waited = tokio::time::timeout(std::time::Duration::from_secs(60), async {
        loop {
            let found = control
                .audit_after(&organization, &one, None, 2)
                .await
                .unwrap();
            if let [read] = &found[..] {
                return read.clone();
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    });
    let read = waited.await.expect("the read is not in the audit");
    assert_eq!(
        (read.actor.as_str(), read.record.as_str()),
        ("system", "interaction")
    );
}

pub(crate) async fn nobody_acts_in_an_organization_that_is_not_there(backend: Backend<'_>) {
    let control = backend.open().await;
    let nowhere = OrganizationId::from_text("org_x");
    for refused in [
        control.create_team(&nowhere, "North").await.map(drop),
        control
            .create_key(&nowhere, key([Scope::Read]))
            .await
            .map(drop),
        control
            .create_user(&nowhere, Role::Owner, user("grace@example.com"))
            .await
            .map(drop),
    ] {
        let what = "organization";
        assert!(
            matches!(refused, Err(ControlError::NotFound { what: found }) if found == what),
            "{refused:?}"
        );
    }
    assert!(entries(&control, &nowhere).await.is_empty());
}
