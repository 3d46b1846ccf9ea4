//! The simulated warehouse: rows as they lie on a disk, some of them not yet there for good.

use std::collections::BTreeMap;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{
    Date32Type, Decimal128Type, Int64Type, TimestampMicrosecondType, UInt16Type, UInt32Type,
    UInt64Type,
};
use processors::claims::Claim;
use processors::engine::{Progress, Recount, StoredBucket, StoredState};
use processors::fold::{DayKey, DayTotals};
use processors::rows::Table;
use schemas::{Currency, CustomerRef, Decimal, OrganizationId, Position};

use crate::random::Random;
use crate::records::Expected;

/// A row of one of the tables.
#[derive(Debug, Clone)]
#[allow(clippy::large_enum_variant)] // Few of them, and every one is looked at.
pub(crate) enum Row {
    Event {
        offset: u64,
        text: String,
        counted: Option<StoredBucket>,
    },
    SegmentEvent {
        key: (u64, String, u32),
        text: String,
    },
    SegmentMember {
        key: String,
        version: u64,
        text: String,
    },
    Rejection {
        offset: u64,
        text: String,
    },
    Id {
        claim: Claim,
        bucket: u16,
        offset: u64,
        received: i64,
    },
    Control {
        offset: u64,
        json: String,
    },
    Edit {
        place: (u64, String, u32),
        text: String,
    },
    Movement {
        place: (String, u64),
        text: String,
    },
    Record {
        key: String,
        version: u64,
        text: String,
    },
    Day(StoredBucket),
    State {
        bucket: u16,
        version: u64,
        stored: StoredState,
        json: String,
    },
    Progress(Progress),
}

#[derive(Debug, Default)]
pub(crate) struct Disk {
    rows: Vec<(Row, bool)>,
    /// The furthest progress among the rows.
    progress: Option<Progress>,
}

impl Disk {
    /// Rows appear, not yet safe from a loss of power.
    pub(crate) fn land(&mut self, rows: &[Row]) {
        self.rows
            .extend(rows.iter().map(|row| (row.clone(), false)));
        self.note_progress(self.rows.len() - rows.len());
    }

    /// Everything written so far is safe.
    pub(crate) fn sync(&mut self) {
        self.rows.iter_mut().for_each(|(_, synced)| *synced = true);
    }

    /// The last rows are safe, whatever came before them.
    pub(crate) fn with_last_synced(mut self, count: usize) -> Self {
        self.rows
            .iter_mut()
            .rev()
            .take(count)
            .for_each(|(_, synced)| *synced = true);
        self
    }

    /// What was not safe may be gone.
    pub(crate) fn lose_power(&mut self, random: &mut Random) {
        self.rows
            .retain(|(_, synced)| *synced || random.percent(40));
        self.progress = None;
        self.note_progress(0);
        self.sync();
    }

    fn rows(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().map(|(row, _)| row)
    }

    fn note_progress(&mut self, from: usize) {
        for (row, _) in &self.rows[from..] {
            if let Row::Progress(progress) = row
                && self
                    .progress
                    .is_none_or(|before| before.next < progress.next)
            {
                self.progress = Some(*progress);
            }
        }
    }

    pub(crate) fn progress(&self) -> Option<Progress> {
        self.progress
    }

    pub(crate) fn controls(&self) -> BTreeMap<u64, String> {
        self.rows()
            .filter_map(|row| match row {
                Row::Control { offset, json } => Some((*offset, json.clone())),
                _ => None,
            })
            .collect()
    }

    /// The buckets of a customer as its events up to a version fill them.
    pub(crate) fn recount(&self, recount: &Recount) -> Vec<StoredBucket> {
        let mut events: BTreeMap<u64, &StoredBucket> = BTreeMap::new();
        for row in self.rows() {
            if let Row::Event {
                offset,
                counted: Some(counted),
                ..
            } = row
                && counted.customer == recount.customer
                && counted.key.day >= recount.from
                && counted.totals.version <= recount.version
            {
                events.insert(*offset, counted);
            }
        }
        let mut found: BTreeMap<DayKey, StoredBucket> = BTreeMap::new();
        for counted in events.into_values() {
            let bucket = found.entry(counted.key).or_insert_with(|| StoredBucket {
                totals: DayTotals::default(),
                ..counted.clone()
            });
            bucket.totals.count(counted.totals.version, &counted.totals);
        }
        found.into_values().collect()
    }

