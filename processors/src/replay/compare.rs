//! Live state and shadow side by side, in the order of their keys: which rows differ, and in which fields.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashSet, VecDeque};

use arrow::datatypes::{UInt16Type, UInt64Type};
use schemas::position::version;
use serde_json::value::RawValue;
use warehouse::{Params, Warehouse};

use super::rebuild::Cut;
use super::report::Difference;
use super::{ReplayError, report};
use crate::prepare::CustomerKey;
use crate::store::columns::{numbers, texts, unreadable};

/// Rows read at once of each side.
const PAGE: usize = 20_000;

/// A table of state, and the columns that name a row of it.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Table {
    name: &'static str,
    keys: &'static [(&'static str, &'static str)],
}

static TABLES: [Table; 4] = [
    Table {
        name: "customer_state",
        keys: &[("organization", "String"), ("customer", "String")],
    },
    Table {
        name: "customer_days",
        keys: &[
            ("organization", "String"),
            ("customer", "String"),
            ("day", "Date32"),
            ("currency", "String"),
        ],
    },
    Table {
        name: "customer_records",
        keys: &[
            ("organization", "String"),
            ("customer", "String"),
            ("record", "String"),
            ("id", "String"),
        ],
    },
    Table {
        name: "segment_members",
        keys: &[
            ("organization", "String"),
            ("customer", "String"),
            ("segment", "String"),
        ],
    },
];

/// Names a row of a table of state.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    table: &'static Table,
    parts: Vec<String>,
}

impl Key {
    /// Whose row it is.
    pub(super) fn customer(&self) -> CustomerKey {
        CustomerKey::of(&self.parts[0], &self.parts[1])
    }
}

/// What is compared.
pub(super) struct Frame<'a> {
    /// Behind the names of the shadow's tables.
    pub(super) suffix: &'a str,
    pub(super) generation: u32,
    pub(super) partitions: u32,
    /// How far the shadow is.
    pub(super) cut: &'a Cut,
    /// How far the log is.
    pub(super) ends: Cut,
    /// Only these customers, if not all.
    pub(super) only: Option<&'a HashSet<CustomerKey>>,
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Compared {
    /// Customers looked at.
    pub(super) customers: u64,
    pub(super) differences: Vec<Difference>,
    /// Rows that differ beyond those that are told field by field.
    pub(super) hidden: u64,
    /// Rows that have gone on and are not compared.
    pub(super) moved: Vec<Key>,
}

/// Compares everything in the frame.
pub(super) async fn compare(
    warehouse: &dyn Warehouse,
    frame: &Frame<'_>,
) -> Result<Compared, ReplayError> {
    let mut found = Compared::default();
    for table in &TABLES {
        compare_table(warehouse, table, frame, &mut found).await?;
    }
    Ok(found)
}

async fn compare_table(
    warehouse: &dyn Warehouse,
    table: &'static Table,
    frame: &Frame<'_>,
    found: &mut Compared,
) -> Result<(), ReplayError> {
    let mut live = Side::new(warehouse, table, "");
    let mut shadow = Side::new(warehouse, table, frame.suffix);
    loop {
        live.fill().await?;
        shadow.fill().await?;
        let order = match (live.rows.front(), shadow.rows.front()) {
            (None, None) => return Ok(()),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(live), Some(shadow)) => live.parts.cmp(&shadow.parts),
        };
        let live = live.rows.pop_front_if(|_| order.is_le());
        let shadow = shadow.rows.pop_front_if(|_| order.is_ge());
        let Some(parts) = live
            .as_ref()
            .or(shadow.as_ref())
            .map(|row| row.parts.clone())
        else {
            return Ok(());
        };
        let key = Key { table, parts };
        if frame
            .only
            .is_some_and(|only| !only.contains(&key.customer()))
        {
            continue;
        }
        if table == &TABLES[0] {
            found.customers += 1;
        }
        if live.as_ref().is_some_and(|row| frame.is_ahead(row)) {
            found.moved.push(key);
            continue;
        }
        let same =
            matches!((&live, &shadow), (Some(live), Some(shadow)) if live.hash == shadow.hash);
        if same {
            continue;
        }
        match found.differences.len() < report::MOST_DIFFERENCES {
            true => explain(warehouse, frame.suffix, &key, &mut found.differences).await?,
            false => found.hidden += 1,
        }
    }
}

