//! Segments of a run: how they are defined, and what a sequential look at them gives.
//!
//! The look itself is production's, for the state says when the next one is due. Beside it every active segment is asked
//! plainly, and both must agree.

use std::collections::{BTreeMap, BTreeSet};

use processors::fold::segments::{Memberships, Rules, changed, evaluate};
use processors::fold::{Cause, DayKey, DayTotals, Definitions, State};
use schemas::criteria::Aspects;
use schemas::{Control, Define, Event, OrganizationId, Timestamp, bucket};

use crate::random::Random;
use crate::records::Expected;

/// The daily buckets of all customers.
pub(crate) type Days = BTreeMap<(String, DayKey), DayTotals>;

/// Those that refer to others come last: only the later segments have them, so that there is no circle.
const CRITERIA: [&str; 10] = [
    r#"{"field":"total_orders","op":"gte","value":2}"#,
    r#"{"sum":"revenue","days":2,"op":"gte","value":8}"#,
    r#"{"any":[{"count":"activities","days":3,"op":"gte","value":1},{"field":"name","op":"starts_with","value":"s"}]}"#,
    r#"{"recency":"last_seen","op":"gte","days":3}"#,
    r#"{"recency":"last_order","op":"lt","days":2}"#,
    r#"{"sum":"refunds","days":4,"op":"gt","value":0,"currency":"EUR"}"#,
    r#"{"any":[{"field":"points","op":"gt","value":6},{"field":"interactions","op":"gte","value":1}]}"#,
    r#"{"manual":true}"#,
    r#"{"not":{"segment":"s0"}}"#,
    r#"{"all":[{"segment":"s1"},{"field":"status","op":"eq","value":"active"}]}"#,
];

/// A segment as it is from here on. Versions come in any order.
pub(crate) fn define(random: &mut Random, organization: OrganizationId) -> Define {
    let segment = random.below(4);
    let choice = if segment < 2 {
        CRITERIA.len() - 2
    } else {
        CRITERIA.len()
    };
    Define::Segment {
        organization,
        id: format!("s{segment}").into(),
        version: 1 + random.below(6) as u64,
        criteria: CRITERIA[random.below(choice)].to_owned(),
        is_active: random.percent(80),
    }
}

/// A look at a bucket in which somebody lives.
pub(crate) fn evaluate_bucket(
    random: &mut Random,
    organizations: &[OrganizationId],
    at: Timestamp,
) -> Control {
    let organization = organizations[usize::from(random.percent(25))].clone();
    let customer = format!("c{}", random.below(4));
    Control::Evaluate {
        bucket: bucket(&organization, &customer),
        organization,
        at,
    }
}

/// Staff decide of a segment.
pub(crate) fn assign(random: &mut Random) -> String {
    let member = ["null", "true", "false"][random.below(3)];
    format!(r#"{{"segment":"s{}","member":{member}}}"#, random.below(4))
}

/// Whether a customer, by organization and id, lives in a bucket.
pub(crate) fn lives_in(customer: &str, organization: &OrganizationId, home: u16) -> bool {
    customer
        .strip_prefix(organization.as_str())
        .and_then(|rest| rest.strip_prefix('/'))
        .is_some_and(|id| bucket(organization, id) == home)
}

fn organization(customer: &str) -> OrganizationId {
    OrganizationId::from_text(customer.split_once('/').unwrap().0)
}

/// What the sequential fold knows of segments beside the states.
#[derive(Debug, Default)]
pub(crate) struct Segments {
    tick: Option<Timestamp>,
    /// Customers of whom something was defined that nobody has looked at.
    unsettled: BTreeSet<String>,
}

impl Segments {
    pub(crate) fn tick(&mut self, at: Timestamp) {
        self.tick = self.tick.max(Some(at));
    }

    pub(crate) fn defined<'a>(
        &mut self,
        define: &Define,
        customers: impl Iterator<Item = &'a String>,
    ) {
        let (Define::Segment { organization, .. } | Define::Organization { organization, .. }) =
            define
        else {
            return;
        };
        let prefix = format!("{organization}/");
        self.unsettled
            .extend(customers.filter(|id| id.starts_with(&prefix)).cloned());
    }

    pub(crate) fn settle(&mut self, customer: &str) {
        self.unsettled.remove(customer);
    }

    pub(crate) fn look<'a>(
        &'a self,
        definitions: &'a Definitions,
        days: &'a Days,
        customer: &'a str,
        cause: &'static str,
    ) -> Look<'a> {
        let organization = organization(customer);
        Look {
            rules: definitions.segments(&organization),
            currency: definitions.currency(&organization),
            days: days
                .range(customer_range(customer))
                .map(|((_, key), totals)| (*key, *totals))
                .collect(),
            tick: self.tick,
            is_settled: !self.unsettled.contains(customer),
            customer,
            cause,
        }
    }
}

