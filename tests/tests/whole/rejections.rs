//! Rejections: poison in the log blocks nothing, is told to whom it belongs, and counts once after a fix.

use std::collections::{BTreeMap, BTreeSet};

use schemas::{OrganizationId, Position, bucket};
use serde_json::{Value, json};
use stream::NewRecord;
use tests::{Account, Caller, OpenWarehouse, TestApp};

const PARTITIONS: u32 = 4;
const RECEIVED: i64 = 1_790_000_000_000_000;

fn partition(account: &Account, customer: &str) -> u32 {
    let organization = OrganizationId::from_text(account.organization.as_str());
    u32::from(bucket(&organization, customer)) % PARTITIONS
}

fn record(partition: u32, payload: impl Into<Vec<u8>>) -> NewRecord {
    NewRecord {
        partition,
        payload: payload.into().into(),
        decoded: None,
        trace: None,
    }
}

/// An envelope as ingest writes it, around whatever is given.
fn envelope(account: &Account, kind: &str, customer: &str, event_id: &str, event: &str) -> String {
    let organization = &account.organization;
    format!(
        r#"{{"v":1,"kind":"{kind}","organization":"{organization}","customer_id":"{customer}","event_id":"{event_id}","received_us":{RECEIVED},"source":"key_poison","event":{event}}}"#
    )
}

fn purchase(account: &Account, customer: &str, event_id: &str, amount: &str) -> NewRecord {
    let event = json!({"customer_id": customer, "event_id": event_id, "amount": amount});
    let payload = envelope(account, "purchase", customer, event_id, &event.to_string());
    record(partition(account, customer), payload)
}

/// The counter of orders in a customer's state, which no fold can count beyond.
const FULL: &str = r#""orders":18446744073709551615,"refunds""#;
const NONE: &str = r#""orders":0,"refunds""#;

/// Makes a customer of whom every purchase fails in the fold.
async fn break_fold(app: &mut TestApp, acme: &Account, customer: &str) {
    let key = acme.key(&["ingest"]).await;
    let event = json!({"customer_id": customer, "event_id": "first", "name": "login"});
    key.ingest("/ingest/activities", event.to_string())
        .await
        .expect(202);
    app.wait_settled().await;
    set_counter(app, customer, NONE, FULL).await;
}

/// Replaces the counter in the stored state.
async fn set_counter(app: &mut TestApp, customer: &str, from: &str, to: &str) {
    app.terminate().await;
    let warehouse = OpenWarehouse::of(app).await;
    let whose = format!("customer = '{customer}' AND position(state, '{to}') = 0");
    warehouse
        .run(&format!(
            "ALTER TABLE customer_state UPDATE state = replaceOne(state, '{from}', '{to}') WHERE {whose} SETTINGS mutations_sync = 2"
        ))
        .await;
    let left = warehouse
        .run(&format!("SELECT count() FROM customer_state WHERE {whose}"))
        .await;
    assert_eq!(left.trim(), "0");
    warehouse.close();
    app.restart().await;
}

/// Writes records straight into the log of a program that is stopped for it.
async fn write(app: &mut TestApp, records: Vec<NewRecord>) -> Vec<Position> {
    app.terminate().await;
    let url = format!("file:{}", app.data().join("log").display());
    let options = stream::Options {
        partitions: PARTITIONS,
        append_timeout: std::time::Duration::from_secs(60),
        ..stream::Options::default()
    };
    let log = stream::open(&url, &options).await.unwrap();
    let written = log.append(records).await;
    log.close().await.unwrap();
    app.restart().await;
    written.into_iter().map(Result::unwrap).collect()
}

async fn start() -> (TestApp, Account) {
    let app = TestApp::start_with(&["stream.partitions=4"]).await;
    // The first operates the installation, and sees what is nobody's.
    app.register("first").await;
    let acme = app.register("acme").await;
    (app, acme)
}

async fn all(caller: &Caller, filter: &str) -> Vec<Value> {
    let list = caller
        .get(&format!("/rejections?limit=200&{filter}"))
        .await
        .expect(200);
    assert!(list["as_of"]["positions"].is_object());
    list["items"].as_array().unwrap().clone()
}

fn reasons(items: &[Value]) -> BTreeMap<&str, usize> {
    let mut found = BTreeMap::new();
    for item in items {
        *found.entry(item["reason"].as_str().unwrap()).or_default() += 1;
    }
    found
}

async fn revenue(account: &Account, customer: &str) -> Value {
    let summary = account
        .owner
        .get(&format!("/customers/{customer}/summary"))
        .await;
    summary.expect(200)["value"]["total_revenue"].take()
}