    /// Who is in which segment.
    fn members(&self) -> BTreeMap<String, String> {
        let mut found: BTreeMap<String, (u64, String)> = BTreeMap::new();
        for row in self.rows() {
            if let Row::SegmentMember { key, version, text } = row
                && found.get(key).is_none_or(|(before, _)| before <= version)
            {
                found.insert(key.clone(), (*version, text.clone()));
            }
        }
        found
            .into_iter()
            .map(|(key, (_, text))| (key, text))
            .collect()
    }

    /// The latest version of every record.
    fn records(&self) -> BTreeMap<String, String> {
        let mut found: BTreeMap<String, (u64, String)> = BTreeMap::new();
        for row in self.rows() {
            if let Row::Record { key, version, text } = row
                && found.get(key).is_none_or(|(before, _)| before <= version)
            {
                found.insert(key.clone(), (*version, text.clone()));
            }
        }
        found
            .into_iter()
            .map(|(key, (_, text))| (key, text))
            .collect()
    }

    /// The latest state of every customer.
    pub(crate) fn states(&self) -> BTreeMap<CustomerRef, (u16, u64, StoredState, String)> {
        let mut found: BTreeMap<CustomerRef, (u16, u64, StoredState, String)> = BTreeMap::new();
        for row in self.rows() {
            let Row::State {
                bucket,
                version,
                stored,
                json,
            } = row
            else {
                continue;
            };
            let newer = found
                .get(&stored.customer)
                .is_none_or(|(_, before, ..)| before <= version);
            if newer {
                found.insert(
                    stored.customer.clone(),
                    (*bucket, *version, stored.clone(), json.clone()),
                );
            }
        }
        found
    }

    /// The latest version of every bucket.
    pub(crate) fn days(&self) -> BTreeMap<(CustomerRef, DayKey), StoredBucket> {
        let mut found: BTreeMap<(CustomerRef, DayKey), StoredBucket> = BTreeMap::new();
        for row in self.rows() {
            let Row::Day(stored) = row else { continue };
            let key = (stored.customer.clone(), stored.key);
            if found
                .get(&key)
                .is_none_or(|before| before.totals.version <= stored.totals.version)
            {
                found.insert(key, stored.clone());
            }
        }
        found
    }

    /// Claims with the smallest offset, and bucket and time.
    pub(crate) fn ids(&self) -> BTreeMap<Claim, (u64, u16, i64)> {
        let mut found: BTreeMap<Claim, (u64, u16, i64)> = BTreeMap::new();
        for row in self.rows() {
            let Row::Id {
                claim,
                bucket,
                offset,
                received,
            } = row
            else {
                continue;
            };
            let entry = found.entry(*claim).or_insert((*offset, *bucket, *received));
            entry.0 = entry.0.min(*offset);
        }
        found
    }

    pub(crate) fn rejections(&self) -> BTreeMap<u64, String> {
        self.rows()
            .filter_map(|row| match row {
                Row::Rejection { offset, text } => Some((*offset, text.clone())),
                _ => None,
            })
            .collect()
    }

    /// The tables as readers see them.
    pub(crate) fn view(&self) -> Expected {
        let progress = self.progress().unwrap_or_default();
        Expected {
            events: self
                .rows()
                .filter_map(|row| match row {
                    Row::Event { offset, text, .. } => Some((*offset, text.clone())),
                    _ => None,
                })
                .collect(),
            rejections: self.rejections(),
            ids: self
                .ids()
                .into_iter()
                .map(|(claim, (offset, ..))| (claim, offset))
                .collect(),
            states: self
                .states()
                .into_iter()
                .map(|(customer, (.., json))| {
                    (
                        format!("{}/{}", customer.organization, customer.customer_id),
                        json,
                    )
                })
                .collect(),
            days: self
                .days()
                .into_iter()
                .map(|((customer, key), stored)| {
                    let currency = key
                        .currency
                        .map_or(String::new(), |currency| currency.to_string());
                    let name = format!(
                        "{}/{}/{}/{currency}",
                        customer.organization, customer.customer_id, key.day
                    );
                    (name, format!("{:?}", stored.totals))
                })
                .collect(),
            controls: self.controls(),
            records: self.records(),
            members: self.members(),
            segment_events: self
                .rows()
                .filter_map(|row| match row {
                    Row::SegmentEvent { key, text } => Some((key.clone(), text.clone())),
                    _ => None,
                })
                .collect(),
            edits: self
                .rows()
                .filter_map(|row| match row {
                    Row::Edit { place, text } => Some((place.clone(), text.clone())),
                    _ => None,
                })
                .collect(),
            ledger: self
                .rows()
                .filter_map(|row| match row {
                    Row::Movement { place, text } => Some((place.clone(), text.clone())),
                    _ => None,
                })
                .collect(),
            progress: [
                progress.next,
                progress.records,
                progress.events,
                progress.rejections,
                progress.duplicates,
                progress.internal,
            ],
        }
    }
}

