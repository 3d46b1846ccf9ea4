//! Interactions: written down, found, changed and counted.

use chrono::{Duration, Utc};
use serde_json::{Value, json};
use tests::Caller;

use crate::{member, office};

/// A time so many minutes from now, as RFC 3339.
pub(crate) fn in_minutes(minutes: i64) -> String {
    (Utc::now() + Duration::minutes(minutes)).to_rfc3339()
}

/// Writes a customer down.
pub(crate) async fn customer(staff: &Caller, id: &str, more: Value) {
    let mut body = json!({"customer_id": id, "name": format!("Customer {id}")});
    let members = body.as_object_mut().unwrap();
    members.extend(more.as_object().unwrap().clone());
    staff.post("/customers", &body).await.expect(201);
}

/// Writes an interaction of a customer down.
pub(crate) async fn add(staff: &Caller, customer: &str, more: Value) -> Value {
    let mut body = json!({"customer_id": customer});
    let members = body.as_object_mut().unwrap();
    members.extend(more.as_object().unwrap().clone());
    staff.post("/interactions", &body).await.expect(201)
}

/// Where an interaction is.
pub(crate) fn path(interaction: &Value) -> String {
    format!("/interactions/{}", interaction["id"].as_str().unwrap())
}

/// The subjects of a list.
pub(crate) fn subjects(list: &Value) -> Vec<&str> {
    let items = list["items"].as_array().unwrap().iter();
    items
        .map(|item| item["subject"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn an_interaction_is_written_down_and_counts() {
    let (app, office) = office().await;
    let staff = &office.owner;
    let me = staff.get("/auth/me").await.expect(200)["user"]["id"].clone();
    customer(staff, "c", json!({})).await;
    customer(staff, "d", json!({})).await;
    let person = json!({"first_name": "A", "last_name": "B"});
    let person = staff
        .post("/customers/c/contacts", &person)
        .await
        .expect(201)["id"]
        .clone();

    let call = json!({"customer_id": "c", "subject": "Offer", "kind": "call", "contact_id": person, "duration": 12,
        "related_order_id": "o-1"});
    let made = staff.post("/interactions", &call).await;
    let location = made.headers["location"].to_str().unwrap().to_owned();
    assert_eq!(made.headers["etag"], "\"0\"");
    let made = made.expect(201);
    assert!(made["id"].as_str().unwrap().starts_with("int_"));
    assert_eq!(
        (&made["channel"], &made["status"]),
        (&json!("phone"), &json!("pending"))
    );
    assert_eq!(
        (&made["priority"], &made["assigned_to"]),
        (&json!("medium"), &me)
    );
    assert_eq!(
        (&made["requires_follow_up"], &made["created_by"]),
        (&json!(false), &me)
    );
    assert!(
        made["occurred_at"].is_string()
            && made["as_of"].is_object()
            && made.get("attributes").is_none()
    );
    let read = staff
        .get(location.strip_prefix("/api/v1").unwrap())
        .await
        .expect(200);
    assert_eq!(
        (&read["subject"], &read["contact_id"]),
        (&json!("Offer"), &person)
    );
    let counted = staff.get("/customers/c").await.expect(200);
    assert_eq!(
        (&counted["interactions"], &counted["last_contact"]),
        (&json!(1), &made["occurred_at"])
    );

    // What is over may be written down as such.
    let past = json!({"subject": "Visit", "kind": "visit", "occurred_at": in_minutes(-600), "status": "completed"});
    let past = staff
        .post("/customers/c/interactions", &past)
        .await
        .expect(201);
    assert_eq!(
        (&past["channel"], &past["completed_at"]),
        (&json!("in_person"), &past["occurred_at"])
    );
    let nested = format!("/customers/c/interactions/{}", past["id"].as_str().unwrap());
    assert_eq!(staff.get(&nested).await.expect(200)["subject"], "Visit");
    staff
        .get(&nested.replace("/c/", "/d/"))
        .await
        .problem(404, "not-found");

    for (body, status, field) in [
        (json!({"customer_id": "c"}), 400, "subject"),
        (json!({"customer_id": "c", "subject": " "}), 400, "subject"),
        (
            json!({"customer_id": "c", "subject": "a", "colour": "red"}),
            400,
            "colour",
        ),
        (
            json!({"customer_id": "c", "subject": "a", "kind": "phone"}),
            400,
            "kind",
        ),
        (json!({"subject": "a"}), 400, "customer_id"),
        (
            json!({"customer_id": "c", "subject": "a", "occurred_at": in_minutes(3000)}),
            400,
            "occurred_at",
        ),
        (
            json!({"customer_id": "c", "subject": "a", "contact_id": "con_x"}),
            422,
            "contact_id",
        ),
        (
            json!({"customer_id": "d", "subject": "a", "contact_id": person}),
            422,
            "contact_id",
        ),
        (
            json!({"customer_id": "c", "subject": "a", "assigned_to": "usr_x"}),
            422,
            "assigned_to",
        ),
        (
            json!({"customer_id": "c", "subject": "a", "requires_follow_up": true}),
            422,
            "follow_up_at",
        ),
        (
            json!({"customer_id": "c", "subject": "a", "occurred_at": in_minutes(60), "status": "completed"}),
            422,
            "status",
        ),
        (
            json!({"customer_id": "c", "subject": "a", "status": "completed", "follow_up_at": in_minutes(60)}),
            422,
            "status",
        ),
    ] {
        let kind = if status == 400 {
            "bad-request"
        } else {
            "unprocessable"
        };
        let no = staff
            .post("/interactions", &body)
            .await
            .problem(status, kind);
        assert_eq!(no["field"], field, "{body}");
    }
    let other = json!({"customer_id": "d", "subject": "a"});
    let no = staff.post("/customers/c/interactions", &other).await;
    assert_eq!(no.problem(422, "unprocessable")["field"], "customer_id");
    let nobody = json!({"customer_id": "x", "subject": "a"});
    staff
        .post("/interactions", &nobody)
        .await
        .problem(404, "not-found");

    // Sent again under its key it is one, and another one under the same key is none.
    let key = [("idempotency-key", "k1")];
    let once = staff
        .with_headers("POST", "/interactions", &call, &key)
        .await
        .expect(201);
    let again = staff
        .with_headers("POST", "/interactions", &call, &key)
        .await
        .expect(201);
    assert_eq!(once["id"], again["id"]);
    let no = staff
        .with_headers("POST", "/interactions", &other, &key)
        .await;
    assert_eq!(no.problem(422, "unprocessable")["field"], "idempotency-key");
    let changed = json!({"customer_id": "c", "subject": "Other"});
    let no = staff
        .with_headers("POST", "/interactions", &changed, &key)
        .await;
    assert_eq!(no.problem(422, "unprocessable")["field"], "idempotency-key");

    // A client's has the same row, and reads with what it left out.
    let client = office.key(&["ingest"]).await;
    let chat = json!({"customer_id": "c", "event_id": "chat-1", "channel": "chat", "kind": "support", "support_category": "bug",
        "opened_at": 1767225600000_i64, "occurred_at": "2026-01-01T00:00:00Z", "attributes": {"room": 7}});
    client
        .ingest("/ingest/interactions", chat.to_string())
        .await
        .expect(202);
    app.wait_settled().await;
    let read = staff.get("/interactions/chat-1").await.expect(200);
    assert_eq!(
        (&read["status"], &read["priority"]),
        (&json!("pending"), &json!("medium"))
    );
    assert!(
        read["opened_at"]
            .as_str()
            .unwrap()
            .starts_with("2026-01-01T00:00:00")
    );
    assert_eq!(read["attributes"], json!({"room": 7}));
    let named = staff
        .patch("/interactions/chat-1", &json!({"subject": "Crash"}))
        .await
        .expect(200);
    assert_eq!(
        (&named["subject"], &named["attributes"]),
        (&json!("Crash"), &json!({"room": 7}))
    );
    assert_eq!(
        staff.get("/customers/c").await.expect(200)["interactions"],
        4,
        "edits do not count"
    );
    assert_eq!(app.reconciliation().await["balanced"], true);
}

#[tokio::test]
async fn an_interaction_goes_on_and_ends() {
    let (app, office) = office().await;
    let staff = &office.owner;
    let (seller, sales) = member(&app, &office, "sales").await;
    customer(staff, "c", json!({"assigned_to": seller})).await;
    let made = add(
        &sales,
        "c",
        json!({"subject": "Case", "support_category": "bug", "description": "d"}),
    )
    .await;
    assert_eq!(
        (&made["kind"], &made["opened_at"]),
        (&json!("support"), &made["occurred_at"])
    );
    assert_eq!(made["assigned_to"], json!(seller));
    let path = path(&made);

    // Who has read an older one is told so.
    let read = sales.get(&path).await;
    let tag = read.headers["etag"].to_str().unwrap().to_owned();
    let mine = [("if-match", tag.as_str())];
    let changed = sales
        .with_headers(
            "PATCH",
            &path,
            &json!({"priority": "urgent", "description": null}),
            &mine,
        )
        .await;
    assert_ne!(changed.headers["etag"].to_str().unwrap(), tag);
    let changed = changed.expect(200);
    assert_eq!(
        (&changed["priority"], changed.get("description")),
        (&json!("urgent"), None)
    );
    sales
        .with_headers("PATCH", &path, &json!({"priority": "low"}), &mine)
        .await
        .problem(412, "precondition-failed");
    let (one, two) = (json!({"summary": "one"}), json!({"outcome": "two"}));
    let both = futures::join!(sales.patch(&path, &one), staff.patch(&path, &two));
    both.0.expect(200);
    both.1.expect(200);
    let read = sales.get(&path).await.expect(200);
    assert_eq!(
        (&read["summary"], &read["outcome"]),
        (&json!("one"), &json!("two"))
    );

    for (body, field) in [
        (json!({"subject": null}), "subject"),
        (json!({"duration": -1}), "duration"),
        (json!({"colour": 1}), "colour"),
    ] {
        assert_eq!(
            sales.patch(&path, &body).await.problem(400, "bad-request")["field"],
            field
        );
    }
    for (body, field) in [
        (json!({"contact_id": "con_x"}), "contact_id"),
        (json!({"requires_follow_up": true}), "follow_up_at"),
        (
            json!({"resolved_at": "2020-01-01T00:00:00Z"}),
            "resolved_at",
        ),
        (json!({"customer_id": "d"}), "customer_id"),
        (json!({"occurred_at": in_minutes(3000)}), "occurred_at"),
    ] {
        assert_eq!(
            sales
                .patch(&path, &body)
                .await
                .problem(422, "unprocessable")["field"],
            field
        );
    }

    let done = sales
        .patch(&path, &json!({"status": "completed"}))
        .await
        .expect(200);
    assert!(done["completed_at"].is_string());
    assert_eq!(done["resolved_at"], done["completed_at"]);
    let no = sales.patch(&path, &json!({"status": "pending"})).await;
    assert_eq!(no.problem(422, "unprocessable")["field"], "status");
    let no = sales.patch(&path, &json!({"status": "cancelled"})).await;
    assert_eq!(no.problem(422, "unprocessable")["field"], "status");
    let (_, manager) = member(&app, &office, "manager").await;
    let again = manager
        .patch(&path, &json!({"status": "pending"}))
        .await
        .expect(200);
    assert_eq!(
        (again.get("completed_at"), again.get("resolved_at")),
        (None, None)
    );

    // What is not sent is cleared, but for what it is and whose.
    let put = sales
        .put(&path, &json!({"subject": "New", "kind": "meeting"}))
        .await
        .expect(200);
    assert_eq!((&put["subject"], put.get("summary")), (&json!("New"), None));
    assert_eq!(
        (&put["channel"], &put["priority"]),
        (&json!("in_person"), &json!("medium"))
    );
    assert_eq!(
        (&put["assigned_to"], &put["created_by"]),
        (&json!(seller), &made["created_by"])
    );
    assert_eq!(put["occurred_at"], made["occurred_at"]);
    let nested = format!("/customers/c{path}");
    let put = sales
        .put(&nested, &json!({"subject": "Newer", "kind": "meeting"}))
        .await
        .expect(200);
    assert_eq!(put["subject"], "Newer");

    sales.delete(&path).await.expect(204);
    sales.get(&path).await.problem(404, "not-found");
    sales
        .patch(&path, &json!({"subject": "x"}))
        .await
        .problem(404, "not-found");
    assert_eq!(
        subjects(&staff.get("/interactions").await.expect(200)),
        Vec::<&str>::new()
    );
    let audit = staff
        .get("/customers/c/timeline?type=edit")
        .await
        .expect(200);
    assert_eq!(audit["items"][0]["title"], "interaction.delete");
    assert_eq!(app.reconciliation().await["balanced"], true);
}

#[tokio::test]
async fn interactions_are_found_and_counted() {
    let (app, office) = office().await;
    let staff = &office.owner;
    let (agent, _) = member(&app, &office, "support").await;
    customer(staff, "c", json!({})).await;
    customer(staff, "d", json!({})).await;
    let day = |day: u32, hour: u32| format!("2026-03-{day:02}T{hour:02}:30:00Z");
    for (customer, more) in [
        (
            "c",
            json!({"subject": "One", "kind": "call", "duration": 10, "occurred_at": day(1, 23), "assigned_to": agent,
            "status": "completed"}),
        ),
        (
            "c",
            json!({"subject": "Two", "channel": "email", "duration": 20, "occurred_at": day(2, 9), "priority": "high",
            "summary": "Of the Größe"}),
        ),
        (
            "d",
            json!({"subject": "Three", "support_category": "incident", "occurred_at": day(3, 9), "assigned_to": agent,
            "first_response_at": "2026-03-03T09:31:00Z", "resolved_at": "2026-03-03T10:30:00Z", "status": "completed"}),
        ),
        (
            "d",
            json!({"subject": "Four", "support_category": "bug", "occurred_at": day(9, 9), "assigned_to": agent,
            "first_response_at": "2026-03-09T09:33:00Z", "follow_up_at": day(10, 9)}),
        ),
    ] {
        add(staff, customer, more).await;
    }
    let all = staff.get("/interactions").await.expect(200);
    assert_eq!(subjects(&all), ["Four", "Three", "Two", "One"]);
    for (question, found) in [
        ("customer_id=d", vec!["Four", "Three"]),
        ("channel=email", vec!["Two"]),
        ("kind=support", vec!["Four", "Three"]),
        ("support_category=bug", vec!["Four"]),
        ("status=pending", vec!["Four", "Two"]),
        ("priority=high", vec!["Two"]),
        ("priority=medium&kind=call", vec!["One"]),
        ("requires_follow_up=true", vec!["Four"]),
        ("q=GR%C3%96SSE", vec![]),
        ("q=GR%C3%96%C3%9FE", vec!["Two"]),
        (
            "from=2026-03-02T00:00:00Z&to=2026-03-03T09:30:00Z",
            vec!["Two"],
        ),
        (
            &format!("assigned_to={agent}"),
            vec!["Four", "Three", "One"],
        ),
        ("team_id=team_x", vec![]),
    ] {
        let list = staff
            .get(&format!("/interactions?{question}"))
            .await
            .expect(200);
        assert_eq!(subjects(&list), found, "{question}");
    }
    for (question, field) in [
        ("kind=phone", "kind"),
        ("colour=red", "colour"),
        ("from=x", "from"),
    ] {
        let no = staff.get(&format!("/interactions?{question}")).await;
        assert_eq!(no.problem(400, "bad-request")["field"], field);
    }
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = staff
            .get(&format!("/interactions?limit=1{cursor}"))
            .await
            .expect(200);
        found.push(subjects(&page)[0].to_owned());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(found, ["Four", "Three", "Two", "One"]);
    for path in ["/customers/d/interactions", "/interactions/customer/d"] {
        assert_eq!(
            subjects(&staff.get(path).await.expect(200)),
            ["Four", "Three"]
        );
    }
    staff
        .get("/customers/x/interactions")
        .await
        .problem(404, "not-found");

    let stats = staff
        .get("/interactions/stats?period=week&tz=Europe/Berlin")
        .await
        .expect(200);
    assert_eq!(stats["total"], 4);
    assert_eq!(
        stats["by_kind"],
        json!({"call": 1, "email": 1, "support": 2})
    );
    assert_eq!(
        stats["by_channel"],
        json!({"email": 1, "other": 2, "phone": 1})
    );
    assert_eq!(stats["by_status"], json!({"completed": 2, "pending": 2}));
    assert_eq!(stats["by_priority"], json!({"high": 1, "medium": 3}));
    assert_eq!(
        stats["by_staff"][0],
        json!({"assigned_to": agent, "count": 3})
    );
    // Of Sunday night in UTC it is Monday in Berlin.
    assert_eq!(
        stats["by_period"],
        json!([{"period": "2026-03-02", "count": 3}, {"period": "2026-03-09", "count": 1}])
    );
    assert_eq!(
        (&stats["average_duration_minutes"], &stats["support_cases"]),
        (&json!(15.0), &json!(2))
    );
    // Of 60 and 180 seconds.
    assert_eq!(
        stats["first_response"],
        json!({"cases": 2, "median_seconds": 120.0, "p90_seconds": 168.0})
    );
    assert_eq!(
        stats["resolution"],
        json!({"cases": 1, "median_seconds": 3600.0, "p90_seconds": 3600.0})
    );
    let months = staff
        .get("/interactions/stats?period=month&from=2026-03-02T00:00:00Z")
        .await
        .expect(200);
    assert_eq!(
        months["by_period"],
        json!([{"period": "2026-03-01", "count": 3}])
    );
    let none = staff
        .get("/interactions/stats?to=2020-01-01T00:00:00Z")
        .await
        .expect(200);
    assert_eq!(
        (&none["total"], &none["average_duration_minutes"]),
        (&json!(0), &Value::Null)
    );
    assert_eq!(
        none["first_response"],
        json!({"cases": 0, "median_seconds": null, "p90_seconds": null})
    );
}
