//! A run: load on a cluster, one fault at a time, and after each a judgement.

use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand::rngs::StdRng;
use serde_json::Value;

use crate::cluster::{Cluster, until};
use crate::driver::{Driver, Pace};
use crate::lag::Lag;
use crate::ledger::Counts;
use crate::log::LogView;
use crate::oracle::{EVENTS, Found, REJECTIONS, compare};
use crate::table::Row;

const SEED: u64 = 2_604;
/// Everything is applied and archived within this time once all is healed.
const SETTLES_WITHIN: Duration = Duration::from_secs(180);
/// Events are acknowledged again within this time once all is healed.
const SERVES_WITHIN: Duration = Duration::from_secs(60);

/// A cluster under load.
pub(crate) struct Run {
    pub(crate) cluster: Cluster,
    pub(crate) driver: Driver,
    pub(crate) lag: Lag,
    pub(crate) rng: StdRng,
    /// The whole, with the durations that were asked for; otherwise a short one.
    pub(crate) full: bool,
    /// How long it is given to come to rest.
    pub(crate) settles_within: Duration,
    log: LogView,
    before: Totals,
    poisoner: tokio::task::JoinHandle<()>,
}

/// What there was after the last judgement.
#[derive(Debug, Clone, Copy, Default)]
struct Totals {
    counts: Counts,
    warehouse: usize,
    archive: usize,
    rejections: usize,
}

/// What a fault says of itself.
#[derive(Debug, Default)]
pub(crate) struct Injected {
    /// How often it was injected *and seen to act*.
    pub(crate) times: u64,
    /// What was measured or is worth knowing.
    pub(crate) notes: Vec<String>,
    /// What must not be, beyond what the oracle sees.
    pub(crate) wrong: Vec<String>,
}

impl Injected {
    pub(crate) fn times(times: u64) -> Self {
        Self {
            times,
            ..Self::default()
        }
    }

    pub(crate) fn note(mut self, note: String) -> Self {
        self.notes.push(note);
        self
    }
}

impl Run {
    /// Starts everything and the load.
    pub(crate) async fn start(full: bool, pace: Pace) -> Self {
        let cluster = Cluster::start(3).await;
        let driver = Driver::start(SEED, cluster.senders(), pace);
        let lag = Lag::follow(cluster.kafka.address(), cluster.warehouse.listen());
        let poisoner = tokio::spawn(driver.poison(cluster.kafka.address()));
        Self {
            cluster,
            driver,
            lag,
            rng: StdRng::seed_from_u64(SEED),
            full,
            settles_within: SETTLES_WITHIN,
            log: LogView::default(),
            before: Totals::default(),
            poisoner,
        }
    }

    /// One of two durations.
    pub(crate) fn either(&self, full: u64, short: u64) -> Duration {
        Duration::from_secs(if self.full { full } else { short })
    }

    /// Heals everything, lets it come to rest, and compares all places.
    pub(crate) async fn judge(&mut self, name: &str, injected: Injected) -> Row {
        let begun = Instant::now();
        let Injected {
            times,
            mut notes,
            mut wrong,
        } = injected;
        wrong.extend(self.cluster.heal().await);
        if !self.driver.wait_for(200, SERVES_WITHIN).await {
            wrong.push("nothing is acknowledged any more".to_owned());
        }
        let quiet = self.driver.quiet().await;
        if quiet.is_none() {
            wrong.push("something is not answered any more".to_owned());
        }
        let settled = self.settle().await;
        notes.push(format!(
            "at rest after {:.0} s",
            begun.elapsed().as_secs_f64()
        ));
        if let Err(unsettled) = settled {
            wrong.push(format!("it does not catch up: {unsettled:#}"));
        }
        let found = self.look().await;
        let ledger = self.driver.ledger();
        wrong.extend(compare(&ledger, Some(&self.log), &found));
        if times == 0 {
            wrong.push("invalid: the fault was not seen to act".to_owned());
        }
        let now = Totals {
            counts: ledger.counts,
            warehouse: found.warehouse.len(),
            archive: found.archive.len(),
            rejections: found.rejections.len(),
        };
        let before = std::mem::replace(&mut self.before, now);
        Row {
            fault: name.to_owned(),
            times,
            counts: now.counts.since(&before.counts),
            warehouse: now.warehouse - before.warehouse.min(now.warehouse),
            archive: now.archive - before.archive.min(now.archive),
            rejections: now.rejections - before.rejections.min(now.rejections),
            notes,
            wrong,
            caught: false,
        }
    }

    /// Waits until all of the log is applied and archived.
    async fn settle(&self) -> Result<(), Value> {
        let operator = self.cluster.operator();
        let mut last = Value::Null;
        let settled = until(self.settles_within, async || {
            let answer = operator.get("/admin/reconciliation").await;
            last = answer.json;
            last["partitions"].as_array().is_some_and(|partitions| {
                partitions
                    .iter()
                    .all(|of| of["end"] == of["applied"] && of["end"] == of["archived"])
            })
        })
        .await;
        if settled { Ok(()) } else { Err(last) }
    }

    async fn look(&mut self) -> Found {
        let poison = self.driver.ledger().poison.clone();
        self.log.read_on(self.cluster.kafka.address(), &poison);
        let mut found = Found::default();
        let ask = async |sql| {
            self.cluster
                .ask_warehouse(sql)
                .await
                .expect("the warehouse answers")
        };
        found.read_events(&ask(EVENTS).await);
        found.read_rejections(&ask(REJECTIONS).await);
        found.read_archive(&self.cluster.archive());
        found
            .ask(&self.cluster.reader(), &self.cluster.operator())
            .await;
        found
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        self.poisoner.abort();
        if std::thread::panicking() {
            let roles = self.cluster.roles().map(|role| &role.process);
            for process in roles.chain([&self.cluster.warehouse]) {
                eprintln!(
                    "the last messages of {}:\n{}",
                    process.name,
                    process.last_messages()
                );
            }
        }
    }
}
