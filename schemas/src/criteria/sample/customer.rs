//! Random customers.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use super::{CURRENCIES, KEYS, SEGMENTS, STATUSES, Sampler, TIERS, TYPES, WORDS};
use crate::criteria::fields::{FIELDS, Of};
use crate::criteria::{Facts, Measure, NumberField, TextField, TimeField};
use crate::money::{Currency, Decimal};
use crate::time::Timestamp;

const DAY: i64 = 86_400 * 1_000_000;

/// The currency of the organization that sampled customers belong to.
pub const CURRENCY: Currency = Currency::USD;

/// What criteria may ask of a customer, held plainly.
///
/// Totals and days are drawn each by itself and need not add up to one another.
#[derive(Debug, Clone, PartialEq)]
pub struct Customer {
    /// Texts; a field may be empty or not there.
    pub texts: Vec<(TextField, String)>,
    /// The JSON of each attribute.
    pub attributes: BTreeMap<String, String>,
    /// Tags.
    pub tags: Vec<String>,
    /// Whole points.
    pub points: i64,
    /// Completed purchases.
    pub orders: u64,
    /// Net revenue in [`CURRENCY`].
    pub revenue: Decimal,
    /// Money given back in [`CURRENCY`].
    pub refunds: Decimal,
    /// Activity events.
    pub activities: u64,
    /// Interaction events.
    pub interactions: u64,
    /// Times; last contact and last order may not be there.
    pub times: Vec<(TimeField, Timestamp)>,
    /// Daily buckets by day since 1970 (UTC) and currency; none for what has no money.
    pub days: BTreeMap<(i32, Option<Currency>), Day>,
    /// The segments it is in.
    pub segments: BTreeSet<String>,
}

/// What is in a daily bucket.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Day {
    /// Completed purchases.
    pub orders: u64,
    /// Net revenue.
    pub revenue: Decimal,
    /// Money given back.
    pub refunds: Decimal,
    /// Activity events.
    pub activities: u64,
    /// Interaction events.
    pub interactions: u64,
}

impl Day {
    /// What it counts of a measure.
    pub fn amount(&self, measure: Measure) -> Decimal {
        match measure {
            Measure::Orders => count(self.orders),
            Measure::Revenue => self.revenue,
            Measure::Refunds => self.refunds,
            Measure::Activities => count(self.activities),
            Measure::Interactions => count(self.interactions),
        }
    }
}

fn count(whole: u64) -> Decimal {
    Decimal::from_micros(i128::from(whole) * Decimal::ONE.micros())
}

impl Facts for Customer {
    fn text(&self, field: TextField) -> Option<Cow<'_, str>> {
        let found = self.texts.iter().find(|(name, _)| *name == field);
        found.map(|(_, text)| Cow::Borrowed(text.as_str()))
    }

    fn attribute(&self, key: &str) -> Option<&str> {
        self.attributes.get(key).map(String::as_str)
    }

    fn any_tag(&self, test: &mut dyn FnMut(&str) -> bool) -> bool {
        self.tags.iter().any(|tag| test(tag))
    }

    fn number(&self, field: NumberField) -> Decimal {
        match field {
            NumberField::Points => Decimal::from_whole(self.points),
            NumberField::TotalOrders => count(self.orders),
            NumberField::TotalRevenue => self.revenue,
            NumberField::TotalRefunds => self.refunds,
            NumberField::Activities => count(self.activities),
            NumberField::Interactions => count(self.interactions),
        }
    }

    fn time(&self, field: TimeField) -> Option<Timestamp> {
        let found = self.times.iter().find(|(name, _)| *name == field);
        found.map(|(_, time)| *time)
    }

    fn next_day(
        &self,
        measure: Measure,
        currency: Option<Currency>,
        after: i32,
    ) -> Option<(i32, Decimal)> {
        let currency = Some(currency.unwrap_or(CURRENCY));
        let mut buckets = self
            .days
            .range((after.checked_add(1)?, None)..)
            .filter(|((_, of), _)| !measure.is_money() || *of == currency)
            .map(|((day, _), bucket)| (*day, bucket.amount(measure)));
        let (first, amount) = buckets.next()?;
        let same_day = buckets.take_while(|(day, _)| *day == first);
        Some((first, same_day.fold(amount, |sum, (_, more)| sum + more)))
    }

    fn is_member(&self, segment: &str) -> bool {
        self.segments.contains(segment)
    }
}

