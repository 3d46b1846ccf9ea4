//! The oracle: compares the driver's book and the log with what warehouse, archive, state and rejections hold.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Debug;
use std::hash::Hash;

use serde_json::Value;
use tests::{Caller, micros, run_python};

use crate::ledger::{Id, Ledger};
use crate::log::{LogView, Place};

/// What was found in the places that events go to.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) warehouse: HashMap<Place, Row>,
    pub(crate) archive: HashMap<Place, Row>,
    /// Reasons by place.
    pub(crate) rejections: HashMap<Place, String>,
    /// Revenue in millionths and orders, by customer.
    pub(crate) customers: BTreeMap<String, (i128, u64)>,
    pub(crate) reconciliation: Value,
    /// What was wrong already while reading.
    pub(crate) wrong: Vec<String>,
}

/// An event as a place holds it: name, and amount in millionths (0 for what is no purchase).
pub(crate) type Row = (Id, i128);

/// Columns of the events as tab-separated text.
pub(crate) const EVENTS: &str =
    "SELECT partition, offset, customer, event_id, toString(amount) FROM events FINAL FORMAT TSV";
/// And of the rejections.
pub(crate) const REJECTIONS: &str =
    "SELECT partition, offset, reason FROM rejections FINAL FORMAT TSV";

impl Found {
    /// Reads what the statement for events gave.
    pub(crate) fn read_events(&mut self, text: &str) {
        self.warehouse = rows("the warehouse", text, &mut self.wrong);
    }

    /// Reads what the statement for rejections gave.
    pub(crate) fn read_rejections(&mut self, text: &str) {
        for line in text.lines() {
            let cells: Vec<&str> = line.split('\t').collect();
            let place = (cells[0].parse().unwrap(), cells[1].parse().unwrap());
            if self.rejections.insert(place, cells[2].to_owned()).is_some() {
                self.wrong.push(format!("two rejections at {place:?}"));
            }
        }
    }

    /// Reads the archive with a reader that nobody here wrote.
    pub(crate) fn read_archive(&mut self, table: &std::path::Path) {
        let path = table.to_str().expect("a path of text");
        let found = run_python("archive_rows.py", &[path]);
        let text = found["rows"].as_str().expect("rows");
        self.archive = rows("the archive", text, &mut self.wrong);
    }

    /// Reads live state and reconciliation.
    pub(crate) async fn ask(&mut self, reader: &Caller, operator: &Caller) {
        let sql = "SELECT customer_id, revenue, orders FROM customers";
        for row in reader.sql(sql).await {
            let customer = row[0].as_str().unwrap_or_default().to_owned();
            let revenue = micros(row[1].as_str().unwrap_or("0"));
            let of = (revenue, row[2].as_u64().unwrap_or_default());
            if self.customers.insert(customer.clone(), of).is_some() {
                self.wrong
                    .push(format!("customer {customer} is there twice"));
            }
        }
        self.reconciliation = operator.get("/admin/reconciliation").await.expect(200);
    }
}

fn rows(place: &str, text: &str, wrong: &mut Vec<String>) -> HashMap<Place, Row> {
    let mut found = HashMap::new();
    for line in text.lines() {
        let cells: Vec<&str> = line.split('\t').collect();
        let [partition, offset, customer, event_id, amount] = cells[..] else {
            wrong.push(format!("{place} has an unreadable row: {line}"));
            continue;
        };
        let at = (partition.parse().unwrap(), offset.parse().unwrap());
        let row = ((customer.to_owned(), event_id.to_owned()), micros(amount));
        if found.insert(at, row).is_some() {
            wrong.push(format!("{place} has two rows at {at:?}"));
        }
    }
    found
}

/// Everything that does not fit, in words; nothing where all is well.
pub(crate) fn compare(ledger: &Ledger, log: Option<&LogView>, found: &Found) -> Vec<String> {
    let mut wrong = found.wrong.clone();
    wrong.extend(ledger.wrong.iter().cloned());
    let stated: HashMap<&Id, i128> = ledger
        .events
        .iter()
        .map(|(id, stated)| (id, stated.amount.unwrap_or(0)))
        .collect();
    let unanswered = ledger
        .events
        .values()
        .filter(|stated| !stated.acknowledged)
        .count();
    if unanswered > 0 {
        wrong.push(format!("{unanswered} events were never acknowledged"));
    }
    // By name: each event that was acknowledged is there once, as first stated, and nothing else.
    for (place, rows) in [("warehouse", &found.warehouse), ("archive", &found.archive)] {
        let mut by_name: HashMap<&Id, i128> = HashMap::with_capacity(rows.len());
        for (at, (id, amount)) in rows {
            if by_name.insert(id, *amount).is_some() {
                wrong.push(format!("{place}: {id:?} counts twice, once at {at:?}"));
            }
        }
        differences(place, &stated, &by_name, &mut wrong);
    }
    if let Some(log) = log {
        compare_with_log(ledger, log, found, &mut wrong);
    }
    customers(ledger, found, &mut wrong);
    reconciled(log, found, &mut wrong);
    wrong
}

