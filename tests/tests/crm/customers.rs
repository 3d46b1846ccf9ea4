//! Customers: made, changed, moved on, assigned and deleted.

use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{member, office};

#[tokio::test]
async fn a_customer_is_written_read_changed_and_deactivated() {
    let (app, office) = office().await;
    let staff = &office.owner;
    let body = r#"{"customer_id": "c 1/ä", "name": "Ada", "email": "ada@example.org", "customer_type": "business",
        "addresses": [{"city": "Lyon", "country": "FR"}], "tags": ["VIP"], "attributes": {"rate": 1.50}, "extra": true}"#;
    let request = staff.request(Method::POST, "/customers");
    let request = request.header("content-type", "application/json");
    let made = staff.send(request.body(body)).await;
    let location = made.headers["location"].to_str().unwrap().to_owned();
    let etag = made.headers["etag"].clone();
    let made = made.expect(201);
    assert_eq!(made["customer_id"], "c 1/ä");
    assert_eq!(
        (&made["status"], &made["source"]),
        (&json!("prospect"), &json!("website"))
    );
    assert_eq!(made["is_active"], true);
    assert_eq!(made["attributes"], json!({"extra": true, "rate": 1.5}));
    let path = location.strip_prefix("/api/v1").unwrap().to_owned();
    let read = staff.get(&path).await;
    assert_eq!(read.headers["etag"], etag);
    assert!(
        String::from_utf8_lossy(&read.bytes).contains("\"rate\":1.50"),
        "digit for digit"
    );
    let read = read.expect(200);
    assert_eq!(
        (&read["name"], &read["city"]),
        (&json!("Ada"), &json!("Lyon"))
    );
    let listed = staff.get("/customers?q=ada").await.expect(200);
    assert_eq!(listed["items"][0]["customer_id"], "c 1/ä");

    // A part of it, then all of it: what is not sent is cleared.
    let patched = staff
        .patch(&path, &json!({"phone": "+33 1 23", "email": null}))
        .await
        .expect(200);
    assert_eq!(
        (&patched["phone"], &patched["email"]),
        (&json!("+33 1 23"), &Value::Null)
    );
    assert_eq!(patched["tags"], json!(["VIP"]));
    let put = staff
        .put(&path, &json!({"name": "Ada L."}))
        .await
        .expect(200);
    assert_eq!(
        (&put["name"], &put["phone"]),
        (&json!("Ada L."), &Value::Null)
    );
    assert_eq!((put.get("tags"), &put["attributes"]), (None, &json!({})));
    assert_eq!(put["created_by"], made["created_by"]);

    // Facts of client applications and of staff meet in one customer.
    let key = office.key(&["ingest"]).await;
    let bought = json!({"customer_id": "c 1/ä", "event_id": "p1", "amount": "12.50"});
    key.ingest("/ingest/purchases", bought.to_string())
        .await
        .expect(202);
    app.wait_settled().await;
    let read = staff.get(&path).await.expect(200);
    assert_eq!(
        (&read["status"], &read["status_reason"]),
        (&json!("active"), &json!("converted"))
    );
    assert_eq!(read["total_revenue"], "12.50");
    let seen = read["last_seen"].clone();
    staff
        .patch(&path, &json!({"notes": "called"}))
        .await
        .expect(200);
    assert_eq!(
        staff.get(&path).await.expect(200)["last_seen"],
        seen,
        "staff is not the customer"
    );

    staff.delete(&path).await.expect(204);
    let gone = staff.get(&path).await.expect(200);
    assert_eq!(
        (&gone["status"], &gone["status_reason"]),
        (&json!("inactive"), &json!("deactivated"))
    );
    assert_eq!(gone["is_active"], false);
    assert_eq!(app.reconciliation().await["balanced"], true);
}

