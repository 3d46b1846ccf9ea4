//! The roles apart: several copies of each, over Kafka, S3, PostgreSQL and a warehouse, with a proxy wherever one of
//! them talks to a server.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::json;
use tempfile::TempDir;
use tests::{Caller, OPERATOR};

use crate::process::Process;
use crate::proxy::{Mode, Proxy};
use crate::services::Service;

/// Partitions of the log.
pub(crate) const PARTITIONS: u32 = 8;
/// The topic of the log's first generation.
pub(crate) const TOPIC: &str = "millrace.g1";
const PASSWORD: &str = "a-password-for-the-time-of-a-test";
const BUCKET: &str = "archive";
/// What a processor says when a partition comes to it, and when it goes.
const TOOK_OVER: &str = "took over a partition";
const GAVE_UP: &str = "gave up a partition";

/// How a role reaches the servers.
#[derive(Debug)]
pub(crate) struct Links {
    pub(crate) warehouse: Proxy,
    pub(crate) s3: Proxy,
    pub(crate) control: Proxy,
}

/// A copy of a role.
#[derive(Debug)]
pub(crate) struct Role {
    pub(crate) process: Process,
    pub(crate) links: Links,
}

/// Everything that runs.
#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) ingests: Vec<Role>,
    pub(crate) processors: Vec<Role>,
    pub(crate) serves: Vec<Role>,
    pub(crate) warehouse: Process,
    pub(crate) kafka: Service,
    s3: Service,
    control_url: String,
    /// Kept for as long as the roles run.
    _postgres: Service,
    /// Calls ingest, and reads, for the organization of the test.
    pub(crate) key: String,
    // Last, for processes write into it.
    folder: TempDir,
}

impl Cluster {
    /// Starts all of it: two copies of ingest, `processors` of process, two of serve.
    pub(crate) async fn start(processors: usize) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("millrace-faults-")
            .tempdir()
            .unwrap();
        let kafka = Service::start("kafka", &[]);
        let s3 = Service::start("s3", &["--bucket", BUCKET]);
        let postgres = Service::start("postgres", &[]);
        let mut warehouse = Process::new(
            "warehouse",
            "warehouse",
            folder.path(),
            &warehouse_settings(),
        );
        warehouse.start().await;
        let mut cluster = Self {
            ingests: Vec::new(),
            processors: Vec::new(),
            serves: Vec::new(),
            warehouse,
            kafka,
            s3,
            key: String::new(),
            folder,
            control_url: postgres.address().to_owned(),
            _postgres: postgres,
        };
        // One first: it makes the tables and the topic.
        for number in 1..=2 {
            let mut role = cluster.role("serve", number).await;
            role.process.start().await;
            cluster.serves.push(role);
        }
        for number in 1..=2 {
            cluster.ingests.push(cluster.role("ingest", number).await);
        }
        for number in 1..=processors {
            cluster
                .processors
                .push(cluster.role("process", number).await);
        }
        let others = cluster.ingests.iter_mut().chain(&mut cluster.processors);
        for role in others {
            role.process.launch();
        }
        for role in cluster.ingests.iter_mut().chain(&mut cluster.processors) {
            role.process.wait_ready().await;
        }
        cluster.key = cluster.register().await;
        cluster
    }

    /// A copy of a role with proxies of its own; not started yet.
    pub(crate) async fn role(&self, role: &str, number: usize) -> Role {
        let links = Links {
            warehouse: Proxy::before(self.warehouse.listen()).await,
            s3: Proxy::before(self.s3.address().trim_start_matches("http://")).await,
            control: Proxy::before(host_and_port(&self.control_url)).await,
        };
        let control = self
            .control_url
            .replace(host_and_port(&self.control_url), links.control.address());
        let settings = [
            format!("log=kafka://{}", self.kafka.address()),
            format!("stream.partitions={PARTITIONS}"),
            format!(
                "warehouse=clickhouse://millrace:{PASSWORD}@{}/millrace",
                links.warehouse.address()
            ),
            format!("archive=s3://{BUCKET}/main"),
            format!("s3.endpoint=http://{}", links.s3.address()),
            format!("s3.access_key_id={}", self.s3.value("access_key")),
            format!("s3.secret_access_key={}", self.s3.value("secret_key")),
            format!("s3.region={}", self.s3.value("region")),
            format!("control={control}"),
            format!("operator.key={OPERATOR}"),
            // Often, so that faults meet it.
            "process.archive_ms=2000".to_owned(),
            "process.compact_every=4".to_owned(),
            // Small, so that an overload meets them.
            "stream.queue_bytes=2097152".to_owned(),
            "http.bodies_in_memory=4194304".to_owned(),
        ];
        let name = format!("{role}-{number}");
        let process = Process::new(role, &name, self.folder.path(), &settings);
        Role { process, links }
    }

    async fn register(&self) -> String {
        let nobody = &self.serves[0].process.nobody;
        let account =
            json!({"name": "acme", "email": "acme@example.com", "password": "correct horse acme"});
        let made = nobody.post("/auth/register", &account).await.expect(201);
        let owner = nobody.with_token(made["token"].as_str().expect("a session"));
        let asked = json!({"name": "a key", "scopes": ["ingest", "read"]});
        let made = owner.post("/api-keys", &asked).await.expect(201);
        made["key"].as_str().expect("the key is shown").to_owned()
    }

    /// The places that events go to.
    pub(crate) fn senders(&self) -> Vec<Caller> {
        self.ingests
            .iter()
            .map(|role| role.process.nobody.with_token(&self.key))
            .collect()
    }

    /// Reads for the organization, through the first copy of serve.
    pub(crate) fn reader(&self) -> Caller {
        self.serves[0].process.nobody.with_token(&self.key)
    }

    /// The operator of the installation, at the first copy of serve.
    pub(crate) fn operator(&self) -> Caller {
        self.serves[0].process.nobody.with_token(OPERATOR)
    }

    /// The Delta table, as the S3 service keeps it on disk.
    pub(crate) fn archive(&self) -> std::path::PathBuf {
        self.s3
            .folder()
            .join("buckets")
            .join(BUCKET)
            .join("main/events")
    }

    /// Every copy of every role.
    pub(crate) fn roles(&self) -> impl Iterator<Item = &Role> {
        self.ingests
            .iter()
            .chain(&self.processors)
            .chain(&self.serves)
    }

    /// The same, to start and stop them.
    pub(crate) fn roles_mut(&mut self) -> impl Iterator<Item = &mut Role> {
        self.ingests
            .iter_mut()
            .chain(&mut self.processors)
            .chain(&mut self.serves)
    }

    /// Sets a mode for all proxies of one kind.
    pub(crate) fn set(&self, of: impl Fn(&Links) -> &Proxy, mode: &Mode) {
        for role in self.roles() {
            of(&role.links).set(mode.clone());
        }
    }

    /// How often proxies of one kind have failed somebody.
    pub(crate) fn acted(&self, of: impl Fn(&Links) -> &Proxy) -> u64 {
        self.roles().map(|role| of(&role.links).acted()).sum()
    }

    /// Heals everything: proxies hand on, and what does not run is started. Returns what had ended by itself.
    pub(crate) async fn heal(&mut self) -> Vec<String> {
        self.set(|links| &links.warehouse, &Mode::Pass);
        self.set(|links| &links.s3, &Mode::Pass);
        self.set(|links| &links.control, &Mode::Pass);
        let mut ended = Vec::new();
        if let Some(status) = self.warehouse.ended() {
            ended.push(said_last("warehouse", status, &self.warehouse));
        }
        if !self.warehouse.is_started() {
            self.warehouse.start().await;
        }
        for role in self.roles_mut() {
            if let Some(status) = role.process.ended() {
                ended.push(said_last(&role.process.name, status, &role.process));
            }
            if !role.process.is_started() {
                role.process.launch();
            }
        }
        for role in self.roles_mut() {
            role.process.wait_ready().await;
        }
        ended
    }

    /// What ClickHouse answers to a statement, as tab-separated lines.
    pub(crate) async fn ask_warehouse(&self, sql: &str) -> Result<String, reqwest::Error> {
        ask_warehouse(self.warehouse.listen(), "millrace", sql).await
    }

    /// How often processors have taken over a partition.
    pub(crate) fn taken_over(&self) -> usize {
        self.processors.iter().map(Role::taken_over).sum()
    }
}

