//! Staff of an organization, by session and by the tokens of an outside service, over events that came in.

use serde_json::{Value, json};
use tests::{Account, Caller, TestApp, run_python};

const SECRET: &str = "the-secret-of-a-service-for-the-time-of-a-test";

/// A user with this role: its id, and a caller with its session.
async fn member(app: &TestApp, acme: &Account, role: &str) -> (String, Caller) {
    let (email, password) = (format!("{role}@staff.example.com"), "correct horse staff");
    let new = json!({"name": role, "email": email, "password": password, "role": role});
    let made = acme.owner.post("/users", &new).await.expect(201);
    let login = json!({"email": email, "password": password});
    let session = app.nobody().post("/auth/login", &login).await.expect(200);
    let caller = app.nobody().with_token(session["token"].as_str().unwrap());
    (made["id"].as_str().unwrap().to_owned(), caller)
}

fn ids(list: &Value) -> Vec<&str> {
    let items = list["items"].as_array().unwrap();
    let ids = items
        .iter()
        .map(|item| item["customer_id"].as_str().unwrap());
    ids.collect()
}

#[tokio::test]
async fn staff_sees_what_its_role_and_the_events_say() {
    let secret = format!("tokens.secret={SECRET}");
    let app = TestApp::start_with(&[&secret, "tokens.organization_claim=org"]).await;
    let _operator = app.register("first").await;
    let acme = app.register("acme").await;
    let key = acme.key(&["ingest", "read"]).await;
    let (seller, sales) = member(&app, &acme, "sales").await;
    let (partner, brand) = member(&app, &acme, "brand").await;
    let users = [
        json!({"type": "user", "customer_id": "mine", "event_id": "u1", "name": "Mine", "assigned_to": seller}),
        json!({"type": "user", "customer_id": "theirs", "event_id": "u2", "name": "Theirs", "assigned_to": "usr_other"}),
        json!({"type": "user", "customer_id": "prospect", "event_id": "u3", "name": "Prospect"}),
        json!({"type": "user", "customer_id": "partner", "event_id": "u4", "name": "Partner", "user_id": partner, "assigned_to": "usr_other"}),
        json!({"type": "purchase", "customer_id": "mine", "event_id": "p1", "amount": "5.00"}),
        json!({"type": "purchase", "customer_id": "bought", "event_id": "p2", "amount": "7.00"}),
    ];
    key.ingest("/ingest/batch", json!(users).to_string())
        .await
        .expect(202);
    app.wait_settled().await;

    let all = acme.owner.get("/customers").await.expect(200);
    assert_eq!(
        ids(&all),
        ["bought", "mine", "partner", "prospect", "theirs"]
    );
    assert_eq!(all["items"][1]["assigned_to"], seller);
    let of = acme
        .owner
        .get(&format!("/customers?assigned_to={seller}"))
        .await;
    assert_eq!(ids(&of.expect(200)), ["mine"]);
    assert_eq!(
        ids(&sales.get("/customers").await.expect(200)),
        ["mine", "prospect"]
    );
    assert_eq!(ids(&brand.get("/customers").await.expect(200)), ["partner"]);
    sales.get("/customers/mine/summary").await.expect(200);
    sales
        .get("/customers/theirs")
        .await
        .problem(404, "not-found");
    brand.get("/customers/mine").await.problem(404, "not-found");
    // No other door tells more.
    for path in ["/reports/sales", "/recommendations", "/ingest/events/p2"] {
        sales.get(path).await.problem(403, "forbidden");
    }
    // As the facts change, so does who sees it.
    let moved = json!({"customer_id": "theirs", "event_id": "u5", "assigned_to": seller});
    key.ingest("/ingest/users", moved.to_string())
        .await
        .expect(202);
    let moved = json!({"customer_id": "mine", "event_id": "u6", "assigned_to": null});
    key.ingest("/ingest/users", moved.to_string())
        .await
        .expect(202);
    app.wait_settled().await;
    assert_eq!(
        ids(&sales.get("/customers").await.expect(200)),
        ["prospect", "theirs"]
    );

    // The same by a token of the service, for a user that is none of ours.
    let token = |role: &str, user: &str| {
        let claims = json!({"org": acme.organization, "sub": user, "role": role,
            "exp": chrono::Utc::now().timestamp() + 600});
        let made = run_python("hs256.py", &[SECRET, &claims.to_string()]);
        app.nobody().with_token(made["token"].as_str().unwrap())
    };
    let manager = token("manager", "user-7");
    manager.get("/reports/sales").await.expect(200);
    let me = manager.get("/auth/me").await.expect(200);
    assert_eq!(
        (&me["organization"]["id"], &me["user"]),
        (&json!(acme.organization), &json!(null))
    );
    assert_eq!(
        ids(&token("sales", "user-8").get("/customers").await.expect(200)),
        ["prospect"]
    );
    token("king", "user-9")
        .get("/customers")
        .await
        .problem(403, "forbidden");
    let forged = json!({"org": acme.organization, "sub": "x", "role": "owner",
        "exp": chrono::Utc::now().timestamp() + 600});
    let forged = run_python(
        "hs256.py",
        &[
            "another secret of the same length, more or less",
            &forged.to_string(),
        ],
    );
    app.nobody()
        .with_token(forged["token"].as_str().unwrap())
        .get("/auth/me")
        .await
        .problem(401, "unauthorized");
}
