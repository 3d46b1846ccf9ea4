//! Backups: taken while everything runs, put back onto an empty place, and everything adds up there.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use tests::{Account, Caller, TestApp, micros};

const BACKED_UP_WITHIN: Duration = Duration::from_secs(180);
/// At the most: longer than two backups may take.
const LOAD_LASTS: Duration = Duration::from_secs(400);

/// Purchases with sums that tell them apart.
async fn send(key: &Caller, from: u64, events: u64) {
    let mut lines = String::new();
    for number in from..from + events {
        let event = json!({"type": "purchase", "customer_id": format!("c-{}", number % 300),
            "event_id": format!("e-{number}"), "amount": format!("{number}.01"),
            "occurred_at": format!("2026-0{}-01T12:00:00Z", 1 + number % 4),
            "items": [{"product_id": "tea", "amount": format!("{number}.01")}]});
        lines += &format!("{event}\n");
    }
    let answer = key.ingest_lines(lines).await.expect(202);
    assert_eq!(answer["accepted"], events);
}

/// The sum of the purchases from 0 to before `events`, in millionths.
fn revenue(events: u64) -> i128 {
    (0..i128::from(events))
        .map(|number| number * 1_000_000 + 10_000)
        .sum()
}

/// The purchases from 0 to before `events` are there once, in the archive, in the state, and in a report.
async fn assert_holds(app: &TestApp, key: &Caller, events: u64) -> Value {
    let settled = app.wait_settled().await;
    assert_eq!(settled["totals"]["events"], events, "{settled:#}");
    assert_eq!(settled["totals"]["archive_rows"], events);
    let rows = key
        .sql("SELECT count(*), count(DISTINCT event_id), sum(amount) FROM events")
        .await;
    assert_eq!((&rows[0][0], &rows[0][1]), (&json!(events), &json!(events)));
    assert_eq!(micros(rows[0][2].as_str().unwrap()), revenue(events));
    let state = key
        .sql("SELECT sum(revenue), sum(orders) FROM customers")
        .await;
    assert_eq!(micros(state[0][0].as_str().unwrap()), revenue(events));
    assert_eq!(
        micros(state[0][1].to_string().trim_matches('"')),
        i128::from(events) * 1_000_000
    );
    let sales = key.get("/reports/sales").await.expect(200);
    assert_eq!(
        micros(sales["totals"]["revenue"].as_str().unwrap()),
        revenue(events)
    );
    settled
}

