//! The world of a run: one log, one disk, who owns the partition. Everything that waits, waits on chance.

use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use arrow::array::RecordBatch;
use async_trait::async_trait;
use parking_lot::Mutex;
use processors::claims::week;
use processors::driver::Observer;
use processors::engine::{Found, Home, Needs, Progress, Recount, StoredBucket, StoredState};
use processors::rows::{Cycle, Table};
use processors::store::{Scope, Store, StoreError, StoredClaim, StoredDefinition};
use schemas::{Control, CustomerRef, Position, Timestamp, bucket};
use stream::{
    AppendError, Bounds, Consumer, Delivery, Limits, Log, LogError, LogRecord, NewRecord,
};

use crate::disk::{Disk, parse, position};
use crate::random::Random;

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) random: Random,
    pub(crate) log: Vec<LogRecord>,
    /// Records appended so far.
    pub(crate) end: usize,
    pub(crate) disk: Disk,
    /// What each incarnation has not yet been told.
    pub(crate) news: BTreeMap<usize, VecDeque<Delivery>>,
    /// Inserts may fail, and the log may be away for a moment.
    pub(crate) faults: bool,
    /// An acknowledged insert is safe from a loss of power.
    pub(crate) fsync: bool,
}

impl World {
    fn answers(&mut self) -> Result<(), LogError> {
        match self.faults && self.random.percent(5) {
            true => Err(LogError::Unavailable("simulated".to_owned())),
            false => Ok(()),
        }
    }
}

pub(crate) type Shared = Arc<Mutex<World>>;

/// Lets others go first, now and then more than once.
pub(crate) struct Turns(usize);

impl Turns {
    pub(crate) fn some(world: &Shared) -> Self {
        let mut world = world.lock();
        Self(if world.random.percent(60) {
            0
        } else {
            1 + world.random.below(4)
        })
    }
}

impl Future for Turns {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        match self.0 {
            0 => Poll::Ready(()),
            _ => {
                self.0 -= 1;
                Poll::Pending
            }
        }
    }
}

/// The log as one incarnation sees it.
#[derive(Debug)]
pub(crate) struct SimLog {
    pub(crate) world: Shared,
    pub(crate) incarnation: usize,
}

#[async_trait]
impl Log for SimLog {
    fn generation(&self) -> u32 {
        1
    }

    fn partitions(&self) -> u32 {
        1
    }

    async fn append(&self, _: Vec<NewRecord>) -> Vec<Result<Position, AppendError>> {
        Vec::new()
    }

    async fn subscribe(&self, _: &str) -> Result<Box<dyn Consumer>, LogError> {
        Ok(Box::new(SimConsumer {
            world: self.world.clone(),
            incarnation: self.incarnation,
            owned: false,
            next: None,
        }))
    }

    async fn bounds(&self) -> Result<Vec<Bounds>, LogError> {
        Turns::some(&self.world).await;
        self.world.lock().answers()?;
        Ok(vec![Bounds {
            partition: 0,
            start: 0,
            end: self.world.lock().end as u64,
        }])
    }

    async fn read(
        &self,
        _: u32,
        from: u64,
        max: usize,
        _: usize,
    ) -> Result<Vec<LogRecord>, LogError> {
        Turns::some(&self.world).await;
        let mut world = self.world.lock();
        world.answers()?;
        Ok(world.log[..world.end]
            .iter()
            .skip(from as usize)
            .take(max)
            .cloned()
            .collect())
    }

    async fn release(&self, _: &[(u32, u64)]) -> Result<(), LogError> {
        Ok(())
    }

    async fn healthy(&self) -> Result<(), LogError> {
        Ok(())
    }

    async fn close(&self) -> Result<(), LogError> {
        Ok(())
    }
}

struct SimConsumer {
    world: Shared,
    incarnation: usize,
    owned: bool,
    next: Option<usize>,
}

