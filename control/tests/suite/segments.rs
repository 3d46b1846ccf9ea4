use control::{Actor, Control, ControlError, NewSegment, Segment, SegmentChange};
use schemas::{OrganizationId, SegmentId};
use serde_json::json;

use super::audit::entries;
use super::{Backend, register};

const CRITERIA: &str = r#"{"all": [{"field": "tier", "in": ["gold", "vip"]}]}"#;

fn new(name: &str) -> NewSegment {
    NewSegment {
        name: name.into(),
        description: None,
        criteria: CRITERIA.into(),
        is_active: true,
    }
}

async fn started(backend: &Backend<'_>) -> (Control, OrganizationId) {
    let control = backend.open().await;
    let organization = register(&control, "ada@example.com").await.organization.id;
    (control, organization)
}

fn active(is_active: bool) -> SegmentChange {
    SegmentChange {
        is_active: Some(is_active),
        ..SegmentChange::default()
    }
}

pub(crate) async fn segments_are_made_changed_and_removed(backend: Backend<'_>) {
    let (control, clock) = backend.open_with_clock().await;
    let organization = register(&control, "ada@example.com").await.organization.id;
    let other = register(&control, "grace@example.com")
        .await
        .organization
        .id;
    let control = control.on_behalf_of(Actor {
        name: "usr_1".into(),
        origin: None,
    });
    let described = NewSegment {
        description: Some(" Those who\ncome back ".into()),
        ..new(" Best  Customers ")
    };
    let made = control
        .create_segment(&organization, described)
        .await
        .unwrap();
    assert!(made.id.as_str().starts_with("seg_"));
    assert_eq!(
        (made.name.as_str(), made.description.as_deref()),
        ("Best  Customers", Some("Those who\ncome back"))
    );
    assert_eq!((made.version, made.created_by.as_str()), (1, "usr_1"));
    assert_eq!(
        control.segment(&organization, &made.id).await.unwrap(),
        made
    );
    let shown = serde_json::to_value(&made).unwrap();
    assert_eq!(
        shown["criteria"]["all"][0]["in"][1], "vip",
        "criteria are JSON"
    );

    let taken = control
        .create_segment(&organization, new("BEST customers"))
        .await;
    assert!(matches!(
        taken,
        Err(ControlError::Conflict { field: "name" })
    ));
    assert!(
        control
            .create_segment(&other, new("best customers"))
            .await
            .is_ok()
    );
    let second = control
        .create_segment(&organization, new("Second"))
        .await
        .unwrap();
    let rename = |name: &str| SegmentChange {
        name: Some(name.into()),
        ..SegmentChange::default()
    };
    let taken = control
        .update_segment(&organization, &second.id, None, rename("best CUSTOMERS"))
        .await;
    assert!(matches!(
        taken,
        Err(ControlError::Conflict { field: "name" })
    ));
    clock.forward(5);
    let renamed = control
        .update_segment(&organization, &made.id, None, rename("BEST customers"))
        .await
        .unwrap();
    assert_eq!(renamed.name, "BEST customers", "its own name is free to it");
    assert!(renamed.updated_at > made.updated_at && renamed.created_at == made.created_at);
    assert_eq!(
        control.segment(&organization, &made.id).await.unwrap(),
        renamed
    );

    // Pages in the order they were made.
    let mut ids = vec![made.id.clone(), second.id.clone()];
    for number in 0..5 {
        let made = control.create_segment(&organization, new(&format!("s {number}")));
        ids.push(made.await.unwrap().id);
    }
    let mut paged: Vec<SegmentId> = Vec::new();
    loop {
        let page = control
            .segments_after(&organization, paged.last(), 3)
            .await
            .unwrap();
        if page.is_empty() {
            break;
        }
        paged.extend(page.into_iter().map(|segment| segment.id));
    }
    assert_eq!(paged, ids);

    let not_found = |result: Result<(), ControlError>| {
        let what = "segment";
        assert!(
            matches!(result, Err(ControlError::NotFound { what: found }) if found == what),
            "{result:?}"
        );
    };
    not_found(control.delete_segment(&other, &made.id).await);
    let foreign = control
        .update_segment(&other, &made.id, None, active(false))
        .await;
    not_found(foreign.map(drop));
    control
        .delete_segment(&organization, &made.id)
        .await
        .unwrap();
    not_found(control.segment(&organization, &made.id).await.map(drop));
    not_found(control.delete_segment(&organization, &made.id).await);

    let entries = entries(&control, &organization).await;
    let of: Vec<_> = entries
        .iter()
        .filter(|entry| entry.record_id == made.id.as_str())
        .collect();
    let actions: Vec<&str> = of.iter().map(|entry| entry.action.as_str()).collect();
    assert_eq!(actions, ["created", "updated", "deleted"]);
    assert_eq!(of[0].after, Some(serde_json::to_value(&made).unwrap()));
    assert_eq!(of[1].before.as_ref().unwrap()["name"], "Best  Customers");
    assert_eq!(of[2].before, Some(serde_json::to_value(&renamed).unwrap()));
}

