//! What comes next and what was: follow-ups, timelines, summaries, performance, and what is left of who leaves.

use serde_json::{Value, json};
use tests::Caller;

use crate::interactions::in_minutes;
use crate::{member, office};

async fn customer(staff: &Caller, body: Value) {
    staff.post("/customers", &body).await.expect(201);
}

async fn add(staff: &Caller, body: Value) -> String {
    let made = staff.post("/interactions", &body).await.expect(201);
    made["id"].as_str().unwrap().to_owned()
}

/// What a list of follow-ups names: subjects, or customers.
fn named(list: &Value) -> Vec<&str> {
    let items = list["items"].as_array().unwrap().iter();
    items
        .map(|item| {
            item["subject"]
                .as_str()
                .or_else(|| item["customer_id"].as_str())
                .unwrap()
        })
        .collect()
}

#[tokio::test]
async fn what_is_due_is_listed_until_it_is_done() {
    let (app, office) = office().await;
    let staff = &office.owner;
    let (agent, _) = member(&app, &office, "support").await;
    customer(staff, json!({"customer_id": "c", "name": "Ada"})).await;
    customer(staff, json!({"customer_id": "again", "name": "Bea", "next_follow_up": in_minutes(-30), "assigned_to": agent})).await;
    customer(
        staff,
        json!({"customer_id": "later", "name": "Cy", "next_follow_up": in_minutes(600)}),
    )
    .await;
    customer(staff, json!({"customer_id": "quiet", "name": "Di", "attributes": {"next_follow_up": "2020-01-01T00:00:00Z"}})).await;
    let due = add(staff, json!({"customer_id": "c", "subject": "Due", "follow_up_at": in_minutes(-60), "assigned_to": agent,
        "follow_up_notes": "call back", "priority": "high"})).await;
    add(
        staff,
        json!({"customer_id": "c", "subject": "Older", "follow_up_at": in_minutes(-90)}),
    )
    .await;
    add(
        staff,
        json!({"customer_id": "c", "subject": "Ahead", "follow_up_at": in_minutes(90)}),
    )
    .await;
    add(staff, json!({"customer_id": "c", "subject": "Nothing"})).await;
    let list = staff
        .get("/customers/interactions/follow-up")
        .await
        .expect(200);
    assert_eq!(named(&list), ["Older", "Due", "again"]);
    let item = &list["items"][1];
    assert_eq!(
        (&item["kind"], &item["customer_name"]),
        (&json!("interaction"), &json!("Ada"))
    );
    assert_eq!(
        (&item["interaction_id"], &item["notes"]),
        (&json!(due), &json!("call back"))
    );
    assert_eq!(
        (&item["priority"], &item["assigned_to"]),
        (&json!("high"), &json!(agent))
    );
    let item = &list["items"][2];
    assert_eq!(
        (&item["kind"], &item["interaction_id"]),
        (&json!("customer"), &Value::Null)
    );
    let before = format!(
        "/customers/interactions/follow-up?before={}",
        tests::encoded(&in_minutes(700))
    );
    assert_eq!(
        named(&staff.get(&before).await.expect(200)),
        ["Older", "Due", "again", "Ahead", "later"]
    );
    let mine = format!("/customers/interactions/follow-up?assigned_to={agent}");
    assert_eq!(named(&staff.get(&mine).await.expect(200)), ["Due", "again"]);
    let (mut found, mut cursor) = (Vec::new(), String::new());
    let before = before.split('=').nth(1).unwrap().to_owned();
    loop {
        let page = format!("/customers/interactions/follow-up?limit=2&before={before}{cursor}");
        let page = staff.get(&page).await.expect(200);
        found.extend(named(&page).into_iter().map(str::to_owned));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(found, ["Older", "Due", "again", "Ahead", "later"]);

    staff
        .patch(
            &format!("/interactions/{due}"),
            &json!({"status": "completed"}),
        )
        .await
        .expect(200);
    staff
        .patch("/customers/again", &json!({"next_follow_up": null}))
        .await
        .expect(200);
    let list = staff
        .get("/customers/interactions/follow-up")
        .await
        .expect(200);
    assert_eq!(named(&list), ["Older"]);
}

#[tokio::test]
async fn a_customer_at_a_glance_and_in_time() {
    let (app, office) = office().await;
    let staff = &office.owner;
    let next = in_minutes(-30);
    customer(staff, json!({"customer_id": "c", "name": "Ada", "customer_type": "business", "next_follow_up": next})).await;
    customer(staff, json!({"customer_id": "other", "name": "Other"})).await;
    for name in ["A", "B"] {
        let person = json!({"first_name": name, "last_name": "x", "is_primary": name == "B"});
        staff
            .post("/customers/c/contacts", &person)
            .await
            .expect(201);
    }
    let client = office.key(&["ingest"]).await;
    let events = json!([
        {"type": "purchase", "customer_id": "c", "event_id": "p1", "amount": "20.00", "order_id": "o1", "occurred_at": "2026-01-02T00:00:00Z",
            "items": [{"product_id": "tea", "name": "Tea", "quantity": 2, "unit_price": 10}]},
        {"type": "purchase", "customer_id": "c", "event_id": "p2", "amount": "-5.00", "refund_of": "o1", "occurred_at": "2026-01-03T00:00:00Z"},
        {"type": "activity", "customer_id": "c", "event_id": "a1", "name": "login", "properties": {"app": "web"}, "occurred_at": "2026-01-04T00:00:00Z"},
        {"type": "activity", "customer_id": "other", "event_id": "a2", "name": "login"},
    ]);
    client
        .ingest("/ingest/batch", events.to_string())
        .await
        .expect(202);
    app.wait_settled().await;
    for number in 1..=6 {
        let body = json!({"customer_id": "c", "subject": format!("S{number}"), "kind": "call", "duration": 10,
            "occurred_at": format!("2026-02-0{number}T00:00:00Z"), "status": "completed"});
        add(staff, body).await;
    }
    let open = add(staff, json!({"customer_id": "c", "subject": "Open", "kind": "email", "occurred_at": "2026-02-10T00:00:00Z",
        "follow_up_at": in_minutes(-60)})).await;
    let ahead = add(staff, json!({"customer_id": "c", "subject": "Ahead", "kind": "meeting", "occurred_at": in_minutes(60)})).await;
    staff
        .post(
            "/customers/c/status",
            &json!({"status": "inactive", "reason": "churned"}),
        )
        .await
        .expect(200);
    staff
        .patch("/customers/c", &json!({"notes": "n"}))
        .await
        .expect(200);

    let summary = staff.get("/customers/c/summary").await.expect(200);
    assert_eq!(
        (
            &summary["contacts"][0]["first_name"],
            &summary["contacts"][1]["first_name"]
        ),
        (&json!("B"), &json!("A"))
    );
    let recent: Vec<_> = summary["recent_interactions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["subject"].clone())
        .collect();
    assert_eq!(recent, ["Ahead", "Open", "S6", "S5", "S4"]);
    assert_eq!(summary["open_follow_ups"][0]["id"], json!(open));
    let actions: Vec<_> = summary["next_actions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|action| {
            (
                action["action"].clone(),
                action["interaction_id"].clone(),
                action["is_overdue"].clone(),
            )
        })
        .collect();
    assert_eq!(
        actions,
        [
            (json!("follow_up"), json!(open), json!(true)),
            (json!("contact"), Value::Null, json!(true)),
            (json!("interaction"), json!(ahead), json!(false)),
        ]
    );
    assert!(summary["profile"].is_object() && summary["recent_days"].is_array());

    let stats = staff.get("/customers/c/stats").await.expect(200);
    assert_eq!(
        (&stats["total_interactions"], &stats["by_kind"]),
        (&json!(8), &json!({"call": 6, "email": 1, "meeting": 1}))
    );
    assert_eq!(stats["by_status"], json!({"completed": 6, "pending": 2}));
    assert_eq!(
        (&stats["pending_follow_ups"], &stats["overdue_follow_ups"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(
        (&stats["average_satisfaction"], &stats["ratings"]),
        (&Value::Null, &json!(0))
    );
    assert!(stats["last_contact"].is_string());

    let (mut entries, mut cursor) = (Vec::<Value>::new(), String::new());
    loop {
        let page = staff
            .get(&format!("/customers/c/timeline?limit=4{cursor}"))
            .await
            .expect(200);
        entries.extend(page["items"].as_array().unwrap().clone());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    let whole = staff
        .get("/customers/c/timeline?limit=200")
        .await
        .expect(200);
    assert_eq!(
        json!(entries),
        whole["items"],
        "pages hold every entry once"
    );
    let of = |kind: &str| -> Vec<&Value> {
        entries
            .iter()
            .filter(|entry| entry["type"] == kind)
            .collect()
    };
    assert_eq!(of("interaction").len(), 8);
    let bought = of("purchase")[0];
    assert_eq!(
        (&bought["id"], &bought["title"]),
        (&json!("p1"), &json!("Tea"))
    );
    assert_eq!(bought["detail"]["amount"], "20.00");
    assert_eq!(
        bought["detail"]["items"],
        json!([{"product_id": "tea", "name": "Tea", "quantity": "2"}])
    );
    assert_eq!(
        (
            &of("refund")[0]["id"],
            &of("refund")[0]["detail"]["refund_of"]
        ),
        (&json!("p2"), &json!("o1"))
    );
    let activity = of("activity");
    assert_eq!(
        (activity.len(), &activity[0]["title"]),
        (1, &json!("login"))
    );
    assert_eq!(activity[0]["detail"]["properties"], json!({"app": "web"}));
    assert_eq!(of("status")[0]["title"], "active → inactive");
    let titles: Vec<_> = of("edit")
        .into_iter()
        .map(|entry| entry["title"].clone())
        .collect();
    assert_eq!(
        titles,
        [
            "customer.update",
            "contact.create",
            "contact.create",
            "contact.create",
            "customer.create"
        ]
    );
    let times: Vec<_> = entries
        .iter()
        .map(|entry| entry["at"].as_str().unwrap().to_owned())
        .collect();
    assert!(
        times.is_sorted_by(|later, earlier| later >= earlier),
        "{times:?}"
    );
    staff
        .get("/customers/c/timeline?type=x")
        .await
        .problem(400, "bad-request");
    staff
        .get("/customers/x/timeline")
        .await
        .problem(404, "not-found");
    let other = app.register("elsewhere").await;
    for path in ["timeline", "stats", "summary"] {
        other
            .owner
            .get(&format!("/customers/c/{path}"))
            .await
            .problem(404, "not-found");
    }
}

#[tokio::test]
async fn who_leaves_hands_over_and_is_measured_before() {
    let (app, office) = office().await;
    let owner = &office.owner;
    let (leaver, sales) = member(&app, &office, "sales").await;
    let (heir, _) = member(&app, &office, "support").await;
    let (_, employee) = member(&app, &office, "employee").await;
    let (_, manager) = member(&app, &office, "manager").await;
    for at in 0..3 {
        customer(
            &sales,
            json!({"customer_id": format!("c{at}"), "name": format!("C{at}")}),
        )
        .await;
    }
    customer(
        owner,
        json!({"customer_id": "other", "name": "Other", "assigned_to": heir}),
    )
    .await;
    customer(owner, json!({"customer_id": "late", "name": "Late", "assigned_to": leaver, "next_follow_up": in_minutes(-5)})).await;
    let client = office.key(&["ingest"]).await;
    let bought = json!({"customer_id": "c0", "event_id": "p1", "amount": "12.50"});
    client
        .ingest("/ingest/purchases", bought.to_string())
        .await
        .expect(202);
    app.wait_settled().await;
    add(&sales, json!({"customer_id": "c0", "subject": "Done", "occurred_at": in_minutes(-90), "status": "completed", "duration": 30})).await;
    let open = add(
        &sales,
        json!({"customer_id": "c0", "subject": "Open", "follow_up_at": in_minutes(-60)}),
    )
    .await;
    let elsewhere = add(
        owner,
        json!({"customer_id": "other", "subject": "Elsewhere", "assigned_to": leaver}),
    )
    .await;

    let path = format!("/users/{leaver}/performance");
    let own = sales.get(&path).await.expect(200);
    assert_eq!(
        (&own["customers"], &own["customers_by_status"]),
        (&json!(4), &json!({"active": 1, "prospect": 3}))
    );
    assert_eq!(
        (&own["revenue"], &own["currency"]),
        (&json!("12.50"), &json!("USD"))
    );
    assert_eq!(
        (&own["interactions_handled"], &own["interactions_completed"]),
        (&json!(3), &json!(1))
    );
    assert_eq!(
        (&own["overdue_follow_ups"], &own["average_duration_minutes"]),
        (&json!(2), &json!(30.0))
    );
    assert_eq!(manager.get(&path).await.expect(200)["customers"], 4);
    employee.get(&path).await.problem(403, "forbidden");
    sales
        .get(&format!("/users/{heir}/performance"))
        .await
        .problem(403, "forbidden");
    manager
        .get("/users/usr_x/performance")
        .await
        .problem(404, "not-found");

    // An heir who is none is told before anybody is sent away.
    for to in ["usr_x", &leaver] {
        let no = owner
            .delete(&format!("/users/{leaver}?reassign_to={to}"))
            .await;
        assert_eq!(no.problem(422, "unprocessable")["field"], "reassign_to");
    }
    assert_eq!(
        owner.get(&format!("/users/{leaver}")).await.expect(200)["is_active"],
        true
    );
    manager
        .delete(&format!("/users/{leaver}"))
        .await
        .problem(403, "forbidden");
    let path = format!("/users/{leaver}?reassign_to={heir}");
    let gone = owner.delete(&path).await.expect(200);
    assert_eq!(
        (&gone["is_active"], &gone["reassigned_to"]),
        (&json!(false), &json!(heir))
    );
    assert_eq!(
        (
            &gone["customers_reassigned"],
            &gone["interactions_reassigned"]
        ),
        (&json!(4), &json!(2))
    );
    assert_eq!(gone["customers_waiting"], 0);
    let again = owner.delete(&path).await.expect(200);
    assert_eq!(
        (
            &again["customers_reassigned"],
            &again["interactions_reassigned"]
        ),
        (&json!(0), &json!(0))
    );
    for id in ["c0", "c1", "c2", "late"] {
        assert_eq!(
            owner.get(&format!("/customers/{id}")).await.expect(200)["assigned_to"],
            json!(heir)
        );
    }
    for id in [&open, &elsewhere] {
        assert_eq!(
            owner.get(&format!("/interactions/{id}")).await.expect(200)["assigned_to"],
            json!(heir)
        );
    }
    let done = owner
        .get(&format!("/interactions?assigned_to={leaver}"))
        .await
        .expect(200);
    assert_eq!(
        done["items"].as_array().unwrap().len(),
        1,
        "what is done stays whose it was"
    );

    // To nobody, where nobody is named; of two who send somebody away at once, each customer is handed over by one.
    let path = format!("/users/{heir}");
    let both = futures::join!(owner.delete(&path), owner.delete(&path));
    let both = [both.0.expect(200), both.1.expect(200)];
    let handed_over = |what: &str| {
        both.iter()
            .map(|gone| gone[what].as_u64().unwrap())
            .sum::<u64>()
    };
    assert_eq!(both[0]["reassigned_to"], Value::Null);
    assert_eq!(
        (
            handed_over("customers_reassigned"),
            handed_over("interactions_reassigned")
        ),
        (5, 2)
    );
    assert_eq!(
        owner.get("/customers/c1").await.expect(200)["assigned_to"],
        Value::Null
    );
    assert_eq!(
        owner
            .get(&format!("/interactions/{open}"))
            .await
            .expect(200)
            .get("assigned_to"),
        None
    );
    assert_eq!(app.reconciliation().await["balanced"], true);
}