#[tokio::test]
async fn a_life_goes_on_and_not_back() {
    let (_app, office) = office().await;
    let staff = &office.owner;
    staff
        .post("/customers", &json!({"customer_id": "c", "name": "C"}))
        .await
        .expect(201);
    let step = async |status: &str, reason: Value| {
        let body = json!({"status": status, "reason": reason});
        staff.post("/customers/c/status", &body).await
    };
    let lead = step("lead", json!("qualified")).await.expect(200);
    assert_eq!(
        (&lead["status"], &lead["status_reason"]),
        (&json!("lead"), &json!("qualified"))
    );
    let back = step("prospect", Value::Null)
        .await
        .problem(422, "unprocessable");
    assert_eq!(
        (&back["field"], &back["code"]),
        (&json!("status"), &json!("illegal_status"))
    );
    step("active", json!("converted")).await.expect(200);
    let lost = step("inactive", json!("churned")).await.expect(200);
    assert_eq!(lost["is_active"], false);
    step("lead", Value::Null)
        .await
        .problem(422, "unprocessable");
    let won_back = step("active", Value::Null).await.expect(200);
    assert_eq!(
        (&won_back["is_active"], &won_back["status_reason"]),
        (&json!(true), &Value::Null)
    );
    let unknown = step("dormant", Value::Null)
        .await
        .problem(400, "bad-request");
    assert_eq!(unknown["field"], "status");
}

#[tokio::test]
async fn what_cannot_be_is_refused_by_its_field() {
    let (_app, office) = office().await;
    let staff = &office.owner;
    for (body, field) in [
        (json!({}), "name"),
        (json!({"name": "  "}), "name"),
        (
            json!({"name": "A", "customer_type": "club"}),
            "customer_type",
        ),
        (
            json!({"name": "A", "value_override": "-0.01"}),
            "value_override",
        ),
        (
            json!({"name": "A", "next_follow_up": "tomorrow"}),
            "next_follow_up",
        ),
        (json!({"name": "A", "customer_id": "a\u{7}"}), "customer_id"),
        (
            json!({"name": "A", "status_reason": "churned"}),
            "status_reason",
        ),
        (json!({"name": 5}), "name"),
    ] {
        let problem = staff
            .post("/customers", &body)
            .await
            .problem(400, "bad-request");
        assert_eq!(problem["field"], field, "{body}");
    }
    let nobody = json!({"name": "A", "assigned_to": "usr_nobody"});
    let problem = staff
        .post("/customers", &nobody)
        .await
        .problem(422, "unprocessable");
    assert_eq!(problem["code"], "unknown_user");
    staff
        .patch("/customers/none", &json!({"name": "x"}))
        .await
        .problem(404, "not-found");
    let made = json!({"customer_id": "c", "name": "A"});
    staff.post("/customers", &made).await.expect(201);
    let again = staff
        .post("/customers", &json!({"customer_id": "c", "name": "B"}))
        .await;
    assert_eq!(again.problem(409, "conflict")["code"], "exists");
    let moved = staff
        .patch("/customers/c", &json!({"customer_id": "d"}))
        .await;
    assert_eq!(moved.problem(422, "unprocessable")["field"], "customer_id");
    assert_eq!(staff.get("/customers/c").await.expect(200)["name"], "A");
}

