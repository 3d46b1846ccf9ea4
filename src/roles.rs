//! The roles: each opens what it needs, runs until it is asked to stop, and leaves nothing undone.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use async_trait::async_trait;
use axum::Router;
use processors::Processor;
use query_api::Readiness;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use warehouse::{Access, Embedded, HttpAuth, Params, Warehouse as _, clickhouse_router};

use crate::assemble::{Parts, warehouse_options};
use crate::config::{Config, Http, without_password};
use crate::operations::operations;
use crate::{serve as http, telemetry};

/// Every role in one process; optionally for as long as standard input is open.
pub(crate) async fn up(config: Config, until_stdin_closes: bool) -> Result<()> {
    let metrics = telemetry::metrics()?;
    let (listener, parts) = start(&config).await?;
    if until_stdin_closes {
        cancel_on_end_of_input(parts.stop.clone());
    }
    let processor = parts.processor(&config);
    let handle = processor.handle();
    let (events, document) = parts.ingest(&config);
    let document = utoipa::openapi::OpenApi::default().nest("/api/v1", document);
    let router = Router::new()
        .nest("/api/v1", events)
        .merge(parts.query_api(&config, Some(handle), metrics, vec![document]))
        .fallback(query_api::not_found);
    run(&config, parts, (listener, router), Some(processor)).await
}

/// Events in.
pub(crate) async fn ingest(config: Config) -> Result<()> {
    let metrics = telemetry::metrics()?;
    let (listener, parts) = start(&config).await?;
    if config.log.starts_with("file:") {
        tracing::warn!(
            "the log is a folder, which no other process can read: nothing processes what is taken here until `millrace up` runs on it"
        );
    }
    let (events, _) = parts.ingest(&config);
    let operations = operations(parts.readiness(&config, None), metrics);
    let router = Router::new()
        .nest("/api/v1", events)
        .merge(operations)
        .fallback(query_api::not_found);
    run(&config, parts, (listener, router), None).await
}

/// The log into state and archive. Serves only `/health`, `/ready` and `/metrics`.
pub(crate) async fn process(config: Config) -> Result<()> {
    let metrics = telemetry::metrics()?;
    let (listener, parts) = start(&config).await?;
    let processor = parts.processor(&config);
    let readiness = parts.readiness(&config, Some(processor.handle()));
    let router = operations(readiness, metrics).fallback(query_api::not_found);
    run(&config, parts, (listener, router), Some(processor)).await
}

/// Questions out.
pub(crate) async fn serve(config: Config) -> Result<()> {
    let metrics = telemetry::metrics()?;
    let (listener, parts) = start(&config).await?;
    let router = parts
        .query_api(&config, None, metrics, Vec::new())
        .fallback(query_api::not_found);
    run(&config, parts, (listener, router), None).await
}

/// The embedded warehouse, for roles on other machines and for BI tools.
pub(crate) async fn warehouse(config: Config) -> Result<()> {
    let metrics = telemetry::metrics()?;
    let listener = bind(&config.listen).await?;
    let settings = &config.clickhouse_http;
    if settings.password.is_empty() && !listener.local_addr()?.ip().is_loopback() {
        bail!("set clickhouse_http.password before serving the warehouse to other machines");
    }
    let Some(folder) = config.warehouse.strip_prefix("chdb:") else {
        bail!("`millrace warehouse` serves an embedded warehouse: set warehouse to chdb:FOLDER");
    };
    let engine = Embedded::open(folder, &warehouse_options(&config))
        .await
        .context("the warehouse cannot be opened")?;
    let mut auth = HttpAuth::new().with(&settings.user, &settings.password, Access::Write);
    if !settings.reader.is_empty() {
        auth = auth.with(&settings.reader, &settings.reader_password, Access::Read);
    }
    let shutdown = CancellationToken::new();
    cancel_on_signal(shutdown.clone())?;
    tracing::info!(listen = %listener.local_addr()?, "serving the warehouse");
    let ready = Arc::new(WarehouseReady {
        engine: engine.clone(),
        stop: shutdown.clone(),
    });
    let router = clickhouse_router(engine.clone(), auth).merge(operations(ready, metrics));
    let drained = http::run(listener, router, &as_clickhouse(&config.http), shutdown).await;
    engine.close().await;
    if !drained {
        bail!("some statements had not finished in time; their senders have no answer");
    }
    Ok(())
}

