//! Two sinks, one log: what one of them cannot take holds up neither the other nor the log.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arrow::array::RecordBatch;
use async_trait::async_trait;
use processors::{ArchiveRoll, Handle, Options, Processor, ProcessorError, reconcile};
use schemas::record::encode_event;
use schemas::{Currency, Draft, Kind, OrganizationId, ParseContext, Position, Timestamp, bucket};
use stream::{Log, NewRecord};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use warehouse::archive::{Archive, ArchiveOptions};
use warehouse::{Params, Rows, Warehouse, WarehouseError};

const PARTITIONS: u32 = 2;
const PATIENCE: Duration = Duration::from_secs(60);
/// Too short for anything to come through that is held up.
const SHORT: Duration = Duration::from_secs(2);

fn library() -> PathBuf {
    let cache = std::env::var_os("MILLRACE_CACHE").map_or_else(
        || Path::new(&std::env::var_os("HOME").expect("HOME is set")).join(".cache/millrace"),
        PathBuf::from,
    );
    cache.join("chdb/lib/libchdb.so")
}

/// The real warehouse, with an injected fault: while it is away, nothing is read or written.
#[derive(Debug)]
struct Faulty {
    warehouse: Arc<dyn Warehouse>,
    away: AtomicBool,
}

impl Faulty {
    fn check(&self) -> Result<(), WarehouseError> {
        match self.away.load(Ordering::Acquire) {
            true => Err(WarehouseError::Unavailable("injected".to_owned())),
            false => Ok(()),
        }
    }
}

#[async_trait]
impl Warehouse for Faulty {
    async fn query(&self, sql: &str, params: &Params) -> Result<Vec<RecordBatch>, WarehouseError> {
        self.check()?;
        self.warehouse.query(sql, params).await
    }

    async fn stream(&self, sql: &str, params: &Params) -> Result<Rows, WarehouseError> {
        self.check()?;
        self.warehouse.stream(sql, params).await
    }

    async fn execute(&self, sql: &str, params: &Params) -> Result<(), WarehouseError> {
        self.check()?;
        self.warehouse.execute(sql, params).await
    }

    async fn insert(&self, table: &str, rows: RecordBatch) -> Result<(), WarehouseError> {
        self.check()?;
        self.warehouse.insert(table, rows).await
    }

    async fn close(&self) {
        self.warehouse.close().await;
    }
}

struct Place {
    log: Arc<dyn Log>,
    warehouse: Arc<Faulty>,
    archive: Archive,
    table: PathBuf,
}

struct Running {
    handle: Handle,
    shutdown: CancellationToken,
    task: JoinHandle<Result<(), ProcessorError>>,
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
        let away = AtomicBool::new(false);
        Self {
            log,
            warehouse: Arc::new(Faulty { warehouse, away }),
            archive,
            table: folder.join("archive/events"),
        }
    }

    fn process(&self, archive: ArchiveRoll) -> Running {
        let options = Options {
            max_events: 100,
            linger: Duration::from_millis(10),
            archive,
            ..Options::default()
        };
        let processor = Processor::new(
            self.log.clone(),
            self.warehouse.clone(),
            self.archive.clone(),
            options,
        );
        let (handle, shutdown) = (processor.handle(), CancellationToken::new());
        Running {
            handle,
            shutdown: shutdown.clone(),
            task: tokio::spawn(processor.run(shutdown)),
        }
    }

    /// Appends so many events, the first of this number; the last position of each partition.
    async fn append(&self, first: usize, count: usize) -> Vec<Position> {
        let organization = OrganizationId::from_text("org_1");
        let records: Vec<NewRecord> = (first..first + count)
            .map(|number| {
                let customer = format!("c-{}", number % 50);
                let received_at = Timestamp::from_micros(1_770_000_000_000_000 + number as i64);
                let stated = format!(
                    r#"{{"customer_id":"{customer}","event_id":"e-{number}","amount":"1.25"}}"#
                );
                let context = ParseContext {
                    received_at,
                    currency: Currency::USD,
                };
                let draft = Draft::parse(Kind::Purchase, &stated, &context).unwrap();
                let source = "key".into();
                let event = draft.into_event(
                    organization.clone(),
                    || unreachable!(),
                    received_at,
                    source,
                    0,
                );
                let mut payload = Vec::new();
                encode_event(&mut payload, &event, Currency::USD, &stated);
                NewRecord {
                    partition: u32::from(bucket(&organization, &customer)) % PARTITIONS,
                    payload: payload.into(),
                    decoded: None,
                    trace: None,
                }
            })
            .collect();
        let mut last = vec![None; PARTITIONS as usize];
        for records in records.chunks(200) {
            for appended in self.log.append(records.to_vec()).await {
                let position = appended.unwrap();
                last[position.partition as usize] = Some(position);
            }
        }
        last.into_iter().flatten().collect()
    }

    async fn finish(self, running: Running, events: u64) {
        let found = reconcile(&*self.log, &*self.warehouse, &self.archive)
            .await
            .unwrap();
        assert!(found.balanced, "{found:#?}");
        assert_eq!(
            (found.totals.events, found.totals.archive_rows),
            (events, events)
        );
        running.shutdown.cancel();
        running.task.await.unwrap().unwrap();
        self.log.close().await.unwrap();
        self.warehouse.close().await;
    }
}

