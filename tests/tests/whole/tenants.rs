//! Organizations never see each other, wherever one looks.

use serde_json::{Value, json};
use tests::{Account, Caller, TestApp};

/// The same customers and event ids, other amounts and products.
async fn fill(account: &Account, product: &str, amount: u64) -> Caller {
    let key = account.key(&["ingest", "read"]).await;
    let events: Vec<Value> = (0..40)
        .map(|n| {
            json!({"type": "purchase", "event_id": format!("e-{n}"), "customer_id": format!("c-{}", n % 4),
                "amount": amount, "product": format!("{product}-{}", n % 5),
                "occurred_at": format!("2026-03-{:02}T10:00:00Z", n % 28 + 1)})
        })
        .collect();
    key.ingest("/ingest/batch", json!(events).to_string())
        .await
        .expect(202);
    key
}

#[tokio::test]
async fn tenants_never_see_each_other() {
    let app = TestApp::start().await;
    let (acme, other) = (app.register("acme").await, app.register("other").await);
    let empty = app.register("empty").await;
    let sides = [
        (
            fill(&acme, "acme-tea", 10).await,
            &acme,
            "acme-tea",
            "other-tea",
            10,
        ),
        (
            fill(&other, "other-tea", 1000).await,
            &other,
            "other-tea",
            "acme-tea",
            1000,
        ),
    ];
    let only_acme =
        json!({"event_id": "only-acme", "customer_id": "only-acme", "name": "Ada"}).to_string();
    sides[0]
        .0
        .ingest("/ingest/users", only_acme)
        .await
        .expect(202);
    let settled = app.wait_settled().await;
    assert_eq!(
        settled["totals"]["events"], 81,
        "the same ids of two organizations are two events"
    );
    assert_eq!(settled["totals"]["duplicates"], 0);

    for (key, account, own, foreign, amount) in &sides {
        let revenue = tests::text(40 * amount * 1_000_000, 2);
        let sales = key.get("/reports/sales").await.expect(200);
        assert_eq!(sales["totals"]["revenue"], revenue.as_str());
        assert_eq!(sales["totals"]["orders"], 40);
        let summary = key.get("/customers/c-0/summary").await.expect(200);
        assert_eq!(
            summary["value"]["total_revenue"],
            tests::text(10 * amount * 1_000_000, 2).as_str()
        );
        let sum = key.sql_cell("SELECT sum(amount) FROM events").await;
        assert_eq!(
            tests::micros(sum.as_str().unwrap()),
            40 * amount * 1_000_000
        );
        let organizations = key.sql("SELECT DISTINCT organization FROM events").await;
        assert_eq!(json!(organizations), json!([[account.organization]]));
        for path in [
            "/customers",
            "/customers/c-0",
            "/customers/c-0/summary",
            "/customers/c-0/recommendations",
            "/recommendations",
            "/reports/sales?group_by=product",
            "/reports/sales?group_by=customer",
        ] {
            let answer = key.get(path).await;
            let text = String::from_utf8_lossy(&answer.bytes).into_owned();
            assert!(
                !text.contains(foreign),
                "{path} of {own} shows {foreign}: {text}"
            );
            answer.expect(200);
        }
        let receipts = key.get("/ingest/events/e-0").await.expect(200);
        assert_eq!(
            receipts["receipts"].as_array().unwrap().len(),
            1,
            "only its own sending"
        );
        // Nor by asking for more.
        for sql in [
            "SELECT count(*) FROM events WHERE organization <> '' OR true",
            "SELECT count(*) FROM (SELECT * FROM events UNION ALL SELECT * FROM events WHERE false)",
        ] {
            let events = if *own == "acme-tea" { 41 } else { 40 };
            assert_eq!(key.sql_cell(sql).await, events, "{sql}");
        }
        let lines = key
            .sql("SELECT DISTINCT product_id FROM items ORDER BY 1")
            .await;
        assert_eq!(lines.len(), 5);
        assert!(
            lines
                .iter()
                .all(|row| row[0].as_str().unwrap().starts_with(own)),
            "{lines:?}"
        );
        let customers = if *own == "acme-tea" { 5 } else { 4 };
        assert_eq!(
            key.sql_cell("SELECT count(*) FROM customers").await,
            customers
        );
    }
    let foreign = &sides[1].0;
    foreign
        .get("/customers/only-acme")
        .await
        .problem(404, "not-found");
    foreign
        .get("/customers/only-acme/summary")
        .await
        .problem(404, "not-found");
    foreign
        .get("/customers/only-acme/recommendations")
        .await
        .problem(404, "not-found");
    foreign
        .get("/ingest/events/only-acme")
        .await
        .problem(404, "not-found");
    let internal = sides[0].0.get("/customers/only-acme").await.expect(200)["id"]
        .as_str()
        .unwrap()
        .to_owned();
    foreign
        .get(&format!("/customers/{internal}"))
        .await
        .problem(404, "not-found");
    assert!(foreign.get("/api-keys").await.status == 403);
    let keys = other.owner.get("/api-keys").await.expect(200);
    assert_eq!(keys["items"].as_array().unwrap().len(), 1);

    let nothing = empty.owner.get("/customers").await.expect(200);
    assert_eq!(nothing["items"], json!([]));
    let nothing = empty.owner.get("/reports/sales").await.expect(200);
    assert_eq!(
        (&nothing["rows"], &nothing["totals"]["revenue"]),
        (&json!([]), &json!("0.00"))
    );
    assert_eq!(empty.owner.sql_cell("SELECT count(*) FROM events").await, 0);
    empty
        .owner
        .get("/forecasts")
        .await
        .problem(422, "unprocessable");
}
