use schemas::{
    Currency, Define, Draft, Event, Kind, OrganizationId, ParseContext, Tier, Timestamp,
};

use super::*;

pub(super) const DAY: i64 = 86_400_000_000;

pub(super) fn event_at(kind: Kind, day: i64, stated: &str) -> Event {
    let received_at = Timestamp::from_micros(30_000 * DAY);
    let context = ParseContext {
        received_at,
        currency: Currency::USD,
    };
    let mut draft = Draft::parse(kind, stated, &context).unwrap();
    draft.occurred_at = Timestamp::from_micros(day * DAY + 1);
    draft.into_event(
        OrganizationId::from_text("org_1"),
        || "e".into(),
        received_at,
        "key".into(),
        0,
    )
}

/// Folds events of one customer, each a day after the other.
fn folded(definitions: &Definitions, events: &[(Kind, &str)]) -> State {
    let mut state: Option<State> = None;
    for (day, (kind, stated)) in events.iter().enumerate() {
        let event = event_at(*kind, day as i64, stated);
        let state = state.get_or_insert_with(|| State::new(event.occurred_at, event.received_at));
        apply(definitions, state, &event).unwrap();
    }
    state.unwrap()
}

const PURCHASE_10: (Kind, &str) = (
    Kind::Purchase,
    r#"{"customer_id":"c","amount":"10.00","order_id":"o-1"}"#,
);

#[test]
fn the_later_in_the_log_wins_field_by_field_and_null_clears() {
    let state = folded(
        &Definitions::default(),
        &[
            (
                Kind::User,
                r#"{"customer_id":"c","name":"A","email":"a@example.org","vip":true,"colour":"red"}"#,
            ),
            (
                Kind::User,
                r#"{"customer_id":"c","name":"B \"x\"","email":null,"vip":null}"#,
            ),
        ],
    );
    assert_eq!(state.profile.text("name").unwrap(), "B \"x\"");
    assert_eq!(state.profile.get("email"), None);
    assert_eq!(
        state
            .profile
            .attributes
            .keys()
            .map(|key| key.as_str())
            .collect::<Vec<_>>(),
        ["colour"]
    );
}