impl Role {
    /// How often this processor has taken over a partition.
    pub(crate) fn taken_over(&self) -> usize {
        self.process.said().matches(TOOK_OVER).count()
    }

    /// The partitions that this processor has, by what it has said since its last start.
    pub(crate) fn owned(&self) -> BTreeSet<u32> {
        let said = self.process.said();
        let mut owned = BTreeSet::new();
        for line in said.lines() {
            let partition = || {
                let (_, rest) = line.split_once("partition=")?;
                rest.split(' ').next()?.parse::<u32>().ok()
            };
            if line.contains("millrace::roles: serving") {
                owned.clear();
            } else if line.contains(TOOK_OVER) {
                owned.extend(partition());
            } else if line.contains(GAVE_UP)
                && let Some(partition) = partition()
            {
                owned.remove(&partition);
            }
        }
        owned
    }
}

/// Asks a `millrace warehouse` without a proxy between.
pub(crate) async fn ask_warehouse(
    listen: &str,
    database: &str,
    sql: &str,
) -> Result<String, reqwest::Error> {
    let client = reqwest::Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(60))
        .build()?;
    let answer = client
        .post(format!("http://{listen}/?database={database}"))
        .basic_auth("millrace", Some(PASSWORD))
        .body(sql.to_owned())
        .send()
        .await?;
    answer.error_for_status()?.text().await
}

/// The settings of a `millrace warehouse` that can be asked so.
pub(crate) fn warehouse_settings() -> [String; 1] {
    [format!("clickhouse_http.password={PASSWORD}")]
}

fn said_last(name: &str, status: std::process::ExitStatus, process: &Process) -> String {
    format!(
        "{name} ended by itself: {status}\n{}",
        process.last_messages()
    )
}

/// The part of a URL between the credentials and the path.
fn host_and_port(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let rest = rest.split_once('@').map_or(rest, |(_, rest)| rest);
    rest.split('/').next().unwrap_or(rest)
}

/// Waits until something holds; false when it does not in time.
pub(crate) async fn until(within: Duration, mut holds: impl AsyncFnMut() -> bool) -> bool {
    let begun = Instant::now();
    while !holds().await {
        if begun.elapsed() > within {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    true
}