impl Sampler {
    /// A customer whose times and days lie around `now`.
    pub fn customer(&mut self, now: Timestamp) -> Customer {
        let mut texts = Vec::new();
        let mut times = Vec::new();
        for field in FIELDS {
            match field {
                Of::Text(field) if self.percent(80) => texts.push((field, self.held(field))),
                Of::Time(field) => {
                    let optional = matches!(field, TimeField::LastContact | TimeField::LastOrder);
                    if !optional || self.percent(70) {
                        times.push((field, self.time(now)));
                    }
                }
                _ => {}
            }
        }
        Customer {
            texts,
            attributes: self.attributes(),
            tags: (0..self.below(4))
                .map(|_| self.pick(&WORDS).into())
                .collect(),
            points: self.between(0, 5),
            orders: self.below(5),
            revenue: self.amount(),
            refunds: self.amount().abs(),
            activities: self.below(5),
            interactions: self.below(5),
            times,
            days: self.days(now),
            segments: SEGMENTS
                .into_iter()
                .filter(|_| self.percent(50))
                .map(str::to_owned)
                .collect(),
        }
    }

    fn held(&mut self, field: TextField) -> String {
        match field {
            TextField::Status => self.pick(&STATUSES).to_owned(),
            TextField::CustomerType => self.pick(&TYPES).to_owned(),
            TextField::Tier => self.pick(&TIERS).to_owned(),
            _ if self.percent(10) => String::new(),
            _ => self.pick(&WORDS).to_owned(),
        }
    }

    /// A small amount, at times with a fraction or below zero.
    pub(super) fn amount(&mut self) -> Decimal {
        let halves = self.between(-4, 16);
        Decimal::from_micros(i128::from(halves) * Decimal::ONE.micros() / 2)
    }

    /// A time about so many whole days before `now`, on their border or beside it, at times up to a day ahead.
    pub(super) fn time(&mut self, now: Timestamp) -> Timestamp {
        let back = self.pick(&[0, 1, 2, 3, 7, 30, 31, 90, 400, 40_000]);
        let beside = match self.below(4) {
            0 => 0,
            1 => 1,
            2 => -1,
            _ => self.between(-DAY, DAY),
        };
        now.plus_micros(beside - back * DAY).kept()
    }

    fn attributes(&mut self) -> BTreeMap<String, String> {
        let mut attributes = BTreeMap::new();
        for key in KEYS {
            if self.percent(30) {
                continue;
            }
            let word = self.pick(&WORDS);
            let json = match self.below(4) {
                0 => serde_json::Value::from(word).to_string(),
                1 => {
                    let places = self.below(3) as u32;
                    self.amount().to_text(places)
                }
                2 => format!("\"{}\"", self.amount()),
                _ => self
                    .pick(&[
                        "true",
                        "false",
                        "\"\"",
                        "[1, \"x\"]",
                        "{\"x\": 1}",
                        "1e3",
                        "0.1234567",
                        "10",
                        "-0",
                        "\"\\u00c9vry\"",
                        "1234567890123456",
                    ])
                    .to_owned(),
            };
            attributes.insert(key.to_owned(), json);
        }
        attributes
    }

    fn days(&mut self, now: Timestamp) -> BTreeMap<(i32, Option<Currency>), Day> {
        let mut days = BTreeMap::new();
        for _ in 0..self.below(12) {
            let back = match self.percent(80) {
                true => self.between(-1, 8),
                false => self.between(-1, 400),
            };
            let day = now.day() - back as i32;
            if self.percent(50) {
                let bucket = Day {
                    activities: self.below(3),
                    interactions: self.below(3),
                    ..Day::default()
                };
                days.insert((day, None), bucket);
            } else {
                let bucket = Day {
                    orders: self.below(3),
                    revenue: self.amount(),
                    refunds: self.amount().abs(),
                    ..Day::default()
                };
                let currency = Currency::parse(self.pick(&CURRENCIES)).unwrap_or(CURRENCY);
                days.insert((day, Some(currency)), bucket);
            }
        }
        days
    }
}
