//! Clients that send purchases whatever becomes of the program, and the ledger of what they know to be taken.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::app::TestApp;
use crate::caller::Caller;
use crate::money::{micros, text};

const SENDERS: u64 = 3;
/// How long what was sent may take to be applied and archived.
const SETTLES_WITHIN: Duration = Duration::from_secs(120);
/// How long a client that is told to finish goes on with what it has begun.
const FINISHES_WITHIN: Duration = Duration::from_secs(120);
/// Events whose receipts are asked for one by one.
const RECEIPTS: usize = 100;

/// What clients know to be taken: (customer, event id) and the amount of the first body, in millionths.
#[derive(Debug, Default)]
pub struct Ledger {
    acknowledged: HashMap<(String, String), i128>,
    repeats: usize,
}

/// One event that will be sent.
struct Outgoing {
    customer: String,
    event_id: String,
    amount: i128,
}

/// Sends batches until it is told to stop; a batch without a clean answer is sent again, as it was.
struct Sender {
    key: Caller,
    name: u64,
    /// Between two batches.
    pause: Duration,
    rng: StdRng,
    next: usize,
    ledger: Ledger,
    /// In the order of acknowledgement, to repeat from.
    known: Vec<(String, String)>,
}

impl Sender {
    fn new(key: Caller, name: u64, pause: Duration) -> Self {
        Self {
            key,
            name,
            pause,
            rng: StdRng::seed_from_u64(name),
            next: 0,
            ledger: Ledger::default(),
            known: Vec::new(),
        }
    }

    fn batch(&mut self) -> Vec<Outgoing> {
        let size = self.rng.random_range(1..400);
        let mut batch: Vec<Outgoing> = Vec::with_capacity(size);
        for _ in 0..size {
            let amount = i128::from(self.rng.random_range(-500_000..5_000_000_i64)) * 10_001;
            let repeat = self.rng.random_range(0..20) == 0;
            let (customer, event_id) = match (repeat, self.known.len(), batch.last()) {
                // Of another batch, or twice in this one.
                (true, 1.., _) => self.known[self.rng.random_range(0..self.known.len())].clone(),
                (true, 0, Some(last)) => (last.customer.clone(), last.event_id.clone()),
                _ => {
                    self.next += 1;
                    let customer = format!("c-{}", self.rng.random_range(0..500));
                    (customer, format!("s{}-{}", self.name, self.next))
                }
            };
            batch.push(Outgoing {
                customer,
                event_id,
                amount,
            });
        }
        batch
    }

