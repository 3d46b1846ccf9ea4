//! Random criteria and customers against the reference.

use std::collections::BTreeSet;

use serde_json::Value;

use super::reference;
use crate::criteria::Criteria;
use crate::criteria::sample::{CURRENCY, Customer, Day, Sampler};
use crate::time::Timestamp;

const SEEDS: u64 = 2_000;
const DAY: i64 = 86_400 * 1_000_000;

#[test]
fn canonical_trees_parse_to_the_same_criteria() {
    for seed in 0..SEEDS {
        let json = Sampler::new(seed).criteria();
        let criteria = Criteria::parse(&json).unwrap_or_else(|error| panic!("{error}: {json}"));
        let canonical = criteria.to_json();
        let again =
            Criteria::parse(&canonical).unwrap_or_else(|error| panic!("{error}: {canonical}"));
        assert_eq!(again, criteria, "seed {seed}: {json} became {canonical}");
        assert_eq!(again.to_json(), canonical, "seed {seed}");
    }
}

#[test]
fn the_flat_form_is_a_tree() {
    for seed in 0..SEEDS {
        let (flat, tree) = Sampler::new(seed).flat();
        let read = Criteria::parse(&flat).unwrap_or_else(|error| panic!("{error}: {flat}"));
        assert_eq!(
            read,
            Criteria::parse(&tree).unwrap(),
            "seed {seed}: {flat} and {tree}"
        );
    }
}

#[test]
fn they_match_as_the_reference_says() {
    let mut held = [0, 0];
    for seed in 0..SEEDS {
        let mut sampler = Sampler::new(seed);
        let json = sampler.criteria();
        let criteria = Criteria::parse(&json).unwrap();
        let stated: Value = serde_json::from_str(&json).unwrap();
        let canonical: Value = serde_json::from_str(&criteria.to_json()).unwrap();
        for _ in 0..8 {
            let now = sampler.now();
            let customer = sampler.customer(now);
            let holds = criteria.matches(&customer, now);
            held[usize::from(holds)] += 1;
            for said in [&stated, &canonical] {
                let expected = reference::holds(said, &customer, now);
                assert_eq!(
                    holds, expected,
                    "seed {seed}: {said} at {now} of {customer:?}"
                );
            }
        }
    }
    // Samples that all say the same would try nothing.
    assert!(held.iter().all(|count| *count > SEEDS), "{held:?}");
}

/// The same for single conditions, where no other one hides what is wrong.
#[test]
fn every_condition_matches_as_the_reference_says() {
    let mut seen = std::collections::BTreeMap::<String, [u32; 2]>::new();
    for seed in 0..4 * SEEDS {
        let mut sampler = Sampler::new(seed);
        let json = sampler.condition();
        let criteria = Criteria::parse(&json).unwrap();
        let stated: Value = serde_json::from_str(&json).unwrap();
        for _ in 0..4 {
            let now = sampler.now();
            let customer = sampler.customer(now);
            let holds = criteria.matches(&customer, now);
            let expected = reference::holds(&stated, &customer, now);
            assert_eq!(
                holds, expected,
                "seed {seed}: {stated} at {now} of {customer:?}"
            );
            let of = ["field", "recency", "count", "sum", "segment"]
                .into_iter()
                .find_map(|form| stated[form].as_str())
                .unwrap();
            let op = stated["op"].as_str().unwrap_or_default();
            // What would be drawn too seldom for each field.
            let of = match of {
                of if of.starts_with("attributes.") => "attributes",
                of if of != "tags" && matches!(op, "contains" | "starts_with") => "texts",
                of => of,
            };
            let kind = format!("{of} {op}");
            seen.entry(kind).or_default()[usize::from(holds)] += 1;
        }
    }
    for (kind, held) in seen {
        // Every customer has these times.
        let certain = ["first_seen", "last_seen", "created_at"]
            .iter()
            .any(|field| {
                kind.starts_with(field) && (kind.ends_with("exists") || kind.ends_with("absent"))
            });
        assert!(
            certain || held.iter().all(|count| *count > 0),
            "{kind}: {held:?}"
        );
    }
}

