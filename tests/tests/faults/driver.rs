//! A seeded driver: keeps sending customers, purchases, repeats and broken events, and resends what was not answered
//! until it is.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use reqwest::Method;
use serde_json::{Value, json};
use tests::{Answer, Caller, text};
use tokio::sync::{OwnedRwLockWriteGuard, RwLock};
use tokio::task::JoinHandle;

use crate::cluster::PARTITIONS;
use crate::ledger::{Id, Ledger};
use crate::log;

/// No answer for so long is no answer. Longer than the program may take to say 503.
const PATIENCE: Duration = Duration::from_secs(30);
/// What was sent is answered within this time once all is healed.
const ANSWERED_WITHIN: Duration = Duration::from_secs(120);
/// Before what was not acknowledged is sent again.
const AGAIN: Duration = Duration::from_millis(50);
const POISON_EVERY: Duration = Duration::from_millis(700);

/// How the driver sends.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// Connections.
    pub(crate) senders: u64,
    /// Events in a request, at the most.
    pub(crate) batch: usize,
    /// Events a second, all senders together.
    pub(crate) rate: u64,
    /// Customers that the events are about.
    pub(crate) customers: u64,
}

/// Senders that run until it is dropped, and their book.
#[derive(Debug)]
pub(crate) struct Driver {
    shared: Arc<Shared>,
    senders: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    /// Where events go, in turn: a balancer before several copies of ingest.
    keys: Vec<Caller>,
    ledger: Mutex<Ledger>,
    rate: AtomicU64,
    /// Held for reading while a batch is under way.
    gate: Arc<RwLock<()>>,
}

/// Nothing is under way while this lives.
pub(crate) type Quiet = OwnedRwLockWriteGuard<()>;

/// One event to be sent.
#[derive(Debug, Clone)]
pub(crate) struct Outgoing {
    pub(crate) id: Id,
    pub(crate) line: String,
    fact: Fact,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fact {
    Customer,
    /// Of an amount in millionths.
    Purchase(i128),
    /// It breaks a rule: it must be refused, and never be seen again.
    Broken,
}

impl Outgoing {
    /// A purchase of an amount in millionths.
    pub(crate) fn purchase(id: Id, amount: i128) -> Self {
        let amount_text = text(amount, 0);
        let event = json!({"type": "purchase", "customer_id": id.0, "event_id": id.1, "amount": amount_text,
            "occurred_at": "2026-03-01T12:00:00Z", "items": [{"product_id": "tea", "amount": amount_text}]});
        Self::new(id, &event, Fact::Purchase(amount))
    }

    fn customer(id: Id) -> Self {
        let event = json!({"type": "user", "customer_id": id.0, "event_id": id.1,
            "name": format!("Name of {}", id.0), "email": format!("{}@example.com", id.0)});
        Self::new(id, &event, Fact::Customer)
    }

    fn broken(id: Id) -> Self {
        let event = json!({"type": "purchase", "customer_id": id.0, "event_id": id.1, "amount": "1.0000001"});
        Self::new(id, &event, Fact::Broken)
    }

    fn new(id: Id, event: &Value, fact: Fact) -> Self {
        let line = format!("{event}\n");
        Self { id, line, fact }
    }

    fn amount(&self) -> Option<i128> {
        match self.fact {
            Fact::Purchase(amount) => Some(amount),
            Fact::Customer | Fact::Broken => None,
        }
    }
}

impl Driver {
    /// Starts sending to these places.
    pub(crate) fn start(seed: u64, keys: Vec<Caller>, pace: Pace) -> Self {
        let shared = Arc::new(Shared {
            keys,
            ledger: Mutex::default(),
            rate: AtomicU64::new(pace.rate),
            gate: Arc::default(),
        });
        let senders = (0..pace.senders)
            .map(|number| tokio::spawn(Sender::new(&shared, seed, number, pace).run(None)))
            .collect();
        Self { shared, senders }
    }

    /// So many more senders for a while, as quick as they are answered. `first` must be another number each time.
    pub(crate) async fn rush(&self, seed: u64, first: u64, pace: Pace, lasts: Duration) {
        let until = Some(Instant::now() + lasts);
        let senders = (first..first + pace.senders)
            .map(|number| tokio::spawn(Sender::new(&self.shared, seed, number, pace).run(until)));
        for sender in senders.collect::<Vec<_>>() {
            sender.await.unwrap();
        }
    }

    /// The book.
    pub(crate) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.shared.ledger.lock().unwrap()
    }

    /// A caller of the first place that events go to.
    pub(crate) fn key(&self) -> &Caller {
        &self.shared.keys[0]
    }

