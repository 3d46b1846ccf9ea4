//! Quotes and orders: totals that add up, numbers without gaps, one answer to each quote, and one order of each.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use futures::future::join_all;
use serde_json::{Value, json};
use tests::{Account, Caller, TestApp};

use crate::{member, office};

/// An organization with a customer `c`.
async fn shop() -> (TestApp, Account) {
    let (app, office) = office().await;
    let customer = json!({"customer_id": "c", "name": "Customer"});
    office.owner.post("/customers", &customer).await.expect(201);
    (app, office)
}

fn offer() -> Value {
    json!({"subject": "Chairs", "tax_rate": 20, "items": [
        {"sku": "chair", "description": "A chair", "quantity": 3, "unit_price": "19.99"},
        {"description": "Delivery", "quantity": "0.5", "unit_price": 7.25},
    ]})
}

async fn quoted(staff: &Caller, body: Value) -> (String, Value) {
    let made = staff.post("/customers/c/quotes", &body).await.expect(201);
    let id = made["id"].as_str().unwrap();
    (format!("/customers/c/quotes/{id}"), made)
}

/// Takes a step that must succeed.
async fn step(staff: &Caller, path: &str, step: &str) -> Value {
    let answer = staff.post(&format!("{path}/{step}"), &json!({})).await;
    answer.expect(200)
}

/// In how many milliseconds from now, as a time of the API.
fn later(millis: u64) -> u64 {
    let now = std::time::SystemTime::now();
    let now = now.duration_since(std::time::UNIX_EPOCH).unwrap();
    now.as_millis() as u64 + millis
}

#[tokio::test]
async fn totals_are_computed_and_checked() {
    let (_app, office) = shop().await;
    let staff = &office.owner;
    let (path, made) = quoted(staff, offer()).await;
    // 59.97 + 3.63 = 63.60; 20% are 12.72.
    assert_eq!(
        [
            &made["subtotal"],
            &made["discount"],
            &made["tax"],
            &made["total"]
        ],
        ["63.60", "0.00", "12.72", "76.32"]
    );
    assert_eq!(made["items"][1]["total"], "3.63");
    assert_eq!(
        (&made["number"], &made["status"], &made["currency"]),
        (&json!("Q-000001"), &json!("draft"), &json!("USD"))
    );
    assert!(made["created_by"].as_str().unwrap().starts_with("usr_"));
    let less = json!({"discount_rate": "10", "valid_until": 4_102_444_800_000_u64});
    let less = staff.patch(&path, &less).await.expect(200);
    assert_eq!(
        [&less["discount"], &less["tax"], &less["total"]],
        ["6.36", "11.45", "68.69"]
    );
    assert_eq!(less["valid_until"], "2100-01-01T00:00:00Z");
    let put = json!({"subject": "One", "currency": "JPY", "total": "1200",
        "items": [{"sku": "a", "quantity": 2, "unit_price": 600, "total": "1200"}]});
    let put = staff.put(&path, &put).await.expect(200);
    assert_eq!(
        (&put["total"], &put["number"]),
        (&json!("1200"), &made["number"])
    );
    assert_eq!((put.get("valid_until"), put.get("tax_rate")), (None, None));

    let with = |name: &str, value: Value| {
        let mut body = offer();
        body[name] = value;
        body
    };
    let line = |line: Value| with("items", json!([line]));
    for (body, field) in [
        (with("total", json!("76.31")), "total"),
        (with("subtotal", json!(1)), "subtotal"),
        (with("tax", json!("12.71")), "tax"),
        (with("discount", json!("63.61")), "discount"),
        (with("tax_rate", json!("x")), "tax_rate"),
        (with("subject", json!("")), "subject"),
        (with("items", json!([])), "items"),
        (
            with(
                "items",
                json!(vec![
                    json!({"sku": "a", "quantity": 1, "unit_price": 1});
                    501
                ]),
            ),
            "items",
        ),
        (with("currency", json!("XXQ")), "currency"),
        (with("valid_until", json!("tomorrow")), "valid_until"),
        (with("number", json!("Q-7")), "number"),
        (
            line(json!({"sku": "a", "quantity": 0, "unit_price": 1})),
            "items[0].quantity",
        ),
        (
            line(json!({"sku": "a", "quantity": 1})),
            "items[0].unit_price",
        ),
        (
            line(json!({"quantity": 1, "unit_price": 1})),
            "items[0].sku",
        ),
        (
            line(json!({"sku": "a", "quantity": 2, "unit_price": "0.01", "total": "0.03"})),
            "items[0].total",
        ),
    ] {
        let problem = staff.post("/customers/c/quotes", &body).await;
        assert_eq!(problem.problem(400, "bad-request")["field"], field);
    }
    staff
        .post("/customers/none/quotes", &offer())
        .await
        .problem(404, "not-found");
    let (_, next) = quoted(staff, offer()).await;
    assert_eq!(next["number"], "Q-000002", "refused quotes leave no gap");
}