#[async_trait]
impl Consumer for SimConsumer {
    async fn poll(&mut self, _: &Limits) -> Result<Vec<Delivery>, LogError> {
        // Always once, so that an idle incarnation does not keep the turn.
        Turns(1).await;
        Turns::some(&self.world).await;
        let mut world = self.world.lock();
        world.answers()?;
        if let Some(news) = world.news.entry(self.incarnation).or_default().pop_front() {
            match &news {
                Delivery::Assigned(_) => (self.owned, self.next) = (true, None),
                _ => (self.owned, self.next) = (false, None),
            }
            return Ok(vec![news]);
        }
        let (true, Some(from)) = (self.owned, self.next) else {
            return Ok(Vec::new());
        };
        let to = world.end.min(from + 1 + world.random.below(12));
        if from >= to {
            return Ok(Vec::new());
        }
        self.next = Some(to);
        Ok(vec![Delivery::Records {
            partition: 0,
            records: world.log[from..to].to_vec(),
        }])
    }

    async fn start(&mut self, _: u32, offset: u64) -> Result<(), LogError> {
        self.world.lock().answers()?;
        self.next = Some(offset as usize);
        Ok(())
    }

    fn note_progress(&mut self, _: &[(u32, u64)]) {}
}

/// The warehouse as one incarnation sees it: the same disk for all.
#[derive(Debug)]
pub(crate) struct SimStore {
    pub(crate) world: Shared,
}

#[async_trait]
impl Store for SimStore {
    async fn synchronise(&self) -> Result<(), StoreError> {
        Turns::some(&self.world).await;
        Ok(())
    }

    async fn progress(&self, _: &Scope) -> Result<Vec<(u32, Progress)>, StoreError> {
        Turns::some(&self.world).await;
        Ok(self
            .world
            .lock()
            .disk
            .progress()
            .map(|progress| (0, progress))
            .into_iter()
            .collect())
    }

    async fn definitions(&self, _: &Scope) -> Result<Vec<StoredDefinition>, StoreError> {
        Turns::some(&self.world).await;
        let controls = self.world.lock().disk.controls().into_iter();
        Ok(controls
            .filter_map(
                |(offset, json)| match serde_json::from_str(&json).unwrap() {
                    Control::Define { define } => Some(StoredDefinition {
                        partition: 0,
                        offset: Some(offset),
                        define,
                    }),
                    _ => None,
                },
            )
            .collect())
    }

    async fn states(
        &self,
        _: &Scope,
        take: &mut (dyn FnMut(Vec<(u16, StoredState)>) + Send),
    ) -> Result<(), StoreError> {
        Turns::some(&self.world).await;
        let states = self.world.lock().disk.states().into_values();
        take(
            states
                .map(|(bucket, _, stored, _)| (bucket, stored))
                .collect(),
        );
        Ok(())
    }

    async fn claims(
        &self,
        _: &Scope,
        take: &mut (dyn FnMut(Vec<StoredClaim>) + Send),
    ) -> Result<(), StoreError> {
        Turns::some(&self.world).await;
        let ids = self.world.lock().disk.ids().into_iter();
        let stored =
            |(claim, (_, bucket, received)): (processors::claims::Claim, (u64, u16, i64))| {
                StoredClaim {
                    bucket,
                    fingerprint: claim.fingerprint(),
                    week: week(Timestamp::from_micros(received)),
                }
            };
        take(ids.map(stored).collect());
        Ok(())
    }

    async fn rejections_from(
        &self,
        _: u32,
        from: &[(u32, u64)],
    ) -> Result<Vec<(u32, u64)>, StoreError> {
        Turns::some(&self.world).await;
        let from = from.first().map_or(0, |(_, from)| *from);
        Ok(self
            .world
            .lock()
            .disk
            .rejections()
            .range(from..)
            .map(|(offset, _)| (0, *offset))
            .collect())
    }

