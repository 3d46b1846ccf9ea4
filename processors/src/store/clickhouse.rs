//! The store on the warehouse port.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::{Int32Type, Int64Type, UInt16Type, UInt32Type, UInt64Type};
use async_trait::async_trait;
use compact_str::CompactString;
use futures::{StreamExt, TryStreamExt};
use schemas::{Control, CustomerRef, OrganizationId};
use warehouse::{Params, Warehouse, WarehouseError};

use super::columns::{control, hashes, numbers, texts, unreadable};
use super::{Scope, Store, StoreError, StoredClaim, StoredDefinition};
use crate::claims::Claim;
use crate::engine::{Found, Needs, Progress, Recount, StoredBucket, StoredState};
use crate::rows::Table;

/// The store on ClickHouse, embedded or not.
#[derive(Debug, Clone)]
pub struct WarehouseStore {
    warehouse: Arc<dyn Warehouse>,
    /// Behind the names of the tables of state, claims and progress. Statements have @ in its place.
    suffix: Arc<str>,
}

impl From<WarehouseError> for StoreError {
    fn from(error: WarehouseError) -> Self {
        Self {
            retryable: error.is_retryable(),
            message: error.to_string(),
        }
    }
}

impl WarehouseStore {
    /// A store on an open warehouse.
    pub fn new(warehouse: Arc<dyn Warehouse>) -> Self {
        Self {
            warehouse,
            suffix: "".into(),
        }
    }

    /// A store whose tables of state, claims and progress have this behind their names, beside the live ones.
    pub(crate) fn beside(warehouse: Arc<dyn Warehouse>, suffix: Arc<str>) -> Self {
        Self { warehouse, suffix }
    }

    fn named(&self, sql: &str) -> String {
        sql.replace('@', &self.suffix)
    }

    pub(super) async fn query(
        &self,
        sql: &str,
        params: &Params,
    ) -> Result<Vec<RecordBatch>, StoreError> {
        Ok(self.warehouse.query(&self.named(sql), params).await?)
    }
}

fn scoped(scope: &Scope) -> Params {
    Params::new()
        .with("generation", scope.generation)
        .with("partitions", scope.partitions)
        .with("wanted", scope.wanted.as_slice())
}

#[async_trait]
impl Store for WarehouseStore {
    async fn synchronise(&self) -> Result<(), StoreError> {
        // One node: what was acknowledged is there.
        Ok(())
    }

    async fn progress(&self, scope: &Scope) -> Result<Vec<(u32, Progress)>, StoreError> {
        let sql = "SELECT partition, offset, records, events, rejections, duplicates, internal, erased, record_hash, \
            ifNull(toUnixTimestamp64Micro(tick), 0) AS tick \
            FROM progress@ WHERE generation = {generation:UInt32} AND partition IN {wanted:Array(UInt32)} \
            ORDER BY offset DESC LIMIT 1 BY partition";
        let mut found = Vec::new();
        for batch in self.query(sql, &scoped(scope)).await? {
            let partitions = numbers::<UInt32Type>(&batch, "partition")?;
            let count = |name| numbers::<UInt64Type>(&batch, name);
            let (next, records, events) = (count("offset")?, count("records")?, count("events")?);
            let (rejections, duplicates) = (count("rejections")?, count("duplicates")?);
            let (internal, erased, hash) =
                (count("internal")?, count("erased")?, count("record_hash")?);
            let tick = numbers::<Int64Type>(&batch, "tick")?;
            for row in 0..batch.num_rows() {
                let progress = Progress {
                    next: next.value(row),
                    records: records.value(row),
                    events: events.value(row),
                    rejections: rejections.value(row),
                    duplicates: duplicates.value(row),
                    internal: internal.value(row),
                    erased: erased.value(row),
                    record_hash: hash.value(row),
                    tick: tick.value(row),
                };
                found.push((partitions.value(row), progress));
            }
        }
        Ok(found)
    }

    async fn definitions(&self, scope: &Scope) -> Result<Vec<StoredDefinition>, StoreError> {
        // Partitions of another generation may be more or fewer, but the first one had everything too.
        let sql = "SELECT generation, partition, offset, any(control) AS control FROM controls WHERE kind = 'define' \
            AND (generation < {generation:UInt32} AND partition = 0 \
                OR generation = {generation:UInt32} AND partition IN {wanted:Array(UInt32)}) \
            GROUP BY generation, partition, offset ORDER BY generation, partition, offset";
        let mut found = Vec::new();
        for batch in self.query(sql, &scoped(scope)).await? {
            let generations = numbers::<UInt32Type>(&batch, "generation")?;
            let partitions = numbers::<UInt32Type>(&batch, "partition")?;
            let offsets = numbers::<UInt64Type>(&batch, "offset")?;
            let controls = texts(&batch, "control")?;
            for row in 0..batch.num_rows() {
                let Control::Define { define } = control(controls.value(row))? else {
                    continue;
                };
                if generations.value(row) == scope.generation {
                    found.push(StoredDefinition {
                        partition: partitions.value(row),
                        offset: Some(offsets.value(row)),
                        define,
                    });
                    continue;
                }
                found.extend(scope.wanted.iter().map(|&partition| StoredDefinition {
                    partition,
                    offset: None,
                    define: define.clone(),
                }));
            }
        }
        Ok(found)
    }