    /// Sends so many events a second from now on.
    pub(crate) fn set_rate(&self, rate: u64) {
        self.shared.rate.store(rate, Ordering::Relaxed);
    }

    /// Writes broken records past the program into the log of this broker, for ever.
    pub(crate) fn poison(&self, broker: &str) -> impl Future<Output = ()> + Send + 'static {
        let (shared, broker) = (Arc::clone(&self.shared), broker.to_owned());
        async move {
            for number in 0_u64.. {
                tokio::time::sleep(POISON_EVERY).await;
                let _open = shared.gate.read().await;
                let payload = poison(number);
                {
                    let mut ledger = shared.ledger.lock().unwrap();
                    ledger.counts.poison += 1;
                    ledger.poison.insert(payload.clone());
                }
                let partition = (number % u64::from(PARTITIONS)) as u32;
                log::write(&broker, partition, &payload).await;
            }
        }
    }

    /// Lets what was begun finish, and nothing new begin. `None` when something is not answered in time.
    pub(crate) async fn quiet(&self) -> Option<Quiet> {
        let gate = Arc::clone(&self.shared.gate);
        tokio::time::timeout(ANSWERED_WITHIN, gate.write_owned())
            .await
            .ok()
    }

    /// Waits until so many more events are acknowledged; false when that takes longer than it may.
    pub(crate) async fn wait_for(&self, more: u64, within: Duration) -> bool {
        let wanted = self.ledger().counts.acknowledged + more;
        let begun = Instant::now();
        while self.ledger().counts.acknowledged < wanted {
            if begun.elapsed() > within {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        true
    }

    /// Notes events as stated; they are sent by somebody else.
    pub(crate) fn state(&self, events: &[Outgoing]) {
        let mut ledger = self.ledger();
        for event in events {
            ledger.state(&event.id, event.amount());
        }
    }

    /// So many events were sent by somebody else, who heard nothing.
    pub(crate) fn note_cut(&self, events: u64) {
        let mut ledger = self.ledger();
        ledger.counts.sent += events;
        ledger.counts.unknown += events;
    }

    /// Sends events until they are acknowledged.
    pub(crate) async fn insist(&self, events: Vec<Outgoing>) {
        let _open = self.shared.gate.read().await;
        self.shared.settle(events, 0).await;
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        for sender in &self.senders {
            sender.abort();
        }
    }
}

struct Sender {
    shared: Arc<Shared>,
    number: u64,
    rng: StdRng,
    pace: Pace,
    turn: usize,
    next: u64,
    /// Acknowledged events, to repeat from.
    known: Vec<Id>,
}

impl Sender {
    fn new(shared: &Arc<Shared>, seed: u64, number: u64, pace: Pace) -> Self {
        Self {
            shared: Arc::clone(shared),
            number,
            rng: StdRng::seed_from_u64(seed.wrapping_add(number)),
            pace,
            turn: number as usize,
            next: 0,
            known: Vec::new(),
        }
    }

    /// For ever at the driver's rate, or as quick as it is answered until a time.
    async fn run(mut self, until: Option<Instant>) {
        while until.is_none_or(|until| Instant::now() < until) {
            let begun = Instant::now();
            let batch = self.batch();
            let (size, sound) = (batch.len(), ids_of_sound(&batch));
            {
                let _open = self.shared.gate.read().await;
                self.turn += 1;
                self.shared.settle(batch, self.turn).await;
            }
            self.known.extend(sound);
            if until.is_some() {
                continue;
            }
            let rate = self.shared.rate.load(Ordering::Relaxed).max(1);
            let due = size as f64 * self.pace.senders as f64 / rate as f64;
            let due = Duration::from_secs_f64(due).saturating_sub(begun.elapsed());
            tokio::time::sleep(due).await;
        }
    }

    fn batch(&mut self) -> Vec<Outgoing> {
        let size = self.rng.random_range(1..=self.pace.batch);
        let mut batch: Vec<Outgoing> = Vec::with_capacity(size);
        while batch.len() < size {
            let event = match self.rng.random_range(0..40) {
                // The same once more in one request.
                0 => batch.last().cloned(),
                // An event of an earlier request, with another amount: the first one counts.
                1..=2 if !self.known.is_empty() => {
                    let id = self.known[self.rng.random_range(0..self.known.len())].clone();
                    let amount = self.amount();
                    Some(Outgoing::purchase(id, amount))
                }
                3 => Some(Outgoing::broken(self.id())),
                4..=5 => Some(Outgoing::customer(self.id())),
                _ => {
                    let (id, amount) = (self.id(), self.amount());
                    Some(Outgoing::purchase(id, amount))
                }
            };
            batch.extend(event);
        }
        batch
    }

    fn id(&mut self) -> Id {
        self.next += 1;
        let customer = self.rng.random_range(0..self.pace.customers);
        let event_id = format!("s{}-{}", self.number, self.next);
        (format!("c-{customer}"), event_id)
    }

    fn amount(&mut self) -> i128 {
        i128::from(self.rng.random_range(-500_000..5_000_000_i64)) * 10_001
    }
}

fn ids_of_sound(batch: &[Outgoing]) -> Vec<Id> {
    batch
        .iter()
        .filter(|event| event.fact != Fact::Broken)
        .map(|event| event.id.clone())
        .collect()
}

impl Shared {
    /// Sends a batch, and what of it is not acknowledged again, until all is.
    async fn settle(&self, mut batch: Vec<Outgoing>, turn: usize) {
        {
            let mut ledger = self.ledger.lock().unwrap();
            for event in batch.iter().filter(|event| event.fact != Fact::Broken) {
                ledger.state(&event.id, event.amount());
            }
        }
        for attempt in 0.. {
            let key = &self.keys[(turn + attempt) % self.keys.len()];
            batch = self.send(key, batch).await;
            if batch.is_empty() {
                return;
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// Sends a batch once and returns what must be sent again.
    async fn send(&self, key: &Caller, batch: Vec<Outgoing>) -> Vec<Outgoing> {
        let body: String = batch.iter().map(|event| event.line.as_str()).collect();
        let request = key
            .request(Method::POST, "/ingest/batch")
            .header("content-type", "application/x-ndjson")
            .body(body);
        let begun = Instant::now();
        let answer = key.try_send_within(request, PATIENCE).await;
        let taken = begun.elapsed();
        let mut ledger = self.ledger.lock().unwrap();
        ledger.counts.sent += batch.len() as u64;
        ledger.longest = ledger.longest.max(taken);
        let verdicts = match &answer {
            Ok(answer) => verdicts(answer, batch.len(), &mut ledger),
            Err(_) => None,
        };
        let Some(verdicts) = verdicts else {
            ledger.counts.unknown += batch.len() as u64;
            return batch;
        };
        if answer.is_ok_and(|answer| answer.status == 202) {
            ledger.accepted.push((Instant::now(), taken));
        }
        let mut again = Vec::new();
        for (event, verdict) in batch.into_iter().zip(verdicts) {
            match (verdict, event.fact) {
                (Verdict::Accepted, Fact::Broken) => {
                    ledger.wrong(format!("a broken event was accepted: {}", event.line));
                }
                (Verdict::Accepted, _) => ledger.acknowledge(&event.id),
                (Verdict::Refused(_), Fact::Broken) => ledger.counts.refused += 1,
                (Verdict::Refused(code), _) if code == "unavailable" => {
                    ledger.counts.unknown += 1;
                    again.push(event);
                }
                (Verdict::Refused(code), _) => {
                    ledger.wrong(format!("refused as {code}: {}", event.line));
                }
            }
        }
        again
    }
}

/// A record that no processor can read: no envelope, one of a later version, or an event that breaks a rule.
fn poison(number: u64) -> String {
    match number % 3 {
        0 => format!("no record, but number {number}"),
        1 => format!("{{\"v\":99,\"kind\":\"purchase\",\"number\":{number}}}"),
        _ => format!(
            "{{\"v\":1,\"kind\":\"purchase\",\"organization\":\"org_nobody\",\"customer_id\":\"c\",\"event_id\":\"poison-{number}\",\
             \"occurred_us\":0,\"received_us\":0,\"source\":\"\",\"currency\":\"USD\",\"event\":{{\"amount\":\"many\"}}}}"
        ),
    }
}

enum Verdict {
    Accepted,
    Refused(String),
}

/// A verdict for every event, or nothing where the answer is that the program cannot answer now.
fn verdicts(answer: &Answer, events: usize, ledger: &mut Ledger) -> Option<Vec<Verdict>> {
    let results = answer.json["results"].as_array();
    if let Some(results) = results.filter(|results| results.len() == events) {
        let verdict = |result: &Value| match result["status"].as_str() {
            Some("accepted") => Verdict::Accepted,
            _ => Verdict::Refused(
                result["error"]["code"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned(),
            ),
        };
        return Some(results.iter().map(verdict).collect());
    }
    let may_come_again = matches!(answer.status, 429 | 503);
    if !may_come_again || !answer.headers.contains_key("retry-after") {
        let body = String::from_utf8_lossy(&answer.bytes);
        ledger.wrong(format!(
            "{} was answered {}: {body}",
            answer.asked, answer.status
        ));
    }
    None
}
