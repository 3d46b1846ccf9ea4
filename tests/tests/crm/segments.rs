//! Segments: who enters and leaves, when and why.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::Caller;

use crate::{member, office};

const WITHIN: Duration = Duration::from_secs(20);

/// The ids of a segment's customers.
async fn members(staff: &Caller, segment: &str) -> Vec<String> {
    let path = format!("/segments/{segment}/customers");
    let list = staff.get(&path).await.expect(200);
    let items = list["items"].as_array().unwrap();
    items
        .iter()
        .map(|item| item["customer_id"].as_str().unwrap().to_owned())
        .collect()
}

/// Waits until these are the segment's customers.
async fn wait_for(staff: &Caller, segment: &str, expected: &[&str]) {
    let begun = Instant::now();
    loop {
        let found = members(staff, segment).await;
        if found == expected {
            return;
        }
        assert!(
            begun.elapsed() < WITHIN,
            "{segment} has {found:?}, not {expected:?}"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn define(staff: &Caller, name: &str, criteria: Value) -> String {
    let body = json!({"name": name, "criteria": criteria});
    let made = staff.post("/segments", &body).await.expect(201);
    made["id"].as_str().unwrap().to_owned()
}

async fn customer(staff: &Caller, body: Value) {
    staff.post("/customers", &body).await.expect(201);
}

#[tokio::test]
async fn a_customer_enters_on_an_event_and_everybody_is_looked_at_when_the_rule_changes() {
    let (app, office) = office().await;
    let staff = &office.owner;
    for id in ["a", "b", "c"] {
        customer(staff, json!({"customer_id": id, "name": id})).await;
    }
    let key = office.key(&["ingest"]).await;
    let buy = async |customer: &str, event: &str, amount: &str| {
        let body = json!({"customer_id": customer, "event_id": event, "amount": amount});
        key.ingest("/ingest/purchases", body.to_string())
            .await
            .expect(202);
    };
    buy("a", "e1", "80").await;
    app.wait_settled().await;

    // Who is there already is found when the segment is made, who comes later when something happens.
    let rule = json!({"sum": "revenue", "days": 30, "op": "gte", "value": "50"});
    let tried = staff
        .post("/segments/preview", &json!({"criteria": rule}))
        .await
        .expect(200);
    assert_eq!(
        (&tried["count"], &tried["sample"][0]["customer_id"]),
        (&json!(1), &json!("a"))
    );
    let id = define(staff, "Big", rule).await;
    wait_for(staff, &id, &["a"]).await;
    buy("b", "e2", "60").await;
    wait_for(staff, &id, &["a", "b"]).await;
    let path = format!("/segments/{id}");
    let events = staff.get(&format!("{path}/events")).await.expect(200);
    let newest = &events["items"][0];
    assert_eq!(
        (&newest["customer_id"], &newest["change"], &newest["cause"]),
        (&json!("b"), &json!("entered"), &json!("event"))
    );
    assert_eq!(newest["event_id"], "e2");
    assert_eq!(events["items"][1]["cause"], "rule");
    let first = staff
        .get(&format!("{path}/events?limit=1"))
        .await
        .expect(200);
    let cursor = first["next_cursor"].as_str().unwrap();
    let second = staff
        .get(&format!("{path}/events?limit=1&cursor={cursor}"))
        .await
        .expect(200);
    assert_eq!(second["items"][0]["customer_id"], "a");

    // A refund takes it out again, a change of the rule takes everybody else out.
    buy("b", "e3", "-30").await;
    wait_for(staff, &id, &["a"]).await;
    let read = staff.get(&path).await;
    let etag = read.headers["etag"].to_str().unwrap().to_owned();
    let rule = json!({"criteria": {"sum": "revenue", "days": 30, "op": "lt", "value": 50}});
    let changed = staff.patch(&path, &rule).await.expect(200);
    assert_eq!(changed["version"], 2);
    wait_for(staff, &id, &["b", "c"]).await;
    let request = staff
        .request(reqwest::Method::PATCH, &path)
        .header("if-match", etag);
    let stale = staff.send(request.json(&json!({"name": "Bigger"}))).await;
    stale.problem(412, "precondition-failed");
    app.wait_settled().await;
    let read = staff.get(&path).await.expect(200);
    assert_eq!(
        (&read["customer_count"], &read["progress"]),
        (&json!(2), &json!(1.0))
    );
    assert!(read["last_calculated"].is_string());

    // Where the customer is read, the same is told.
    let of_customer = staff.get("/customers/b/segments").await.expect(200);
    assert_eq!(
        (
            &of_customer["items"][0]["id"],
            &of_customer["items"][0]["name"]
        ),
        (&json!(id), &json!("Big"))
    );
    let listed = staff
        .get(&format!("/customers?segment={id}"))
        .await
        .expect(200);
    assert_eq!(listed["items"].as_array().unwrap().len(), 2);

    let trend = staff
        .get(&format!("{path}/trend?period=month"))
        .await
        .expect(200);
    let rows = trend["rows"].as_array().unwrap();
    let sum = |name: &str| -> i64 { rows.iter().map(|row| row[name].as_i64().unwrap()).sum() };
    assert_eq!((sum("entered"), sum("left")), (4, 2));
    assert_eq!(rows.last().unwrap()["size"], 2);
    assert_eq!(rows.last().unwrap()["revenue"], "30.00");
    let wrong = staff.get(&format!("{path}/trend?period=year")).await;
    assert_eq!(wrong.problem(400, "bad-request")["field"], "period");

    staff
        .post("/segments/recalculate", &json!({}))
        .await
        .expect(202);
    app.wait_settled().await;
    assert_eq!(members(staff, &id).await, ["b", "c"]);
    staff.delete(&path).await.expect(204);
    staff.get(&path).await.problem(404, "not-found");
    app.wait_settled().await;
    let left = staff.get("/customers/b/segments").await.expect(200);
    assert_eq!(left["items"], json!([]));
    assert_eq!(app.reconciliation().await["balanced"], true);
}

#[tokio::test]
async fn time_takes_a_customer_out() {
    let (app, office) = office().await;
    let staff = &office.owner;
    let id = define(
        staff,
        "Fresh",
        json!({"recency": "last_order", "op": "lt", "days": 1}),
    )
    .await;
    let key = office.key(&["ingest"]).await;
    // Almost a day ago: some seconds are left.
    let at = chrono::Utc::now() - chrono::TimeDelta::days(1) + chrono::TimeDelta::seconds(8);
    let body =
        json!({"customer_id": "a", "event_id": "e", "amount": 5, "occurred_at": at.to_rfc3339()});
    key.ingest("/ingest/purchases", body.to_string())
        .await
        .expect(202);
    wait_for(staff, &id, &["a"]).await;
    wait_for(staff, &id, &[]).await;
    let events = staff
        .get(&format!("/segments/{id}/events"))
        .await
        .expect(200);
    assert_eq!(
        (&events["items"][0]["change"], &events["items"][0]["cause"]),
        (&json!("left"), &json!("tick"))
    );
    drop(app);
}

#[tokio::test]
async fn the_flat_form_is_taken_and_circles_are_refused() {
    let (app, office) = office().await;
    let staff = &office.owner;
    customer(
        staff,
        json!({"customer_id": "v", "name": "V", "tags": ["VIP"], "nationality": "Moroccan"}),
    )
    .await;
    customer(
        staff,
        json!({"customer_id": "w", "name": "W", "tags": ["vip"]}),
    )
    .await;
    let flat = define(
        staff,
        "VIP",
        json!({"nationality": ["Moroccan"], "tags": ["VIP", "Partner"]}),
    )
    .await;
    let rest = define(staff, "Rest", json!({"not": {"segment": flat}})).await;
    wait_for(staff, &flat, &["v"]).await;
    wait_for(staff, &rest, &["w"]).await;
    staff
        .patch("/customers/w", &json!({"nationality": "moroccan"}))
        .await
        .expect(200);
    wait_for(staff, &flat, &["v", "w"]).await;
    wait_for(staff, &rest, &[]).await;

    let circle = json!({"criteria": {"segment": rest}});
    let refused = staff.patch(&format!("/segments/{flat}"), &circle).await;
    let problem = refused.problem(422, "unprocessable");
    assert_eq!(
        (&problem["field"], &problem["code"]),
        (&json!("criteria"), &json!("cycle"))
    );
    let used = staff.delete(&format!("/segments/{flat}")).await;
    assert_eq!(used.problem(422, "unprocessable")["code"], "in_use");
    let unknown = json!({"name": "X", "criteria": {"segment": "seg_none"}});
    let refused = staff.post("/segments", &unknown).await;
    assert_eq!(
        refused.problem(400, "bad-request")["code"],
        "unknown_segment"
    );
    let wrong =
        json!({"name": "X", "criteria": {"all": [{"field": "shoe", "op": "eq", "value": 1}]}});
    let refused = staff.post("/segments", &wrong).await;
    let field = refused.problem(400, "bad-request")["field"].clone();
    assert!(
        field.as_str().unwrap().starts_with("criteria.all[0]"),
        "{field}"
    );
    let twice = json!({"name": "vip", "criteria": {"tags": ["x"]}});
    let refused = staff.post("/segments", &twice).await;
    assert_eq!(refused.problem(409, "conflict")["field"], "name");
    drop(app);
}

#[tokio::test]
async fn staff_assign_by_hand_and_nobody_sees_another_tenants_segments() {
    let (app, office) = office().await;
    let staff = &office.owner;
    customer(staff, json!({"customer_id": "a", "name": "A"})).await;
    let id = define(staff, "Friends", json!({"manual": true})).await;
    app.wait_settled().await;
    let assign = async |member: Value| {
        let body = json!({"segment_id": id, "member": member});
        staff.post("/segments/customer/a/assign", &body).await
    };
    let put_in = assign(json!(true)).await.expect(200);
    assert_eq!(
        (&put_in["is_member"], &put_in["assigned"]),
        (&json!(true), &json!(true))
    );
    wait_for(staff, &id, &["a"]).await;
    let looked_at = staff
        .post("/segments/customer/a/assign", &json!({"segment_id": id}))
        .await
        .expect(200);
    assert_eq!(looked_at["is_member"], true, "looking takes nothing back");
    let events = staff
        .get(&format!("/segments/{id}/events"))
        .await
        .expect(200);
    assert_eq!(events["items"][0]["cause"], "assign");
    let taken_back = assign(Value::Null).await.expect(200);
    assert_eq!(
        (&taken_back["is_member"], &taken_back["assigned"]),
        (&json!(false), &Value::Null)
    );

    let stranger = app.register("stranger").await;
    let other = &stranger.owner;
    for path in ["", "/customers", "/events"] {
        let path = format!("/segments/{id}{path}");
        other.get(&path).await.problem(404, "not-found");
    }
    assert_eq!(other.get("/segments").await.expect(200)["items"], json!([]));
    let body = json!({"name": "Mine", "criteria": {"segment": id}});
    let refused = other.post("/segments", &body).await;
    refused.problem(400, "bad-request");
    let listed = other
        .get(&format!("/customers?segment={id}"))
        .await
        .expect(200);
    assert_eq!(listed["items"], json!([]));

    // Support reads segments and defines none.
    let (_, support) = member(&app, &office, "support").await;
    support.get("/segments").await.expect(200);
    let body = json!({"name": "Mine", "criteria": {"tags": ["x"]}});
    support
        .post("/segments", &body)
        .await
        .problem(403, "forbidden");
}
