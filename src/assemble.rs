//! Opens the ports that the configuration names, and builds the routers over them.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use async_trait::async_trait;
use axum::Router;
use control::{
    Allowance, Authenticator, Control, OutsideTokens, Scope, Scopes, StaticKey, StaticOwner,
};
use ingest::{Budget, Ingest, Quotas, Sampler};
use processors::replay::Place;
use processors::{Handle, Lag, Processor};
use query_api::{Admin, History, QueryApi, Readiness, RenderMetrics, ReplayRequest};
use schemas::{Control as ControlRecord, Problem, ProblemKind};
use stream::{Log, NewRecord};
use tokio::sync::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use warehouse::Warehouse;
use warehouse::archive::{Archive, ArchiveOptions, S3Access};

use crate::backup::Backups;
use crate::config::Config;
use crate::replay::Replays;

/// How long one probe of the log answers for readiness.
const PROBE_AGE: Duration = Duration::from_secs(10);

/// Everything that is opened once and shared by the roles of a process.
#[derive(Debug, Clone)]
pub(crate) struct Parts {
    pub(crate) control: Control,
    pub(crate) authenticator: Authenticator,
    pub(crate) quotas: Quotas,
    pub(crate) log: Arc<dyn Log>,
    pub(crate) warehouse: Arc<dyn Warehouse>,
    pub(crate) archive: Archive,
    /// Asks the process to end.
    pub(crate) stop: CancellationToken,
}

impl Parts {
    /// Opens the four ports.
    pub(crate) async fn open(config: &Config) -> Result<Self> {
        let control = Control::open(&config.control)
            .await
            .context("the control database cannot be opened")?;
        let mut authenticator = Authenticator::new(control.clone());
        if !config.operator.key.is_empty() {
            let scopes = Scopes::NONE.with(Scope::Admin).with(Scope::Read);
            let key = StaticKey::from_secret(&config.operator.key, scopes, StaticOwner::Operator);
            authenticator = authenticator.with_static_keys(vec![key]);
        }
        authenticator = authenticator
            .with_outside_tokens(outside_tokens(config))
            .context("tokens of an outside service cannot be checked as they are set up")?;
        let log = stream::open(&config.log, &log_options(config))
            .await
            .context("the log cannot be opened")?;
        let warehouse = warehouse::open(&config.warehouse, &warehouse_options(config))
            .await
            .context("the warehouse cannot be opened")?;
        crate::backup::check_whole(&*warehouse).await?;
        let archive = Archive::open(&config.archive, &storage_options(config, &config.archive))
            .await
            .context("the archive cannot be opened")?;
        let quotas = Quotas::new(control.clone(), quota(config));
        Ok(Self {
            control,
            authenticator,
            quotas,
            log,
            warehouse,
            archive,
            stop: CancellationToken::new(),
        })
    }

    /// The state and archive processor of this process.
    pub(crate) fn processor(&self, config: &Config) -> Processor {
        Processor::new(
            self.log.clone(),
            self.warehouse.clone(),
            self.archive.clone(),
            processor_options(config),
        )
    }

    /// The routes that take events.
    pub(crate) fn ingest(&self, config: &Config) -> (Router, utoipa::openapi::OpenApi) {
        ingest::router(Ingest {
            authenticator: self.authenticator.clone(),
            log: self.log.clone(),
            warehouse: self.warehouse.clone(),
            archive: self.archive.clone(),
            quotas: self.quotas.clone(),
            limits: ingest::Limits {
                body_bytes: config.http.body_bytes,
                events: config.http.batch_events,
            },
            budget: Budget::new(config.http.bodies_in_memory),
            traces: Sampler::every(config.logging.trace_every),
        })
    }

    /// Whether this process should get requests.
    pub(crate) fn readiness(
        &self,
        config: &Config,
        processor: Option<Handle>,
    ) -> Arc<dyn Readiness> {
        Arc::new(Ready {
            log: self.log.clone(),
            processor,
            most: Lag {
                records: config.process.ready_lag_records,
                time: Duration::from_secs(config.process.ready_lag_seconds),
            },
            stop: self.stop.clone(),
            probed: Mutex::new(None),
        })
    }

