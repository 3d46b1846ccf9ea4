//! What an operator sees: metrics, readiness, and how the program ends.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use tests::{Caller, TestApp, terminate};

/// What is promised of a busy `millrace up`, by type. All must have moved.
const COUNTERS: [&str; 17] = [
    "millrace_ingest_events_total",
    "millrace_ingest_body_bytes_total",
    "millrace_ingest_rejected_total",
    "millrace_log_appended_records_total",
    "millrace_log_appended_bytes_total",
    "millrace_key_cache_requests_total{result=\"hit\"}",
    "millrace_key_cache_requests_total{result=\"miss\"}",
    "millrace_processor_records_total{verdict=\"event\"}",
    "millrace_processor_records_total{verdict=\"duplicate\"}",
    "millrace_processor_records_total{verdict=\"internal\"}",
    "millrace_processor_rejections_total{reason=\"duplicate\"}",
    "millrace_processor_inserted_rows_total{table=\"events\"}",
    "millrace_processor_inserted_rows_total{table=\"progress\"}",
    "millrace_processor_state_requests_total{result=\"hit\"}",
    "millrace_processor_look_ups_total",
    "millrace_archive_rows_total",
    "process_cpu_seconds_total",
];
const HISTOGRAMS: [&str; 12] = [
    "millrace_http_request_seconds",
    "millrace_ingest_append_seconds",
    "millrace_ingest_batch_events",
    "millrace_log_commit_seconds",
    "millrace_log_commit_records",
    "millrace_processor_fold_seconds",
    "millrace_processor_write_seconds",
    "millrace_processor_insert_seconds",
    "millrace_processor_cycle_records",
    "millrace_archive_commit_seconds",
    "millrace_archive_commit_rows",
    "millrace_query_seconds",
];
/// These are above zero at one time or another.
const GAUGES: [&str; 11] = [
    "millrace_ingest_bodies_bytes",
    "millrace_log_queue_bytes",
    "millrace_log_read_ahead_bytes",
    "millrace_processor_lag_records",
    "millrace_processor_lag_seconds",
    "millrace_processor_memory_bytes",
    "millrace_processor_applied_offset",
    "millrace_archive_lag_records",
    "millrace_archive_lag_seconds",
    "process_resident_memory_bytes",
    "process_open_fds",
];
/// These stay at zero while all is well, and are there all the same.
const QUIET: [&str; 4] = [
    "millrace_processor_insert_retries_total",
    "millrace_processor_read_retries_total",
    "millrace_archive_failures_total",
    "millrace_ingest_overloaded_total",
];
/// Whatever clients do, no other label is ever made.
const LABELS: [&str; 15] = [
    "code",
    "kind",
    "le",
    "method",
    "outcome",
    "partition",
    "policy",
    "reason",
    "result",
    "route",
    "status",
    "table",
    "verdict",
    "version",
    "what",
];

/// One scrape.
#[derive(Debug, Default)]
struct Scrape {
    help: BTreeSet<String>,
    types: BTreeMap<String, String>,
    samples: BTreeMap<String, f64>,
}

impl Scrape {
    async fn of(app: &TestApp) -> Self {
        let nobody = app.nobody();
        let answer = nobody.send(nobody.at(Method::GET, "/metrics")).await;
        assert_eq!(answer.status, 200);
        let kind = answer.headers["content-type"].to_str().unwrap();
        assert!(kind.starts_with("text/plain; version=0.0.4"), "{kind}");
        let text = String::from_utf8(answer.bytes).unwrap();
        let mut scrape = Self::default();
        for line in text.lines().filter(|line| !line.is_empty()) {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').unwrap();
                assert!(help.len() > 3, "{line}");
                scrape.help.insert(name.to_owned());
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap();
                scrape.types.insert(name.to_owned(), kind.to_owned());
            } else {
                let (series, value) = line.rsplit_once(' ').unwrap();
                scrape
                    .samples
                    .insert(series.to_owned(), value.parse().unwrap());
            }
        }
        scrape
    }

    /// The sum of all series of a name, or of those with some labels.
    fn sum(&self, wanted: &str) -> Option<f64> {
        let (name, labels) = wanted.split_once('{').unwrap_or((wanted, ""));
        let labels = labels.trim_end_matches('}');
        let of = |series: &str| {
            let (found, given) = series.split_once('{').unwrap_or((series, ""));
            found == name && given.contains(labels)
        };
        let mut found = self
            .samples
            .iter()
            .filter(|(series, _)| of(series))
            .map(|(_, value)| *value)
            .peekable();
        found.peek()?;
        Some(found.sum())
    }
}

