//! The processor on the real embedded log, the real embedded ClickHouse and a Delta table in a temporary folder.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::AsArray;
use arrow::datatypes::{Decimal128Type, UInt64Type};
use processors::{
    ArchiveRoll, Handle, Options, Processor, ProcessorError, Reconciliation, reconcile,
};
use schemas::record::encode_event;
use schemas::{
    Currency, Decimal, Define, Draft, Kind, OrganizationId, ParseContext, Record, Timestamp, bucket,
};
use stream::{Log, NewRecord};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use warehouse::archive::{Archive, ArchiveOptions};
use warehouse::{Params, Warehouse};

#[path = "pipeline/replay.rs"]
mod replay;

const PARTITIONS: u32 = 4;
const EVENTS: usize = 5_000;
const TWICE: usize = 250;
const POISON: usize = 9;

/// libchdb where the set-up puts it.
fn library() -> PathBuf {
    let cache = std::env::var_os("MILLRACE_CACHE")
        .map(PathBuf::from)
        .unwrap_or_else(|| {
            Path::new(&std::env::var_os("HOME").expect("HOME is set")).join(".cache/millrace")
        });
    cache.join("chdb/lib/libchdb.so")
}

struct Place {
    log: Arc<dyn Log>,
    warehouse: Arc<dyn Warehouse>,
    archive: Archive,
}

impl Place {
    async fn open(folder: &Path) -> Self {
        let url = |scheme: &str, name: &str| format!("{scheme}:{}", folder.join(name).display());
        let options = stream::Options {
            partitions: PARTITIONS,
            append_timeout: Duration::from_secs(60),
            ..stream::Options::default()
        };
        let log = stream::open(&url("file", "log"), &options).await.unwrap();
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
        Self {
            log,
            warehouse,
            archive,
        }
    }

    fn process(
        &self,
        max_events: usize,
    ) -> (
        Handle,
        CancellationToken,
        JoinHandle<Result<(), ProcessorError>>,
    ) {
        let roll = ArchiveRoll {
            idle: Duration::from_millis(300),
            ..ArchiveRoll::default()
        };
        let options = Options {
            max_events,
            linger: Duration::from_millis(20),
            archive: roll,
            ..Options::default()
        };
        let processor = Processor::new(
            self.log.clone(),
            self.warehouse.clone(),
            self.archive.clone(),
            options,
        );
        let (handle, shutdown) = (processor.handle(), CancellationToken::new());
        (
            handle,
            shutdown.clone(),
            tokio::spawn(processor.run(shutdown)),
        )
    }

    async fn ends(&self) -> BTreeMap<u32, u64> {
        self.log
            .bounds()
            .await
            .unwrap()
            .into_iter()
            .map(|bounds| (bounds.partition, bounds.end))
            .collect()
    }

    /// Waits until everything in the log is applied and archived.
    async fn settled(&self, handle: &Handle) {
        for (partition, end) in self.ends().await {
            if end > 0 {
                let last = schemas::Position {
                    generation: 1,
                    partition,
                    offset: end - 1,
                };
                assert!(
                    handle.applied(last, Duration::from_secs(60)).await,
                    "{last} is not applied"
                );
                assert!(
                    handle.archived(last, Duration::from_secs(60)).await,
                    "{last} is not archived"
                );
            }
        }
    }

    async fn append(&self, records: Vec<NewRecord>) {
        for records in records.chunks(500) {
            for appended in self.log.append(records.to_vec()).await {
                appended.unwrap();
            }
        }
    }

    async fn reconcile(&self) -> Reconciliation {
        let found = reconcile(&*self.log, &*self.warehouse, &self.archive)
            .await
            .unwrap();
        assert!(found.balanced, "{found:#?}");
        found
    }

    async fn number(&self, sql: &str) -> i128 {
        let rows = self.warehouse.query(sql, &Params::new()).await.unwrap();
        let column = rows[0].column(0);
        match column.as_primitive_opt::<Decimal128Type>() {
            Some(decimals) => decimals.value(0),
            None => i128::from(column.as_primitive::<UInt64Type>().value(0)),
        }
    }

    /// Net revenue of the customers' states and of the events, in millionths.
    async fn revenue(&self) -> (i128, i128) {
        let state = self
            .number("SELECT sum(revenue) FROM customer_state FINAL")
            .await;
        let events = self
            .number("SELECT sum(amount) FROM events FINAL WHERE status != 'cancelled'")
            .await;
        let days = self
            .number("SELECT sum(revenue) FROM customer_days FINAL")
            .await;
        assert_eq!(state, days);
        (state, events)
    }
}