/// The times at which anything may change: midnights, recencies reached, and just before each.
fn steps(criteria: &Value, customer: &Customer, now: Timestamp) -> BTreeSet<Timestamp> {
    let mut days = BTreeSet::new();
    collect_days(criteria, &mut days);
    let mut steps = BTreeSet::new();
    for day in &days {
        for (_, time) in &customer.times {
            steps.insert(time.plus_micros(day * DAY));
            steps.insert(time.plus_micros((day + 1) * DAY));
        }
        for (bucket, _) in customer.days.keys() {
            for day in [0, *day as i32 - 1, *day as i32, *day as i32 + 1] {
                steps.insert(Timestamp::of_day(bucket + day));
            }
        }
    }
    let before: Vec<Timestamp> = steps.iter().map(|step| step.plus_micros(-1)).collect();
    steps.extend(before);
    steps.retain(|step| *step > now);
    steps
}

fn collect_days(criteria: &Value, days: &mut BTreeSet<i64>) {
    match criteria {
        Value::Object(object) => {
            days.extend(object.get("days").and_then(Value::as_i64));
            object.values().for_each(|value| collect_days(value, days));
        }
        Value::Array(values) => values.iter().for_each(|value| collect_days(value, days)),
        _ => {}
    }
}

#[test]
fn nothing_changes_before_the_next_change() {
    let (mut changes, mut early, mut never) = (0, 0, 0);
    for seed in 0..4 * SEEDS {
        let mut sampler = Sampler::new(seed);
        // Every other one a single condition: there the next change is a change.
        let single = seed % 2 == 0;
        let json = loop {
            let json = match single {
                true => sampler.condition(),
                false => sampler.criteria(),
            };
            if json.contains("\"days\"") {
                break json;
            }
        };
        let criteria = Criteria::parse(&json).unwrap();
        let stated: Value = serde_json::from_str(&json).unwrap();
        let mut now = sampler.now();
        let customer = sampler.customer(now);
        // On from each change to the next.
        for _ in 0..10 {
            let holds = criteria.matches(&customer, now);
            let next = criteria.next_change(&customer, now);
            let changed = steps(&stated, &customer, now)
                .into_iter()
                .find(|step| criteria.matches(&customer, *step) != holds);
            let context = || format!("seed {seed}: {json} from {now}: {next:?}, not {changed:?}");
            let Some(next) = next else {
                assert_eq!(changed, None, "{}", context());
                never += 1;
                break;
            };
            assert!(next > now, "{}", context());
            assert!(
                changed.is_none_or(|changed| next <= changed),
                "{}",
                context()
            );
            assert!(!single || Some(next) == changed, "{}", context());
            match Some(next) == changed {
                true => changes += 1,
                false => early += 1,
            }
            now = next;
        }
    }
    // Waking for nothing is allowed, and rare.
    assert!(
        changes > SEEDS / 2 && never > SEEDS && early < changes / 10,
        "{changes} {early} {never}"
    );
}

/// A window over very many days is looked ahead a part of the way, and asked again.
#[test]
fn a_window_of_very_many_days_is_looked_at_in_parts() {
    let criteria =
        Criteria::parse(r#"{"count":"orders","days":1000,"op":"gte","value":1}"#).unwrap();
    let mut sampler = Sampler::new(1);
    let now = Timestamp::of_day(20_500);
    let mut customer = sampler.customer(now);
    let bucket = Day {
        orders: 1,
        ..Day::default()
    };
    customer.days = (19_600..=20_500)
        .map(|day| ((day, Some(CURRENCY)), bucket))
        .collect();
    let (mut now, mut asked) = (now, 0);
    while let Some(next) = criteria.next_change(&customer, now) {
        assert!(next > now);
        (now, asked) = (next, asked + 1);
    }
    // The last order leaves at last.
    assert_eq!(now, Timestamp::of_day(20_500 + 1_000));
    assert!(!criteria.matches(&customer, now) && criteria.matches(&customer, now.plus_micros(-1)));
    assert!((2..=10).contains(&asked), "{asked}");
}

#[test]
fn samples_are_those_of_their_seed() {
    let draw = |seed| {
        let mut sampler = Sampler::new(seed);
        let now = sampler.now();
        (sampler.criteria(), sampler.flat(), sampler.customer(now))
    };
    assert_eq!(draw(5), draw(5));
    assert_ne!(draw(5), draw(6));
}
