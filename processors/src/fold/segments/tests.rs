use super::*;
use crate::fold::{DayKey, DayTotals, next_due};
use schemas::Decimal;

const DAY: i64 = 86_400_000_000;

fn at(day: i64) -> Timestamp {
    Timestamp::from_micros(20_000 * DAY + day * DAY)
}

fn rules(defined: &[(&str, u64, &str)]) -> Rules {
    let mut rules = Rules::default();
    for (id, version, criteria) in defined {
        rules.define(&(*id).into(), *version, criteria, true);
    }
    rules
}

fn look(
    rules: &Rules,
    state: &mut State,
    days: &Vec<(DayKey, DayTotals)>,
    asked: Aspects,
    now: Timestamp,
) -> Vec<String> {
    evaluate(rules, state, days, Currency::USD, asked, now)
        .into_iter()
        .map(|change| {
            let sign = if change.entered { '+' } else { '-' };
            format!("{sign}{}@{}", change.segment, change.rule_version)
        })
        .collect()
}

fn customer() -> State {
    let mut state = State::new(at(0), at(0));
    state.version = 1;
    state
}

const BOUGHT: &str = r#"{"field":"total_orders","op":"gte","value":1}"#;

#[test]
fn segments_are_asked_behind_those_they_refer_to() {
    let rules = rules(&[
        ("a", 1, r#"{"segment":"b"}"#),
        ("b", 1, r#"{"not":{"segment":"c"}}"#),
        ("c", 1, BOUGHT),
    ]);
    let order: Vec<&str> = rules.iter().map(|rule| &*rule.id).collect();
    assert_eq!(order, ["c", "b", "a"]);
    let (mut state, none) = (customer(), Vec::new());
    let all = look(&rules, &mut state, &none, Aspects::ALL, at(1));
    assert_eq!(all, ["+b@1", "+a@1"]);
    // Only money is asked, and what hangs on it goes along.
    state.orders = 1;
    let money = look(&rules, &mut state, &none, Aspects::MONEY, at(1));
    assert_eq!(money, ["+c@1", "-b@1", "-a@1"]);
    assert!(look(&rules, &mut state, &none, Aspects::ALL, at(1)).is_empty());
}

#[test]
fn a_circle_does_not_hold_anything_up() {
    let rules = rules(&[
        ("a", 1, r#"{"segment":"b"}"#),
        ("b", 1, r#"{"segment":"a"}"#),
        ("c", 1, BOUGHT),
    ]);
    assert_eq!(rules.iter().count(), 3);
    let changes = look(&rules, &mut customer(), &Vec::new(), Aspects::ALL, at(1));
    assert!(changes.is_empty());
}

#[test]
fn time_moves_a_customer_when_it_was_said_to() {
    let rules = rules(&[
        (
            "away",
            4,
            r#"{"recency":"last_order","op":"gte","days":30}"#,
        ),
        (
            "fond",
            1,
            r#"{"sum":"revenue","days":10,"op":"gte","value":50}"#,
        ),
    ]);
    assert_eq!(rules.days(), 10);
    let mut state = customer();
    state.last_order = Some(at(0));
    let key = DayKey {
        day: 20_000,
        currency: Some(Currency::USD),
    };
    let totals = DayTotals {
        orders: 1,
        revenue: Decimal::from_whole(60),
        ..DayTotals::default()
    };
    let days = vec![(key, totals)];
    assert_eq!(
        look(&rules, &mut state, &days, Aspects::ALL, at(0)),
        ["+fond@1"]
    );
    assert_eq!(next_due(&state), Some(at(10)));
    assert!(look(&rules, &mut state, &days, Aspects::NONE, at(9)).is_empty());
    assert_eq!(
        look(&rules, &mut state, &days, Aspects::NONE, at(10)),
        ["-fond@1"]
    );
    assert_eq!(next_due(&state), Some(at(30)));
    assert_eq!(
        look(&rules, &mut state, &days, Aspects::NONE, at(31)),
        ["+away@4"]
    );
    assert_eq!(next_due(&state), None);
    let (_, member) = state.segments.iter().next().unwrap();
    assert_eq!((member.version, member.since), (4, at(31)));
}

#[test]
fn what_staff_decide_holds_until_it_is_taken_back() {
    let rules = rules(&[
        ("bought", 1, BOUGHT),
        ("hand", 1, schemas::definition::MANUAL),
    ]);
    let (mut state, none) = (customer(), Vec::new());
    let decide = |state: &mut State, segment: &str, member| {
        let effects = Effects {
            action: "segment.assign".into(),
            assign: vec![schemas::event::Assign {
                segment: segment.into(),
                member,
            }],
            ..Effects::default()
        };
        let mut applied = Applied::default();
        assign(state, &effects, &mut applied);
        (
            applied.edits.len(),
            look(&rules, state, &none, Aspects::ALL, at(1)),
        )
    };
    assert_eq!(
        decide(&mut state, "hand", Some(true)),
        (1, vec!["+hand@1".to_owned()])
    );
    assert_eq!(decide(&mut state, "hand", Some(true)), (0, vec![]));
    assert_eq!(decide(&mut state, "bought", Some(false)), (1, vec![]));
    state.orders = 1;
    assert_eq!(decide(&mut state, "bought", Some(false)), (0, vec![]));
    assert_eq!(
        decide(&mut state, "bought", None),
        (1, vec!["+bought@1".to_owned()])
    );
    assert_eq!(
        decide(&mut state, "hand", None),
        (1, vec!["-hand@1".to_owned()])
    );
    assert!(state.segments.held().is_empty());
}

#[test]
fn nobody_is_in_a_segment_that_is_no_more_nor_is_somebody_deleted_in_any() {
    let mut rules = rules(&[("a", 1, BOUGHT), ("b", 1, BOUGHT)]);
    let (mut state, none) = (customer(), Vec::new());
    state.orders = 1;
    assert_eq!(
        look(&rules, &mut state, &none, Aspects::ALL, at(1)),
        ["+a@1", "+b@1"]
    );
    rules.define(&"a".into(), 2, BOUGHT, false);
    // What was appended late is passed over.
    rules.define(&"a".into(), 1, BOUGHT, true);
    assert!(look(&rules, &mut state, &none, Aspects::MONEY, at(1)).is_empty());
    assert_eq!(
        look(&rules, &mut state, &none, Aspects::ALL, at(1)),
        ["-a@2"]
    );
    state.is_deleted = true;
    assert_eq!(
        look(&rules, &mut state, &none, Aspects::ALL, at(2)),
        ["-b@1"]
    );
    assert!(state.segments.is_none());
}

#[test]
fn a_state_without_segments_is_written_as_before() {
    let json = serde_json::to_string(&customer()).unwrap();
    assert!(!json.contains("segments"));
    let mut state = customer();
    let rules = rules(&[("a", 3, r#"{"recency":"last_seen","op":"lt","days":5}"#)]);
    look(&rules, &mut state, &Vec::new(), Aspects::ALL, at(1));
    let json = serde_json::to_string(&state).unwrap();
    assert!(
        json.contains(r#""segments":{"in":{"a":{"v":3,"s":"#),
        "{json}"
    );
    assert_eq!(serde_json::from_str::<State>(&json).unwrap(), state);
}