fn events() -> (Vec<NewRecord>, Decimal) {
    let organization = OrganizationId::from_text("org_1");
    let mut revenue = Decimal::ZERO;
    let records = (0..EVENTS)
        .map(|number| {
            let customer = format!("c-{}", number % 300);
            let received_at = Timestamp::from_micros(1_770_000_000_000_000 + number as i64);
            let day = 1_760_000_000_000_i64 + (number as i64 % 90) * 86_400_000;
            let (kind, own) = match number % 10 {
                0 => (Kind::User, format!(r#""name":"Customer {number}","vip":true"#)),
                1 => (Kind::Activity, r#""name":"login""#.to_owned()),
                2 => (Kind::Interaction, r#""channel":"phone","kind":"call""#.to_owned()),
                3 => (Kind::Purchase, r#""amount":"3.05","status":"refunded""#.to_owned()),
                _ => (
                    Kind::Purchase,
                    format!(
                        r#""amount":"{number}.01","items":[{{"product_id":"p-{}"}}]"#,
                        number % 7
                    ),
                ),
            };
            let stated = format!(r#"{{"customer_id":"{customer}","event_id":"e-{number}","occurred_at":{day},{own}}}"#);
            let context = ParseContext {
                received_at,
                currency: Currency::USD,
            };
            let draft = Draft::parse(kind, &stated, &context).unwrap();
            let event = draft.into_event(organization.clone(), || unreachable!(), received_at, "key".into(), 0);
            if let Some(purchase) = event.body.purchase() {
                revenue += purchase.amount;
            }
            let mut payload = Vec::new();
            encode_event(&mut payload, &event, Currency::USD, &stated);
            NewRecord {
                partition: u32::from(bucket(&organization, &customer)) % PARTITIONS,
                payload: payload.into(),
                // One half as ingest hands it on, the other as after a restart.
                decoded: (number % 2 == 0).then(|| Arc::new(Record::Event(event))),
                trace: None,
            }
        })
        .collect();
    (records, revenue)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_event_counts_once_through_crashes_restarts_and_repeats() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::open(folder.path()).await;
    let (events, revenue) = events();
    let define = Define::Organization {
        organization: OrganizationId::from_text("org_1"),
        currency: Currency::USD,
    };
    processors::define(&*place.log, &define).await.unwrap();

    let mut sent = events.clone();
    sent.extend(events[..TWICE].iter().cloned());
    sent.extend((0..POISON).map(|number| NewRecord {
        partition: number as u32 % PARTITIONS,
        payload: b"{\"v\":1,\"kind\":\"purchase\"".as_slice().into(),
        decoded: None,
        trace: None,
    }));

    // A processor that dies in the middle, while events still arrive.
    let (handle, _, running) = place.process(300);
    place.append(sent[..sent.len() / 2].to_vec()).await;
    while handle
        .progress()
        .iter()
        .map(|partition| partition.applied)
        .sum::<u64>()
        < 1_000
    {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    running.abort();
    assert!(running.await.unwrap_err().is_cancelled());
    place.append(sent[sent.len() / 2..].to_vec()).await;

    // The next goes on where it was.
    let (handle, shutdown, running) = place.process(2_000);
    place.settled(&handle).await;
    let found = place.reconcile().await;
    assert_eq!(found.totals.events, EVENTS as u64);
    assert_eq!(found.totals.archive_rows, EVENTS as u64);
    assert_eq!(
        (found.totals.rejections, found.totals.duplicates),
        ((TWICE + POISON) as u64, TWICE as u64)
    );
    assert_eq!(found.totals.internal, u64::from(PARTITIONS));
    assert_eq!(place.revenue().await, (revenue.micros(), revenue.micros()));
    shutdown.cancel();
    running.await.unwrap().unwrap();

    // Everything again, in a new process as far as files can tell: all duplicates, and no figure changes.
    place.log.close().await.unwrap();
    place.warehouse.close().await;
    drop(place);
    let place = Place::open(folder.path()).await;
    let (handle, shutdown, running) = place.process(100_000);
    place.append(events).await;
    place.settled(&handle).await;
    let again = place.reconcile().await;
    assert_eq!(again.totals.events, EVENTS as u64);
    assert_eq!(again.totals.archive_rows, EVENTS as u64);
    assert_eq!(again.totals.duplicates, (TWICE + EVENTS) as u64);
    assert_eq!(place.revenue().await, (revenue.micros(), revenue.micros()));
    assert_eq!(
        place
            .number("SELECT count() FROM customer_state FINAL")
            .await,
        300
    );
    assert_eq!(
        place
            .number("SELECT count() FROM rejections FINAL WHERE reason = 'duplicate' AND first_generation != 1")
            .await,
        0
    );
    shutdown.cancel();
    running.await.unwrap().unwrap();
    let place = replay::the_state_comes_out_again(folder.path(), place, EVENTS).await;
    place.log.close().await.unwrap();
    place.warehouse.close().await;
}