fn customer_range(customer: &str) -> std::ops::RangeInclusive<(String, DayKey)> {
    let key = |day| DayKey {
        day,
        currency: None,
    };
    (customer.to_owned(), key(i32::MIN))..=(customer.to_owned(), key(i32::MAX))
}

/// A look at one customer.
pub(crate) struct Look<'a> {
    rules: Option<&'a Rules>,
    currency: schemas::Currency,
    days: Vec<(DayKey, DayTotals)>,
    tick: Option<Timestamp>,
    is_settled: bool,
    customer: &'a str,
    cause: &'static str,
}

impl Look<'_> {
    pub(crate) fn at_tick(
        &mut self,
        asked: Aspects,
        at: Timestamp,
        state: &mut State,
        offset: u64,
        expected: &mut Expected,
    ) -> bool {
        self.run(asked, at, state, offset, expected)
    }

    pub(crate) fn at_evaluate(
        &mut self,
        state: &mut State,
        offset: u64,
        expected: &mut Expected,
    ) -> bool {
        self.is_settled = true;
        self.run(Aspects::ALL, state.updated_at, state, offset, expected)
    }

    pub(crate) fn at_event(
        &mut self,
        event: &Event,
        before: Option<&State>,
        state: &mut State,
        offset: u64,
        expected: &mut Expected,
    ) {
        let asked = before.map_or(Aspects::ALL, |before| changed(event, before, state));
        self.cause = Cause::of(event).as_str();
        self.is_settled |= asked == Aspects::ALL;
        self.run(asked, event.received_at, state, offset, expected);
    }

    /// Looks, writes down what comes of it, and asks everything plainly. Whether the state has changed.
    fn run(
        &mut self,
        asked: Aspects,
        at: Timestamp,
        state: &mut State,
        offset: u64,
        expected: &mut Expected,
    ) -> bool {
        let Some(rules) = self.rules else {
            return false;
        };
        let now = self.tick.map_or(at, |tick| tick.max(at));
        let before = state.segments.clone();
        let changes = evaluate(rules, state, &self.days, self.currency, asked, now);
        for (ordinal, change) in (0..).zip(&changes) {
            let word = if change.entered { "entered" } else { "left" };
            let micros = now.micros();
            let (segment, version) = (&change.segment, change.rule_version);
            expected.segment_events.insert(
                (offset, self.customer.to_owned(), ordinal),
                format!("{segment} {word} {} {version} {micros}", self.cause),
            );
            expected.members.insert(
                format!("{} {segment}", self.customer),
                format!("{} {version} {micros}", change.entered),
            );
        }
        if self.is_settled {
            let mut afresh = state.clone();
            afresh.segments = plain(&state.segments);
            evaluate(
                rules,
                &mut afresh,
                &self.days,
                self.currency,
                Aspects::ALL,
                now,
            );
            let ids = |memberships: &Memberships| -> Vec<String> {
                memberships.iter().map(|(id, _)| id.to_string()).collect()
            };
            assert_eq!(
                ids(&state.segments),
                ids(&afresh.segments),
                "{} at {offset}: what was not asked has changed",
                self.customer
            );
        }
        state.segments != before
    }
}

/// The same decisions of staff, and a member of nothing.
fn plain(memberships: &Memberships) -> Memberships {
    let mut json = serde_json::to_value(memberships).unwrap();
    let members = json.as_object_mut().unwrap();
    members.remove("in");
    members.remove("due");
    serde_json::from_value(json).unwrap()
}