#[tokio::test]
async fn of_two_editors_the_later_one_reads_again() {
    let (_app, office) = office().await;
    let staff = &office.owner;
    let made = staff
        .post("/customers", &json!({"customer_id": "c", "name": "A"}))
        .await;
    let etag = made.headers["etag"].to_str().unwrap().to_owned();
    let with = async |etag: &str, name: &str| {
        let headers = [("if-match", etag)];
        staff
            .with_headers("PATCH", "/customers/c", &json!({"name": name}), &headers)
            .await
    };
    let first = with(&etag, "B").await;
    let next = first.headers["etag"].to_str().unwrap().to_owned();
    assert_ne!(next, etag);
    first.expect(200);
    with(&etag, "C").await.problem(412, "precondition-failed");
    assert_eq!(staff.get("/customers/c").await.expect(200)["name"], "B");
    with(&next, "D").await.expect(200);

    // Many at once under one version: one of them is first.
    let now = staff.get("/customers/c").await.headers["etag"]
        .to_str()
        .unwrap()
        .to_owned();
    let names: Vec<String> = (0..12).map(|at| format!("n{at}")).collect();
    let answers = join_all(names.iter().map(|name| with(&now, name))).await;
    let won: Vec<usize> = (0..12).filter(|at| answers[*at].status == 200).collect();
    assert_eq!(
        won.len(),
        1,
        "{:?}",
        answers
            .iter()
            .map(|answer| answer.status)
            .collect::<Vec<_>>()
    );
    assert!(
        answers
            .iter()
            .all(|answer| matches!(answer.status, 200 | 412))
    );
    assert_eq!(
        staff.get("/customers/c").await.expect(200)["name"],
        names[won[0]]
    );

    // Without a version everybody is heard, and nobody's field is lost.
    let fields = ["city_of_birth", "shoe_size", "colour", "hobby"];
    let bodies = fields.map(|field| json!({field: field}));
    let answers = join_all(bodies.iter().map(|body| staff.patch("/customers/c", body))).await;
    assert!(answers.iter().all(|answer| answer.status == 200));
    let attributes = &staff.get("/customers/c").await.expect(200)["attributes"];
    assert_eq!(attributes.as_object().unwrap().len(), 4);
}

#[tokio::test]
async fn a_request_under_a_key_is_done_once() {
    let (app, office) = office().await;
    let staff = &office.owner;
    let key = [("idempotency-key", "request-1")];
    let body = json!({"name": "Once"});
    let answers =
        join_all((0..5).map(|_| staff.with_headers("POST", "/customers", &body, &key))).await;
    let ids: Vec<Value> = answers
        .into_iter()
        .map(|answer| answer.expect(201)["customer_id"].clone())
        .collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    let listed = staff.get("/customers?q=once").await.expect(200);
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);
    let other = json!({"name": "Other"});
    let reused = staff.with_headers("POST", "/customers", &other, &key).await;
    assert_eq!(
        reused.problem(422, "unprocessable")["field"],
        "idempotency-key"
    );

    // A change as well, although another one has come between.
    let path = format!("/customers/{}", ids[0].as_str().unwrap());
    let key = [("idempotency-key", "request-2")];
    let rename = json!({"name": "Renamed"});
    staff
        .with_headers("PATCH", &path, &rename, &key)
        .await
        .expect(200);
    staff
        .patch(&path, &json!({"name": "Later"}))
        .await
        .expect(200);
    staff
        .with_headers("PATCH", &path, &rename, &key)
        .await
        .expect(200);
    assert_eq!(staff.get(&path).await.expect(200)["name"], "Later");

    // Who does not wait gets a receipt, which says what became of it.
    let hurry = [("prefer", "respond-async")];
    let receipt = staff
        .with_headers("PATCH", &path, &json!({"name": "Last"}), &hurry)
        .await
        .expect(202);
    app.wait_settled().await;
    let asked = format!("/ingest/events/{}", receipt["event_id"].as_str().unwrap());
    let found = staff.get(&asked).await.expect(200);
    assert!(matches!(
        found["receipts"][0]["status"].as_str(),
        Some("processed" | "archived")
    ));
    assert_eq!(staff.get(&path).await.expect(200)["name"], "Last");
}