async fn applied(running: &Running, positions: &[Position], patience: Duration) -> bool {
    for position in positions {
        if !running.handle.applied(*position, patience).await {
            return false;
        }
    }
    true
}

async fn archived(running: &Running, positions: &[Position], patience: Duration) -> bool {
    for position in positions {
        if !running.handle.archived(*position, patience).await {
            return false;
        }
    }
    true
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_state_goes_on_without_the_archive_and_the_archive_without_the_warehouse() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::open(folder.path()).await;
    // Hardly any memory for rows, so that what waits must be read back, a few rows at once.
    let running = place.process(ArchiveRoll {
        idle: Duration::from_millis(200),
        cache_bytes: 1,
        min_bytes: 40_000,
        ..ArchiveRoll::default()
    });
    let first = place.append(0, 300).await;
    assert!(applied(&running, &first, PATIENCE).await);
    assert!(archived(&running, &first, PATIENCE).await);

    // A file in its place: the archive can be neither read nor written.
    let away = folder.path().join("archive-away");
    std::fs::rename(&place.table, &away).unwrap();
    std::fs::write(&place.table, "no table").unwrap();
    let mut last = first;
    for round in 1..6 {
        last = place.append(round * 300, 300).await;
        assert!(
            applied(&running, &last, PATIENCE).await,
            "the archive holds up the state"
        );
    }
    assert!(
        !archived(&running, &last, SHORT).await,
        "the fault does nothing"
    );
    std::fs::remove_file(&place.table).unwrap();
    std::fs::rename(&away, &place.table).unwrap();
    assert!(archived(&running, &last, PATIENCE).await);
    running.shutdown.cancel();
    running.task.await.unwrap().unwrap();

    // The other way round: what is applied reaches the archive while the warehouse is away.
    let running = place.process(ArchiveRoll {
        idle: Duration::from_secs(3),
        ..ArchiveRoll::default()
    });
    let last = place.append(1_800, 300).await;
    assert!(applied(&running, &last, PATIENCE).await);
    place.warehouse.away.store(true, Ordering::Release);
    let held = place.append(2_100, 300).await;
    assert!(
        archived(&running, &last, PATIENCE).await,
        "the warehouse holds up the archive"
    );
    assert!(
        !applied(&running, &held, SHORT).await,
        "the fault does nothing"
    );
    place.warehouse.away.store(false, Ordering::Release);
    assert!(applied(&running, &held, PATIENCE).await);
    assert!(archived(&running, &held, PATIENCE).await);
    place.finish(running, 2_400).await;
}
