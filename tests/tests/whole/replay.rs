//! Replay: what is wrong in the live state is found by customer and field, and mended while events go on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::{Account, Caller, OpenWarehouse, TestApp, libchdb};

const CUSTOMERS: usize = 50;
const ENDS_WITHIN: Duration = Duration::from_secs(120);

async fn start() -> (TestApp, Account, Caller) {
    let app = TestApp::start().await;
    let acme = app.register("acme").await;
    let key = acme.key(&["ingest", "read"]).await;
    send(&key, 0).await;
    // A timer, so that time is in the log, too.
    let user = json!({"customer_id": "c-0", "event_id": "timer", "name": "A", "next_follow_up": "2026-01-01T00:00:00Z"});
    key.ingest("/ingest/users", user.to_string())
        .await
        .expect(202);
    // A repeat that does not count.
    send(&key, 0).await;
    app.wait_settled().await;
    send(&key, 1).await;
    app.wait_settled().await;
    (app, acme, key)
}

/// One event of each kind for every customer.
async fn send(key: &Caller, round: usize) {
    let events: Vec<Value> = (0..CUSTOMERS)
        .flat_map(|number| {
            let (customer, id) = (format!("c-{number}"), |kind: &str| format!("{kind}-{round}-{number}"));
            [
                json!({"type": "user", "customer_id": customer, "event_id": id("u"), "name": format!("Customer {number}"), "colour": "red"}),
                json!({"type": "purchase", "customer_id": customer, "event_id": id("p"), "amount": format!("{number}.25"), "order_id": id("o"), "occurred_at": format!("2026-03-{:02}T12:00:00Z", 1 + number % 28)}),
                json!({"type": "purchase", "customer_id": customer, "event_id": id("r"), "amount": "0.05", "status": "refunded", "currency": "EUR"}),
                json!({"type": "activity", "customer_id": customer, "event_id": id("a"), "name": "login"}),
                json!({"type": "interaction", "customer_id": customer, "event_id": id("i"), "channel": "phone", "kind": "call"}),
            ]
        })
        .collect();
    key.ingest("/ingest/batch", Value::from(events).to_string())
        .await
        .expect(202);
}

/// Spoils what the warehouse holds while nobody has it open.
async fn spoil(app: &mut TestApp, statements: &[&str]) {
    app.terminate().await;
    let warehouse = OpenWarehouse::of(app).await;
    for statement in statements {
        warehouse.run(statement).await;
    }
    warehouse.close();
}

/// `millrace replay` on the folder of a program that is stopped: its JSON, and whether it ended well.
fn replay(app: &TestApp, arguments: &[&str]) -> (Value, bool) {
    let output = tests::command()
        .args(["replay", "--json"])
        .arg("--data")
        .arg(app.data())
        .args([
            "--set",
            &format!("embedded.library={}", libchdb().display()),
        ])
        .args(["--set", "logging.level=error"])
        .args(arguments)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    // Messages go to standard output as well where they are logged at all.
    let begin = text
        .find('{')
        .unwrap_or_else(|| panic!("{text}\n{}", String::from_utf8_lossy(&output.stderr)));
    (
        serde_json::from_str(&text[begin..]).unwrap(),
        output.status.success(),
    )
}

