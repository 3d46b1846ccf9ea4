//! Who changed what, and customers as they were.

use chrono::Utc;
use serde_json::{Value, json};

use crate::{member, office};

#[tokio::test]
async fn every_change_of_a_customer_is_told_with_what_was_before() {
    let (app, office) = office().await;
    let owner = &office.owner;
    let (seller, sales) = member(&app, &office, "sales").await;
    let made = json!({"customer_id": "c", "name": "A", "customer_type": "business", "tags": ["x"]});
    sales.post("/customers", &made).await.expect(201);
    sales
        .patch("/customers/c", &json!({"name": "B", "tags": null}))
        .await
        .expect(200);
    let contact = json!({"first_name": "F", "last_name": "L"});
    let contact = sales
        .post("/customers/c/contacts", &contact)
        .await
        .expect(201);
    let path = format!("/customers/c/contacts/{}", contact["id"].as_str().unwrap());
    sales
        .patch(&path, &json!({"title": "Head"}))
        .await
        .expect(200);
    sales.delete(&path).await.expect(204);
    let refused = json!({"status": "prospect"});
    owner
        .post("/customers/c/status", &json!({"status": "active"}))
        .await
        .expect(200);
    owner
        .post("/customers/c/status", &refused)
        .await
        .problem(422, "unprocessable");
    // News from a client application is told like staff's.
    let key = office.key(&["ingest"]).await;
    let news = json!({"customer_id": "c", "event_id": "u1", "name": "C", "phone": "1"});
    key.ingest("/ingest/users", news.to_string())
        .await
        .expect(202);
    app.wait_settled().await;

    let audit = owner.get("/audit?customer_id=c").await.expect(200);
    let items = audit["items"].as_array().unwrap();
    let told: Vec<(&str, &Value, &Value)> = items
        .iter()
        .map(|item| {
            (
                item["action"].as_str().unwrap(),
                &item["before"],
                &item["after"],
            )
        })
        .collect();
    assert_eq!(
        told.iter().map(|(action, ..)| *action).collect::<Vec<_>>(),
        [
            "customer.event",
            "customer.status",
            "contact.delete",
            "contact.update",
            "contact.create",
            "customer.update",
            "customer.create"
        ]
    );
    assert_eq!(told[0].1, &json!({"name": "B", "phone": null}));
    assert_eq!(told[0].2, &json!({"name": "C", "phone": "1"}));
    assert_eq!(told[2].2, &Value::Null);
    assert_eq!(
        (&told[3].1["title"], &told[3].2["title"]),
        (&Value::Null, &json!("Head"))
    );
    assert_eq!(told[5].1, &json!({"name": "A", "tags": ["x"]}));
    assert_eq!(told[5].2, &json!({"name": "B", "tags": null}));
    assert_eq!(told[6].1, &Value::Null);
    assert_eq!(items[5]["actor"], seller);
    assert_eq!(items[5]["origin"], "127.0.0.1");

    // Filters, and pages that hold every line once.
    let by = owner
        .get("/audit?record=contact&action=contact.update")
        .await
        .expect(200);
    assert_eq!(by["items"].as_array().unwrap().len(), 1);
    let mut seen = Vec::new();
    let mut cursor = String::new();
    loop {
        let path = format!("/audit?customer_id=c&limit=2{cursor}");
        let page = owner.get(&path).await.expect(200);
        seen.extend(page["items"].as_array().unwrap().clone());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(&seen, items);
    sales.get("/audit").await.problem(403, "forbidden");
    let other = app.register("other").await;
    assert_eq!(
        other.owner.get("/audit?record=customer").await.expect(200)["items"],
        json!([])
    );
    for method in ["POST", "PUT", "PATCH", "DELETE"] {
        let answer = owner.with_headers(method, "/audit", &json!({}), &[]).await;
        answer.problem(405, "method-not-allowed");
    }
}

#[tokio::test]
async fn a_customer_is_read_as_it_was_known() {
    let (app, office) = office().await;
    let staff = &office.owner;
    let key = office.key(&["ingest"]).await;
    let now = || Utc::now().to_rfc3339().replace('+', "%2B");
    let before = now();
    staff
        .post("/customers", &json!({"customer_id": "c", "name": "A"}))
        .await
        .expect(201);
    let known = now();
    let known_as = staff.get("/customers/c").await.expect(200);
    // It happened long ago, and is known from now on only.
    let bought = json!({"customer_id": "c", "event_id": "p1", "amount": "9.00", "occurred_at": "2020-01-01T00:00:00Z"});
    key.ingest("/ingest/purchases", bought.to_string())
        .await
        .expect(202);
    app.wait_settled().await;
    let bought = now();
    staff
        .patch("/customers/c", &json!({"name": "B"}))
        .await
        .expect(200);
    let at = async |time: &str| staff.get(&format!("/customers/c?as_of={time}")).await;
    at(&before).await.problem(404, "not-found");
    let mut then = at(&known).await.expect(200);
    let mut same = known_as.clone();
    for answer in [&mut then, &mut same] {
        answer.as_object_mut().unwrap().remove("as_of");
    }
    assert_eq!(then, same);
    let then = at(&bought).await.expect(200);
    assert_eq!(
        (&then["name"], &then["status"]),
        (&json!("A"), &json!("active"))
    );
    assert_eq!(then["total_revenue"], "9.00");
    assert_eq!(at(&now()).await.expect(200)["name"], "B");
    let wrong = staff.get("/customers/c?as_of=yesterday").await;
    assert_eq!(wrong.problem(400, "bad-request")["field"], "as_of");
}
