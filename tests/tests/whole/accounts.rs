//! Accounts, sessions, keys and what each may do.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::json;
use tests::TestApp;

#[tokio::test]
async fn an_organization_registers_and_logs_in() {
    let app = TestApp::start().await;
    let nobody = app.nobody();
    let account = json!({"name": "Ada", "email": "ada@example.com", "password": "correct horse"});
    let made = nobody.post("/auth/register", &account).await.expect(201);
    assert!(
        made["organization"]["id"]
            .as_str()
            .unwrap()
            .starts_with("org_")
    );
    assert!(made["user"]["id"].as_str().unwrap().starts_with("usr_"));
    assert_eq!(made["organization"]["currency"], "USD");
    assert_eq!(made["organization"]["timezone"], "UTC");
    let session = nobody.with_token(made["token"].as_str().unwrap());
    let connection = session.get("/connection").await.expect(200);
    assert_eq!(connection["organization"], made["organization"]["id"]);

    nobody
        .post("/auth/register", &account)
        .await
        .problem(409, "conflict");
    let login = json!({"email": "ada@example.com", "password": "correct horse"});
    let again = nobody.post("/auth/login", &login).await.expect(200);
    let token = again["token"].as_str().unwrap();
    nobody
        .with_token(token)
        .get("/connection")
        .await
        .expect(200);
    let wrong = json!({"email": "ada@example.com", "password": "wrong horse"});
    nobody
        .post("/auth/login", &wrong)
        .await
        .problem(401, "unauthorized");
    let stranger = json!({"email": "bob@example.com", "password": "correct horse"});
    nobody
        .post("/auth/login", &stranger)
        .await
        .problem(401, "unauthorized");

    let elsewhere = json!({"name": "Kei", "email": "kei@example.com", "password": "correct horse",
        "organization": "Kei & Co", "currency": "JPY", "timezone": "Asia/Tokyo"});
    let made = nobody.post("/auth/register", &elsewhere).await.expect(201);
    assert_eq!(made["organization"]["currency"], "JPY");
    assert_eq!(made["organization"]["timezone"], "Asia/Tokyo");

    for (field, body) in [
        ("email", json!({"name": "A", "password": "correct horse"})),
        (
            "email",
            json!({"name": "A", "email": "no address", "password": "correct horse"}),
        ),
        (
            "password",
            json!({"name": "A", "email": "a@example.com", "password": "short"}),
        ),
        (
            "password",
            json!({"name": "A", "email": "a@example.com", "password": 12345678}),
        ),
        (
            "name",
            json!({"email": "a@example.com", "password": "correct horse"}),
        ),
        (
            "currency",
            json!({"name": "A", "email": "a@example.com", "password": "correct horse", "currency": "usd"}),
        ),
        (
            "timezone",
            json!({"name": "A", "email": "a@example.com", "password": "correct horse", "timezone": "Mars/Olympus"}),
        ),
    ] {
        let problem = nobody
            .post("/auth/register", &body)
            .await
            .problem(400, "bad-request");
        assert_eq!(problem["field"], field, "{body}");
    }
}