    /// The routes that answer questions; `documents` are shown beside their own.
    pub(crate) fn query_api(
        &self,
        config: &Config,
        processor: Option<Handle>,
        metrics: RenderMetrics,
        documents: Vec<utoipa::openapi::OpenApi>,
    ) -> Router {
        query_api::router(QueryApi {
            control: self.control.clone(),
            authenticator: self.authenticator.clone(),
            warehouse: self.warehouse.clone(),
            archive: self.archive.clone(),
            log: self.log.clone(),
            admin: Arc::new(Figures {
                parts: self.clone(),
                backups: Backups::new(config),
                replays: Replays::new(self.place(processor.clone())),
            }),
            history: Arc::new(Past(self.warehouse.clone())),
            readiness: self.readiness(config, processor),
            metrics,
            limits: query_api::Limits {
                quota: quota(config),
                ..query_api::Limits::default()
            },
            documents,
        })
    }

    /// What a replay works with; `processor` is the one of this process.
    pub(crate) fn place(&self, processor: Option<Handle>) -> Place {
        Place {
            log: self.log.clone(),
            warehouse: self.warehouse.clone(),
            archive: self.archive.clone(),
            processor,
        }
    }

    /// Closes everything in order: nothing may be written to what is closed.
    pub(crate) async fn close(&self) -> Result<()> {
        let log = self
            .log
            .close()
            .await
            .context("the log did not close in order");
        self.warehouse.close().await;
        self.quotas.close().await;
        if let Err(error) = self.authenticator.flush().await {
            tracing::warn!(%error, "the last use of some keys is not noted");
        }
        self.control.close().await;
        log
    }
}

/// What a key without a quota of its own may send.
fn quota(config: &Config) -> Allowance {
    let quota = &config.quota;
    let defaults = Allowance {
        events_per_second: quota.events_per_second,
        burst: quota.burst,
        events_per_day: quota.events_per_day,
    };
    defaults.with(&control::Quota::default())
}

pub(crate) fn log_options(config: &Config) -> stream::Options {
    let defaults = stream::Options::default();
    let retention_age = Duration::from_secs(config.stream.retention_hours * 3600);
    stream::Options {
        generation: config.stream.generation,
        partitions: config.stream.partitions,
        queue_bytes: config.stream.queue_bytes,
        append_timeout: Duration::from_secs(config.stream.append_seconds),
        retention_age,
        // An age is kept to an eighth of it.
        retention_interval: (retention_age / 8)
            .clamp(Duration::from_secs(1), defaults.retention_interval),
        retention_bytes: config.stream.retention_bytes,
        embedded: stream::EmbeddedOptions {
            tail_bytes: config.stream.tail_bytes,
            ..defaults.embedded
        },
        kafka: stream::KafkaOptions {
            replication: config.stream.kafka_replication,
            ..defaults.kafka
        },
        ..defaults
    }
}

fn outside_tokens(config: &Config) -> OutsideTokens {
    let tokens = config.tokens.clone();
    OutsideTokens {
        secret: tokens.secret,
        jwks: tokens.jwks,
        issuer: tokens.issuer,
        audience: tokens.audience,
        organization_claim: tokens.organization_claim,
        user_claim: tokens.user_claim,
        role_claim: tokens.role_claim,
    }
}

pub(crate) fn processor_options(config: &Config) -> processors::Options {
    processors::Options {
        max_events: config.process.cycle_events,
        max_bytes: config.process.cycle_bytes,
        linger: Duration::from_millis(config.process.cycle_ms),
        state_bytes: config.process.state_bytes,
        archive: processors::ArchiveRoll {
            min_rows: config.process.archive_rows,
            max_age: Duration::from_millis(config.process.archive_ms),
            compact_every: config.process.compact_every,
            ..processors::ArchiveRoll::default()
        },
        ..processors::Options::default()
    }
}

pub(crate) fn warehouse_options(config: &Config) -> warehouse::Options {
    warehouse::Options {
        library: config.library(),
        memory: config.embedded.memory_bytes,
        ..warehouse::Options::default()
    }
}