pub(crate) async fn versions_say_what_changed_meanwhile(backend: Backend<'_>) {
    let (control, organization) = started(&backend).await;
    let made = control
        .create_segment(&organization, new("Best"))
        .await
        .unwrap();
    let update = |expected: Option<i64>, change: SegmentChange| {
        let (control, organization, id) = (control.clone(), organization.clone(), made.id.clone());
        async move {
            control
                .update_segment(&organization, &id, expected, change)
                .await
        }
    };
    let criteria = |text: &str| SegmentChange {
        criteria: Some(text.into()),
        ..SegmentChange::default()
    };
    let described = SegmentChange {
        description: Some(Some("For the newsletter".into())),
        ..SegmentChange::default()
    };
    assert_eq!(update(Some(1), described).await.unwrap().version, 1);
    let spelled = r#"{ "all":[{"in":["gold","vip"],"field":"tier"}] }"#;
    let same: Segment = update(Some(1), criteria(spelled)).await.unwrap();
    assert_eq!((same.version, same.criteria.as_str()), (1, CRITERIA));
    assert_eq!(update(Some(1), active(true)).await.unwrap().version, 1);
    assert_eq!(update(None, active(false)).await.unwrap().version, 2);
    let both = SegmentChange {
        is_active: Some(true),
        ..criteria(r#"{"any": []}"#)
    };
    assert_eq!(update(Some(2), both).await.unwrap().version, 3);
    let stale = update(Some(2), active(false)).await;
    assert!(
        matches!(stale, Err(ControlError::Stale { what: "segment" })),
        "{stale:?}"
    );
    let undescribed = SegmentChange {
        description: Some(None),
        ..SegmentChange::default()
    };
    assert_eq!(
        update(Some(3), undescribed).await.unwrap().description,
        None
    );

    // Of many who change the same version, one does.
    let tasks: Vec<_> = (0..10)
        .map(|number| {
            let change = criteria(&format!(r#"{{"any": [{number}]}}"#));
            tokio::spawn(update(Some(3), change))
        })
        .collect();
    let mut changed = Vec::new();
    for task in tasks {
        match task.await.unwrap() {
            Ok(segment) => changed.push(segment),
            Err(ControlError::Stale { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    let now = control.segment(&organization, &made.id).await.unwrap();
    assert_eq!((changed.len(), &changed[0], now.version), (1, &now, 4));
}

pub(crate) async fn two_hundred_are_active_at_most(backend: Backend<'_>) {
    let (control, organization) = started(&backend).await;
    let mut first = None;
    for number in 0..196 {
        let made = control.create_segment(&organization, new(&format!("s {number}")));
        let made = made.await.unwrap();
        first.get_or_insert(made.id);
    }
    let tasks: Vec<_> = (0..10)
        .map(|number| {
            let (control, organization) = (control.clone(), organization.clone());
            let new = new(&format!("late {number}"));
            tokio::spawn(async move { control.create_segment(&organization, new).await })
        })
        .collect();
    let mut refused = 0;
    for task in tasks {
        match task.await.unwrap() {
            Ok(_) => {}
            Err(ControlError::Rule(_)) => refused += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(refused, 6);
    let inactive = NewSegment {
        is_active: false,
        ..new("inactive")
    };
    let inactive = control
        .create_segment(&organization, inactive)
        .await
        .unwrap();
    let activate = || control.update_segment(&organization, &inactive.id, None, active(true));
    let full = activate().await;
    assert!(matches!(full, Err(ControlError::Rule(_))), "{full:?}");
    assert!(
        !control
            .segment(&organization, &inactive.id)
            .await
            .unwrap()
            .is_active
    );
    let first = first.unwrap();
    control
        .update_segment(&organization, &first, None, active(false))
        .await
        .unwrap();
    assert!(activate().await.unwrap().is_active);
    let all = control
        .segments_after(&organization, None, 1_000)
        .await
        .unwrap();
    let active = all.iter().filter(|segment| segment.is_active).count();
    assert_eq!((all.len(), active), (201, 200));
}

pub(crate) async fn bad_segments_name_their_field(backend: Backend<'_>) {
    let (control, organization) = started(&backend).await;
    let made = control
        .create_segment(&organization, new("Best"))
        .await
        .unwrap();
    let (long, large) = ("x".repeat(2_001), json!("x".repeat(65_535)).to_string());
    let criteria = ["", "{", "null", "{} {}", "\0", large.as_str()];
    let described = NewSegment {
        description: Some(long),
        ..new("Other")
    };
    let mut bad = vec![
        ("name", new(" ")),
        ("name", new("a\0b")),
        ("description", described),
    ];
    bad.extend(criteria.map(|text| {
        let bad = NewSegment {
            criteria: text.into(),
            ..new("Other")
        };
        ("criteria", bad)
    }));
    for (field, new) in bad {
        let change = SegmentChange {
            name: Some(new.name.clone()),
            description: Some(new.description.clone()),
            criteria: Some(new.criteria.clone()),
            is_active: None,
        };
        for refused in [
            control.create_segment(&organization, new).await,
            control
                .update_segment(&organization, &made.id, None, change)
                .await,
        ] {
            match refused {
                Err(ControlError::Invalid(error)) => assert_eq!(error.field, field),
                other => panic!("{field}: {other:?}"),
            }
        }
    }
    let all = control
        .segments_after(&organization, None, 10)
        .await
        .unwrap();
    assert_eq!(all, [made]);
}
