//! What a report has to say, summed here in whole millionths.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{Datelike, Days, NaiveDate};
use chrono_tz::Tz;
use serde_json::{Value, json};
use tests::{average, text};

use super::Purchase;

/// The figures of a row.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct Figures {
    pub(super) revenue: i128,
    pub(super) refunds: i128,
    pub(super) orders: i128,
    pub(super) units: i128,
    pub(super) customers: BTreeSet<String>,
}

impl Figures {
    pub(super) fn json(&self, places: usize) -> Value {
        json!({
            "revenue": text(self.revenue, places),
            "refunds": text(self.refunds, places),
            "orders": self.orders,
            "units": text(self.units, 0),
            "customers": self.customers.len(),
            "average_order": average((self.revenue + self.refunds).max(0), self.orders, places),
        })
    }

    /// Adds part of a purchase.
    pub(super) fn add(&mut self, purchase: &Purchase, amount: i128, units: i128) {
        self.revenue += amount;
        self.units += units;
        if purchase.refund {
            self.refunds -= amount;
        } else {
            self.orders += 1;
            self.customers.insert(purchase.customer.clone());
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Group {
    None,
    Product,
    Category,
    Customer,
}

pub(super) fn first_day(period: &str, day: NaiveDate) -> NaiveDate {
    match period {
        "day" => day,
        "week" => day - Days::new(day.weekday().num_days_from_monday().into()),
        _ => day.with_day(1).unwrap(),
    }
}

pub(super) type Rows = BTreeMap<(NaiveDate, Option<String>), Figures>;

/// The report, and its totals, as the wire forms define them.
pub(super) fn report(
    sales: &[Purchase],
    zone: Tz,
    period: &str,
    group: Group,
    range: Option<(NaiveDate, NaiveDate)>,
) -> (Rows, Figures) {
    let (mut rows, mut totals) = (Rows::new(), Figures::default());
    for sale in sales {
        let day = sale.at.with_timezone(&zone).date_naive();
        if range.is_some_and(|(from, to)| day < from || day >= to) {
            continue;
        }
        let units: i128 = sale.lines.iter().map(|line| line.quantity).sum();
        totals.add(sale, sale.amount, units);
        let mut parts: BTreeMap<Option<String>, (i128, i128)> = BTreeMap::new();
        match group {
            Group::None => {
                parts.insert(None, (sale.amount, units));
            }
            Group::Customer => {
                parts.insert(Some(sale.customer.clone()), (sale.amount, units));
            }
            Group::Product | Group::Category => {
                let mut rest = sale.amount;
                for line in &sale.lines {
                    let key = match group {
                        Group::Product => Some(line.product.clone()),
                        _ => line.category.map(str::to_owned),
                    };
                    let part = parts.entry(key).or_default();
                    part.0 += line.amount;
                    part.1 += line.quantity;
                    rest -= line.amount;
                }
                if rest != 0 || sale.lines.is_empty() {
                    parts.entry(None).or_default().0 += rest;
                }
            }
        }
        for (key, (amount, units)) in parts {
            let row = rows.entry((first_day(period, day), key)).or_default();
            row.add(sale, amount, units);
        }
    }
    (rows, totals)
}
