//! Logs on standard error, metrics for Prometheus.

use std::io::IsTerminal;
use std::sync::Arc;

use ::metrics::Unit::{Bytes, Count, Seconds};
use ::metrics::{counter, describe_counter, describe_gauge, gauge};
use anyhow::{Context, Result, bail};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;

use crate::config::Logging;

/// Seconds, from a tenth of a millisecond to half a minute.
const IN_SECONDS: [f64; 12] = [
    0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 1.0, 5.0, 30.0,
];
/// Events, records and rows that go together, from one to a million.
const COUNTS: [f64; 13] = [
    1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1e3, 3e3, 1e4, 3e4, 1e5, 3e5, 1e6,
];

/// Starts logging.
pub(crate) fn logs(logging: &Logging) -> Result<()> {
    let filter = EnvFilter::try_new(&logging.level).with_context(|| {
        format!(
            "logging.level: {:?} is not a level or directive",
            logging.level
        )
    })?;
    let builder = fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match logging.format.as_str() {
        "text" => builder.with_ansi(std::io::stderr().is_terminal()).init(),
        "json" => builder.json().init(),
        other => bail!("logging.format must be text or json, not {other:?}"),
    }
    Ok(())
}

/// Starts measuring; the answer renders what was measured in the Prometheus text format.
pub(crate) fn metrics() -> Result<Arc<dyn Fn() -> String + Send + Sync>> {
    let mut builder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &IN_SECONDS)?;
    for suffix in ["_events", "_records", "_rows"] {
        builder = builder.set_buckets_for_metric(Matcher::Suffix(suffix.into()), &COUNTS)?;
    }
    let handle = builder
        .install_recorder()
        .context("metrics are set up twice")?;
    describe_process();
    crate::measure::describe();
    let upkeep = handle.clone();
    tokio::spawn(async move {
        let mut every = tokio::time::interval(std::time::Duration::from_secs(5));
        loop {
            every.tick().await;
            upkeep.run_upkeep();
        }
    });
    Ok(Arc::new(move || {
        measure_process();
        handle.render()
    }))
}

/// The names that Prometheus' own clients give to what every process has.
fn describe_process() {
    describe_gauge!("process_resident_memory_bytes", Bytes, "Resident memory");
    describe_counter!("process_cpu_seconds_total", Seconds, "Time on processors");
    describe_gauge!("process_open_fds", Count, "Open file descriptors");
    describe_gauge!("process_start_time_seconds", Seconds, "Start, since 1970");
    describe_gauge!("millrace_build_info", Count, "1, by version");
    gauge!("millrace_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    let now = chrono::Utc::now().timestamp_micros() as f64 / 1e6;
    gauge!("process_start_time_seconds").set(now);
}

/// What the kernel counts of this process.
fn measure_process() {
    if let Some(bytes) = memory("VmRSS:") {
        gauge!("process_resident_memory_bytes").set(bytes as f64);
    }
    if let Some(seconds) = processor_seconds() {
        counter!("process_cpu_seconds_total").absolute(seconds);
    }
    if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
        gauge!("process_open_fds").set(open.count() as f64);
    }
}

/// The kernel counts time on processors in hundredths of a second, whatever its own clock is.
const TICKS: u64 = 100;

/// Whole seconds on processors, user and system.
fn processor_seconds() -> Option<u64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The name in parentheses may hold anything; utime and stime are the 12th and 13th fields behind it.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    Some((ticks()? + ticks()?) / TICKS)
}

/// A line of `/proc/self/status` that is given in kB, in bytes; `None` where there is no such file.
pub(crate) fn memory(line: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let value = status.lines().find_map(|found| found.strip_prefix(line))?;
    value
        .trim()
        .trim_end_matches("kB")
        .trim()
        .parse::<u64>()
        .ok()
        .map(|kib| kib * 1024)
}