/// A replay over HTTP, waited for.
async fn over_http(app: &TestApp, body: Value) -> Value {
    let operator = app.operator();
    let begun = operator.post("/admin/replay", &body).await.expect(202);
    assert_eq!(begun["state"], "running");
    let started = Instant::now();
    loop {
        let found = operator.get("/admin/replay").await.expect(200);
        match found["state"].as_str().unwrap() {
            "running" => assert!(started.elapsed() < ENDS_WITHIN, "{found:#}"),
            "done" => return found["report"].clone(),
            _ => panic!("{found:#}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn fields(report: &Value) -> Vec<(String, String, String)> {
    let of = |found: &Value, name: &str| found[name].as_str().unwrap().to_owned();
    report["differences"]
        .as_array()
        .unwrap()
        .iter()
        .map(|found| {
            (
                of(found, "customer_id"),
                of(found, "table"),
                of(found, "field"),
            )
        })
        .collect()
}

fn expected(found: &[(&str, &str, &str)]) -> Vec<(String, String, String)> {
    found
        .iter()
        .map(|(customer, table, field)| {
            (
                (*customer).to_owned(),
                (*table).to_owned(),
                (*field).to_owned(),
            )
        })
        .collect()
}

#[tokio::test]
async fn the_command_names_what_is_wrong_by_customer_and_field_and_mends_it() {
    let (mut app, acme, key) = start().await;
    let before = acme.owner.get("/customers/c-7/summary").await.expect(200);
    app.terminate().await;
    let (report, good) = replay(&app, &[]);
    assert!(good, "{report:#}");
    assert_eq!(
        (&report["customers"], &report["different"]),
        (&json!(CUSTOMERS), &json!(0))
    );
    assert_eq!(report["folded"], 10 * CUSTOMERS + 1);
    let (plan, good) = replay(&app, &["--dry-run"]);
    assert!(
        good && plan["dry_run"] == true && plan["folded"] == 0,
        "{plan:#}"
    );
    assert_eq!(plan["partitions"], report["partitions"]);
    app.restart().await;

    // One column, a number inside the state, a whole row, a day and a claim.
    spoil(
        &mut app,
        &[
            "INSERT INTO customer_state SELECT * REPLACE (points + 1000 AS points) FROM customer_state FINAL WHERE customer = 'c-7'",
            r#"INSERT INTO customer_state SELECT * REPLACE (replaceOne(state, '"activities":2', '"activities":3') AS state) FROM customer_state FINAL WHERE customer = 'c-8'"#,
            "ALTER TABLE customer_state DELETE WHERE customer = 'c-9' SETTINGS mutations_sync = 2",
            "INSERT INTO customer_days SELECT * REPLACE (revenue + 1 AS revenue) FROM customer_days FINAL WHERE customer = 'c-10' AND day = '2026-03-11'",
            "ALTER TABLE event_ids DELETE WHERE (generation, partition, offset) IN (SELECT generation, partition, offset FROM events WHERE event_id = 'p-0-11') SETTINGS mutations_sync = 2",
            "OPTIMIZE TABLE customer_state FINAL",
            "OPTIMIZE TABLE customer_days FINAL",
        ],
    )
    .await;
    let wrong = expected(&[
        ("c-10", "customer_days", "revenue"),
        ("c-11", "event_ids", "claim"),
        ("c-7", "customer_state", "points"),
        ("c-8", "customer_state", "state.activities"),
        ("c-9", "customer_state", "*"),
    ]);
    let (report, good) = replay(&app, &[]);
    assert_eq!(fields(&report), wrong, "{report:#}");
    assert_eq!(
        (good, &report["different"], &report["switched"]),
        (false, &json!(5), &json!(false))
    );
    let found = &report["differences"][2];
    assert_eq!(
        (&found["live"], &found["replayed"]),
        (&json!("1014"), &json!("14"))
    );

    // Of a range, only who has events there.
    let (report, _) = replay(&app, &["--since", "2100-01-01T00:00:00Z"]);
    assert_eq!(
        (&report["customers"], &report["different"]),
        (&json!(0), &json!(0))
    );
    let (report, _) = replay(&app, &["--until", "2100-01-01T00:00:00Z"]);
    assert_eq!(fields(&report), wrong);

    let (report, good) = replay(&app, &["--switch"]);
    assert!(good, "{report:#}");
    assert_eq!(report["switched"], true);
    let (report, good) = replay(&app, &[]);
    assert!(good && report["different"] == 0, "{report:#}");

    // What the switch has kept beside the state is no part of a backup.
    let folder = tempfile::TempDir::new().unwrap();
    let place = format!("file:{}", folder.path().join("backup").display());
    let backup = app.run(&["backup", "--to", &place]);
    assert!(backup.status.success(), "{backup:?}");
    let restored = TestApp::prepare(&["stream.generation=2"]);
    let restore = restored.run(&["restore", "--from", &place]);
    assert!(restore.status.success(), "{restore:?}");
    app.restart().await;

    // The processors go on from it, and the claim that was lost holds again.
    let after = acme.owner.get("/customers/c-7/summary").await.expect(200);
    assert_eq!(before["loyalty"], after["loyalty"]);
    let events = app.reconciliation().await["totals"]["events"].clone();
    send(&key, 0).await;
    let found = app.wait_settled().await;
    assert_eq!(found["totals"]["events"], events, "a repeat counts again");
    send(&key, 2).await;
    let found = app.wait_settled().await;
    assert_eq!(
        found["totals"]["events"].as_u64(),
        events.as_u64().map(|events| events + 5 * CUSTOMERS as u64)
    );
    let report = over_http(&app, json!({})).await;
    assert_eq!(report["different"], 0, "{report:#}");
}

#[tokio::test]
async fn a_switch_while_events_come_in_mends_what_is_wrong_and_loses_nothing() {
    let (mut app, acme, key) = start().await;
    spoil(
        &mut app,
        &[
            "INSERT INTO customer_state SELECT * REPLACE (orders + 5 AS orders) FROM customer_state FINAL WHERE customer = 'c-3'",
            "OPTIMIZE TABLE customer_state FINAL",
        ],
    )
    .await;
    app.restart().await;
    let tenant = acme.owner.post("/admin/replay", &json!({})).await;
    assert!(
        matches!(tenant.status, 202),
        "the first organization's admin operates the installation"
    );
    let other = app.register("other").await;
    other
        .owner
        .post("/admin/replay", &json!({}))
        .await
        .problem(403, "forbidden");
    other
        .owner
        .get("/admin/replay")
        .await
        .problem(403, "forbidden");
    while app.operator().get("/admin/replay").await.expect(200)["state"] == "running" {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let found = app.operator().get("/admin/replay").await.expect(200);
    assert_eq!(
        fields(&found["report"]),
        expected(&[("c-3", "customer_state", "orders")]),
        "{found:#}"
    );

    // Somebody keeps sending, to the same customers but the one that is wrong.
    let (stop, sent) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU64::new(0)),
    );
    let sending = tokio::spawn({
        let (key, stop, sent) = (key.clone(), stop.clone(), sent.clone());
        async move {
            while !stop.load(Ordering::Relaxed) {
                let number = sent.load(Ordering::Relaxed);
                let customer = 4 + number % (CUSTOMERS as u64 - 4);
                let event = json!({"customer_id": format!("c-{customer}"), "event_id": format!("live-{number}"), "amount": "1.00", "currency": "CHF"});
                key.ingest("/ingest/purchases", event.to_string())
                    .await
                    .expect(202);
                sent.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    let report = over_http(&app, json!({"switch": true})).await;
    assert_eq!(report["switched"], true, "{report:#}");
    assert_eq!(
        fields(&report),
        expected(&[("c-3", "customer_state", "orders")])
    );
    let during = sent.load(Ordering::Relaxed);
    while sent.load(Ordering::Relaxed) < during + 20 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    stop.store(true, Ordering::Relaxed);
    sending.await.unwrap();

    let found = app.wait_settled().await;
    let sent = sent.load(Ordering::Relaxed);
    assert_eq!(
        found["totals"]["events"].as_u64(),
        Some(10 * CUSTOMERS as u64 + 1 + sent)
    );
    assert!(during > 0);
    let mut orders = 0;
    for number in 4..CUSTOMERS {
        let path = format!("/customers/c-{number}/summary");
        let summary = acme.owner.get(&path).await.expect(200);
        orders += summary["value"]["by_currency"]["CHF"]["total_orders"]
            .as_u64()
            .unwrap_or(0);
    }
    assert_eq!(
        orders, sent,
        "every event sent meanwhile is in the state, once"
    );
    let report = over_http(&app, json!({})).await;
    assert_eq!(
        (&report["different"], &report["moved"]),
        (&json!(0), &json!(0)),
        "{report:#}"
    );
    let part = json!({"switch": true, "since": "2026-01-01T00:00:00Z"});
    let refused = app.operator().post("/admin/replay", &part).await;
    let problem = refused.problem(400, "bad-request");
    assert_eq!(
        problem["field"], "switch",
        "a part is no state to switch to"
    );
}
