//! The archive read by tools that nobody here wrote.

use serde_json::{Value, json};
use tests::{TestApp, micros, run_python, text};

#[tokio::test]
async fn python_readers_see_what_the_api_sees() {
    let app = TestApp::start().await;
    let acme = app.register("acme").await;
    let key = acme.key(&["ingest", "read"]).await;
    let mut sum = 0;
    let events: Vec<Value> = (0..3_000_i128)
        .map(|n| {
            let amount = if n % 7 == 0 { -n * 1_000_001 } else { n * 999_999 };
            let month = n % 12 + 1;
            let at = format!("2025-{month:02}-{:02}T23:59:59.999999Z", n % 28 + 1);
            match n % 10 {
                0 => json!({"type": "user", "event_id": format!("e-{n}"), "customer_id": format!("c-{}", n % 50),
                    "name": "Ada", "occurred_at": at}),
                _ => {
                    sum += amount;
                    json!({"type": "purchase", "event_id": format!("e-{n}"), "customer_id": format!("c-{}", n % 50),
                        "amount": text(amount, 0), "occurred_at": at, "shop": "north",
                        "items": [{"product_id": "a", "category": "food"}, {"product_id": "b", "quantity": "0.5"}]})
                }
            }
        })
        .collect();
    for chunk in events.chunks(500) {
        key.ingest("/ingest/batch", json!(chunk).to_string())
            .await
            .expect(202);
    }
    app.wait_settled().await;

    let table = app.archive();
    let found = run_python("read_archive.py", &[table.to_str().unwrap()]);
    let counted = key.sql("SELECT count(*), sum(amount) FROM events").await;
    assert_eq!(counted[0][0], 3_000);
    assert_eq!(micros(counted[0][1].as_str().unwrap()), sum);
    let readers = found["readers"].as_object().unwrap();
    assert_eq!(
        readers.keys().collect::<Vec<_>>(),
        ["deltalake", "polars", "duckdb"]
    );
    for (reader, seen) in readers {
        assert_eq!(seen["rows"], 3_000, "{reader}");
        assert_eq!(micros(seen["amount"].as_str().unwrap()), sum, "{reader}");
        assert_eq!(seen["purchases"], 2_700, "{reader}");
        assert_eq!(seen["items"], 5_400, "{reader}");
        assert_eq!(seen["march"], 250, "{reader}: rows of a partition");
    }

    let columns = &found["columns"];
    for (name, kind) in [
        ("organization", "string"),
        ("customer_id", "string"),
        ("event_id", "string"),
        ("kind", "string"),
        ("month", "string"),
        ("occurred_at", "timestamp[us, tz=UTC]"),
        ("received_at", "timestamp[us, tz=UTC]"),
        ("generation", "int64"),
        ("partition", "int64"),
        ("offset", "int64"),
        ("amount", "decimal128(38, 6)"),
        ("currency", "string"),
        ("status", "string"),
        ("order_id", "string"),
        ("attributes", "string"),
    ] {
        assert_eq!(columns[name], kind, "{name}");
    }
    let item: Vec<&str> = found["item"]
        .as_array()
        .unwrap()
        .iter()
        .map(|name| name.as_str().unwrap())
        .collect();
    assert_eq!(
        item,
        [
            "product_id",
            "name",
            "category",
            "quantity",
            "unit_price",
            "amount"
        ]
    );
    assert_eq!(found["partitions"], json!(["kind", "month"]));
    let attributes: Value = serde_json::from_str(found["attributes"].as_str().unwrap()).unwrap();
    assert_eq!(attributes["shop"], "north");
}