/// Reads the rows out of the columns that the processor would insert.
pub(crate) fn parse(table: Table, batch: &RecordBatch) -> Vec<Row> {
    let column = |name: &str| {
        batch
            .column_by_name(name)
            .unwrap_or_else(|| panic!("{table:?} has no column {name}"))
    };
    let text = |name: &str, row: usize| column(name).as_string::<i32>().value(row).to_owned();
    let u64_ = |name: &str, row: usize| column(name).as_primitive::<UInt64Type>().value(row);
    let u32_ = |name: &str, row: usize| column(name).as_primitive::<UInt32Type>().value(row);
    let u16_ = |name: &str, row: usize| column(name).as_primitive::<UInt16Type>().value(row);
    let time = |name: &str, row: usize| {
        column(name)
            .as_primitive::<TimestampMicrosecondType>()
            .value(row)
    };
    let decimal = |name: &str, row: usize| {
        Decimal::from_micros(column(name).as_primitive::<Decimal128Type>().value(row))
    };
    let customer = |row: usize| CustomerRef {
        organization: OrganizationId::from_text(text("organization", row)),
        customer_id: text("customer", row).into(),
    };
    let parse_row = |row: usize| match table {
        Table::Events => Row::Event {
            offset: u64_("offset", row),
            text: format!(
                "{}/{}/{}/{}",
                text("organization", row),
                text("customer", row),
                text("event_id", row),
                text("kind", row)
            ),
            counted: counted(batch, row, customer(row)),
        },
        Table::SegmentEvents => Row::SegmentEvent {
            key: (
                u64_("offset", row),
                format!("{}/{}", text("organization", row), text("customer", row)),
                u32_("ordinal", row),
            ),
            text: format!(
                "{} {} {} {} {}",
                text("segment", row),
                text("change", row),
                text("cause", row),
                u64_("rule_version", row),
                time("at", row)
            ),
        },
        Table::SegmentMembers => Row::SegmentMember {
            key: format!(
                "{}/{} {}",
                text("organization", row),
                text("customer", row),
                text("segment", row)
            ),
            version: u64_("version", row),
            text: format!(
                "{} {} {}",
                column("is_member").as_boolean().value(row),
                u64_("rule_version", row),
                time("since", row)
            ),
        },
        Table::Rejections => Row::Rejection {
            offset: u64_("offset", row),
            text: match text("reason", row).as_str() {
                "duplicate" => {
                    assert_eq!(
                        (u32_("first_generation", row), u32_("first_partition", row)),
                        (1, 0)
                    );
                    format!("duplicate of {}", u64_("first_offset", row))
                }
                "required" => "undecodable".to_owned(),
                other => other.to_owned(),
            },
        },
        Table::EventIds => {
            let id = column("id")
                .as_fixed_size_binary()
                .value(row)
                .try_into()
                .unwrap();
            Row::Id {
                claim: Claim {
                    id: u128::from_be_bytes(id),
                    who: u64_("who", row),
                },
                bucket: u16_("bucket", row),
                offset: u64_("offset", row),
                received: time("received_at", row),
            }
        }
        Table::Controls => Row::Control {
            offset: u64_("offset", row),
            json: text("control", row),
        },
        Table::Edits => Row::Edit {
            place: (
                u64_("offset", row),
                format!("{}/{}", text("organization", row), text("customer", row)),
                u32_("ordinal", row),
            ),
            text: format!(
                "{}/{} {} {} {} {}",
                text("organization", row),
                text("customer", row),
                text("action", row),
                text("record", row),
                text("before", row),
                text("after", row)
            ),
        },
        Table::LoyaltyLedger => Row::Movement {
            place: (
                format!("{}/{}", text("organization", row), text("customer", row)),
                u64_("offset", row),
            ),
            text: format!(
                "{} {} {} {} {}",
                text("kind", row),
                column("points").as_primitive::<Int64Type>().value(row),
                column("balance").as_primitive::<Int64Type>().value(row),
                text("reason", row),
                text("reference", row)
            ),
        },
        Table::CustomerRecords => Row::Record {
            key: format!(
                "{}/{}/{}/{}",
                text("organization", row),
                text("customer", row),
                text("record", row),
                text("id", row)
            ),
            version: u64_("version", row),
            text: format!("{} {}", u64_("edit", row), text("fields", row)),
        },
        Table::CustomerDays => Row::Day(StoredBucket {
            customer: customer(row),
            key: DayKey {
                day: column("day").as_primitive::<Date32Type>().value(row),
                currency: Currency::parse(&text("currency", row)).ok(),
            },
            totals: DayTotals {
                version: u64_("version", row),
                orders: u64_("orders", row),
                revenue: decimal("revenue", row),
                refunds: decimal("refunds", row),
                activities: u64_("activities", row),
                interactions: u64_("interactions", row),
            },
        }),
        Table::CustomerState => {
            let json = text("state", row);
            let state: processors::fold::State = serde_json::from_str(&json).unwrap();
            assert_eq!(state.version, u64_("version", row));
            assert_eq!(
                state.loyalty.points,
                column("points").as_primitive::<Int64Type>().value(row)
            );
            let stored = StoredState {
                customer: customer(row),
                state,
            };
            Row::State {
                bucket: u16_("bucket", row),
                version: u64_("version", row),
                stored,
                json,
            }
        }
        Table::Progress => Row::Progress(Progress {
            next: u64_("offset", row),
            records: u64_("records", row),
            events: u64_("events", row),
            rejections: u64_("rejections", row),
            duplicates: u64_("duplicates", row),
            internal: u64_("internal", row),
            erased: u64_("erased", row),
            record_hash: u64_("record_hash", row),
            tick: match column("tick").is_null(row) {
                true => 0,
                false => time("tick", row),
            },
        }),
    };
    (0..batch.num_rows()).map(parse_row).collect()
}

