//! No door leads into another organization.

use serde_json::{Value, json};

use crate::data::{Purchase, decimal, micros};
use crate::harness::{Tenant, run};

/// Words that only the other organization's data holds.
const SECRET: &str = "moonstone";

fn secret_purchases() -> Vec<Purchase> {
    (0..40)
        .map(|number| Purchase {
            customer: format!("{SECRET}-customer-{number}"),
            event_id: format!("{SECRET}-{number}"),
            at: micros("2026-01-05T00:00:00Z"),
            amount: decimal("123456.78"),
            currency: "USD".to_owned(),
            status: "completed",
            items: Vec::new(),
        })
        .collect()
}

#[test]
fn every_door_shows_only_ones_own() {
    run(async {
        let (mine, other) = (Tenant::new("mine").await, Tenant::new("other").await);
        other
            .at
            .lay_out(&other.organization, &secret_purchases())
            .await;
        other
            .at
            .customer(
                &other.organization,
                &format!("{SECRET}-customer-1"),
                "Moonstone",
                "USD",
                "1.00",
            )
            .await;
        let mut own = secret_purchases();
        for (number, purchase) in own.iter_mut().enumerate() {
            purchase.customer = format!("own-{}", number % 3);
            purchase.event_id = format!("own-{number}");
            purchase.amount = decimal("1.00");
        }
        mine.at.lay_out(&mine.organization, &own).await;

        assert_eq!(
            mine.get("/reports/sales").await["totals"]["revenue"],
            "40.00"
        );
        assert_eq!(other.get("/reports/sales").await["totals"]["orders"], 40);
        assert_eq!(mine.get("/customers?q=moonstone").await["items"], json!([]));
        assert_eq!(
            other.get("/customers?q=moonstone").await["items"]
                .as_array()
                .unwrap()
                .len(),
            1
        );
        let key = schemas::customer_key(&other.organization, &format!("{SECRET}-customer-1"));
        for id in [format!("{SECRET}-customer-1"), key] {
            for rest in ["", "/summary", "/recommendations"] {
                assert_eq!(
                    mine.answer(&format!("/customers/{id}{rest}")).await.status,
                    404,
                    "{id}{rest}"
                );
            }
            assert_eq!(
                mine.answer(&format!("/recommendations?customer_id={id}"))
                    .await
                    .status,
                404
            );
            assert_eq!(
                other.answer(&format!("/customers/{id}")).await.status,
                200,
                "{id}"
            );
        }
        let own_list = mine.get("/recommendations").await;
        assert!(!own_list.to_string().contains(SECRET));
        let keys = other
            .post("/api-keys", json!({"name": "k", "scopes": ["read"]}))
            .await;
        let id = keys.body["id"].as_str().unwrap().to_owned();
        let path = format!("/api/v1/api-keys/{id}");
        assert_eq!(
            mine.at
                .send("DELETE", &path, &mine.token, None)
                .await
                .status,
            404
        );
        assert_eq!(
            mine.post(&format!("/api-keys/{id}/rotate"), json!({}))
                .await
                .status,
            404
        );

        for (sql, rows) in [
            ("SELECT count(*) FROM events", json!([[40]])),
            (
                "SELECT min(event_id), max(customer_id) FROM events",
                json!([["own-0", "own-2"]]),
            ),
            (
                "SELECT DISTINCT organization FROM events",
                json!([[mine.organization.as_str()]]),
            ),
            (
                "SELECT count(*) FROM events WHERE organization <> ''",
                json!([[40]]),
            ),
            (
                "SELECT count(*) FROM events WHERE true OR organization = 'x'",
                json!([[40]]),
            ),
            ("SELECT count(*) FROM customers", json!([[0]])),
            (
                "SELECT count(*) FROM events a CROSS JOIN events b",
                json!([[1600]]),
            ),
        ] {
            assert_eq!(mine.sql(sql).await, rows, "{sql}");
        }
        leaks_nothing(&mine, &other).await;
    });
}