impl Frame<'_> {
    /// Whether a live row has gone beyond what the shadow holds, by a record of the log: state is written before the
    /// commit point, so that a cycle that was cut off leaves such rows until its records are applied again.
    fn is_ahead(&self, row: &Row) -> bool {
        let partition = u32::from(row.bucket) % self.partitions;
        let next = |cut: &Cut| {
            let next = cut.get(&partition).copied().unwrap_or(0);
            version(self.generation, next)
        };
        (next(self.cut)..next(&self.ends)).contains(&row.version)
    }
}

struct Row {
    parts: Vec<String>,
    version: u64,
    bucket: u16,
    hash: u64,
}

/// The rows of one table, a page at a time.
struct Side<'a> {
    warehouse: &'a dyn Warehouse,
    table: &'static Table,
    suffix: &'a str,
    rows: VecDeque<Row>,
    after: Option<Vec<String>>,
    done: bool,
}

impl<'a> Side<'a> {
    fn new(warehouse: &'a dyn Warehouse, table: &'static Table, suffix: &'a str) -> Self {
        Self {
            warehouse,
            table,
            suffix,
            rows: VecDeque::new(),
            after: None,
            done: false,
        }
    }

    /// Reads on if nothing is at hand.
    async fn fill(&mut self) -> Result<(), ReplayError> {
        if !self.rows.is_empty() || self.done {
            return Ok(());
        }
        let Table { name, keys } = self.table;
        let columns: Vec<&str> = keys.iter().map(|(column, _)| *column).collect();
        let shown: Vec<String> = columns
            .iter()
            .map(|column| format!("toString({column}) AS k_{column}"))
            .collect();
        let mut params = Params::new();
        let mut start = String::new();
        if let Some(after) = &self.after {
            let places: Vec<String> = keys
                .iter()
                .map(|(column, kind)| format!("{{after_{column}:{kind}}}"))
                .collect();
            start = format!("WHERE ({}) > ({})", columns.join(", "), places.join(", "));
            for (column, value) in columns.iter().zip(after) {
                params = params.with(format!("after_{column}"), value);
            }
        }
        let sql = format!(
            "SELECT {}, version AS k_version, bucket AS k_bucket, cityHash64(toString(tuple(*))) AS k_hash \
             FROM {name}{} FINAL {start} ORDER BY {} LIMIT {PAGE}",
            shown.join(", "),
            self.suffix,
            columns.join(", "),
        );
        for batch in self.warehouse.query(&sql, &params).await? {
            let texts = columns
                .iter()
                .map(|column| texts(&batch, &format!("k_{column}")))
                .collect::<Result<Vec<_>, _>>()?;
            let versions = numbers::<UInt64Type>(&batch, "k_version")?;
            let buckets = numbers::<UInt16Type>(&batch, "k_bucket")?;
            let hashes = numbers::<UInt64Type>(&batch, "k_hash")?;
            self.rows.extend((0..batch.num_rows()).map(|row| {
                Row {
                    parts: texts
                        .iter()
                        .map(|text| text.value(row).to_owned())
                        .collect(),
                    version: versions.value(row),
                    bucket: buckets.value(row),
                    hash: hashes.value(row),
                }
            }));
        }
        self.done = self.rows.len() < PAGE;
        self.after = self.rows.back().map(|row| row.parts.clone());
        Ok(())
    }
}

type Fields = BTreeMap<String, Box<RawValue>>;