/// How to reach an archive or a backup at this address.
pub(crate) fn storage_options(config: &Config, url: &str) -> ArchiveOptions {
    let s3 = &config.s3;
    if !url.starts_with("s3:") {
        return ArchiveOptions::default();
    }
    ArchiveOptions::default().with_s3(&S3Access {
        endpoint: (!s3.endpoint.is_empty()).then(|| s3.endpoint.clone()),
        region: s3.region.clone(),
        access_key: s3.access_key_id.clone(),
        secret_key: s3.secret_access_key.clone(),
    })
}

/// Figures of the whole installation.
struct Figures {
    parts: Parts,
    backups: Backups,
    replays: Replays,
}

#[async_trait]
impl Admin for Figures {
    async fn reconciliation(&self) -> Result<serde_json::Value, Problem> {
        let Parts {
            log,
            warehouse,
            archive,
            ..
        } = &self.parts;
        let figures = processors::reconcile(log.as_ref(), warehouse.as_ref(), archive)
            .await
            .map_err(|error| {
                tracing::warn!(%error, "the reconciliation could not be computed");
                Problem::new(
                    ProblemKind::Unavailable,
                    "the reconciliation cannot be computed now; try again",
                )
            })?;
        serde_json::to_value(&figures).map_err(|_| {
            Problem::new(
                ProblemKind::Internal,
                "the reconciliation cannot be written",
            )
        })
    }

    async fn back_up(&self) -> Result<serde_json::Value, Problem> {
        self.backups.begin(self.parts.clone())
    }

    async fn backup(&self) -> Result<serde_json::Value, Problem> {
        self.backups.show()
    }

    async fn start_replay(&self, request: ReplayRequest) -> Result<serde_json::Value, Problem> {
        self.replays.start(request)
    }

    async fn replay(&self) -> Result<serde_json::Value, Problem> {
        self.replays.state()
    }
}

/// Customers as they were, folded again.
struct Past(Arc<dyn Warehouse>);

#[async_trait]
impl History for Past {
    async fn customer_at(
        &self,
        customer: &schemas::CustomerRef,
        at: schemas::Timestamp,
    ) -> Result<Option<arrow::array::RecordBatch>, Problem> {
        let found = processors::history::customer_at(self.0.as_ref(), customer, at).await;
        found.map_err(|error| {
            tracing::warn!(%error, "a customer's past could not be computed");
            Problem::new(
                ProblemKind::Unavailable,
                "the customer's past cannot be computed now; try again",
            )
        })
    }
}

/// Ready when the log takes records, the processor of this process keeps up, and nobody has asked it to end.
struct Ready {
    log: Arc<dyn Log>,
    processor: Option<Handle>,
    /// How far the processor may be behind.
    most: Lag,
    stop: CancellationToken,
    probed: Mutex<Option<Instant>>,
}

#[async_trait]
impl Readiness for Ready {
    async fn ready(&self) -> Result<(), String> {
        if self.stop.is_cancelled() {
            return Err("it has been asked to end; send requests elsewhere".to_owned());
        }
        self.log
            .healthy()
            .await
            .map_err(|error| format!("the log: {error}"))?;
        if let Some(processor) = &self.processor {
            let Lag { records, time } = processor.lag();
            if records > self.most.records || time > self.most.time {
                let seconds = time.as_secs();
                return Err(format!(
                    "processing is {records} records and {seconds} s behind; wait for it to catch up"
                ));
            }
        }
        // One prober at a time: the others wait and find its answer.
        let mut probed = self.probed.lock().await;
        if probed.is_some_and(|at| at.elapsed() < PROBE_AGE) {
            return Ok(());
        }
        let probe = NewRecord {
            partition: 0,
            payload: ControlRecord::Probe.encode(),
            decoded: None,
            trace: None,
        };
        match self.log.append(vec![probe]).await.pop() {
            Some(Ok(_)) => {
                *probed = Some(Instant::now());
                Ok(())
            }
            Some(Err(error)) => Err(format!("the log: {error}")),
            None => Err("the log gave no answer".to_owned()),
        }
    }
}
