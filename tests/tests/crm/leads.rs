//! Leads and what customers are worth.

use serde_json::{Value, json};
use tests::Caller;

use crate::office;

/// The score, of which the parts must sum to it.
async fn score(staff: &Caller) -> Value {
    let score = staff.get("/customers/c/lead-score").await.expect(200);
    summed(&score);
    score["history"].as_array().unwrap().iter().for_each(summed);
    score
}

fn summed(score: &Value) {
    let factors = score["factors"].as_array().unwrap();
    let of = |name: &str| -> u64 {
        factors
            .iter()
            .map(|factor| factor[name].as_u64().unwrap())
            .sum()
    };
    assert_eq!(of("contribution"), score["score"], "{score}");
    assert_eq!(of("weight"), 100);
}

#[tokio::test]
async fn a_lead_is_qualified_and_scored() {
    let (app, office) = office().await;
    let staff = &office.owner;
    let made = json!({"customer_id": "c", "name": "C", "email": "c@example.org", "customer_type": "enterprise"});
    staff.post("/customers", &made).await.expect(201);
    let first = score(staff).await;
    assert_eq!(
        (&first["score"], &first["history"]),
        (&json!(10), &json!([]))
    );
    let nothing = staff.get("/customers/c/qualification").await.expect(200);
    assert_eq!(nothing["need"], json!({"status": "unknown"}));

    let known = json!({
        "budget": {"status": "yes", "value": "25000.00", "notes": "for this year"},
        "need": {"status": "partly"},
        "timeline": {"status": "no", "value": "2027-01-01T00:00:00Z"},
    });
    let put = staff.put("/customers/c/qualification", &known).await;
    let etag = put.headers["etag"].to_str().unwrap().to_owned();
    let put = put.expect(200);
    assert_eq!(
        (&put["budget"], &put["authority"]),
        (&known["budget"], &json!({"status": "unknown"}))
    );
    let second = score(staff).await;
    assert_eq!(
        (&second["score"], &second["history"][0]["score"]),
        (&json!(18), &json!(18))
    );
    assert_eq!(second["history"][0]["cause"], "qualification");
    staff
        .post(
            "/customers/c/status",
            &json!({"status": "lead", "reason": "qualified"}),
        )
        .await
        .expect(200);
    let key = office.key(&["ingest"]).await;
    let call = json!({"customer_id": "c", "channel": "phone", "kind": "call"});
    key.ingest("/ingest/interactions", call.to_string())
        .await
        .expect(202);
    app.wait_settled().await;
    let third = score(staff).await;
    assert!(
        third["score"].as_u64() > second["score"].as_u64(),
        "{third}"
    );
    let causes: Vec<&str> = third["history"]
        .as_array()
        .unwrap()
        .iter()
        .map(|point| point["cause"].as_str().unwrap())
        .collect();
    assert_eq!(causes, ["status", "qualification"]);

    let headers = [("if-match", etag.as_str())];
    let all = json!({"authority": {"status": "yes"}});
    staff
        .with_headers("PUT", "/customers/c/qualification", &all, &headers)
        .await
        .expect(200);
    staff
        .with_headers("PUT", "/customers/c/qualification", &all, &headers)
        .await
        .problem(412, "precondition-failed");
    assert_eq!(
        staff.get("/customers/c/qualification").await.expect(200)["budget"],
        json!({"status": "unknown"})
    );
    for (body, field) in [
        (json!({"budget": {}}), "budget.status"),
        (json!({"budget": {"status": "maybe"}}), "budget.status"),
        (
            json!({"budget": {"status": "yes", "value": "much"}}),
            "budget.value",
        ),
        (
            json!({"timeline": {"status": "yes", "value": "soon"}}),
            "timeline.value",
        ),
        (json!({"need": 5}), "need"),
        (json!({"wish": {"status": "yes"}}), "wish"),
    ] {
        let problem = staff
            .put("/customers/c/qualification", &body)
            .await
            .problem(400, "bad-request");
        assert_eq!(problem["field"], field, "{body}");
    }
    let leads = staff.get("/customers/analytics/leads").await.expect(200);
    assert_eq!(leads["by_status"], json!({"lead": 1}));
    assert_eq!(
        (&leads["unscored"], &leads["conversion"]["leads"]),
        (&json!(0), &json!(1))
    );
}

#[tokio::test]
async fn a_customer_is_worth_what_it_bought_or_what_staff_say() {
    let (app, office) = office().await;
    let staff = &office.owner;
    for (id, kind) in [("a", "individual"), ("b", "business"), ("c", "business")] {
        let made = json!({"customer_id": id, "name": id, "customer_type": kind});
        staff.post("/customers", &made).await.expect(201);
    }
    let key = office.key(&["ingest"]).await;
    for (customer, event, amount, currency) in [
        ("a", "p1", "100.00", "USD"),
        ("a", "p2", "50.50", "USD"),
        ("a", "p3", "-20", "USD"),
        ("a", "p4", "7", "EUR"),
        ("b", "p5", "2000", "USD"),
    ] {
        let bought = json!({"customer_id": customer, "event_id": event, "amount": amount, "currency": currency});
        key.ingest("/ingest/purchases", bought.to_string())
            .await
            .expect(202);
    }
    app.wait_settled().await;
    let value = staff.get("/customers/a/value").await.expect(200);
    assert_eq!(
        (&value["total_revenue"], &value["lifetime_value"]),
        (&json!("130.50"), &json!("130.50"))
    );
    assert_eq!(
        (&value["total_orders"], &value["average_order_value"]),
        (&json!(3), &json!("75.25"))
    );
    assert_eq!(value["by_currency"]["EUR"]["total_revenue"], "7.00");
    assert_eq!(
        (&value["predicted_value"], &value["churn_risk"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(value["prediction"]["available"], false);
    staff
        .patch("/customers/a", &json!({"value_override": "900"}))
        .await
        .expect(200);
    let value = staff.get("/customers/a/value").await.expect(200);
    assert_eq!(
        (&value["lifetime_value"], &value["total_revenue"]),
        (&json!("900.00"), &json!("130.50"))
    );

    let stats = staff.get("/stats").await.expect(200);
    assert_eq!(stats["total_customers"], 3);
    assert_eq!(stats["by_type"], json!({"business": 2, "individual": 1}));
    assert_eq!(stats["by_status"], json!({"active": 2, "prospect": 1}));
    assert_eq!(
        (&stats["active_customers"], &stats["new_this_month"]),
        (&json!(2), &json!(3))
    );
    assert_eq!(
        (&stats["total_revenue"], &stats["total_orders"]),
        (&json!("2130.50"), &json!(4))
    );
    let worth = staff.get("/customers/analytics/value").await.expect(200);
    assert_eq!(worth["average_customer_value"], "1065.25");
    assert_eq!(worth["median_customer_value"], "130.50");
    assert_eq!(worth["top_customers"][0]["customer_id"], "b");
    let bands: Vec<i64> = worth["distribution"]
        .as_array()
        .unwrap()
        .iter()
        .map(|band| band["customers"].as_i64().unwrap())
        .collect();
    assert_eq!(bands, [0, 0, 1, 1, 0, 0]);
    let leads = staff.get("/customers/analytics/leads").await.expect(200);
    assert_eq!(
        (
            &leads["conversion"]["active"],
            &leads["conversion"]["active_rate"]
        ),
        (&json!(2), &json!(0.6667))
    );
}
