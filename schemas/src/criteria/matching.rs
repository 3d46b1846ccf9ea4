//! Whether criteria hold of a customer, and until when at least.

use std::borrow::Cow;

use super::facts::Facts;
use super::fields::Compared;
use super::folding;
use super::node::{Leaf, Node, Recency, Test, Texts, Times, Window};
use crate::json::Reader;
use crate::money::Decimal;
use crate::time::Timestamp;

const DAY: i64 = 86_400 * 1_000_000;

/// How many days with buckets are looked at for the one on which a window changes.
const DAYS_AHEAD: usize = 128;

impl Node {
    pub(super) fn matches(&self, facts: &(impl Facts + ?Sized), now: Timestamp) -> bool {
        match self {
            Node::All(nodes) => nodes.iter().all(|node| node.matches(facts, now)),
            Node::Any(nodes) => nodes.iter().any(|node| node.matches(facts, now)),
            Node::Not(node) => !node.matches(facts, now),
            Node::Leaf(leaf) => leaf.matches(facts, now),
        }
    }

    /// Whether it holds, and the earliest later time at which that may change by itself.
    pub(super) fn outlook(
        &self,
        facts: &(impl Facts + ?Sized),
        now: Timestamp,
    ) -> (bool, Option<Timestamp>) {
        match self {
            Node::All(nodes) => together(nodes, facts, now, true),
            Node::Any(nodes) => together(nodes, facts, now, false),
            Node::Not(node) => {
                let (holds, change) = node.outlook(facts, now);
                (!holds, change)
            }
            Node::Leaf(leaf) => (leaf.matches(facts, now), leaf.next_change(facts, now)),
        }
    }
}

/// The outlook of several: what holds when all of them are `all` (true: all hold, false: none holds).
///
/// As long as they are, the first of them to change changes the whole. Once some differ, all of those must change
/// before the whole does.
fn together(
    nodes: &[Node],
    facts: &(impl Facts + ?Sized),
    now: Timestamp,
    all: bool,
) -> (bool, Option<Timestamp>) {
    let mut first: Option<Timestamp> = None;
    let mut last_differing: Option<Option<Timestamp>> = None;
    for node in nodes {
        let (holds, change) = node.outlook(facts, now);
        if holds == all {
            first = first.into_iter().chain(change).min();
        } else {
            last_differing = Some(match (last_differing, change) {
                (None, change) => change,
                (Some(Some(known)), Some(change)) => Some(known.max(change)),
                // One that never changes holds the whole for ever.
                _ => None,
            });
        }
    }
    match last_differing {
        Some(change) => (!all, change),
        None => (all, first),
    }
}

impl Leaf {
    fn matches(&self, facts: &(impl Facts + ?Sized), now: Timestamp) -> bool {
        let holds = match &self.test {
            Test::Text(field, texts) => facts
                .text(*field)
                .is_some_and(|text| texts.hold(&text, field.compared())),
            Test::Attribute(key, Texts::Exists) => facts
                .attribute(key)
                .is_some_and(|json| !matches!(json, "" | "\"\"")),
            Test::Attribute(key, texts) => facts
                .attribute(key)
                .and_then(plain)
                .is_some_and(|text| texts.hold(&text, Compared::Folded)),
            Test::AttributeNumber(key, numbers) => facts
                .attribute(key)
                .and_then(plain)
                .and_then(|text| Decimal::parse(text.as_bytes()).ok())
                .is_some_and(|number| numbers.hold(number)),
            Test::Tags(texts) => facts.any_tag(&mut |tag| texts.hold(tag, Compared::Folded)),
            Test::Number(field, numbers) => numbers.hold(facts.number(*field)),
            Test::Time(field, Times::Exists) => facts.time(*field).is_some(),
            Test::Time(field, Times::Order(order, value)) => facts
                .time(*field)
                .is_some_and(|time| order.holds(time, *value)),
            Test::Recency(recency) => recency.holds(facts.time(recency.field), now),
            Test::Window(window) => window.numbers.hold(window.sum(facts, now.day())),
            Test::Segment(segment) => facts.is_member(segment),
        };
        holds != self.negated
    }