#[tokio::test]
async fn poison_of_every_kind_blocks_no_partition_and_is_shown_to_its_own_tenant() {
    let (mut app, acme) = start().await;
    let other = app.register("other").await;
    break_fold(&mut app, &acme, "full").await;
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let elsewhere = (partition(&acme, "lost") + 1) % PARTITIONS;
    let login = r#"{"customer_id":"c","name":"login"}"#;
    let future = envelope(&acme, "activity", "c", "late", login)
        .replace(&RECEIVED.to_string(), &i64::MAX.to_string());
    let nobodys: Vec<Vec<u8>> = vec![
        b"\xff\xfe\x00 no text".to_vec(),
        b"no json".to_vec(),
        b"{\"v\":1,\"kind\":\"purchase\"".to_vec(),
        b"{\"v\":99,\"kind\":\"purchase\"}".to_vec(),
        b"{\"v\":1,\"kind\":\"dance\"}".to_vec(),
        format!(r#"{{"v":1,"kind":"define","define":{deep}}}"#).into_bytes(),
        format!(r#"{{"v":1,"kind":"activity","customer_id":"c","event_id":"e","event":{login}}}"#)
            .into_bytes(),
        future.into_bytes(),
    ];
    let mut poison: Vec<NewRecord> = (0..PARTITIONS)
        .flat_map(|partition| {
            nobodys
                .iter()
                .map(move |payload| record(partition, payload.clone()))
        })
        .collect();
    let nobodys = poison.len();
    let before = poison.len();
    poison.extend([
        purchase(&acme, "broken", "p-1", "much"),
        record(
            partition(&acme, "deep"),
            envelope(
                &acme,
                "activity",
                "deep",
                "p-2",
                &format!(r#"{{"customer_id":"deep","name":"x","more":{deep}}}"#),
            ),
        ),
        record(
            elsewhere,
            envelope(
                &acme,
                "activity",
                "lost",
                "p-3",
                r#"{"customer_id":"lost","name":"login"}"#,
            ),
        ),
        purchase(&acme, "full", "p-4", "12.50"),
        purchase(&acme, "full", "p-4", "12.50"),
        // A time that no table keeps, in a record that is no event.
        record(
            0,
            &br#"{"v":1,"kind":"tick","at":"9999-12-31T23:59:59Z"}"#[..],
        ),
    ]);
    let written = write(&mut app, poison).await;

    // What comes after it is applied, in every partition.
    let key = acme.key(&["ingest", "read"]).await;
    let good: Vec<Value> = (0..40)
        .map(|number| json!({"type": "purchase", "customer_id": format!("c-{number}"), "event_id": format!("e-{number}"), "amount": "1.50"}))
        .collect();
    key.ingest("/ingest/batch", Value::from(good).to_string())
        .await
        .expect(202);
    let found = app.wait_settled().await;
    assert_eq!(found["totals"]["events"], 41);
    assert_eq!(found["totals"]["duplicates"], 1);
    assert_eq!(
        found["totals"]["rejections"].as_u64(),
        Some(nobodys as u64 + 5)
    );

    // Each sees its own; what names no tenant is the operator's.
    let mine = all(&acme.owner, "").await;
    let expected = [
        ("duplicate", 1),
        ("internal", 1),
        ("misplaced", 1),
        ("too_deep", 1),
        ("invalid_format", 1),
    ];
    assert_eq!(reasons(&mine), BTreeMap::from(expected));
    assert!(all(&other.owner, "").await.is_empty());
    let operators = all(&app.operator(), "").await;
    assert_eq!(
        reasons(&operators),
        BTreeMap::from([("undecodable", nobodys)])
    );
    for position in [written[0], written[before]] {
        let path = format!("/rejections/{position}");
        other.owner.get(&path).await.problem(404, "not-found");
    }
    let undecodable = format!("/rejections/{}", written[0]);
    acme.owner.get(&undecodable).await.problem(404, "not-found");
    let shown = app.operator().get(&undecodable).await.expect(200);
    assert_eq!(
        (&shown["encoding"], &shown["payload"]),
        (&json!("base64"), &json!("//4AIG5vIHRleHQ="))
    );
    let retry = app
        .operator()
        .post(&format!("{undecodable}/retry"), &json!({}))
        .await;
    retry.problem(422, "unprocessable");
    key.get("/rejections").await.problem(403, "forbidden");
    acme.owner
        .anonymous()
        .get("/rejections")
        .await
        .problem(401, "unauthorized");

    // Filters, the record itself, and what is malformed.
    let only = |filter: &'static str| {
        let owner = acme.owner.clone();
        async move {
            let found = all(&owner, filter).await;
            found
                .iter()
                .map(|item| item["event_id"].as_str().unwrap().to_owned())
                .collect::<Vec<_>>()
        }
    };
    assert_eq!(only("reason=internal").await, ["p-4"]);
    assert_eq!(only("kind=activity&customer_id=lost").await, ["p-3"]);
    assert_eq!(only("event_id=p-1&key=key_poison").await, ["p-1"]);
    assert!(only("key=key_other").await.is_empty());
    assert_eq!(only("from=1790000000000&to=1790000000001").await.len(), 5);
    assert!(only("to=1790000000000").await.is_empty());
    let position = written[before].to_string();
    let shown = acme
        .owner
        .get(&format!("/rejections/{position}"))
        .await
        .expect(200);
    assert_eq!(shown["event"]["amount"], "much");
    assert_eq!(
        (&shown["field"], &shown["attempt"]),
        (&json!("amount"), &json!(0))
    );
    let problem = acme
        .owner
        .get("/rejections?colour=red")
        .await
        .problem(400, "bad-request");
    assert_eq!(problem["field"], "colour");
    acme.owner
        .get("/rejections/1:2")
        .await
        .problem(400, "bad-request");
}

#[tokio::test]
async fn a_rejected_event_counts_once_after_a_fix_however_often_it_is_sent_again() {
    let (mut app, acme) = start().await;
    break_fold(&mut app, &acme, "full").await;
    let elsewhere = (partition(&acme, "lost") + 1) % PARTITIONS;
    let lost = r#"{"customer_id":"lost","amount":"3.00"}"#;
    let written = write(
        &mut app,
        vec![
            purchase(&acme, "broken", "p-1", "much"),
            record(elsewhere, envelope(&acme, "purchase", "lost", "p-3", lost)),
            purchase(&acme, "full", "p-4", "12.50"),
        ],
    )
    .await;
    app.wait_settled().await;
    let retry = |position: String, body: Value| {
        let owner = acme.owner.clone();
        async move {
            owner
                .post(&format!("/rejections/{position}/retry"), &body)
                .await
        }
    };

    // What breaks a rule needs a correction, and one of the same event.
    let broken = written[0].to_string();
    let problem = retry(broken.clone(), json!({}))
        .await
        .problem(422, "unprocessable");
    assert_eq!(
        (&problem["field"], &problem["code"]),
        (&json!("amount"), &json!("invalid_format"))
    );
    let stolen = json!({"event": {"customer_id": "thief", "amount": "7.50"}});
    let problem = retry(broken.clone(), stolen)
        .await
        .problem(422, "unprocessable");
    assert_eq!(problem["field"], "customer_id");
    retry(broken.clone(), json!({"evnt": {}}))
        .await
        .problem(400, "bad-request");
    let corrected =
        json!({"event": {"customer_id": "broken", "event_id": "p-1", "amount": "7.50"}});
    let done = retry(broken.clone(), corrected.clone()).await.expect(200);
    assert_eq!(
        (&done["status"], &done["rejection"]),
        (&json!("processed"), &json!(broken))
    );
    let problem = retry(broken.clone(), corrected)
        .await
        .problem(409, "conflict");
    assert_eq!(problem["retried_as"], done["position"]);
    assert_eq!(
        all(&acme.owner, "event_id=p-1").await[0]["retried_as"],
        done["position"]
    );

    // The client's own repeat is one, too.
    let key = acme.key(&["ingest", "read"]).await;
    let again = json!({"customer_id": "broken", "event_id": "p-1", "amount": "7.50"});
    key.ingest("/ingest/purchases", again.to_string())
        .await
        .expect(202);
    app.wait_settled().await;
    assert_eq!(revenue(&acme, "broken").await, "7.50");
    let repeat = all(&acme.owner, "reason=duplicate").await;
    assert_eq!(repeat[0]["first"], done["position"]);
    let position = repeat[0]["position"].as_str().unwrap().to_owned();
    retry(position, json!({})).await.problem(409, "conflict");

    // What was in the wrong place counts in the right one.
    retry(written[1].to_string(), json!({})).await.expect(200);
    assert_eq!(revenue(&acme, "lost").await, "3.00");

    // As long as its cause is there it is rejected again; after the fix the later one is sent.
    let problem = retry(written[2].to_string(), json!({}))
        .await
        .problem(422, "unprocessable");
    assert_eq!(problem["code"], "internal");
    let second = problem["retry"]["position"].as_str().unwrap().to_owned();
    assert_eq!(problem["retry"]["attempt"], 1);
    set_counter(&mut app, "full", FULL, NONE).await;
    retry(written[2].to_string(), json!({}))
        .await
        .problem(409, "conflict");
    let done = retry(second, json!({})).await.expect(200);
    assert_eq!(done["attempt"], 2);
    assert_eq!(revenue(&acme, "full").await, "12.50");
    let receipts = key.get("/ingest/events/p-4").await.expect(200)["receipts"].take();
    let statuses: Vec<&str> = receipts
        .as_array()
        .unwrap()
        .iter()
        .map(|receipt| match receipt["status"].as_str().unwrap() {
            "archived" => "processed",
            status => status,
        })
        .collect();
    assert_eq!(statuses, ["rejected", "rejected", "processed"]);

    let found = app.wait_settled().await;
    assert_eq!(
        (&found["totals"]["events"], &found["totals"]["archive_rows"]),
        (&json!(4), &json!(4))
    );
}

#[tokio::test]
async fn many_are_sent_again_in_steps_and_listed_in_pages_while_more_come_in() {
    let (mut app, acme) = start().await;
    break_fold(&mut app, &acme, "full").await;
    let mut poison: Vec<NewRecord> = (0..7)
        .map(|number| purchase(&acme, "full", &format!("p-{number}"), "12.50"))
        .collect();
    poison.push(purchase(&acme, "broken", "b", "much"));
    write(&mut app, poison).await;
    app.wait_settled().await;
    set_counter(&mut app, "full", FULL, NONE).await;

    // Pages: what was there at the first page is seen exactly once, whatever is rejected meanwhile.
    let key = acme.key(&["ingest"]).await;
    let expected: BTreeSet<String> = all(&acme.owner, "")
        .await
        .iter()
        .map(|item| item["position"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(expected.len(), 8);
    let mut seen = Vec::new();
    let mut path = "/rejections?limit=3".to_owned();
    loop {
        let page = acme.owner.get(&path).await.expect(200);
        let items = page["items"].as_array().unwrap();
        seen.extend(
            items
                .iter()
                .map(|item| item["position"].as_str().unwrap().to_owned()),
        );
        let Some(cursor) = page["next_cursor"].as_str() else {
            break;
        };
        path = format!("/rejections?limit=3&cursor={cursor}");
        let again = json!({"customer_id": "full", "event_id": "p-1", "amount": "1.00"});
        key.ingest("/ingest/purchases", again.to_string())
            .await
            .expect(202);
        app.wait_settled().await;
    }
    let unique: BTreeSet<String> = seen.iter().cloned().collect();
    assert_eq!(unique.len(), seen.len(), "a page repeats");
    assert_eq!(
        unique, expected,
        "the newer ones come before the first page"
    );

    // The file has all of them, by either way of asking, with their payloads.
    let lines = acme
        .owner
        .get("/rejections?format=ndjson&reason=internal")
        .await;
    assert_eq!(lines.headers["content-type"], "application/x-ndjson");
    assert!(lines.headers.contains_key("x-as-of"));
    let text = String::from_utf8(lines.bytes).unwrap();
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 7);
    assert!(lines.iter().all(|line| line["event"]["amount"] == "12.50"));
    let csv = acme
        .owner
        .request(reqwest::Method::GET, "/rejections")
        .header("accept", "text/csv");
    let csv = acme.owner.send(csv).await;
    assert!(
        csv.headers["content-type"]
            .to_str()
            .unwrap()
            .starts_with("text/csv")
    );
    let text = String::from_utf8(csv.bytes).unwrap();
    let rows: Vec<&str> = text.split_terminator("\r\n").collect();
    assert!(rows[0].starts_with("position,reason,field,"), "{}", rows[0]);
    assert_eq!(rows.len(), 1 + all(&acme.owner, "").await.len());
    assert!(
        rows[1..]
            .iter()
            .all(|row| row.contains(r#",""customer_id"":"#)),
        "payloads are quoted"
    );
    acme.owner
        .get("/rejections?format=xml")
        .await
        .problem(400, "bad-request");

    // Many at once, in the order of the log and in steps; what cannot be read says so.
    let mut body = json!({"limit": 3});
    let (mut sent, mut refused, mut steps) = (0, 0, 0);
    loop {
        let step = acme
            .owner
            .post("/rejections/retry", &body)
            .await
            .expect(200);
        sent += step["processed"].as_u64().unwrap();
        refused += step["refused"].as_u64().unwrap();
        assert_eq!(
            step["remaining"].as_u64().unwrap() + step["done"].as_u64().unwrap() + 3 * steps,
            8
        );
        steps += 1;
        if step["next_cursor"].is_null() {
            break;
        }
        body["cursor"] = step["next_cursor"].clone();
    }
    assert_eq!((sent, refused, steps), (7, 1, 3));
    assert_eq!(revenue(&acme, "full").await, "87.50");
    let again = acme
        .owner
        .post("/rejections/retry", &json!({"reason": "internal"}))
        .await
        .expect(200);
    assert_eq!((&again["sent"], &again["skipped"]), (&json!(0), &json!(7)));
    let found = app.wait_settled().await;
    assert_eq!(found["totals"]["events"], 8);
}