    async fn states(
        &self,
        scope: &Scope,
        take: &mut (dyn FnMut(Vec<(u16, StoredState)>) + Send),
    ) -> Result<(), StoreError> {
        let sql = "SELECT bucket, organization, customer, state FROM customer_state@ FINAL \
            WHERE bucket % {partitions:UInt32} IN {wanted:Array(UInt32)}";
        let mut batches = self
            .warehouse
            .stream(&self.named(sql), &scoped(scope))
            .await?;
        while let Some(batch) = batches.next().await {
            take(read_states(&batch?)?);
        }
        Ok(())
    }

    async fn claims(
        &self,
        scope: &Scope,
        take: &mut (dyn FnMut(Vec<StoredClaim>) + Send),
    ) -> Result<(), StoreError> {
        let weeks = "SELECT DISTINCT toInt32(toMonday(received_at)) AS monday FROM event_ids@ ORDER BY monday";
        let mut mondays = Vec::new();
        for batch in self.query(weeks, &Params::new()).await? {
            mondays.extend_from_slice(numbers::<Int32Type>(&batch, "monday")?.values());
        }
        let sql = "SELECT id, who, bucket, toInt32(intDiv(toUnixTimestamp64Micro(received_at), 604800000000)) AS week \
            FROM event_ids@ WHERE toMonday(received_at) = toDate({monday:Int32}) \
            AND bucket % {partitions:UInt32} IN {wanted:Array(UInt32)}";
        for monday in mondays {
            let mut batches = self
                .warehouse
                .stream(&self.named(sql), &scoped(scope).with("monday", monday))
                .await?;
            while let Some(batch) = batches.next().await {
                let batch = batch?;
                let (ids, whos) = (hashes(&batch, "id")?, numbers::<UInt64Type>(&batch, "who")?);
                let buckets = numbers::<UInt16Type>(&batch, "bucket")?;
                let weeks = numbers::<Int32Type>(&batch, "week")?;
                let claims = ids.iter().enumerate().map(|(row, id)| StoredClaim {
                    bucket: buckets.value(row),
                    fingerprint: Claim {
                        id: *id,
                        who: whos.value(row),
                    }
                    .fingerprint(),
                    week: weeks.value(row),
                });
                take(claims.collect());
            }
        }
        Ok(())
    }

    async fn rejections_from(
        &self,
        generation: u32,
        from: &[(u32, u64)],
    ) -> Result<Vec<(u32, u64)>, StoreError> {
        let sql = "SELECT DISTINCT offset FROM rejections \
            WHERE generation = {generation:UInt32} AND partition = {partition:UInt32} AND offset >= {from:UInt64}";
        let queries = from.iter().copied().map(|(partition, from)| async move {
            let params = Params::new()
                .with("generation", generation)
                .with("partition", partition)
                .with("from", from);
            let mut found = Vec::new();
            for batch in self.query(sql, &params).await? {
                let offsets = numbers::<UInt64Type>(&batch, "offset")?;
                found.extend(offsets.values().iter().map(|offset| (partition, *offset)));
            }
            Ok::<_, StoreError>(found)
        });
        let found: Vec<_> = futures::stream::iter(queries)
            .buffer_unordered(2)
            .try_collect()
            .await?;
        Ok(found.concat())
    }

    async fn find(&self, needs: &Needs) -> Result<Found, StoreError> {
        let (claims, mut states, homes, buckets, windows) = futures::try_join!(
            self.find_claims(needs),
            self.find_states(needs),
            self.find_homes(needs),
            self.find_buckets(needs),
            self.find_windows(needs)
        )?;
        states.extend(homes);
        Ok(Found {
            claims,
            states,
            buckets,
            windows,
        })
    }

    async fn recount(&self, recounts: &[Recount]) -> Result<Vec<StoredBucket>, StoreError> {
        self.count_again(recounts).await
    }

    async fn insert(&self, table: Table, rows: RecordBatch) -> Result<(), StoreError> {
        let name = format!("{}{}", table.name(), self.suffix);
        Ok(self.warehouse.insert(&name, rows).await?)
    }

    async fn pause(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    fn now(&self) -> i64 {
        chrono::Utc::now().timestamp_micros()
    }

    async fn run(&self, work: Box<dyn FnOnce() + Send>) {
        // A panic shows in what the work was to send back.
        let _ = tokio::task::spawn_blocking(work).await;
    }
}

/// Rows with bucket, organization, customer and state.
pub(super) fn read_states(batch: &RecordBatch) -> Result<Vec<(u16, StoredState)>, StoreError> {
    let buckets = numbers::<UInt16Type>(batch, "bucket")?;
    let (organizations, customers) = (texts(batch, "organization")?, texts(batch, "customer")?);
    let states = texts(batch, "state")?;
    let mut interned: BTreeMap<&str, OrganizationId> = BTreeMap::new();
    let mut found = Vec::with_capacity(batch.num_rows());
    for row in 0..batch.num_rows() {
        let organization = interned
            .entry(organizations.value(row))
            .or_insert_with(|| OrganizationId::from_text(organizations.value(row)))
            .clone();
        let customer = CustomerRef {
            organization,
            customer_id: CompactString::new(customers.value(row)),
        };
        let state = serde_json::from_str(states.value(row)).map_err(|error| {
            unreadable(format!(
                "the state of customer {}: {error}",
                customer.customer_id
            ))
        })?;
        found.push((buckets.value(row), StoredState { customer, state }));
    }
    Ok(found)
}