#[tokio::test]
async fn a_key_is_shown_once_and_opens_what_its_scopes_say() {
    let app = TestApp::start().await;
    let acme = app.register("acme").await;
    let request = json!({"name": "shop", "scopes": ["ingest", "read"]});
    let made = acme.owner.post("/api-keys", &request).await.expect(201);
    let (id, secret) = (made["id"].as_str().unwrap(), made["key"].as_str().unwrap());
    let listed = acme.owner.get("/api-keys").await;
    assert!(
        !String::from_utf8_lossy(&listed.bytes).contains(secret),
        "the secret is listed"
    );
    assert!(
        listed.expect(200)["items"]
            .as_array()
            .unwrap()
            .iter()
            .any(|key| key["id"] == id)
    );

    let connection = acme
        .owner
        .with_token(secret)
        .get("/connection")
        .await
        .expect(200);
    assert_eq!(connection["organization"], acme.organization.as_str());
    let mut scopes: Vec<&str> = connection["scopes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|scope| scope.as_str().unwrap())
        .collect();
    scopes.sort_unstable();
    assert_eq!(scopes, ["ingest", "read"]);
    let by_header = app
        .nobody()
        .request(Method::GET, "/connection")
        .header("x-api-key", secret);
    app.nobody().send(by_header).await.expect(200);

    for bad in [
        json!({"name": "x", "scopes": ["everything"]}),
        json!({"name": "x"}),
    ] {
        let problem = acme
            .owner
            .post("/api-keys", &bad)
            .await
            .problem(400, "bad-request");
        assert_eq!(problem["field"], "scopes", "{bad}");
    }

    let user = r#"{"customer_id":"c-1","name":"Ada"}"#;
    let ingest = acme.key(&["ingest"]).await;
    ingest.ingest("/ingest/users", user).await.expect(202);
    for path in [
        "/customers",
        "/reports/sales",
        "/recommendations",
        "/forecasts",
        "/admin/reconciliation",
    ] {
        ingest.get(path).await.problem(403, "forbidden");
    }
    ingest
        .post("/sql", &json!({"sql": "SELECT 1"}))
        .await
        .problem(403, "forbidden");
    ingest
        .post("/api-keys", &request)
        .await
        .problem(403, "forbidden");

    let read = acme.key(&["read"]).await;
    read.get("/customers").await.expect(200);
    read.ingest("/ingest/users", user)
        .await
        .problem(403, "forbidden");
    read.ingest("/ingest/batch", "[]")
        .await
        .problem(403, "forbidden");
    read.get("/api-keys").await.problem(403, "forbidden");
    let write = acme.key(&["write"]).await;
    write
        .get("/ingest/events/e-1")
        .await
        .problem(403, "forbidden");
    write.get("/connection").await.expect(200);
}

#[tokio::test]
async fn what_is_no_key_opens_nothing() {
    let app = TestApp::start().await;
    let acme = app.register("acme").await;
    let nobody = app.nobody();
    let callers = [
        nobody.anonymous(),
        nobody.with_token("mr_nonsense"),
        nobody.with_token(""),
    ];
    for caller in &callers {
        for path in [
            "/connection",
            "/customers",
            "/customers/c-1",
            "/customers/c-1/summary",
            "/customers/c-1/recommendations",
            "/reports/sales",
            "/forecasts",
            "/recommendations",
            "/admin/reconciliation",
            "/api-keys",
            "/ingest/events/e-1",
        ] {
            caller.get(path).await.problem(401, "unauthorized");
        }
        for path in ["/ingest/users", "/ingest/batch", "/sql", "/api-keys"] {
            caller
                .post(path, &json!({}))
                .await
                .problem(401, "unauthorized");
        }
    }
    let basic = nobody
        .request(Method::GET, "/connection")
        .header("authorization", "Basic YTpi");
    nobody.send(basic).await.problem(401, "unauthorized");

    // One letter beside a key that works.
    let made = acme
        .owner
        .post("/api-keys", &json!({"name": "k", "scopes": ["read"]}))
        .await;
    let secret = made.expect(201)["key"].as_str().unwrap().to_owned();
    nobody
        .with_token(&secret)
        .get("/connection")
        .await
        .expect(200);
    let (head, last) = secret.split_at(secret.len() - 1);
    let changed = format!("{head}{}", if last == "a" { "b" } else { "a" });
    nobody
        .with_token(changed)
        .get("/connection")
        .await
        .problem(401, "unauthorized");
    nobody
        .with_token(head)
        .get("/connection")
        .await
        .problem(401, "unauthorized");
}

#[tokio::test]
async fn keys_end_when_revoked_and_when_expired() {
    let app = TestApp::start().await;
    let acme = app.register("acme").await;
    let other = app.register("other").await;
    let made = acme
        .owner
        .post(
            "/api-keys",
            &json!({"name": "k", "scopes": ["ingest", "read"]}),
        )
        .await
        .expect(201);
    let key = app.nobody().with_token(made["key"].as_str().unwrap());
    let path = format!("/api-keys/{}", made["id"].as_str().unwrap());
    key.get("/customers").await.expect(200);
    key.ingest("/ingest/users", r#"{"customer_id":"c"}"#)
        .await
        .expect(202);

    other.owner.delete(&path).await.problem(404, "not-found");
    key.get("/connection").await.expect(200);

    acme.owner.delete(&path).await.expect(204);
    let revoked = Instant::now();
    // Used all the while, so that whatever remembers it stays warm.
    while key.get("/connection").await.status == 200 {
        assert!(
            revoked.elapsed() < Duration::from_secs(5),
            "a revoked key still works"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    key.get("/connection").await.problem(401, "unauthorized");
    key.get("/customers").await.problem(401, "unauthorized");
    let refused = key.ingest("/ingest/users", r#"{"customer_id":"c"}"#).await;
    refused.problem(401, "unauthorized");

    let soon = chrono::Utc::now() + chrono::Duration::seconds(15);
    let until = async |time: chrono::DateTime<chrono::Utc>| {
        let left = (time - chrono::Utc::now()).to_std().unwrap_or_default();
        tokio::time::sleep(left).await;
    };
    let short = json!({"name": "short", "scopes": ["read"], "expires_at": soon.to_rfc3339()});
    let made = acme.owner.post("/api-keys", &short).await.expect(201);
    let short = app.nobody().with_token(made["key"].as_str().unwrap());
    short.get("/connection").await.expect(200);
    // Used once more shortly before its end, so that it is still remembered then.
    until(soon - chrono::Duration::seconds(2)).await;
    short.get("/connection").await;
    until(soon + chrono::Duration::milliseconds(200)).await;
    let ended = Instant::now();
    let refused = loop {
        let answer = short.get("/connection").await;
        // A key that is not remembered is looked up, which a slow machine may not do in time.
        if answer.status != 503 || ended.elapsed() > Duration::from_secs(60) {
            break answer;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    refused.problem(401, "unauthorized");
}

#[tokio::test]
async fn figures_of_the_installation_are_for_its_operator() {
    let app = TestApp::start().await;
    let first = app.register("first").await;
    let second = app.register("second").await;
    first.owner.get("/admin/reconciliation").await.expect(200);
    let admin = first.key(&["admin"]).await;
    admin.get("/admin/reconciliation").await.expect(200);
    app.operator()
        .get("/admin/reconciliation")
        .await
        .expect(200);

    second
        .owner
        .get("/admin/reconciliation")
        .await
        .problem(403, "forbidden");
    let foreign = second.key(&["admin", "read"]).await;
    foreign
        .get("/admin/reconciliation")
        .await
        .problem(403, "forbidden");
    let reader = first.key(&["read", "write", "ingest"]).await;
    reader
        .get("/admin/reconciliation")
        .await
        .problem(403, "forbidden");
}