    fn next_change(&self, facts: &(impl Facts + ?Sized), now: Timestamp) -> Option<Timestamp> {
        match &self.test {
            Test::Recency(recency) => {
                let (days, _) = recency.threshold();
                let crossed = facts
                    .time(recency.field)?
                    .plus_micros(i64::from(days) * DAY);
                (days > 0 && crossed > now).then_some(crossed)
            }
            Test::Window(window) => window.next_change(facts, now.day()),
            _ => None,
        }
    }
}

/// An attribute's text: what is in a string, or the digits or word as stated; none of objects and arrays.
fn plain(json: &str) -> Option<Cow<'_, str>> {
    match json.as_bytes().first()? {
        b'"' => Reader::new(json).string().ok(),
        b'{' | b'[' => None,
        _ => Some(Cow::Borrowed(json)),
    }
}

impl Texts {
    fn hold(&self, text: &str, compared: Compared) -> bool {
        if text.is_empty() {
            return false;
        }
        match (self, compared) {
            (Texts::Exists, _) => true,
            (Texts::Is(value), Compared::Folded) => folding::is(text, value),
            (Texts::Is(value), Compared::Exactly) => text == &**value,
            (Texts::OneOf(values), Compared::Folded) => folding::is_one_of(text, values),
            (Texts::OneOf(values), Compared::Exactly) => {
                values.binary_search_by(|value| (**value).cmp(text)).is_ok()
            }
            (Texts::Contains(value), Compared::Folded) => folding::contains(text, value),
            (Texts::Contains(value), Compared::Exactly) => text.contains(&**value),
            (Texts::StartsWith(value), Compared::Folded) => folding::starts_with(text, value),
            (Texts::StartsWith(value), Compared::Exactly) => text.starts_with(&**value),
        }
    }
}

impl Recency {
    fn holds(&self, time: Option<Timestamp>, now: Timestamp) -> bool {
        let Some(time) = time else {
            return self.missing;
        };
        let (days, holds_from) = self.threshold();
        // A time ahead of now is no days back.
        let reached = days == 0 || time.plus_micros(i64::from(days) * DAY) <= now;
        reached == holds_from
    }
}

impl Window {
    fn length(&self) -> i32 {
        // At most 3,650.
        self.days as i32
    }

    fn sum(&self, facts: &(impl Facts + ?Sized), today: i32) -> Decimal {
        let first = today.saturating_sub(self.length()).saturating_add(1);
        facts.sum(self.measure, self.currency, first..=today)
    }

    /// Midnight of the first later day on which it holds no longer, or holds at last; or of a day before which it is
    /// known not to change.
    fn next_change(&self, facts: &(impl Facts + ?Sized), today: i32) -> Option<Timestamp> {
        let next = |after| facts.next_day(self.measure, self.currency, after);
        let mut sum = self.sum(facts, today);
        let holds = self.numbers.hold(sum);
        let mut leaving = next(today.saturating_sub(self.length()));
        // Events may be stated for tomorrow.
        let mut entering = next(today);
        for _ in 0..DAYS_AHEAD {
            let day = self.next_day(leaving, entering)?;
            if let Some((bucket, amount)) = entering
                && bucket == day
            {
                sum += amount;
                entering = next(bucket);
            }
            if let Some((bucket, amount)) = leaving
                && bucket.saturating_add(self.length()) == day
            {
                sum -= amount;
                leaving = next(bucket);
            }
            if self.numbers.hold(sum) != holds {
                return Some(Timestamp::of_day(day));
            }
        }
        self.next_day(leaving, entering).map(Timestamp::of_day)
    }

    /// The day on which the next bucket leaves or enters.
    fn next_day(
        &self,
        leaving: Option<(i32, Decimal)>,
        entering: Option<(i32, Decimal)>,
    ) -> Option<i32> {
        let leaves = leaving.map(|(day, _)| day.saturating_add(self.length()));
        let enters = entering.map(|(day, _)| day);
        leaves.into_iter().chain(enters).min()
    }
}
