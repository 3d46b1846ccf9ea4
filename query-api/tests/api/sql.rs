//! `POST /sql`.

use serde_json::json;

use crate::data::mixed;
use crate::harness::{Tenant, run};

#[test]
fn tables_columns_and_types() {
    run(async {
        let tenant = Tenant::with("analyst", json!({"currency": "EUR"})).await;
        let purchases = mixed(200, 5);
        tenant.at.lay_out(&tenant.organization, &purchases).await;
        tenant
            .at
            .customer(&tenant.organization, "c1", "Carla", "EUR", "12.50")
            .await;
        let answer = tenant
            .post("/sql", json!({"sql": "SELECT event_id, amount, occurred_at, items, \"offset\", true AS yes FROM events ORDER BY \"offset\" LIMIT 1"}))
            .await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let columns = answer.body["columns"].as_array().unwrap();
        let kinds: Vec<&str> = columns
            .iter()
            .map(|column| column["type"].as_str().unwrap())
            .collect();
        assert_eq!(
            kinds,
            ["text", "decimal", "timestamp", "list", "integer", "boolean"]
        );
        assert_eq!(answer.body["rows"][0][0], "e0");
        assert_eq!(
            answer.body["rows"][0][1],
            json!(format!("{:.6}", Fixed(purchases[0].amount)))
        );
        assert!(answer.body["as_of"]["positions"].is_object());

        let lines: usize = purchases.iter().map(|purchase| purchase.items.len()).sum();
        assert_eq!(
            tenant
                .sql("SELECT count(*), count(product_id) FROM items")
                .await,
            json!([[lines, lines]])
        );
        let total: schemas::Decimal = purchases
            .iter()
            .flat_map(|p| &p.items)
            .map(|item| item.amount)
            .sum();
        let found = tenant.sql("SELECT sum(amount) FROM items").await;
        assert_eq!(found, json!([[format!("{:.6}", Fixed(total))]]));
        let joined = "SELECT c.name, count(*) FROM customers c JOIN events e ON e.customer_id = c.customer_id GROUP BY 1";
        let count = purchases
            .iter()
            .filter(|purchase| purchase.customer == "c1")
            .count();
        assert_eq!(tenant.sql(joined).await, json!([["Carla", count]]));
        assert_eq!(
            tenant
                .sql("SELECT revenue, currency, status FROM customers")
                .await,
            json!([["12.500000", "EUR", "active"]])
        );
    });
}

/// Six places, as the column has them.
struct Fixed(schemas::Decimal);

impl std::fmt::Display for Fixed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.to_text(6))
    }
}

#[test]
fn limits_cut_and_bad_bodies_are_named() {
    run(async {
        let tenant = Tenant::new("limits").await;
        let answer = tenant
            .post(
                "/sql",
                json!({"sql": "SELECT * FROM generate_series(1, 100)", "limit": 3}),
            )
            .await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert_eq!(
            (
                answer.body["rows"].as_array().unwrap().len(),
                &answer.body["truncated"]
            ),
            (3, &json!(true))
        );
        let answer = tenant
            .post("/sql", json!({"sql": "SELECT 1 AS a", "limit": 1}))
            .await;
        assert_eq!(answer.body["truncated"], json!(false));
        for (body, field) in [
            (json!({}), "sql"),
            (json!({"sql": 1}), "sql"),
            (json!({"sql": "SELECT 1", "limit": 0}), "limit"),
            (json!({"sql": "SELECT 1", "limit": 1_000_000}), "limit"),
            (json!({"sql": "SELECT 1", "format": "csv"}), "format"),
        ] {
            let answer = tenant.post("/sql", body.clone()).await;
            assert_eq!(
                (answer.status.as_u16(), &answer.body["field"]),
                (400, &json!(field)),
                "{body}"
            );
        }
        let hungry = "SELECT count(DISTINCT a.value * 100000 + b.value) FROM generate_series(1, 20000) a CROSS JOIN generate_series(1, 20000) b";
        let answer = tenant.post("/sql", json!({ "sql": hungry })).await;
        assert_eq!(answer.status, 422, "{}", answer.text);
    });
}

#[test]
fn what_would_take_the_stack_or_the_memory_is_refused() {
    run(async {
        let tenant = Tenant::new("greedy").await;
        let deep =
            |operator: &str, count: usize| format!("SELECT {}", vec!["1"; count].join(operator));
        for operator in ["+", " UNION ALL SELECT "] {
            let answer = tenant
                .post("/sql", json!({"sql": deep(operator, 500)}))
                .await;
            assert_eq!(answer.status, 200, "{}", answer.text);
        }
        let doubled = "WITH a AS (SELECT kind FROM events), b AS (SELECT * FROM a UNION ALL SELECT * FROM a) SELECT count(*) FROM b";
        assert_eq!(tenant.sql(doubled).await[0][0], 0);
        for sql in [
            deep("+", 3_000),
            deep(" UNION ALL SELECT ", 3_000),
            "SELECT repeat('x', 2000000000)".to_owned(),
            "SELECT array_repeat(1, 100000000)".to_owned(),
            "SELECT range(1, 200000000)".to_owned(),
            "WITH RECURSIVE n AS (SELECT 1 AS x UNION ALL SELECT x + 1 FROM n) SELECT max(x) FROM n".to_owned(),
        ] {
            let answer = tenant.post("/sql", json!({ "sql": sql })).await;
            assert_eq!(
                (answer.status.as_u16(), &answer.body["field"]),
                (400, &json!("sql")),
                "{}",
                answer.text
            );
        }
    });
}