/// Prometheus' rules and ours: every family is described and typed, named by its unit, and labelled from a list.
fn assert_conventions(scrape: &Scrape) {
    for (family, kind) in &scrape.types {
        assert!(scrape.help.contains(family), "{family} has no HELP");
        assert!(
            family.starts_with("millrace_") || family.starts_with("process_"),
            "{family}"
        );
        assert_eq!(family.ends_with("_total"), kind == "counter", "{family}");
        assert_ne!(kind, "summary", "{family} has no buckets");
        for wrong in ["_ms", "_millis", "_micros", "_kb", "_mb", "_percent"] {
            assert!(!family.ends_with(wrong), "{family} is in no base unit");
        }
    }
    for series in scrape.samples.keys() {
        let Some((_, labels)) = series.split_once('{') else {
            continue;
        };
        for pair in labels.trim_end_matches('}').split("\",") {
            let (name, _) = pair.split_once('=').unwrap();
            assert!(LABELS.contains(&name), "{series}");
        }
    }
}

/// Sends purchases of which every 50th is one that was sent before, and one without an amount.
async fn send(key: &Caller, from: u64, events: u64) {
    let mut lines = String::new();
    for number in from..from + events {
        let id = if number % 50 == 49 {
            number - 7
        } else {
            number
        };
        let event = json!({"type": "purchase", "customer_id": format!("c-{}", id % 700), "event_id": format!("e-{id}"),
            "amount": "5.10", "items": [{"product_id": "tea", "amount": "5.10"}]});
        lines += &format!("{event}\n");
    }
    lines += "{\"type\":\"purchase\",\"customer_id\":\"c-1\"}\n";
    let answer = key.ingest_lines(lines).await.expect(202);
    assert_eq!(answer["accepted"], events);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_promised_metric_is_there_and_moves() {
    // Cycles gather so long that records are seen to wait; one customer's state at a time is remembered.
    let app = TestApp::start_with(&["process.cycle_ms=1500", "process.state_bytes=1"]).await;
    let acme = app.register("acme").await;
    let key = acme.key(&["ingest", "read"]).await;
    send(&key, 0, 2_000).await;
    app.wait_settled().await;
    let before = Scrape::of(&app).await;
    assert_conventions(&before);

    let mut left: BTreeSet<&str> = GAUGES.into_iter().collect();
    let started = Instant::now();
    let mut sent = 2_000;
    while sent < 20_000 || !left.is_empty() {
        assert!(
            started.elapsed() < Duration::from_secs(100),
            "these stay at zero under load: {left:?}"
        );
        tokio::join!(send(&key, sent, 9_000), async {
            for _ in 0..20 {
                let scrape = Scrape::of(&app).await;
                left.retain(|name| scrape.sum(name).is_none_or(|value| value <= 0.0));
                tokio::time::sleep(Duration::from_millis(15)).await;
            }
        });
        sent += 9_000;
        key.get("/reports/sales").await.expect(200);
    }
    // Its currency is a record of our own.
    app.register("another").await;
    let settled = app.wait_settled().await;
    // The lag is looked at once a second.
    let after = loop {
        let scrape = Scrape::of(&app).await;
        if scrape.sum("millrace_processor_lag_seconds") == Some(0.0)
            && scrape.sum("millrace_archive_lag_records") == Some(0.0)
        {
            break scrape;
        }
        assert!(
            started.elapsed() < Duration::from_secs(150),
            "the lag stays although all is applied"
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    assert_conventions(&after);
    for name in COUNTERS {
        let (was, is) = (before.sum(name).unwrap_or(0.0), after.sum(name));
        assert!(is.is_some_and(|is| is > was), "{name}: {was}, then {is:?}");
        let family = name.split('{').next().unwrap();
        assert_eq!(after.types[family], "counter");
    }
    for name in HISTOGRAMS {
        for part in ["count", "sum"] {
            let series = format!("{name}_{part}");
            let (was, is) = (before.sum(&series).unwrap_or(0.0), after.sum(&series));
            assert!(
                is.is_some_and(|is| is > was),
                "{series}: {was}, then {is:?}"
            );
        }
        assert_eq!(after.types[name], "histogram");
    }
    for name in QUIET {
        assert_eq!(after.sum(name), Some(0.0), "{name}");
    }
    // They agree with what is counted from the rows.
    let totals = &settled["totals"];
    for (series, total) in [
        (
            "millrace_processor_records_total{verdict=\"event\"}",
            &totals["events"],
        ),
        (
            "millrace_processor_rejections_total{reason=\"duplicate\"}",
            &totals["duplicates"],
        ),
        ("millrace_archive_rows_total", &totals["archive_rows"]),
        ("millrace_processor_applied_offset", &totals["applied"]),
    ] {
        assert_eq!(after.sum(series), total.as_f64(), "{series}");
    }
    assert_eq!(after.sum("millrace_reconciliation_balanced"), Some(1.0));
}

#[tokio::test]
async fn callers_cannot_make_series() {
    let app = TestApp::start().await;
    let acme = app.register("acme").await;
    let key = acme.key(&["ingest", "read"]).await;
    let ask = async |round: u64| {
        for number in 0..30 {
            let id = format!("{round}-{number}");
            app.nobody().get(&format!("/nowhere-{id}")).await;
            acme.owner.get(&format!("/customers/c-{id}")).await;
            key.get(&format!("/ingest/events/e-{id}")).await;
            let method = Method::from_bytes(format!("M{round}X{number}").as_bytes()).unwrap();
            app.nobody().send(app.nobody().at(method, "/ready")).await;
        }
        // Those that requests make; others come as the processor gets to work.
        let series = Scrape::of(&app).await.samples.into_keys();
        series
            .filter(|name| name.starts_with("millrace_http") || name.starts_with("millrace_ingest"))
            .count()
    };
    ask(0).await;
    let settled = ask(1).await;
    assert_eq!(ask(2).await, settled);
}

#[tokio::test]
async fn readiness_goes_before_service_does() {
    let mut app = TestApp::start_with(&["http.unready_seconds=15"]).await;
    let acme = app.register("acme").await;
    let key = acme.key(&["ingest"]).await;
    terminate(app.pid());
    let started = Instant::now();
    let refused = loop {
        let answer = app.nobody().get("/ready").await;
        if answer.status == 503 {
            break answer.problem(503, "unavailable");
        }
        assert!(
            started.elapsed() < Duration::from_secs(10),
            "still ready after SIGTERM"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    assert!(
        refused["detail"].as_str().unwrap().contains("asked to end"),
        "{refused}"
    );
    app.nobody().get("/health").await.expect(200);
    send(&key, 0, 50).await;
    assert!(app.ended().await.success(), "{}", app.last_messages());
    app.restart().await;
    assert_eq!(app.wait_settled().await["totals"]["events"], 49);
}

#[tokio::test]
async fn who_is_too_far_behind_is_not_ready() {
    // A cycle gathers so long that what waits for it is seen: the lag is looked at once a second.
    let settings = ["process.ready_lag_records=500", "process.cycle_ms=15000"];
    let app = TestApp::start_with(&settings).await;
    let acme = app.register("acme").await;
    let key = acme.key(&["ingest"]).await;
    // What was sent before is no part of that cycle.
    app.wait_settled().await;
    send(&key, 0, 1_000).await;
    let started = Instant::now();
    for wanted in [503, 200] {
        loop {
            let answer = app.nobody().get("/ready").await;
            if answer.status == wanted {
                let detail = answer.json["detail"].as_str().unwrap_or_default();
                assert_eq!(detail.contains("records"), wanted == 503, "{detail}");
                break;
            }
            assert!(
                started.elapsed() < Duration::from_secs(90),
                "never answered {wanted}"
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

#[tokio::test]
async fn what_is_left_at_the_end_is_told() {
    let mut app = TestApp::start_with(&["http.drain_seconds=1", "http.body_seconds=60"]).await;
    let acme = app.register("acme").await;
    let key = acme.key(&["ingest"]).await;
    // A request whose body never ends.
    let mut connection = TcpStream::connect(app.nobody().address()).unwrap();
    let token = key.bearer().unwrap();
    let head = format!(
        "POST /api/v1/ingest/purchases HTTP/1.1\r\nHost: millrace\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{{"
    );
    connection.write_all(head.as_bytes()).unwrap();
    let started = Instant::now();
    while Scrape::of(&app).await.sum("millrace_ingest_bodies_bytes") <= Some(0.0) {
        assert!(
            started.elapsed() < Duration::from_secs(50),
            "what came of the body is not held"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    terminate(app.pid());
    let status = app.ended().await;
    assert_eq!(status.code(), Some(1));
    let messages = app.last_messages();
    assert!(messages.contains("had not finished in time"), "{messages}");
    app.restart().await;
    app.wait_settled().await;
}

/// The steps that were told of a trace, as (step, span, parent, records).
fn steps(app: &TestApp, trace_id: &str) -> Vec<(String, String, String, u64)> {
    let messages = app.all_messages();
    let lines = messages.lines().filter(|line| line.contains(trace_id));
    lines
        .map(|line| {
            let line: Value = serde_json::from_str(line).unwrap();
            assert_eq!(line["target"], "millrace::trace");
            let of = |name: &str| line["fields"][name].as_str().unwrap().to_owned();
            assert!(line["fields"]["took_us"].is_u64() && line["fields"]["began_us"].is_i64());
            let records = line["fields"]["records"].as_u64().unwrap();
            (of("step"), of("span_id"), of("parent_id"), records)
        })
        .collect()
}

/// Waits until a step of a trace has been told, and says all that were.
async fn traced(app: &TestApp, trace_id: &str, last: &str) -> Vec<(String, String, String, u64)> {
    let started = Instant::now();
    loop {
        let found = steps(app, trace_id);
        if found.iter().any(|(step, ..)| step == last) {
            return found;
        }
        assert!(
            started.elapsed() < Duration::from_secs(60),
            "no {last} of {trace_id}: {found:?}"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_request_is_followed_to_the_insert() {
    let mut app = TestApp::start_with(&["logging.format=json"]).await;
    let acme = app.register("acme").await;
    let key = acme.key(&["ingest"]).await;
    let send = async |trace_id: &str, flags: &str| {
        let event = json!({"type": "activity", "customer_id": "c", "name": "looked"});
        let request = key
            .request(Method::POST, "/ingest/batch")
            .header(
                "traceparent",
                format!("00-{trace_id}-b7ad6b7169203331-{flags}"),
            )
            .json(&json!([event, event]));
        key.send(request).await.expect(202);
    };
    let (first, second, quiet) = (
        "0af7651916cd43dd8448eb211c80319c",
        "0af7651916cd43dd8448eb211c80319d",
        "0af7651916cd43dd8448eb211c80319e",
    );
    send(first, "01").await;
    send(quiet, "00").await;
    let found = traced(&app, first, "insert").await;
    let of = |step: &str| {
        let found = found.iter().find(|(found, ..)| found == step);
        found.unwrap_or_else(|| panic!("no {step}: {found:?}"))
    };
    assert_eq!(of("request").2, "b7ad6b7169203331");
    for (parent, child) in [
        ("request", "append"),
        ("append", "fold"),
        ("fold", "insert"),
    ] {
        assert_eq!(of(child).2, of(parent).1, "{found:?}");
        assert_ne!(of(child).1, of(parent).1);
    }
    for step in ["append", "fold", "insert"] {
        assert_eq!(of(step).3, 2, "{found:?}");
    }

    // The log keeps the trace: it goes on in the process that reads the record from there.
    app.kill();
    app.set("process.cycle_ms=60000");
    app.restart().await;
    let key = app.nobody().with_token(key.bearer().unwrap());
    let event = json!({"customer_id": "c", "name": "later"});
    let request = key
        .request(Method::POST, "/ingest/activities")
        .header("traceparent", format!("00-{second}-b7ad6b7169203331-01"))
        .json(&event);
    key.send(request).await.expect(202);
    let told = traced(&app, second, "request").await;
    assert!(told.iter().all(|(step, ..)| step != "fold"), "{told:?}");
    app.kill();
    app.set("process.cycle_ms=200");
    app.restart().await;
    let told = traced(&app, second, "insert").await;
    let append = told.iter().find(|(step, ..)| step == "append").unwrap();
    let fold = told.iter().find(|(step, ..)| step == "fold").unwrap();
    assert_eq!(fold.2, append.1);
    assert_eq!(steps(&app, quiet), []);
}