/// Position by position.
fn compare_with_log(ledger: &Ledger, log: &LogView, found: &Found, wrong: &mut Vec<String>) {
    wrong.extend(log.wrong.iter().cloned());
    let mut events: HashMap<Place, Row> = HashMap::with_capacity(log.first.len());
    for (id, (place, amount)) in &log.first {
        events.insert(*place, (id.clone(), amount.unwrap_or(0)));
        match ledger.events.get(id) {
            None => wrong.push(format!("the log has {id:?}, which nobody has sent")),
            Some(stated) if stated.amount != *amount => wrong.push(format!(
                "the log has {id:?} first with {amount:?}, and {:?} was stated",
                stated.amount
            )),
            Some(_) => {}
        }
    }
    for (id, stated) in &ledger.events {
        if stated.acknowledged && !log.first.contains_key(id) {
            wrong.push(format!("{id:?} was acknowledged and is not in the log"));
        }
    }
    differences("warehouse by position", &events, &found.warehouse, wrong);
    differences("archive by position", &events, &found.archive, wrong);
    let (duplicates, others): (Vec<_>, Vec<_>) = found
        .rejections
        .iter()
        .partition(|(_, reason)| *reason == "duplicate");
    let places = |rows: Vec<(&Place, &String)>| -> HashSet<Place> {
        rows.into_iter().map(|(place, _)| *place).collect()
    };
    same("duplicates", &log.duplicates, &places(duplicates), wrong);
    same("broken records", &log.poison, &places(others), wrong);
}

fn customers(ledger: &Ledger, found: &Found, wrong: &mut Vec<String>) {
    let mut expected: BTreeMap<String, (i128, u64)> = BTreeMap::new();
    for ((customer, _), stated) in &ledger.events {
        let of = expected.entry(customer.clone()).or_default();
        if let Some(amount) = stated.amount {
            of.0 += amount;
            of.1 += u64::from(amount >= 0);
        }
    }
    let expected: HashMap<&String, (i128, u64)> =
        expected.iter().map(|(name, of)| (name, *of)).collect();
    let state: HashMap<&String, (i128, u64)> = found
        .customers
        .iter()
        .map(|(name, of)| (name, *of))
        .collect();
    differences("customer state", &expected, &state, wrong);
}

/// The program's own reconciliation agrees with what was counted here.
fn reconciled(log: Option<&LogView>, found: &Found, wrong: &mut Vec<String>) {
    let of = |name: &str| {
        found.reconciliation["totals"][name]
            .as_u64()
            .unwrap_or(u64::MAX)
    };
    if found.reconciliation["balanced"] != true {
        wrong.push(format!("not balanced: {:#}", found.reconciliation));
    }
    let mut counted = vec![
        ("events", found.warehouse.len() as u64),
        ("archive_rows", found.archive.len() as u64),
        ("rejections", found.rejections.len() as u64),
    ];
    if let Some(log) = log {
        // The program may have written a record of its own since the log was read here.
        let records = log.ends().values().sum::<u64>();
        if of("end") < records || of("internal") < log.internal {
            wrong.push(format!(
                "the reconciliation has {} records and {} internal ones, the log {records} and {}",
                of("end"),
                of("internal"),
                log.internal
            ));
        }
        counted.push(("duplicates", log.duplicates.len() as u64));
    }
    for (name, count) in counted {
        if of(name) != count {
            wrong.push(format!(
                "the reconciliation has {} {name}, counted {count}",
                of(name)
            ));
        }
    }
}

fn differences<K: Debug + Eq + Hash, V: Debug + PartialEq>(
    place: &str,
    expected: &HashMap<K, V>,
    found: &HashMap<K, V>,
    wrong: &mut Vec<String>,
) {
    let missing: Vec<_> = expected
        .iter()
        .filter(|(key, _)| !found.contains_key(key))
        .collect();
    let extra: Vec<_> = found
        .iter()
        .filter(|(key, _)| !expected.contains_key(key))
        .collect();
    let other: Vec<_> = expected
        .iter()
        .filter_map(|(key, value)| Some((key, value, found.get(key)?)))
        .filter(|(_, value, found)| value != found)
        .collect();
    if let Some(first) = missing.first() {
        wrong.push(format!(
            "{place}: {} missing, for example {first:?}",
            missing.len()
        ));
    }
    if let Some(first) = extra.first() {
        wrong.push(format!(
            "{place}: {} too many, for example {first:?}",
            extra.len()
        ));
    }
    if let Some(first) = other.first() {
        wrong.push(format!(
            "{place}: {} differ, for example {first:?}",
            other.len()
        ));
    }
}

fn same(what: &str, expected: &HashSet<Place>, found: &HashSet<Place>, wrong: &mut Vec<String>) {
    let missing = expected.difference(found).count();
    let extra = found.difference(expected).count();
    if missing + extra > 0 {
        let first = expected.symmetric_difference(found).next();
        wrong.push(format!(
            "rejections: of {what} {missing} are missing and {extra} too many, for example {first:?}"
        ));
    }
}