fn done(output: &Output) -> String {
    let shown = format!(
        "{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success(), "{shown}");
    shown
}

#[track_caller]
fn refused(output: &Output, because: &str) {
    let shown = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{shown}");
    assert!(shown.contains(because), "{shown}");
}

/// The same organization, seen at another place.
struct Moved {
    owner: Caller,
    key: Caller,
}

impl Moved {
    fn to(app: &TestApp, account: &Account, key: &Caller) -> Self {
        let of = |caller: &Caller| app.nobody().with_token(caller.bearer().unwrap());
        Self {
            owner: of(&account.owner),
            key: of(key),
        }
    }
}

/// What was restored goes on: repeats are known, new events count, and definitions hold.
async fn assert_goes_on(app: &TestApp, moved: &Moved, events: u64) {
    moved.owner.get("/auth/me").await.expect(200);
    send(&moved.key, 0, 500).await;
    let settled = assert_holds(app, &moved.key, events).await;
    assert_eq!(settled["totals"]["duplicates"], 500, "repeats are known");
    send(&moved.key, events, 700).await;
    assert_holds(app, &moved.key, events + 700).await;
    let new = json!({"customer_id": "new", "event_id": "new", "amount": "1.00",
        "items": [{"product_id": "tea", "amount": "1.00"}]});
    moved
        .key
        .ingest("/ingest/purchases", new.to_string())
        .await
        .expect(202);
    app.wait_settled().await;
    let summary = moved.key.get("/customers/new/summary").await.expect(200);
    assert_eq!(summary["value"]["currency"], "EUR", "{summary:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_crash_left_is_backed_up_and_put_back() {
    let mut app = TestApp::start().await;
    let acme = app.register_with("acme", json!({"currency": "EUR"})).await;
    let key = acme.key(&["ingest", "read"]).await;
    send(&key, 0, 4_000).await;
    app.wait_settled().await;
    // Long cycles, so that the log holds something that is not applied when the process is killed.
    app.kill();
    app.set("process.cycle_ms=60000");
    app.restart().await;
    send(&key, 4_000, 1_000).await;
    app.kill();

    let folder = TempDir::new().unwrap();
    let place = |name: &str| format!("file:{}", folder.path().join(name).display());
    let shown = done(&app.run(&["backup", "--to", &place("first")]));
    assert!(shown.contains("rows of events"), "{shown}");
    refused(
        &app.run(&["backup", "--to", &place("first")]),
        "is not empty",
    );
    refused(
        &app.run(&[
            "restore",
            "--from",
            &place("none"),
            "--set",
            "stream.generation=2",
        ]),
        "does not exist",
    );
    assert!(
        !folder.path().join("none").exists(),
        "it is not made either"
    );

    let mut restored = TestApp::prepare(&[]);
    let from = ["restore", "--from", &place("first")];
    refused(&restored.run(&from), "set stream.generation to 2");
    restored.set("stream.generation=2");
    let shown = done(&restored.run(&from));
    assert!(shown.contains("5000 events"), "{shown}");
    restored.restart().await;
    let moved = Moved::to(&restored, &acme, &key);
    assert_holds(&restored, &moved.key, 5_000).await;
    assert_goes_on(&restored, &moved, 5_000).await;

    // What is there is not written over unless that is said.
    restored.terminate().await;
    restored.set("stream.generation=3");
    refused(&restored.run(&from), "generation 2");
    let shown = done(&restored.run(&["restore", "--from", &place("first"), "--replace"]));
    assert!(shown.contains("log.replaced"), "{shown}");
    restored.restart().await;
    assert_holds(&restored, &moved.key, 5_000).await;

    // Beside another warehouse than its own, the archive's customers would all seem gone.
    restored.terminate().await;
    restored.set("warehouse=chdb:{data}/other");
    refused(
        &restored.run(&["up", "--until-stdin-closes"]),
        "never applied",
    );

    refused(
        &TestApp::prepare(&[]).run(&["backup", "--to", &place("nothing")]),
        "does not exist",
    );

    // A backup of which a byte has changed is not one.
    let data = parquet_file(&folder.path().join("first/warehouse/customer_state"));
    let mut bytes = fs::read(&data).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&data, bytes).unwrap();
    // What works is not given up for it.
    restored.set("warehouse=chdb:{data}/warehouse");
    restored.set("stream.generation=4");
    refused(
        &restored.run(&["restore", "--from", &place("first"), "--replace"]),
        "damaged",
    );
    restored.set("stream.generation=3");
    restored.restart().await;
    assert_holds(&restored, &moved.key, 5_000).await;
    restored.terminate().await;
    let other = TestApp::prepare(&["stream.generation=2"]);
    refused(&other.run(&from), "damaged");
    refused(
        &other.run(&["up", "--until-stdin-closes"]),
        "was not finished",
    );

    // The log that is still there goes on: what came after the backup is in it.
    app.set("process.cycle_ms=200");
    app.restart().await;
    assert_holds(&app, &key, 5_000).await;
    app.terminate().await;
    done(&app.run(&["backup", "--to", &place("second")]));
    app.restart().await;
    send(&key, 5_000, 600).await;
    assert_holds(&app, &key, 5_600).await;
    app.terminate().await;
    done(&app.run(&[
        "restore",
        "--from",
        &place("second"),
        "--replace",
        "--keep-log",
    ]));
    app.restart().await;
    assert_holds(&app, &key, 5_600).await;
}

fn parquet_file(folder: &Path) -> PathBuf {
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files.remove(0)
}

/// An S3 service on loopback; stopped at the end.
struct Bucket {
    folder: TempDir,
    settings: Vec<String>,
}

impl Bucket {
    fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let started = Command::new(script())
            .args(["start", "--bucket", "millrace", "--dir"])
            .arg(folder.path())
            .output()
            .unwrap();
        assert!(
            started.status.success(),
            "no S3 service, run `make setup` once: {}",
            String::from_utf8_lossy(&started.stderr)
        );
        let report = String::from_utf8(started.stdout).unwrap();
        let value = |name: &str| {
            let mut lines = report.lines();
            lines
                .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
                .unwrap()
        };
        let settings = vec![
            format!("s3.endpoint={}", report.lines().next().unwrap()),
            format!("s3.access_key_id={}", value("access_key")),
            format!("s3.secret_access_key={}", value("secret_key")),
            format!("s3.region={}", value("region")),
        ];
        Self { folder, settings }
    }

    fn settings<'a>(&'a self, more: &[&'a str]) -> Vec<&'a str> {
        let own = self.settings.iter().map(String::as_str);
        own.chain(more.iter().copied()).collect()
    }
}

impl Drop for Bucket {
    fn drop(&mut self) {
        let _ = Command::new(script())
            .args(["stop", "--dir"])
            .arg(self.folder.path())
            .status();
    }
}

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/dev/s3")
}