/// The bounds of a listener, as wide as clients of ClickHouse are used to: it takes parameters in URLs, and an insert may
/// be sent for as long as its rows are made.
fn as_clickhouse(http: &Http) -> Http {
    Http {
        header_bytes: http.header_bytes.max(1 << 20),
        body_seconds: http.body_seconds.max(300),
        ..http.clone()
    }
}

struct WarehouseReady {
    engine: Arc<Embedded>,
    stop: CancellationToken,
}

#[async_trait]
impl Readiness for WarehouseReady {
    async fn ready(&self) -> Result<(), String> {
        if self.stop.is_cancelled() {
            return Err("it has been asked to end; send statements elsewhere".to_owned());
        }
        let answer = self.engine.query("SELECT 1", &Params::new()).await;
        answer.map(drop).map_err(|error| error.to_string())
    }
}

/// Binds before anything is opened, so that a port in use is said at once.
async fn start(config: &Config) -> Result<(TcpListener, Parts)> {
    let listener = bind(&config.listen).await?;
    Ok((listener, Parts::open(config).await?))
}

async fn bind(listen: &str) -> Result<TcpListener> {
    TcpListener::bind(listen)
        .await
        .with_context(|| format!("{listen} cannot be listened on; choose another --listen"))
}

/// Ctrl-C and SIGTERM ask for an orderly end.
pub(crate) fn cancel_on_signal(shutdown: CancellationToken) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping: requests under way and records taken are finished first");
        shutdown.cancel();
    });
    Ok(())
}

/// The same when standard input closes, which it does when the parent is gone.
fn cancel_on_end_of_input(shutdown: CancellationToken) {
    tokio::task::spawn_blocking(move || {
        // What is read does not matter, only that it ends.
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        shutdown.cancel();
    });
}

/// Runs a server and a processor until a signal or a failure, then drains: requests first, then the log, then the rest.
async fn run(
    config: &Config,
    parts: Parts,
    (listener, router): (TcpListener, Router),
    processor: Option<Processor>,
) -> Result<()> {
    let stop = parts.stop.clone();
    cancel_on_signal(stop.clone())?;
    let drain = CancellationToken::new();
    let mut processing = processor.map(|processor| tokio::spawn(processor.run(drain.clone())));

    let mut failure = None;
    let (version, log) = (env!("CARGO_PKG_VERSION"), without_password(&config.log));
    tracing::info!(listen = %listener.local_addr()?, version, log, "serving");
    let serving = http::run(listener, router, &config.http, stop.clone());
    tokio::pin!(serving);
    let drained = tokio::select! {
        finished = &mut serving => finished,
        ended = ended(&mut processing) => {
            failure = Some(ended);
            stop.cancel();
            serving.await
        }
    };
    drain.cancel();
    let processed = match (failure, processing) {
        (Some(ended), _) => ended,
        (None, Some(task)) => finished(tokio::time::timeout(Duration::from_secs(60), task).await),
        (None, None) => Ok(()),
    };
    let closed = parts.close().await;
    processed?;
    closed?;
    if drained {
        tracing::info!("stopped: nothing was left undone");
    } else {
        bail!(
            "some requests had not finished in time; their senders have no answer and may send again"
        );
    }
    Ok(())
}

type Processing = JoinHandle<Result<(), processors::ProcessorError>>;

/// Waits for a processor that ends by itself, which it never should.
async fn ended(processing: &mut Option<Processing>) -> Result<()> {
    match processing {
        None => std::future::pending().await,
        Some(task) => {
            let result = task.await;
            *processing = None;
            result
                .context("the processor panicked; report this with the lines above")?
                .context("processing has stopped")?;
            bail!("processing has ended by itself; report this")
        }
    }
}

fn finished(
    result: Result<
        Result<Result<(), processors::ProcessorError>, tokio::task::JoinError>,
        tokio::time::error::Elapsed,
    >,
) -> Result<()> {
    let result = result
        .context("processing has not drained within a minute; it goes on at the next start")?;
    result
        .context("the processor panicked; report this with the lines above")?
        .context("processing has stopped")
}