    async fn run(mut self, stop: Arc<AtomicBool>, progress: Arc<AtomicUsize>) -> Ledger {
        while !stop.load(Ordering::Relaxed) {
            let batch = self.batch();
            let body: String = batch.iter().map(line).collect();
            let mut told = None;
            while !self.taken(&body, batch.len()).await {
                // The ledger must know what became of it, but nobody waits for ever.
                if stop.load(Ordering::Relaxed) {
                    let told = *told.get_or_insert_with(Instant::now);
                    assert!(
                        told.elapsed() < FINISHES_WITHIN,
                        "what was begun is not taken any more"
                    );
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            progress.fetch_add(batch.len(), Ordering::Relaxed);
            tokio::time::sleep(self.pause).await;
            for event in batch {
                let id = (event.customer, event.event_id);
                if self.ledger.acknowledged.contains_key(&id) {
                    self.ledger.repeats += 1;
                    continue;
                }
                self.ledger.acknowledged.insert(id.clone(), event.amount);
                self.known.push(id);
            }
        }
        self.ledger
    }

    /// Whether every event of a batch was acknowledged; anything else is *unknown*.
    async fn taken(&self, body: &str, events: usize) -> bool {
        let request = self
            .key
            .request(reqwest::Method::POST, "/ingest/batch?verdicts=rejected")
            .header("content-type", "application/x-ndjson")
            .body(body.to_owned());
        let Ok(answer) = self.key.try_send(request).await else {
            return false;
        };
        if answer.status == 503 {
            return false;
        }
        let body = answer.expect(202);
        if body["rejected"] == 0 {
            assert_eq!(body["accepted"].as_u64(), Some(events as u64));
            return true;
        }
        for result in body["results"].as_array().unwrap() {
            assert_eq!(result["error"]["code"], "unavailable", "{result}");
        }
        false
    }
}

fn line(event: &Outgoing) -> String {
    let event = json!({"type": "purchase", "customer_id": event.customer, "event_id": event.event_id,
        "amount": text(event.amount, 0), "occurred_at": "2026-03-01T12:00:00Z",
        "items": [{"product_id": "tea", "amount": text(event.amount, 0)}]});
    format!("{event}\n")
}

/// Clients that send until they are told to finish.
#[derive(Debug)]
pub struct Load {
    stop: Arc<AtomicBool>,
    progress: Arc<AtomicUsize>,
    senders: Vec<JoinHandle<Ledger>>,
}

impl Load {
    /// Starts clients that send as fast as they are answered; another seed sends other events.
    pub fn start(key: &Caller, seed: u64) -> Self {
        Self::paced(key, seed, Duration::ZERO)
    }

    /// Starts clients that pause after each batch.
    pub fn paced(key: &Caller, seed: u64, pause: Duration) -> Self {
        let (stop, progress) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let senders = (0..SENDERS)
            .map(|name| {
                let sender = Sender::new(key.clone(), seed * SENDERS + name, pause);
                tokio::spawn(sender.run(stop.clone(), progress.clone()))
            })
            .collect();
        Self {
            stop,
            progress,
            senders,
        }
    }

    /// Events acknowledged so far, repeats among them.
    pub fn sent(&self) -> usize {
        self.progress.load(Ordering::Relaxed)
    }

    /// Waits until so many more events are acknowledged.
    pub async fn wait_for(&self, more: usize) {
        let from = self.sent();
        let waiting = async {
            while self.sent() < from + more {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), waiting)
            .await
            .expect("events are acknowledged again after a restart");
    }

    /// Lets the clients finish what they have begun.
    pub async fn finish(self) -> Ledger {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Ledger::default();
        for sender in self.senders {
            all.add(sender.await.unwrap());
        }
        all
    }

    /// Ends the clients where they are, when nobody will answer them any more.
    pub fn abandon(self) {
        for sender in self.senders {
            sender.abort();
        }
    }
}

impl Ledger {
    /// Events acknowledged, each once.
    pub fn events(&self) -> usize {
        self.acknowledged.len()
    }

    /// Events acknowledged although their id had been before.
    pub fn repeats(&self) -> usize {
        self.repeats
    }

    /// Takes another ledger into this one.
    pub fn add(&mut self, other: Ledger) {
        self.acknowledged.extend(other.acknowledged);
        self.repeats += other.repeats;
    }

    /// Requires that everything acknowledged is there once, in every place, and nothing else.
    pub async fn assert_kept(&self, app: &TestApp, key: &Caller) {
        if let Err(difference) = self.kept(app, key, SETTLES_WITHIN).await {
            panic!("{difference}");
        }
    }

    /// Whether everything acknowledged is there once, in every place, and nothing else; otherwise what differs.
    pub async fn kept(
        &self,
        app: &TestApp,
        key: &Caller,
        settles_within: Duration,
    ) -> Result<(), String> {
        let settled = app.settled_within(settles_within).await?;
        let totals = &settled["totals"];
        let events = self.events() as u64;
        same("events", &totals["events"], &json!(events))?;
        same("archive rows", &totals["archive_rows"], &json!(events))?;
        // Nothing is rejected but repeats, and a repeat may have been sent more often than it was answered.
        same("rejections", &totals["rejections"], &totals["duplicates"])?;
        if totals["duplicates"].as_u64() < Some(self.repeats as u64) {
            return Err(format!(
                "{} duplicates of {}",
                totals["duplicates"], self.repeats
            ));
        }
        for partition in settled["partitions"].as_array().unwrap() {
            let of = |name: &str| partition[name].as_u64().unwrap();
            let counted = of("events") + of("rejections") + of("internal") + of("erased");
            same("records of a partition", &of("applied"), &counted)?;
            same(
                "archive rows of a partition",
                &of("archive_rows"),
                &of("events"),
            )?;
        }
        self.same_revenue(key).await?;
        self.same_customers(key).await?;
        self.same_receipts(key).await
    }

    /// Each event once, and the revenue, in the rows and in the report.
    async fn same_revenue(&self, key: &Caller) -> Result<(), String> {
        let revenue: i128 = self.acknowledged.values().sum();
        let rows = key
            .sql("SELECT count(*), count(DISTINCT event_id), sum(amount) FROM events")
            .await;
        same("rows", &rows[0][0], &json!(self.events()))?;
        same("event ids", &rows[0][1], &json!(self.events()))?;
        let found = rows[0][2].as_str().map_or(0, micros);
        same("revenue of the rows", &found, &revenue)?;
        let sales = key.get("/reports/sales").await.expect(200);
        let found = micros(sales["totals"]["revenue"].as_str().unwrap());
        same("revenue of the report", &found, &revenue)
    }

    /// Customer by customer, in the archive and in the live state.
    async fn same_customers(&self, key: &Caller) -> Result<(), String> {
        let mut expected: BTreeMap<&str, (i128, u64, u64)> = BTreeMap::new();
        for ((customer, _), amount) in &self.acknowledged {
            let of = expected.entry(customer).or_default();
            of.0 += amount;
            of.1 += u64::from(*amount >= 0);
            of.2 += 1;
        }
        let archive = "SELECT customer_id, sum(amount), sum(CASE WHEN amount >= 0 THEN 1 ELSE 0 END), count(*) \
                       FROM events GROUP BY customer_id ORDER BY customer_id";
        let state = "SELECT customer_id, revenue, orders FROM customers ORDER BY customer_id";
        for (place, rows) in [
            ("archive", key.sql(archive).await),
            ("state", key.sql(state).await),
        ] {
            same(
                &format!("customers in the {place}"),
                &rows.len(),
                &expected.len(),
            )?;
            for (row, (customer, (sum, orders, count))) in rows.iter().zip(&expected) {
                let what = |of: &str| format!("{of} of {customer} in the {place}");
                same(&what("the name"), &row[0], &json!(customer))?;
                same(&what("the revenue"), &micros(row[1].as_str().unwrap()), sum)?;
                same(&what("the orders"), &row[2], &json!(orders))?;
                if let Some(found) = row.get(3) {
                    same(&what("the events"), found, &json!(count))?;
                }
            }
        }
        Ok(())
    }

    /// Each acknowledged event by its own id, a sample of them.
    async fn same_receipts(&self, key: &Caller) -> Result<(), String> {
        for (customer, event_id) in self.acknowledged.keys().take(RECEIPTS) {
            let path = format!("/ingest/events/{event_id}?customer_id={customer}");
            let receipts = key.get(&path).await.expect(200)["receipts"].take();
            let statuses: Vec<&Value> = receipts
                .as_array()
                .unwrap()
                .iter()
                .map(|of| &of["status"])
                .collect();
            let (first, others) = statuses.split_first().ok_or("no receipt")?;
            if **first != "archived" || others.iter().any(|status| **status != "duplicate") {
                return Err(format!("receipts of {event_id}: {statuses:?}"));
            }
        }
        Ok(())
    }
}

fn same<T: PartialEq + Debug>(what: &str, found: &T, expected: &T) -> Result<(), String> {
    match found == expected {
        true => Ok(()),
        false => Err(format!("{what}: {found:?} instead of {expected:?}")),
    }
}