/// What an event's row adds to a bucket, at its version.
fn counted(batch: &RecordBatch, row: usize, customer: CustomerRef) -> Option<StoredBucket> {
    let text = |name: &str| {
        let column = batch.column_by_name(name).unwrap();
        column.as_string::<i32>().value(row).to_owned()
    };
    let micros = batch.column_by_name("occurred_at").unwrap();
    let occurred_at = micros.as_primitive::<TimestampMicrosecondType>().value(row);
    let amounts = batch.column_by_name("amount").unwrap();
    let amount = Decimal::from_micros(amounts.as_primitive::<Decimal128Type>().value(row));
    let offsets = batch.column_by_name("offset").unwrap();
    let (kind, status) = (text("kind"), text("status"));
    let is_refund = status == "refunded" || amount.is_negative();
    let none = DayTotals {
        version: position(offsets.as_primitive::<UInt64Type>().value(row)).version(),
        ..DayTotals::default()
    };
    let totals = match kind.as_str() {
        "activity" => DayTotals {
            activities: 1,
            ..none
        },
        "interaction" => DayTotals {
            interactions: 1,
            ..none
        },
        "purchase" if status != "cancelled" => DayTotals {
            orders: u64::from(!is_refund),
            revenue: amount,
            refunds: if is_refund { -amount } else { Decimal::ZERO },
            ..none
        },
        _ => return None,
    };
    Some(StoredBucket {
        customer,
        key: DayKey {
            day: schemas::Timestamp::from_micros(occurred_at).day(),
            currency: Currency::parse(&text("currency")).ok(),
        },
        totals,
    })
}

/// The position of an offset in the only partition.
pub(crate) fn position(offset: u64) -> Position {
    Position {
        generation: 1,
        partition: 0,
        offset,
    }
}
