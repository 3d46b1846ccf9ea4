//! What became of an event: its receipts, from acceptance to the archive, and what repeats do.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::{Caller, TestApp};

async fn start() -> (TestApp, Caller) {
    let app = TestApp::start().await;
    let acme = app.register("acme").await;
    let key = acme.key(&["ingest", "read"]).await;
    (app, key)
}

async fn receipts(key: &Caller, path: &str) -> Vec<Value> {
    let answer = key.get(&format!("/ingest/events/{path}")).await.expect(200);
    answer["receipts"].as_array().unwrap().clone()
}

fn rank(status: &str) -> usize {
    let order = ["accepted", "processed", "archived"];
    let found = order.iter().position(|known| *known == status);
    found.unwrap_or_else(|| panic!("a lone event is {status}"))
}

#[tokio::test]
async fn a_receipt_goes_from_accepted_to_processed_to_archived() {
    let (_app, key) = start().await;
    let mut seen = Vec::new();
    // Several events, each asked for at once: what is accepted and not applied yet is seen of one of them at least.
    for round in 0..20 {
        let event = json!({"event_id": format!("e-{round}"), "customer_id": "c", "amount": "1.00"});
        let answer = key
            .ingest("/ingest/purchases", event.to_string())
            .await
            .expect(202);
        let position = answer["results"][0]["position"].clone();
        let started = Instant::now();
        let mut last = 0;
        loop {
            let found = receipts(&key, &format!("e-{round}")).await;
            assert_eq!(found.len(), 1, "{found:?}");
            let receipt = &found[0];
            assert_eq!(receipt["position"], position);
            assert_eq!(receipt["customer_id"], "c");
            let status = receipt["status"].as_str().unwrap();
            assert!(rank(status) >= last, "a receipt went back to {status}");
            last = rank(status);
            if !seen.contains(&last) {
                seen.push(last);
            }
            if last == 2 || (round > 0 && last > 0) {
                break;
            }
            assert!(
                started.elapsed() < Duration::from_secs(90),
                "still {status}"
            );
        }
    }
    seen.sort_unstable();
    assert_eq!(
        seen,
        [0, 1, 2],
        "accepted, processed and archived were all seen"
    );
}

#[tokio::test]
async fn a_repeat_is_accepted_counts_nowhere_and_has_its_own_receipt() {
    let (app, key) = start().await;
    let first = json!({"event_id": "e", "customer_id": "c", "amount": "10.00"}).to_string();
    let other = json!({"event_id": "e", "customer_id": "c", "amount": "99.00"}).to_string();
    let mut positions = Vec::new();
    for body in [&first, &first, &other] {
        let answer = key
            .ingest("/ingest/purchases", body.as_str())
            .await
            .expect(202);
        assert_eq!(answer["results"][0]["status"], "accepted");
        positions.push(answer["results"][0]["position"].clone());
    }
    // Twice in one batch, and of another kind.
    let batch = json!([
        {"type": "purchase", "event_id": "twice", "customer_id": "c", "amount": "1.00"},
        {"type": "purchase", "event_id": "twice", "customer_id": "c", "amount": "2.00"},
        {"type": "activity", "event_id": "e", "customer_id": "c", "name": "login"},
    ]);
    let answer = key
        .ingest("/ingest/batch", batch.to_string())
        .await
        .expect(202);
    assert_eq!(answer["accepted"], 3);
    positions.push(answer["results"][2]["position"].clone());
    let found = app.wait_settled().await;
    assert_eq!(found["totals"]["events"], 2);
    assert_eq!(found["totals"]["duplicates"], 4);
    assert_eq!(found["totals"]["rejections"], 4);
    assert_eq!(found["totals"]["archive_rows"], 2);

    let found = receipts(&key, "e").await;
    let shown: Vec<(&str, &Value)> = found
        .iter()
        .map(|of| (of["status"].as_str().unwrap(), &of["position"]))
        .collect();
    let expected: Vec<(&str, &Value)> = ["archived", "duplicate", "duplicate", "duplicate"]
        .into_iter()
        .zip(&positions)
        .collect();
    assert_eq!(shown, expected, "one for each sending, oldest first");
    let statuses: Vec<Value> = receipts(&key, "twice")
        .await
        .iter()
        .map(|of| of["status"].clone())
        .collect();
    assert_eq!(statuses, ["archived", "duplicate"]);

    let value = key.get("/customers/c/summary").await.expect(200)["value"].take();
    assert_eq!(
        value["total_revenue"], "11.00",
        "the first in the log counts"
    );
    assert_eq!(value["total_orders"], 2);

    // Weeks later is no different from now: a repeat after everything was archived.
    key.ingest("/ingest/purchases", other).await.expect(202);
    let found = app.wait_settled().await;
    assert_eq!(found["totals"]["events"], 2);
    assert_eq!(found["totals"]["duplicates"], 5);
    let value = key.get("/customers/c/summary").await.expect(200)["value"].take();
    assert_eq!(value["total_revenue"], "11.00");
}

#[tokio::test]
async fn one_id_under_two_customers_is_two_events() {
    let (app, key) = start().await;
    let sent: Vec<String> = (0..10).map(|number| format!("c-{number}")).collect();
    for customer in &sent {
        let event = json!({"event_id": "e", "customer_id": customer, "amount": "3.00"});
        key.ingest("/ingest/purchases", event.to_string())
            .await
            .expect(202);
    }
    let found = app.wait_settled().await;
    assert_eq!(found["totals"]["events"], 10);
    assert_eq!(found["totals"]["duplicates"], 0);
    // Oldest first, whatever partition each is in.
    let customers: Vec<String> = receipts(&key, "e")
        .await
        .iter()
        .map(|of| of["customer_id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(customers, sent);
    let of_one = receipts(&key, "e?customer_id=c-2").await;
    assert_eq!(of_one.len(), 1);
    assert_eq!(of_one[0]["customer_id"], "c-2");
    key.get("/ingest/events/e?customer_id=c-33")
        .await
        .problem(404, "not-found");
    key.get("/ingest/events/E").await.problem(404, "not-found");
    let problem = key
        .get("/ingest/events/e?customer=c-1")
        .await
        .problem(400, "bad-request");
    assert_eq!(problem["field"], "customer");
}

#[tokio::test]
async fn ids_are_compared_byte_for_byte() {
    let (app, key) = start().await;
    // The same letter composed and decomposed, cases, spaces, and the longest ids there may be.
    let ids = [
        "é",
        "e\u{301}",
        "A",
        "a",
        " a",
        "a ",
        "a/b",
        "a/",
        "a%2Fb",
        &"ü".repeat(128),
        "日本",
    ];
    for id in ids {
        for customer in [id, "other"] {
            let event = json!({"event_id": id, "customer_id": customer, "name": "login"});
            key.ingest("/ingest/activities", event.to_string())
                .await
                .expect(202);
        }
    }
    let found = app.wait_settled().await;
    assert_eq!(
        found["totals"]["events"].as_u64(),
        Some(2 * ids.len() as u64)
    );
    for id in ids {
        let found = receipts(&key, &tests::encoded(id)).await;
        assert_eq!(found.len(), 2, "{id}");
        let path = format!("/customers/{}/summary", tests::encoded(id));
        let summary = key.get(&path).await.expect(200);
        assert_eq!(summary["profile"]["customer_id"], *id);
        assert_eq!(summary["activity"]["activities"], 1, "{id}");
    }
}