/// Adds the fields by which a row differs.
async fn explain(
    warehouse: &dyn Warehouse,
    suffix: &str,
    key: &Key,
    out: &mut Vec<Difference>,
) -> Result<(), ReplayError> {
    let live = fields(warehouse, key, "").await?;
    let shadow = fields(warehouse, key, suffix).await?;
    let mut found = Vec::new();
    match (&live, &shadow) {
        (Some(live), Some(shadow)) => differences("", live, shadow, &mut found),
        (Some(_), None) => found.push(("*".to_owned(), Some("a row".to_owned()), None)),
        (None, Some(_)) => found.push(("*".to_owned(), None, Some("a row".to_owned()))),
        (None, None) => {}
    }
    out.extend(found.into_iter().map(|(field, live, replayed)| Difference {
        organization: key.parts[0].clone(),
        customer_id: key.parts[1].clone(),
        table: key.table.name,
        row: key.parts[2..].join(" ").trim().to_owned(),
        field,
        live,
        replayed,
    }));
    Ok(())
}

/// The columns of a row as JSON.
async fn fields(
    warehouse: &dyn Warehouse,
    key: &Key,
    suffix: &str,
) -> Result<Option<Fields>, ReplayError> {
    let conditions: Vec<String> = key
        .table
        .keys
        .iter()
        .map(|(column, kind)| format!("{column} = {{{column}:{kind}}}"))
        .collect();
    let mut params = Params::new();
    for ((column, _), value) in key.table.keys.iter().zip(&key.parts) {
        params = params.with(*column, value);
    }
    let sql = format!(
        "SELECT formatRowNoNewline('JSONEachRow', *) AS r_row FROM {}{suffix} FINAL WHERE {}",
        key.table.name,
        conditions.join(" AND ")
    );
    for batch in warehouse.query(&sql, &params).await? {
        if batch.num_rows() > 0 {
            let rows = texts(&batch, "r_row")?;
            let read = object(rows.value(0));
            return read
                .map(Some)
                .ok_or_else(|| unreadable("a row that is no JSON".to_owned()).into());
        }
    }
    Ok(None)
}

/// The members of an object, or of a text that holds one.
fn object(json: &str) -> Option<Fields> {
    match json.starts_with('"') {
        true => serde_json::from_str(&serde_json::from_str::<String>(json).ok()?).ok(),
        false => serde_json::from_str(json).ok(),
    }
}

type Changed = (String, Option<String>, Option<String>);

/// The paths at which two objects differ, with both values as JSON.
fn differences(path: &str, live: &Fields, shadow: &Fields, out: &mut Vec<Changed>) {
    let mut names: Vec<&String> = live.keys().chain(shadow.keys()).collect();
    names.sort();
    names.dedup();
    for name in names {
        let (left, right) = (live.get(name), shadow.get(name));
        let (left, right) = (left.map(|json| json.get()), right.map(|json| json.get()));
        if left == right {
            continue;
        }
        let path = match path {
            "" => name.clone(),
            path => format!("{path}.{name}"),
        };
        match (left.and_then(object), right.and_then(object)) {
            (Some(left), Some(right)) => differences(&path, &left, &right, out),
            _ => out.push((path, left.map(str::to_owned), right.map(str::to_owned))),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_named_by_their_paths() {
        let live = object(r#"{"points":5,"name":"A","state":"{\"orders\":2,\"loyalty\":{\"earned\":\"5.0\"},\"old\":1}"}"#).unwrap();
        let shadow = object(r#"{"points":7,"name":"A","state":"{\"orders\":2,\"loyalty\":{\"earned\":\"7.5\"},\"new\":null}"}"#).unwrap();
        let mut found = Vec::new();
        differences("", &live, &shadow, &mut found);
        let shown: Vec<(&str, Option<&str>, Option<&str>)> = found
            .iter()
            .map(|(path, live, shadow)| (path.as_str(), live.as_deref(), shadow.as_deref()))
            .collect();
        assert_eq!(
            shown,
            [
                ("points", Some("5"), Some("7")),
                ("state.loyalty.earned", Some("\"5.0\""), Some("\"7.5\"")),
                ("state.new", None, Some("null")),
                ("state.old", Some("1"), None),
            ]
        );
    }
}