/// Errors and statistics are doors too.
async fn leaks_nothing(mine: &Tenant, other: &Tenant) {
    for sql in [
        "SELECT * FROM events WHERE CAST(customer_id AS BIGINT) > 0",
        "SELECT * FROM events WHERE CAST(event_id AS BIGINT) > 0 AND organization <> 'x'",
        "SELECT sum(CAST(replace(customer_id, 'own-', '') AS BIGINT)) FROM events",
        "SELECT * FROM events WHERE 1 / (CASE WHEN amount > 1000 THEN 0 ELSE 1 END) = 1",
        "SELECT count(*) FROM items WHERE CAST(customer_id AS INT) = 1",
        "SELECT * FROM (SELECT * FROM events ORDER BY amount DESC LIMIT 5) WHERE amount > 1000",
    ] {
        let answer = mine.post("/sql", json!({ "sql": sql })).await;
        assert!(!answer.text.contains(SECRET), "{sql}: {}", answer.text);
        assert!(
            !answer.text.contains(other.organization.as_str()),
            "{sql}: {}",
            answer.text
        );
        assert!(
            answer.status == 200 || answer.status == 400,
            "{sql}: {}",
            answer.text
        );
    }
    let sum = "SELECT sum(CAST(replace(customer_id, 'own-', '') AS BIGINT)) FROM events";
    assert_ne!(
        mine.sql(sum).await,
        Value::Null,
        "nothing of others fails it"
    );
}

#[test]
fn sql_reaches_nothing_but_three_tables() {
    run(async {
        let tenant = Tenant::new("prober").await;
        for sql in [
            "SELECT * FROM progress",
            "SELECT * FROM customer_state",
            "SELECT * FROM system.tables",
            "SELECT * FROM information_schema.tables",
            "SELECT * FROM information_schema.df_settings",
            "SELECT * FROM datafusion.information_schema.columns",
            "SELECT * FROM api_keys",
            "SELECT * FROM '/etc/passwd'",
            "SELECT * FROM \"/etc/passwd\"",
            "SELECT * FROM 'file:///etc/passwd.csv'",
            "SELECT * FROM read_csv('/etc/passwd')",
            "SELECT * FROM read_parquet('/tmp/x.parquet')",
            "SELECT * FROM parquet_metadata('/tmp/x.parquet')",
            "SELECT file('/etc/passwd')",
            "SELECT * FROM url('http://127.0.0.1/')",
            "SELECT * FROM remote('127.0.0.1', 'system', 'tables')",
            "SELECT * FROM events; SELECT 1",
            "SELECT 1; DROP TABLE events",
            "INSERT INTO events SELECT * FROM events",
            "UPDATE events SET kind = 'x'",
            "DELETE FROM events",
            "DROP TABLE events",
            "CREATE TABLE t AS SELECT 1",
            "CREATE VIEW v AS SELECT 1",
            "SELECT * INTO t FROM events",
            "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'",
            "COPY events TO '/tmp/events.csv'",
            "COPY (SELECT 1) TO '/tmp/one.csv'",
            "SET datafusion.catalog.information_schema = true",
            "SHOW ALL",
            "SHOW TABLES",
            "DESCRIBE events",
            "EXPLAIN SELECT * FROM events",
            "EXPLAIN ANALYZE SELECT * FROM events",
            "PREPARE p AS SELECT 1",
            "EXECUTE p",
            "SELECT $1",
            "WITH x AS (DELETE FROM events RETURNING *) SELECT * FROM x",
            "SELECT",
            "",
            "SELECT nonsense FROM events",
        ] {
            let answer = tenant.post("/sql", json!({ "sql": sql })).await;
            assert_eq!(answer.status, 400, "{sql}: {}", answer.text);
            assert_eq!(answer.body["field"], "sql", "{sql}: {}", answer.text);
        }
    });
}