#[tokio::test]
async fn a_quote_goes_its_way_and_no_other() {
    let (_app, office) = shop().await;
    let staff = &office.owner;
    const STEPS: [&str; 5] = ["send", "viewed", "accept", "reject", "convert"];
    // How each status is reached, and which steps go on from there.
    for (status, way, possible) in [
        ("draft", &[][..], &["send"][..]),
        ("sent", &["send"], &["viewed", "accept", "reject"]),
        ("viewed", &["send", "viewed"], &["accept", "reject"]),
        ("accepted", &["send", "viewed", "accept"], &["convert"]),
        ("rejected", &["send", "reject"], &[]),
    ] {
        let (path, _) = quoted(staff, offer()).await;
        for taken in way {
            step(staff, &path, taken).await;
        }
        let quote = staff.get(&path).await.expect(200);
        assert_eq!(quote["status"], status);
        for illegal in STEPS.iter().filter(|step| !possible.contains(step)) {
            let answer = staff.post(&format!("{path}/{illegal}"), &json!({})).await;
            let problem = answer.problem(422, "unprocessable");
            assert_eq!(problem["code"], "illegal_status", "{status} {illegal}");
            let named = problem["possible"].as_array().unwrap();
            let named: Vec<_> = named.iter().filter(|step| *step != "edit").collect();
            assert_eq!(named, possible, "{status}");
        }
        let edited = staff.patch(&path, &json!({"notes": "n"})).await;
        match status {
            "draft" => assert_eq!(edited.expect(200)["notes"], "n"),
            _ => {
                let problem = edited.problem(422, "unprocessable");
                assert_eq!(problem["code"], "illegal_status");
                assert_eq!(staff.get(&path).await.expect(200)["edit"], quote["edit"]);
            }
        }
    }
    let (path, _) = quoted(staff, offer()).await;
    assert!(step(staff, &path, "send").await["sent_at"].is_string());
    assert!(step(staff, &path, "viewed").await["viewed_at"].is_string());
    let reason = json!({"reason": "too dear"});
    let rejected = staff
        .post(&format!("{path}/reject"), &reason)
        .await
        .expect(200);
    assert_eq!(rejected["reason"], "too dear");
    assert!(rejected["responded_at"].is_string() && rejected.get("accepted_at").is_none());

    // Those made last first, in pages.
    let list = staff.get("/customers/c/quotes?limit=4").await.expect(200);
    assert_eq!(list["items"][0]["id"], rejected["id"]);
    let cursor = list["next_cursor"].as_str().unwrap();
    let rest = staff
        .get(&format!("/customers/c/quotes?limit=4&cursor={cursor}"))
        .await
        .expect(200);
    assert_eq!(rest["items"].as_array().unwrap().len(), 2);
    assert_eq!(rest["next_cursor"], Value::Null);
    let rejected = staff.get("/customers/c/quotes?status=rejected").await;
    assert_eq!(rejected.expect(200)["items"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn numbers_have_no_gaps() {
    let (_app, office) = shop().await;
    let staff = &office.owner;
    let wrong = json!({"subject": "x", "items": [{"sku": "a", "quantity": 1, "unit_price": 1}], "total": 2});
    let (made, refused) = futures::join!(
        join_all((0..30).map(|_| quoted(staff, offer()))),
        join_all((0..5).map(|_| staff.post("/customers/c/quotes", &wrong)))
    );
    assert!(refused.iter().all(|answer| answer.status == 400));
    let numbers: BTreeSet<&str> = made
        .iter()
        .map(|(_, quote)| quote["number"].as_str().unwrap())
        .collect();
    let wanted: Vec<String> = (1..=30).map(|number| format!("Q-{number:06}")).collect();
    assert_eq!(numbers.into_iter().collect::<Vec<_>>(), wanted);

    // The same request twice is one quote with one number.
    let (headers, body) = ([("idempotency-key", "k")], offer());
    let twice = join_all(
        (0..2).map(|_| staff.with_headers("POST", "/customers/c/quotes", &body, &headers)),
    );
    let numbers: Vec<Value> = twice
        .await
        .into_iter()
        .map(|answer| answer.expect(201)["number"].clone())
        .collect();
    assert_eq!(numbers, ["Q-000031", "Q-000031"]);
    assert_eq!(quoted(staff, offer()).await.1["number"], "Q-000032");
}

#[tokio::test]
async fn one_answer_counts() {
    let (_app, office) = shop().await;
    let staff = &office.owner;
    let (path, _) = quoted(staff, offer()).await;
    let sent = staff.post(&format!("{path}/send"), &json!({})).await;
    let etag = sent.headers["etag"].to_str().unwrap().to_owned();
    sent.expect(200);
    let answers = join_all(["accept", "reject", "accept", "reject"].map(|step| {
        let path = format!("{path}/{step}");
        async move { staff.post(&path, &json!({})).await }
    }));
    let statuses: Vec<u16> = answers.await.iter().map(|answer| answer.status).collect();
    let won = statuses.iter().filter(|status| **status == 200).count();
    assert_eq!(won, 1, "{statuses:?}");
    assert!(statuses.iter().all(|status| [200, 422].contains(status)));
    staff
        .with_headers(
            "POST",
            &format!("{path}/accept"),
            &json!({}),
            &[("if-match", &etag)],
        )
        .await
        .problem(412, "precondition-failed");
}

#[tokio::test]
async fn a_quote_expires_by_the_clock() {
    let (app, office) = shop().await;
    let staff = &office.owner;
    let mut body = offer();
    body["valid_until"] = json!(later(12_000));
    let made = join_all((0..4).map(|_| quoted(staff, body.clone()))).await;
    let paths: Vec<String> = made.into_iter().map(|(path, _)| path).collect();
    let [sent, viewed, taken, draft] = &paths[..] else {
        unreachable!()
    };
    join_all([sent, viewed, taken].map(|path| step(staff, path, "send"))).await;
    futures::join!(step(staff, viewed, "viewed"), step(staff, taken, "accept"));
    let begun = Instant::now();
    let status = async |path: &str| staff.get(path).await.expect(200)["status"].clone();
    while status(sent).await != "expired" || status(viewed).await != "expired" {
        assert!(begun.elapsed() < Duration::from_secs(60), "the clock ticks");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let expired = staff.get(sent).await.expect(200);
    assert_eq!(
        (&expired["updated_by"], &expired["total"]),
        (&json!("clock"), &json!("76.32"))
    );
    let late = staff.post(&format!("{sent}/accept"), &json!({})).await;
    assert_eq!(late.problem(422, "unprocessable")["code"], "illegal_status");
    assert_eq!(status(taken).await, "accepted");
    assert_eq!(
        status(draft).await,
        "draft",
        "what was not sent does not expire"
    );
    let late = staff.post(&format!("{draft}/send"), &json!({})).await;
    assert_eq!(late.problem(422, "unprocessable")["field"], "valid_until");
    app.wait_settled().await;
    assert_eq!(app.reconciliation().await["balanced"], true);
}

#[tokio::test]
async fn an_accepted_quote_becomes_one_order() {
    let (app, office) = shop().await;
    let staff = &office.owner;
    let (path, made) = quoted(staff, offer()).await;
    step(staff, &path, "send").await;
    step(staff, &path, "accept").await;
    let convert = format!("{path}/convert");
    let nothing = json!({});
    let answers = join_all((0..4).map(|_| staff.post(&convert, &nothing))).await;
    let mut orders = BTreeSet::new();
    for answer in answers {
        assert!([200, 201].contains(&answer.status), "{}", answer.status);
        orders.insert(answer.json["order_id"].as_str().unwrap().to_owned());
    }
    assert_eq!(orders.len(), 1);
    let order = orders.pop_first().unwrap();
    assert_eq!(
        staff.post(&convert, &nothing).await.expect(200)["order_id"],
        *order
    );
    app.wait_settled().await;
    let read = staff.get(&format!("/orders/{order}")).await.expect(200);
    assert_eq!(
        [
            &read["customer_id"],
            &read["amount"],
            &read["net_amount"],
            &read["status"]
        ],
        ["c", "76.32", "76.32", "completed"]
    );
    let lines = read["items"].as_array().unwrap();
    assert_eq!(lines.len(), 2);
    assert_eq!(
        [
            &lines[0]["product_id"],
            &lines[0]["quantity"],
            &lines[0]["unit_price"],
            &lines[1]["amount"]
        ],
        ["chair", "3", "19.99", "3.63"]
    );
    let report = staff.get("/reports/sales?period=month").await.expect(200);
    assert_eq!(
        (&report["totals"]["revenue"], &report["totals"]["orders"]),
        (&json!("76.32"), &json!(1))
    );
    let customer = staff.get("/customers/c").await.expect(200);
    assert_eq!(customer["status"], "active");

    // Money given back names the order, or the event that made it.
    let key = office.key(&["ingest"]).await;
    for (id, back) in [("r1", "-10"), ("r2", "-66.32")] {
        let refund =
            json!({"customer_id": "c", "event_id": id, "amount": back, "refund_of": order});
        key.ingest("/ingest/purchases", refund.to_string())
            .await
            .expect(202);
        app.wait_settled().await;
        let read = staff.get(&format!("/orders/{order}")).await.expect(200);
        let wanted = match id {
            "r1" => ["66.32", "partially_refunded"],
            _ => ["0.00", "refunded"],
        };
        assert_eq!([&read["net_amount"], &read["status"]], wanted);
    }
    let read = staff.get(&format!("/orders/{order}")).await.expect(200);
    assert_eq!(read["given_back"][0]["amount"], "10.00");
    assert_eq!(staff.get(&path).await.expect(200)["number"], made["number"]);
}

#[tokio::test]
async fn orders_are_found_by_who_may_see_them() {
    let (app, office) = shop().await;
    let staff = &office.owner;
    let key = office.key(&["ingest"]).await;
    let events = json!([
        {"type": "purchase", "customer_id": "c", "event_id": "e1", "amount": "5", "occurred_at": "2026-01-01T00:00:00Z"},
        {"type": "purchase", "customer_id": "c", "event_id": "e2", "order_id": "o2", "amount": "7", "occurred_at": "2026-01-02T00:00:00Z"},
        {"type": "purchase", "customer_id": "d", "event_id": "e3", "order_id": "o3", "amount": "9", "currency": "EUR", "status": "cancelled", "occurred_at": "2026-01-03T00:00:00Z"},
        {"type": "purchase", "customer_id": "d", "event_id": "e4", "order_id": "o2", "amount": "8", "occurred_at": "2026-01-04T00:00:00Z"},
        // Names the event of an order that has an id of its own.
        {"type": "purchase", "customer_id": "c", "event_id": "e5", "amount": "2", "status": "refunded", "refund_of": "e2", "occurred_at": "2026-01-05T00:00:00Z"},
        {"type": "purchase", "customer_id": "c", "event_id": "e6", "amount": "-1", "refund_of": "unheard", "occurred_at": "2026-01-06T00:00:00Z"},
    ]);
    key.ingest("/ingest/batch", events.to_string())
        .await
        .expect(202);
    app.wait_settled().await;
    let ids = async |caller: &Caller, query: &str| -> Vec<String> {
        let list = caller.get(&format!("/orders{query}")).await.expect(200);
        let items = list["items"].as_array().unwrap();
        let shown = |item: &Value| {
            format!(
                "{} {} {}",
                item["id"].as_str().unwrap(),
                item["net_amount"].as_str().unwrap(),
                item["status"].as_str().unwrap()
            )
        };
        items.iter().map(shown).collect()
    };
    let all = [
        "o2 8.00 completed",
        "o3 0.00 cancelled",
        "o2 5.00 partially_refunded",
        "e1 5.00 completed",
    ];
    assert_eq!(ids(staff, "").await, all);
    assert_eq!(ids(staff, "?status=completed").await, [all[0], all[3]]);
    assert_eq!(ids(staff, "?customer_id=d").await, [all[0], all[1]]);
    assert_eq!(ids(staff, "?currency=EUR").await, [all[1]]);
    assert_eq!(
        ids(staff, "?from=2026-01-02T00:00:00Z&to=2026-01-04T00:00:00Z").await,
        [all[1], all[2]]
    );
    let mut pages = Vec::new();
    let mut query = "?limit=1".to_owned();
    loop {
        let list = staff.get(&format!("/orders{query}")).await.expect(200);
        pages.extend(
            list["items"]
                .as_array()
                .unwrap()
                .iter()
                .map(|item| item["id"].clone()),
        );
        let Some(cursor) = list["next_cursor"].as_str() else {
            break;
        };
        query = format!("?limit=1&cursor={cursor}");
    }
    assert_eq!(pages, ["o2", "o3", "o2", "e1"]);
    staff.get("/orders/o2").await.problem(409, "conflict");
    let one = staff.get("/orders/o2?customer_id=c").await.expect(200);
    assert_eq!(one["given_back"][0]["event_id"], "e5");
    assert_eq!(staff.get("/orders/e1").await.expect(200)["amount"], "5.00");
    staff.get("/orders/e5").await.problem(404, "not-found");
    staff
        .get("/orders?colour=red")
        .await
        .problem(400, "bad-request");

    // Sales see the orders of their own customers, and may offer them something.
    let (user, sales) = member(&app, &office, "sales").await;
    assert_eq!(ids(&sales, "").await, Vec::<String>::new());
    staff
        .patch("/customers/c", &json!({"assigned_to": user}))
        .await
        .expect(200);
    assert_eq!(ids(&sales, "").await, [all[2], all[3]]);
    let (path, _) = quoted(&sales, offer()).await;
    sales
        .get("/customers/d/quotes")
        .await
        .problem(404, "not-found");
    let (_, support) = member(&app, &office, "support").await;
    support.get(&path).await.expect(200);
    support
        .post(&format!("{path}/send"), &json!({}))
        .await
        .problem(403, "forbidden");

    // Another organization has neither.
    let other = app.register("other").await;
    assert_eq!(ids(&other.owner, "").await, Vec::<String>::new());
    other
        .owner
        .get("/orders/e1")
        .await
        .problem(404, "not-found");
    let theirs = json!({"customer_id": "c", "name": "C"});
    other.owner.post("/customers", &theirs).await.expect(201);
    other.owner.get(&path).await.problem(404, "not-found");
    let send = format!("{path}/send");
    other
        .owner
        .post(&send, &json!({}))
        .await
        .problem(404, "not-found");
    assert_eq!(quoted(&other.owner, offer()).await.1["number"], "Q-000001");
}