/// Begins a backup over HTTP and waits for its end.
async fn backed_up(app: &TestApp) -> String {
    let operator = app.operator();
    let begun = operator.post("/admin/backup", &json!({})).await.expect(202);
    assert_eq!(begun["status"], "running");
    let started = Instant::now();
    loop {
        let backup = operator.get("/admin/backup").await.expect(200);
        match backup["status"].as_str().unwrap() {
            "done" => return backup["place"].as_str().unwrap().to_owned(),
            "running" => assert!(
                started.elapsed() < BACKED_UP_WITHIN,
                "it takes too long: {backup:#}"
            ),
            _ => panic!("{backup:#}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_taken_under_load_is_exact() {
    let bucket = Bucket::start();
    let app = TestApp::start_with(&bucket.settings(&[
        "archive=s3://millrace/archive",
        "backup.place=s3://millrace/backups",
    ]))
    .await;
    let acme = app.register_with("acme", json!({"currency": "EUR"})).await;
    let key = acme.key(&["ingest", "read"]).await;
    send(&key, 0, 5_000).await;

    // One batch after the other while backups are taken; each holds a prefix of them.
    let taken = Arc::new(AtomicBool::new(false));
    let load = tokio::spawn({
        let (key, taken) = (key.clone(), Arc::clone(&taken));
        async move {
            let mut sent = 5_000;
            let started = Instant::now();
            while !taken.load(Ordering::Relaxed) && started.elapsed() < LOAD_LASTS {
                send(&key, sent, 250).await;
                sent += 250;
                // All of it is put back twice in the end: backups that take long must not make that endless.
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            sent
        }
    });
    let first = backed_up(&app).await;
    // Places are named by the second.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert!(
        !load.is_finished(),
        "the load ended before the second backup"
    );
    let second = backed_up(&app).await;
    taken.store(true, Ordering::Relaxed);
    let sent = load.await.unwrap();
    assert_holds(&app, &key, sent).await;

    for (place, archive) in [(&first, "archive-1"), (&second, "archive-2")] {
        let archive = format!("archive=s3://millrace/{archive}");
        let mut restored = TestApp::prepare(&bucket.settings(&[&archive, "stream.generation=2"]));
        let shown = done(&restored.run(&["restore", "--from", place]));
        restored.restart().await;
        let moved = Moved::to(&restored, &acme, &key);
        let settled = restored.wait_settled().await;
        let events = settled["totals"]["events"].as_u64().unwrap();
        assert!(
            (5_000..=sent).contains(&events),
            "{events} of {sent}: {shown}"
        );
        assert_eq!(events % 250, 0, "a batch is in it whole: {shown}");
        assert_holds(&restored, &moved.key, events).await;
        assert_goes_on(&restored, &moved, events).await;
    }
}

#[tokio::test]
async fn without_a_place_for_backups_it_says_so() {
    let app = TestApp::start().await;
    let operator = app.operator();
    let answer = operator.post("/admin/backup", &json!({})).await;
    let problem = answer.problem(409, "conflict");
    assert!(problem["detail"].as_str().unwrap().contains("backup.place"));
    let none = operator.get("/admin/backup").await.expect(200);
    assert_eq!(none["status"], "none");
    let acme = app.register("acme").await;
    let key = acme.key(&["ingest", "read"]).await;
    key.post("/admin/backup", &json!({}))
        .await
        .problem(403, "forbidden");
}
