//! Random customers through the real fold and random criteria: who is in a segment by the fold is who fulfils its criteria
//! by SQL over what the fold has written, exactly.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::AsArray;
use processors::{ArchiveRoll, Options, Processor};
use schemas::criteria::sample::{Customer, Sampler};
use schemas::criteria::{SqlValue, TextField};
use schemas::ids::BUCKETS;
use schemas::record::encode_event;
use schemas::{
    Control, Criteria, Currency, Define, Draft, Kind, OrganizationId, ParseContext, Timestamp,
    bucket,
};
use stream::{Log, NewRecord};
use tokio_util::sync::CancellationToken;
use warehouse::archive::{Archive, ArchiveOptions};
use warehouse::{Params, Value, Warehouse};

const PARTITIONS: u32 = 4;
const CUSTOMERS: usize = 60;
const SEGMENTS: usize = 120;
const DAY: i64 = 86_400_000_000;

fn library() -> PathBuf {
    let cache = std::env::var_os("MILLRACE_CACHE")
        .map(PathBuf::from)
        .unwrap_or_else(|| {
            Path::new(&std::env::var_os("HOME").expect("HOME is set")).join(".cache/millrace")
        });
    cache.join("chdb/lib/libchdb.so")
}

fn organization() -> OrganizationId {
    OrganizationId::from_text("org_1")
}

fn everywhere(control: &Control) -> Vec<NewRecord> {
    (0..PARTITIONS)
        .map(|partition| record(partition, control.encode()))
        .collect()
}

fn record(partition: u32, payload: bytes::Bytes) -> NewRecord {
    NewRecord {
        partition,
        payload,
        decoded: None,
        trace: None,
    }
}

/// An event as ingest writes it; none where the vocabulary does not take it.
fn event(
    kind: Kind,
    customer: &str,
    id: &str,
    own: serde_json::Value,
    received_at: Timestamp,
) -> Option<NewRecord> {
    let mut stated = own;
    stated["customer_id"] = customer.into();
    stated["event_id"] = id.into();
    let stated = stated.to_string();
    let context = ParseContext {
        received_at,
        currency: Currency::USD,
    };
    let draft = Draft::parse(kind, &stated, &context).ok()?;
    let event = draft.into_event(
        organization(),
        || unreachable!(),
        received_at,
        "key".into(),
        0,
    );
    let mut payload = Vec::new();
    encode_event(&mut payload, &event, Currency::USD, &stated);
    let partition = u32::from(bucket(&organization(), customer)) % PARTITIONS;
    Some(record(partition, payload.into()))
}

/// A customer's events: each text in one of its own, for some are refused, and what its days hold. The days keep their
/// distance from `now`, which the customer was drawn for.
fn events_of(
    name: &str,
    customer: &Customer,
    drawn_at: Timestamp,
    now: Timestamp,
) -> Vec<NewRecord> {
    let mut found = Vec::new();
    let mut add = |kind, own: serde_json::Value| {
        let id = format!("e{}", found.len());
        found.extend(event(kind, name, &id, own, now));
    };
    for (field, text) in &customer.texts {
        let own = match field {
            TextField::City => serde_json::json!({"addresses": [{"city": text, "country": "FR"}]}),
            field => serde_json::json!({field.name(): text}),
        };
        add(Kind::User, own);
    }
    add(Kind::User, serde_json::json!({"tags": customer.tags}));
    let mut attributes = serde_json::Map::new();
    for (key, json) in &customer.attributes {
        attributes.insert(key.clone(), serde_json::from_str(json).unwrap());
    }
    add(Kind::User, serde_json::json!({"attributes": attributes}));
    for ((day, currency), counts) in &customer.days {
        let days = i64::from(day - drawn_at.day());
        let at = Timestamp::of_day(now.day()).plus_micros(days * DAY + 3_600_000_000);
        if at > now.plus_micros(DAY - 1) {
            continue;
        }
        let at = at.to_string();
        let Some(currency) = currency else {
            for _ in 0..counts.activities {
                add(
                    Kind::Activity,
                    serde_json::json!({"name": "login", "occurred_at": at}),
                );
            }
            for _ in 0..counts.interactions {
                let own =
                    serde_json::json!({"channel": "phone", "kind": "call", "occurred_at": at});
                add(Kind::Interaction, own);
            }
            continue;
        };
        for amount in [counts.revenue, -counts.refunds] {
            add(
                Kind::Purchase,
                serde_json::json!({"amount": amount, "currency": currency.as_str(), "occurred_at": at}),
            );
        }
    }
    found
}

/// Canonical criteria by id. Only the later ones refer to others, and only to the first three.
fn criteria(sampler: &mut Sampler) -> Vec<(String, Criteria)> {
    let mut found: Vec<(String, Criteria)> = Vec::new();
    for id in ["seg_a", "seg_b", "seg_'c"] {
        let alone = loop {
            let criteria = Criteria::parse(&sampler.criteria()).unwrap();
            if criteria.segments().is_empty() {
                break criteria;
            }
        };
        found.push((id.to_owned(), alone));
    }
    for number in 0..SEGMENTS {
        let criteria = Criteria::parse(&sampler.criteria()).unwrap();
        found.push((format!("q{number}"), criteria));
    }
    found
}

async fn customers(warehouse: &dyn Warehouse, sql: &str, params: &Params) -> BTreeSet<String> {
    let batches = warehouse
        .query(sql, params)
        .await
        .unwrap_or_else(|error| panic!("{error}: {sql}"));
    let mut found = BTreeSet::new();
    for batch in batches {
        let names = arrow::compute::cast(batch.column(0), &arrow::datatypes::DataType::Utf8);
        let names = names.unwrap();
        found.extend(names.as_string::<i32>().iter().flatten().map(str::to_owned));
    }
    found
}

