//! A closed loop: so many connections, each sending the next request when it has the answer to the last.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::events::{Shape, Template};
use crate::http::{Connection, post_head};
use crate::server::Server;

/// Prepared requests of a connection, taken in turn: contents that came back too often would compress too well.
const TEMPLATES: u64 = 8;
/// How long a sender waits when the server has no room.
const WAIT: Duration = Duration::from_millis(20);

/// What is sent, and how.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) shape: Shape,
    /// Events in a request; one goes to the path of its kind, more to `/ingest/batch`.
    pub(crate) batch: usize,
    pub(crate) connections: usize,
    /// How many customers the events belong to.
    pub(crate) customers: u64,
}

/// When to stop.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Until {
    Elapsed(Duration),
    /// When so many events were sent, or a batch more.
    Events(u64),
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    pub(crate) events: u64,
    pub(crate) requests: u64,
    /// Bytes of the events' JSON.
    pub(crate) bytes: u64,
    /// Requests answered 503, which were sent again.
    pub(crate) turned_away: u64,
    pub(crate) seconds: f64,
    /// Milliseconds of each request that was taken, sorted.
    pub(crate) latencies: Vec<f64>,
}

impl Load {
    /// Sends events from `number` on, and moves it on: an id is never sent twice.
    pub(crate) async fn send(
        &self,
        server: &Server,
        number: &Arc<AtomicU64>,
        until: Until,
    ) -> Result<Sent> {
        let begun = Instant::now();
        let mut tasks = Vec::with_capacity(self.connections);
        for connection in 0..self.connections {
            let mut templates = Vec::new();
            let mut heads = 0;
            for template in 0..TEMPLATES {
                let (template, head) =
                    self.request(server, connection as u64 * TEMPLATES + template);
                templates.push(template);
                heads += head;
            }
            let head = heads / TEMPLATES as usize;
            let (load, number) = (*self, Arc::clone(number));
            let address = server.address().to_owned();
            let last = match until {
                Until::Elapsed(_) => u64::MAX,
                Until::Events(events) => events,
            };
            let deadline = match until {
                Until::Elapsed(time) => begun + time,
                // Bounded all the same: a server that hangs is an error, not a wait.
                Until::Events(_) => begun + Duration::from_secs(300),
            };
            tasks.push(tokio::spawn(async move {
                let sent = load
                    .connection(&address, templates, &number, last, deadline)
                    .await?;
                if last != u64::MAX && Instant::now() >= deadline {
                    bail!("the server did not take the events within five minutes");
                }
                Ok((sent, head))
            }));
        }
        let mut all = Sent::default();
        for task in tasks {
            let (sent, head): (Sent, usize) = task.await??;
            all.events += sent.events;
            all.requests += sent.requests;
            all.bytes += sent.bytes.saturating_sub(sent.requests * head as u64);
            all.turned_away += sent.turned_away;
            all.latencies.extend(sent.latencies);
        }
        all.seconds = begun.elapsed().as_secs_f64();
        all.latencies.sort_by(f64::total_cmp);
        Ok(all)
    }

    /// A prepared request of one connection, and the length of its head.
    fn request(&self, server: &Server, seed: u64) -> (Template, usize) {
        let events = Template::lines(self.shape, self.batch, seed + 1);
        let length = events.text().len();
        let (path, content_type) = match (self.batch, self.shape) {
            (1, Shape::User) => ("/api/v1/ingest/users", "application/json"),
            (1, _) => ("/api/v1/ingest/purchases", "application/json"),
            _ => (
                "/api/v1/ingest/batch?verdicts=rejected",
                "application/x-ndjson",
            ),
        };
        let head = post_head(server.address(), path, server.key(), content_type, length);
        (events.prefixed(&head), head.len())
    }

    async fn connection(
        self,
        address: &str,
        mut templates: Vec<Template>,
        number: &AtomicU64,
        last: u64,
        deadline: Instant,
    ) -> Result<Sent> {
        let mut connection = Connection::open(address).await?;
        let mut sent = Sent::default();
        while Instant::now() < deadline {
            let turn = sent.requests as usize % templates.len();
            let template = &mut templates[turn];
            let first = number.fetch_add(template.len() as u64, Ordering::Relaxed);
            if first >= last {
                break;
            }
            template.stamp(first, self.customers);
            loop {
                let begun = Instant::now();
                let answer = connection.send(template.text()).await?;
                match answer.status {
                    202 => {
                        sent.latencies.push(begun.elapsed().as_secs_f64() * 1e3);
                        break;
                    }
                    // An answer to a batch also says 202 where some of it was not taken.
                    503 => {
                        sent.turned_away += 1;
                        tokio::time::sleep(WAIT).await;
                    }
                    other => bail!(
                        "the server answered {other}: {}",
                        String::from_utf8_lossy(&answer.body[..answer.body.len().min(500)])
                    ),
                }
                if Instant::now() > deadline + Duration::from_secs(30) {
                    bail!("the server has had no room for 30 seconds");
                }
            }
            sent.events += template.len() as u64;
            sent.requests += 1;
            sent.bytes += template.text().len() as u64;
        }
        Ok(sent)
    }
}