    async fn find(&self, needs: &Needs) -> Result<Found, StoreError> {
        Turns::some(&self.world).await;
        let mut found = Found::default();
        {
            let world = self.world.lock();
            let ids = world.disk.ids();
            for claim in &needs.claims {
                if let Some((offset, ..)) = ids.get(claim) {
                    found.claims.insert(*claim, position(*offset));
                }
            }
        }
        Turns::some(&self.world).await;
        {
            let states = self.world.lock().disk.states();
            for (_, customer) in &needs.customers {
                found
                    .states
                    .extend(states.get(customer).map(|(_, _, stored, _)| stored.clone()));
            }
        }
        Turns::some(&self.world).await;
        let days = self.world.lock().disk.days();
        for (_, customer, key) in &needs.buckets {
            found
                .buckets
                .extend(days.get(&(customer.clone(), *key)).cloned());
        }
        Turns::some(&self.world).await;
        let lives_in = |customer: &CustomerRef, home: &Home| {
            customer.organization == home.organization
                && bucket(&customer.organization, &customer.customer_id) == home.bucket
        };
        for home in &needs.homes {
            let states = self.world.lock().disk.states().into_iter();
            let states = states.filter(|(customer, _)| lives_in(customer, home));
            found
                .states
                .extend(states.map(|(_, (_, _, stored, _))| stored));
        }
        Turns::some(&self.world).await;
        let days = self.world.lock().disk.days();
        let windows = days.into_values().filter(|stored| {
            let of_customer = needs
                .windows
                .iter()
                .any(|(_, customer, from)| stored.customer == *customer && stored.key.day >= *from);
            of_customer
                || needs.homes.iter().any(|home| {
                    lives_in(&stored.customer, home)
                        && home.from.is_some_and(|from| stored.key.day >= from)
                })
        });
        found.windows = windows.collect();
        Ok(found)
    }

    async fn recount(&self, recounts: &[Recount]) -> Result<Vec<StoredBucket>, StoreError> {
        Turns::some(&self.world).await;
        let disk = &self.world.lock().disk;
        Ok(recounts
            .iter()
            .flat_map(|recount| disk.recount(recount))
            .collect())
    }

    async fn insert(&self, table: Table, rows: RecordBatch) -> Result<(), StoreError> {
        Turns::some(&self.world).await;
        let rows = parse(table, &rows);
        // A part of it lands, and only later the whole.
        {
            let mut world = self.world.lock();
            let mut some = rows.clone();
            let percent = [0, 50, 100][world.random.below(3)];
            some.retain(|_| world.random.percent(percent));
            world.disk.land(&some);
        }
        Turns::some(&self.world).await;
        let mut world = self.world.lock();
        if world.faults && world.random.percent(15) {
            return Err(StoreError {
                message: "simulated".to_owned(),
                retryable: true,
            });
        }
        world.disk.land(&rows);
        if world.fsync {
            world.disk.sync();
        } else if table == Table::Progress || table == Table::CustomerState {
            // Only the outputs wait for the disk.
            let synced = std::mem::take(&mut world.disk);
            world.disk = synced.with_last_synced(rows.len());
        }
        Ok(())
    }

    async fn pause(&self, _: Duration) {
        Turns(1).await;
    }

    fn now(&self) -> i64 {
        0
    }

    async fn run(&self, work: Box<dyn FnOnce() + Send>) {
        Turns::some(&self.world).await;
        work();
        Turns::some(&self.world).await;
    }
}

/// Follows nothing, and is in a hurry now and then: how long a cycle gathers is chance, not the time of this machine.
#[derive(Debug)]
pub(crate) struct Hurried {
    pub(crate) world: Shared,
}

impl Observer for Hurried {
    fn assigned(&self, _: u32, _: Option<Progress>, _: u64) {}
    fn lost(&self, _: &[u32]) {}
    fn committed(&self, _: &Arc<Cycle>) {}
    fn due(&self, _: u32, _: Option<Timestamp>) {}
    fn hurried(&self) -> bool {
        self.world.lock().random.percent(40)
    }
}