#[tokio::test]
async fn roles_write_as_far_as_they_reach() {
    let (app, office) = office().await;
    let owner = &office.owner;
    let (seller, sales) = member(&app, &office, "sales").await;
    let (_, support) = member(&app, &office, "support").await;
    let (_, employee) = member(&app, &office, "employee").await;
    let (_, admin) = member(&app, &office, "admin").await;
    let (partner, brand) = member(&app, &office, "brand").await;
    let mine = sales
        .post(
            "/customers",
            &json!({"customer_id": "mine", "name": "Mine"}),
        )
        .await
        .expect(201);
    assert_eq!(mine["assigned_to"], seller);
    let body = json!({"customer_id": "other", "name": "Other", "assigned_to": partner, "status": "active"});
    owner.post("/customers", &body).await.expect(201);
    let itself = json!({"customer_id": "itself", "name": "Itself", "user_id": partner});
    owner.post("/customers", &itself).await.expect(201);

    sales
        .patch("/customers/mine", &json!({"notes": "x"}))
        .await
        .expect(200);
    sales
        .patch("/customers/other", &json!({"notes": "x"}))
        .await
        .problem(404, "not-found");
    let given = sales
        .post("/customers/mine/assign", &json!({"assigned_to": partner}))
        .await;
    assert_eq!(given.problem(403, "forbidden")["field"], "assigned_to");
    let given = sales
        .patch("/customers/mine", &json!({"assigned_to": null}))
        .await;
    given.problem(403, "forbidden");
    support
        .patch("/customers/other", &json!({"phone": "1"}))
        .await
        .expect(200);
    brand
        .patch("/customers/itself", &json!({"phone": "1"}))
        .await
        .expect(200);
    brand
        .patch("/customers/mine", &json!({"phone": "1"}))
        .await
        .problem(404, "not-found");
    brand
        .post("/customers", &json!({"name": "New"}))
        .await
        .problem(403, "forbidden");
    for who in [&sales, &support, &employee] {
        who.delete("/customers/mine?mode=delete")
            .await
            .problem(403, "forbidden");
    }
    employee.delete("/customers/other").await.expect(204);
    let moved = owner
        .post("/customers/mine/assign", &json!({"assigned_to": partner}))
        .await
        .expect(200);
    assert_eq!(moved["assigned_to"], partner);
    owner
        .post("/customers/mine/status", &json!({"status": "active"}))
        .await
        .expect(200);
    sales.get("/customers/mine").await.problem(404, "not-found");
    admin
        .delete("/customers/other?mode=delete")
        .await
        .expect(204);
    owner
        .get("/customers/other")
        .await
        .problem(404, "not-found");
    let reader = office.key(&["read"]).await;
    reader
        .patch("/customers/mine", &json!({"notes": "x"}))
        .await
        .problem(403, "forbidden");
    let writer = office.key(&["read", "write"]).await;
    writer
        .patch("/customers/mine", &json!({"notes": "x"}))
        .await
        .expect(200);
}

#[tokio::test]
async fn who_is_deleted_is_gone_with_all_records_and_may_come_again() {
    let (app, office) = office().await;
    let staff = &office.owner;
    let key = office.key(&["ingest"]).await;
    let bought = json!({"customer_id": "c", "event_id": "p1", "amount": "5.00"});
    key.ingest("/ingest/purchases", bought.to_string())
        .await
        .expect(202);
    app.wait_settled().await;
    staff
        .patch("/customers/c", &json!({"name": "C"}))
        .await
        .expect(200);
    for name in ["a", "b", "c"] {
        let contact = json!({"first_name": name, "last_name": "x"});
        staff
            .post("/customers/c/contacts", &contact)
            .await
            .expect(201);
    }
    staff.delete("/customers/c?mode=delete").await.expect(204);
    for path in [
        "/customers/c",
        "/customers/c/summary",
        "/customers/c/contacts",
    ] {
        staff.get(path).await.problem(404, "not-found");
    }
    let listed = staff.get("/customers").await.expect(200);
    assert_eq!(listed["items"], json!([]));
    assert_eq!(staff.sql_cell("SELECT count(*) FROM customers").await, 0);
    // What was bought was bought.
    let sales = staff.get("/reports/sales?period=month").await.expect(200);
    assert_eq!(sales["totals"]["revenue"], "5.00");
    let again = json!({"customer_id": "c", "event_id": "p2", "amount": "3.00"});
    key.ingest("/ingest/purchases", again.to_string())
        .await
        .expect(202);
    app.wait_settled().await;
    let anew = staff.get("/customers/c").await.expect(200);
    assert_eq!(
        (&anew["total_revenue"], &anew["name"]),
        (&json!("3.00"), &Value::Null)
    );
    assert_eq!(
        staff.get("/customers/c/contacts").await.expect(200)["items"],
        json!([])
    );
    assert_eq!(app.reconciliation().await["balanced"], true);
}
