//! `/rejections` over rows as the processor writes them.

use serde_json::{Value, json};
use warehouse::Params;

use crate::harness::{Tenant, run};

/// Writes rejections of a tenant at offsets of a partition, each received a second after the one before.
async fn reject(tenant: &Tenant, partition: u32, offsets: std::ops::Range<u64>, reason: &str) {
    let organization = tenant.organization.as_str();
    for offset in offsets {
        let sql = format!(
            "INSERT INTO rejections SELECT 1, {partition}, {offset}, '{organization}', 'c-{}', 'e-{offset}', 'purchase', 0, \
             toDateTime64('2026-03-01 00:00:00', 6, 'UTC') + {offset}, '{reason}', '', 'because', 0, 0, 0, \
             '{{\"v\":1,\"kind\":\"purchase\",\"source\":\"key_{}\",\"event\":{{\"amount\":1.10}}}}'",
            offset % 2,
            offset % 3,
        );
        tenant
            .at
            .warehouse
            .execute(&sql, &Params::new())
            .await
            .unwrap();
    }
}

fn offsets(list: &Value) -> Vec<u64> {
    let offset = |item: &Value| {
        let position = item["position"].as_str().unwrap();
        position.rsplit(':').next().unwrap().parse().unwrap()
    };
    list["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(offset)
        .collect()
}

#[test]
fn the_newest_come_first_and_what_is_not_applied_does_not_come() {
    run(async {
        let tenant = Tenant::new("rejected").await;
        let partition = tenant.at.partition();
        reject(&tenant, partition, 0..9, "internal").await;
        // A cycle that was cut off is written twice.
        reject(&tenant, partition, 3..5, "internal").await;
        tenant.at.progress(partition, 8).await;

        let list = tenant.get("/rejections").await;
        assert_eq!(offsets(&list), [7, 6, 5, 4, 3, 2, 1, 0]);
        assert_eq!(list["next_cursor"], Value::Null);
        let item = &list["items"][0];
        assert_eq!(
            (&item["key"], &item["field"]),
            (&json!("key_1"), &Value::Null)
        );
        assert_eq!(item["received_at"], "2026-03-01T00:00:07Z");

        let first = tenant.get("/rejections?limit=3&customer_id=c-1").await;
        assert_eq!(offsets(&first), [7, 5, 3]);
        let cursor = first["next_cursor"].as_str().unwrap();
        let rest = tenant
            .get(&format!(
                "/rejections?limit=3&customer_id=c-1&cursor={cursor}"
            ))
            .await;
        assert_eq!(
            (offsets(&rest), &rest["next_cursor"]),
            (vec![1], &Value::Null)
        );
        assert_eq!(
            offsets(&tenant.get("/rejections?key=key_0").await),
            [6, 3, 0]
        );
        let range = "/rejections?from=2026-03-01T00:00:02Z&to=2026-03-01T00:00:04Z";
        assert_eq!(offsets(&tenant.get(range).await), [3, 2]);
        assert!(offsets(&tenant.get("/rejections?reason=duplicate").await).is_empty());
        assert_eq!(
            tenant
                .answer(&format!("/rejections/1:{partition}:8"))
                .await
                .status,
            404
        );
        let shown = tenant.get(&format!("/rejections/1:{partition}:7")).await;
        assert_eq!(shown["event"].to_string(), r#"{"amount":1.1}"#);
        assert!(
            shown["payload"].as_str().unwrap().contains("1.10"),
            "every digit is there"
        );
        for bad in [
            "limit=0",
            "cursor=7b7d",
            "from=x",
            "format=xml",
            "format=csv&limit=3",
        ] {
            assert_eq!(
                tenant.answer(&format!("/rejections?{bad}")).await.status,
                400,
                "{bad}"
            );
        }
    });
}

#[test]
fn only_who_manages_an_organization_sees_and_retries_its_own() {
    run(async {
        let (mine, other) = (
            Tenant::new("rejected-mine").await,
            Tenant::new("rejected-other").await,
        );
        let partition = mine.at.partition();
        reject(&mine, partition, 0..1, "internal").await;
        mine.at.progress(partition, 1).await;
        let path = format!("/rejections/1:{partition}:0");
        assert_eq!(mine.answer(&path).await.status, 200);
        assert_eq!(other.answer(&path).await.status, 404);
        assert_eq!(
            other.post(&format!("{path}/retry"), json!({})).await.status,
            404
        );
        assert!(offsets(&other.get("/rejections").await).is_empty());
        let retried = other.post("/rejections/retry", json!({})).await;
        assert_eq!(
            (retried.status.as_u16(), &retried.body["done"]),
            (200, &json!(0))
        );
        assert!(
            !other
                .answer("/rejections?format=ndjson")
                .await
                .text
                .contains("e-0")
        );

        for scopes in [json!(["ingest"]), json!(["read", "write"])] {
            let key = mine
                .post("/api-keys", json!({"name": "k", "scopes": scopes}))
                .await;
            let key = key.body["key"].as_str().unwrap().to_owned();
            for (method, path) in [
                ("GET", "/rejections".to_owned()),
                ("GET", path.clone()),
                ("POST", format!("{path}/retry")),
            ] {
                let answer = mine
                    .at
                    .send(method, &format!("/api/v1{path}"), &key, None)
                    .await;
                assert_eq!(answer.status, 403, "{method} {path}: {}", answer.text);
            }
        }
        // A record without the envelope's names cannot be sent again, and that is said of each.
        let retried = mine.post("/rejections/retry", json!({})).await;
        assert_eq!(retried.status, 200, "{}", retried.text);
        assert_eq!(
            (&retried.body["done"], &retried.body["refused"]),
            (&json!(1), &json!(1))
        );
        assert_eq!(retried.body["results"][0]["status"], "refused");
    });
}