#[test]
fn a_first_order_converts_a_prospect() {
    let prospect = folded(
        &Definitions::default(),
        &[(Kind::Activity, r#"{"customer_id":"c","name":"login"}"#)],
    );
    assert_eq!(
        (prospect.status, prospect.activities),
        (Status::Prospect, 1)
    );
    assert_eq!(prospect.loyalty.tier, "new");
    let active = folded(&Definitions::default(), &[PURCHASE_10]);
    assert_eq!(
        (active.status, active.status_reason),
        (Status::Active, Some(StatusReason::Converted))
    );
    assert_eq!(
        (active.orders, active.last_order_id.as_deref()),
        (1, Some("o-1"))
    );
    assert_eq!(active.loyalty.tier, "bronze");
}

#[test]
fn refunds_are_no_orders_and_cancelled_counts_nowhere() {
    let state = folded(
        &Definitions::default(),
        &[
            PURCHASE_10,
            (
                Kind::Purchase,
                r#"{"customer_id":"c","amount":"2.50","status":"refunded"}"#,
            ),
            (Kind::Purchase, r#"{"customer_id":"c","amount":"-1"}"#),
            (
                Kind::Purchase,
                r#"{"customer_id":"c","amount":"99","status":"cancelled"}"#,
            ),
            (Kind::Purchase, r#"{"customer_id":"c","amount":"0.00"}"#),
            (
                Kind::Purchase,
                r#"{"customer_id":"c","amount":"7","currency":"EUR"}"#,
            ),
        ],
    );
    let dollars = state.money(Currency::USD);
    assert_eq!(
        (
            dollars.revenue.to_text(2),
            dollars.refunds.to_text(2),
            dollars.orders
        ),
        ("6.50".into(), "3.50".into(), 2)
    );
    assert_eq!((state.orders, state.refunds), (3, 2));
    assert_eq!(
        state
            .money(Currency::parse("EUR").unwrap())
            .revenue
            .to_text(0),
        "7"
    );
}

#[test]
fn points_derive_from_the_sum_so_that_cents_are_never_lost() {
    let dime = (Kind::Purchase, r#"{"customer_id":"c","amount":"0.10"}"#);
    let state = folded(&Definitions::default(), &[dime; 25]);
    assert_eq!(state.loyalty.points, 2);
    let refunded = (Kind::Purchase, r#"{"customer_id":"c","amount":"-50"}"#);
    let state = folded(&Definitions::default(), &[PURCHASE_10, refunded]);
    assert_eq!(
        (state.loyalty.points, state.loyalty.earned.to_text(0)),
        (0, "-40".to_owned())
    );
    let foreign = (
        Kind::Purchase,
        r#"{"customer_id":"c","amount":"10","currency":"EUR"}"#,
    );
    assert_eq!(
        folded(&Definitions::default(), &[foreign]).loyalty.tier,
        "new"
    );
}

#[test]
fn tiers_are_the_organizations() {
    let large = |amount: &'static str| {
        folded(&Definitions::default(), &[(Kind::Purchase, amount)])
            .loyalty
            .tier
    };
    for (stated, tier) in [
        (r#"{"customer_id":"c","amount":"999.99"}"#, "bronze"),
        (r#"{"customer_id":"c","amount":"1000"}"#, "silver"),
        (r#"{"customer_id":"c","amount":"5000"}"#, "gold"),
        (r#"{"customer_id":"c","amount":"10000"}"#, "platinum"),
    ] {
        assert_eq!(large(stated), tier);
    }
    let mut definitions = Definitions::default();
    let organization = OrganizationId::from_text("org_1");
    let tiers = vec![
        Tier {
            name: "plain".into(),
            from: 0,
        },
        Tier {
            name: "fine".into(),
            from: 20,
        },
    ];
    definitions
        .define(&Define::Loyalty {
            organization: organization.clone(),
            tiers,
            points_per_unit: 2,
            points_expire_days: 0,
        })
        .unwrap();
    let state = folded(&definitions, &[PURCHASE_10]);
    assert_eq!(
        (state.loyalty.points, state.loyalty.tier.as_str()),
        (20, "fine")
    );
    definitions
        .define(&Define::Organization {
            organization,
            currency: Currency::parse("EUR").unwrap(),
        })
        .unwrap();
    assert_eq!(folded(&definitions, &[PURCHASE_10]).loyalty.points, 0);
}

#[test]
fn an_unknown_fold_stops() {
    let mut definitions = Definitions::default();
    assert!(definitions.define(&Define::Fold { version: 1 }).is_ok());
    assert_eq!(
        definitions.define(&Define::Fold { version: 2 }),
        Err(UnknownFold { asked: 2 })
    );
}

#[test]
fn an_interaction_is_a_record_with_times_in_one_form() {
    let stated = r#"{"customer_id":"c","event_id":"i1","channel":"phone","kind":"call","follow_up_at":1767225600000,"resolved_at":null,"attributes":{"n":1.50}}"#;
    let event = event_at(Kind::Interaction, 3, stated);
    let applied = apply(&Definitions::default(), &mut fresh(), &event).unwrap();
    let [row] = &applied.records[..] else {
        panic!("one record: {:?}", applied.records)
    };
    assert_eq!(
        (row.record.as_str(), row.id.as_str(), row.edit),
        ("interaction", "i1", 0)
    );
    let fields = row.fields.as_deref().unwrap();
    assert!(
        fields.contains(r#""follow_up_at":"2026-01-01T00:00:00"#),
        "{fields}"
    );
    assert!(
        fields.contains(r#""resolved_at":null"#) && fields.contains(r#"{"n":1.50}"#),
        "{fields}"
    );
    let read: serde_json::Value = serde_json::from_str(fields).unwrap();
    assert_eq!(read["occurred_at"], event.occurred_at.to_string());
}

#[test]
fn interactions_are_contacts_whenever_they_arrive() {
    let interaction = r#"{"customer_id":"c","channel":"phone","kind":"call"}"#;
    let mut state = State::new(Timestamp::default(), Timestamp::default());
    for day in [5, 2] {
        let delta = apply(
            &Definitions::default(),
            &mut state,
            &event_at(Kind::Interaction, day, interaction),
        )
        .unwrap();
        assert_eq!(
            delta.day.unwrap().key,
            DayKey {
                day: day as i32,
                currency: None
            }
        );
    }
    assert_eq!(state.last_contact.unwrap().day(), 5);
    assert_eq!((state.interactions, state.latest_day), (2, 5));
}

#[test]
fn a_follow_up_falls_due_once() {
    let user = r#"{"customer_id":"c","next_follow_up":"2026-03-01T00:00:00Z"}"#;
    let mut state = folded(&Definitions::default(), &[(Kind::User, user)]);
    let due = Timestamp::parse("2026-03-01T00:00:00Z").unwrap();
    assert_eq!(next_due(&state), Some(due));
    let mut ticked = |at| {
        let organization = OrganizationId::from_text("org_1");
        tick(&Definitions::default(), &organization, &mut state, at).is_some()
    };
    assert!(!ticked(due.plus_micros(-1)) && ticked(due) && !ticked(due.plus_micros(DAY)));
    assert!(state.follow_up_due);
    let moved = r#"{"customer_id":"c","next_follow_up":1893456000000}"#;
    apply(
        &Definitions::default(),
        &mut state,
        &event_at(Kind::User, 9, moved),
    )
    .unwrap();
    assert!(!state.follow_up_due && state.next_due.is_some());
    let cleared = r#"{"customer_id":"c","next_follow_up":null}"#;
    apply(
        &Definitions::default(),
        &mut state,
        &event_at(Kind::User, 9, cleared),
    )
    .unwrap();
    assert_eq!(state.next_due, None);
}

#[test]
fn buckets_count_a_record_once() {
    let mut totals = DayTotals::default();
    let add = DayTotals {
        orders: 1,
        revenue: schemas::Decimal::ONE,
        ..DayTotals::default()
    };
    for version in [3, 3, 2, 4] {
        totals.count(version, &add);
    }
    assert_eq!((totals.orders, totals.version), (2, 4));
}

#[test]
fn a_state_is_the_same_after_storage() {
    let state = folded(
        &Definitions::default(),
        &[
            PURCHASE_10,
            (
                Kind::User,
                r#"{"customer_id":"c","name":"N","next_follow_up":5,"x":{"y":[1]}}"#,
            ),
        ],
    );
    let stored = serde_json::to_string(&state).unwrap();
    assert_eq!(serde_json::from_str::<State>(&stored).unwrap(), state);
}

/// Folds changes of one customer and tells what became of each.
fn changed(state: &mut State, changes: &[&str]) -> Vec<Result<Applied, &'static str>> {
    let mut outcomes = Vec::new();
    for change in changes {
        let stated = format!(r#"{{"customer_id":"c","change":{change}}}"#);
        let event = event_at(Kind::Change, 3, &stated);
        let mut next = state.clone();
        let outcome = apply(&Definitions::default(), &mut next, &event);
        if outcome.is_ok() {
            next.version = state.version + 1;
            *state = next;
        }
        outcomes.push(outcome.map_err(|refusal| refusal.reason));
    }
    outcomes
}

fn fresh() -> State {
    State::new(Timestamp::default(), Timestamp::default())
}

#[test]
fn a_change_holds_whole_or_not_at_all() {
    let mut state = fresh();
    let outcomes = changed(
        &mut state,
        &[
            r#"{"action":"customer.update","profile":{"name":"A"}}"#,
            r#"{"action":"customer.create","creates":true,"profile":{"name":"A","email":"a@example.org"}}"#,
            r#"{"action":"customer.create","creates":true,"profile":{"name":"B"}}"#,
            r#"{"action":"customer.update","seen":1,"guards":["profile"],"profile":{"name":"B","email":null},"status":{"to":"lead","reason":"qualified"}}"#,
            r#"{"action":"customer.update","seen":1,"guards":["profile"],"profile":{"name":"C"}}"#,
            r#"{"action":"customer.update","seen":2,"guards":["profile"],"profile":{"name":"C"},"status":{"to":"prospect"}}"#,
        ],
    );
    let reasons: Vec<_> = outcomes
        .iter()
        .map(|outcome| outcome.as_ref().err().copied())
        .collect();
    assert_eq!(
        reasons,
        [
            Some("unknown_customer"),
            None,
            Some("exists"),
            None,
            Some("stale"),
            Some("illegal_status")
        ]
    );
    assert_eq!(state.profile.text("name").unwrap(), "B");
    assert_eq!(state.profile.get("email"), None);
    assert_eq!(state.status, Status::Lead);
    let edited = &outcomes[3].as_ref().unwrap().edits[0];
    assert_eq!(
        (&*edited.before, &*edited.after),
        (
            r#"{"email":"a@example.org","name":"A","status":"prospect"}"#,
            r#"{"email":null,"name":"B","status":"lead"}"#
        )
    );
}

#[test]
fn two_authors_of_one_record_do_not_overwrite_each_other_unseen() {
    let contact = |seen: u64, id: &str, name: &str| {
        format!(
            r#"{{"action":"contact.update","seen":{seen},"guards":["contact/{id}"],"records":[{{"record":"contact","id":"{id}","before":{{"n":0}},"after":{{"n":"{name}"}}}}]}}"#
        )
    };
    let mut state = fresh();
    changed(
        &mut state,
        &[r#"{"action":"customer.create","creates":true}"#],
    );
    let (mine, theirs, other) = (
        contact(1, "a", "mine"),
        contact(1, "a", "theirs"),
        contact(1, "b", "other"),
    );
    let outcomes = changed(&mut state, &[&mine, &theirs, &other]);
    assert_eq!(outcomes[1], Err("stale"));
    let rows: Vec<_> = [&outcomes[0], &outcomes[2]]
        .map(|outcome| &outcome.as_ref().unwrap().records[0])
        .into_iter()
        .map(|row| (row.id.as_str(), row.edit, row.fields.as_deref()))
        .collect();
    assert_eq!(
        rows,
        [
            ("a", 2, Some(r#"{"n":"mine"}"#)),
            ("b", 3, Some(r#"{"n":"other"}"#))
        ]
    );
}

#[test]
fn staff_do_not_make_a_customer_seen() {
    let mut state = fresh();
    state.version = 1;
    changed(
        &mut state,
        &[r#"{"action":"customer.update","profile":{"notes":"x"}}"#],
    );
    assert_eq!(
        (state.first_seen, state.last_seen),
        (Timestamp::default(), Timestamp::default())
    );
    let update = r#"{"customer_id":"c","notes":"y"}"#;
    let event = event_at(Kind::User, 3, update);
    let applied = apply(&Definitions::default(), &mut state, &event).unwrap();
    assert_eq!(&*applied.edits[0].before, r#"{"notes":"x"}"#);
    assert_eq!((state.last_seen.day(), state.edits.count), (3, 2));
}