async fn by_sql(
    warehouse: &dyn Warehouse,
    criteria: &Criteria,
    now: Timestamp,
) -> BTreeSet<String> {
    let mut params = Params::new();
    let mut count = 0;
    let condition = criteria.to_sql(&mut |value| {
        count += 1;
        let (name, kind) = (format!("p{count}"), value.sql_type());
        let value: Value = match value {
            SqlValue::Organization => "org_1".into(),
            SqlValue::Currency => "USD".into(),
            SqlValue::Now => now.into(),
            SqlValue::Text(text) => text.into(),
            SqlValue::Texts(texts) => texts.into(),
            SqlValue::Integer(number) => number.into(),
            SqlValue::Integers(numbers) => numbers.into(),
            SqlValue::Decimal(number) => number.into(),
            SqlValue::Decimals(numbers) => {
                let texts: Vec<String> = numbers.iter().map(ToString::to_string).collect();
                texts.into()
            }
            SqlValue::Time(time) => time.into(),
        };
        params = std::mem::take(&mut params).with(&name, value);
        format!("{{{name}:{kind}}}")
    });
    let sql = format!(
        "SELECT customer FROM customer_state FINAL WHERE organization = 'org_1' AND NOT is_deleted AND ({condition})"
    );
    customers(warehouse, &sql, &params).await
}

async fn by_fold(warehouse: &dyn Warehouse, segment: &str) -> BTreeSet<String> {
    let sql = "SELECT customer FROM segment_members WHERE organization = 'org_1' AND segment = {segment:String} \
        GROUP BY customer HAVING argMax(is_member, version)";
    customers(warehouse, sql, &Params::new().with("segment", segment)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_by_the_fold_are_those_by_sql() {
    let folder = tempfile::tempdir().unwrap();
    let url = |scheme: &str, name: &str| format!("{scheme}:{}", folder.path().join(name).display());
    let options = stream::Options {
        partitions: PARTITIONS,
        ..stream::Options::default()
    };
    let log: Arc<dyn Log> = stream::open(&url("file", "log"), &options).await.unwrap();
    let options = warehouse::Options {
        library: Some(library()),
        ..warehouse::Options::default()
    };
    let warehouse = warehouse::open(&url("chdb", "warehouse"), &options)
        .await
        .unwrap();
    let archive = Archive::open(&url("file", "archive"), &ArchiveOptions::default())
        .await
        .unwrap();
    let options = Options {
        linger: Duration::from_millis(20),
        archive: ArchiveRoll::default(),
        // Customers are forgotten all the time, and read again.
        state_bytes: 40_000,
        ..Options::default()
    };
    let processor = Processor::new(log.clone(), warehouse.clone(), archive.clone(), options);
    let (handle, shutdown) = (processor.handle(), CancellationToken::new());
    let running = tokio::spawn(processor.run(shutdown.clone()));
    let send = async |records: Vec<NewRecord>| {
        let mut last = None;
        for appended in log.append(records).await {
            last = Some(appended.unwrap());
        }
        last.unwrap()
    };

    // Ahead of the clock of this machine, so that only the ticks of this test pass time.
    let today = Timestamp::from_micros(chrono::Utc::now().timestamp_micros()).day();
    let begin = Timestamp::of_day(today + 30).plus_micros(7 * 3_600_000_000);
    let mut sampler = Sampler::new(26);
    let segments = criteria(&mut sampler);
    let drawn_at = sampler.now();
    let drawn: Vec<Customer> = (0..CUSTOMERS).map(|_| sampler.customer(drawn_at)).collect();
    // Half of what happens comes before the segments, the other half after them.
    let mut later = Vec::new();
    for (number, customer) in drawn.iter().enumerate() {
        let mut records = events_of(&format!("c{number}"), customer, drawn_at, begin);
        later.extend(records.split_off(records.len() / 2));
        send(records).await;
    }
    for (id, criteria) in &segments {
        let define = Define::Segment {
            organization: organization(),
            id: id.as_str().into(),
            version: 1,
            criteria: criteria.to_json(),
            is_active: true,
        };
        send(everywhere(&Control::Define { define })).await;
    }
    let looks: Vec<NewRecord> = (0..BUCKETS)
        .map(|bucket| {
            let control = Control::Evaluate {
                organization: organization(),
                bucket,
                at: begin.plus_micros(1),
            };
            record(u32::from(bucket) % PARTITIONS, control.encode())
        })
        .collect();
    send(looks).await;
    send(later).await;

    let mut members = [0, 0];
    for days in [0, 1, 3, 12] {
        let now = begin.plus_micros(2 + days * DAY);
        send(everywhere(&Control::Tick { at: now })).await;
        for bounds in log.bounds().await.unwrap() {
            let last = schemas::Position {
                generation: log.generation(),
                partition: bounds.partition,
                offset: bounds.end - 1,
            };
            assert!(handle.applied(last, Duration::from_secs(120)).await);
        }
        for (id, criteria) in &segments {
            let (fold, sql) = (
                by_fold(&*warehouse, id).await,
                by_sql(&*warehouse, criteria, now).await,
            );
            assert_eq!(fold, sql, "{days} days later, {id}: {}", criteria.to_json());
            members[0] += fold.len();
            members[1] += CUSTOMERS - fold.len();
        }
    }
    assert!(members[0] > 1_000 && members[1] > 1_000, "{members:?}");
    shutdown.cancel();
    running.await.unwrap().unwrap();
    log.close().await.unwrap();
    warehouse.close().await;
}
