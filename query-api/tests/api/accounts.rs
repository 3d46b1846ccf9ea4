//! Accounts, sessions and keys.

use std::sync::Arc;

use async_trait::async_trait;
use axum::body::Body;
use axum::http::Request;
use query_api::QueryApi;
use schemas::Position;
use serde_json::{Value, json};
use stream::{AppendError, Bounds, Consumer, Log, LogError, LogRecord, NewRecord};
use tower::ServiceExt;

use crate::harness::{PASSWORD, Tenant, installation, run};

#[test]
fn a_session_from_register_to_logout() {
    run(async {
        let tenant = Tenant::with(
            "ada",
            json!({"organization": "Analytical Engines", "currency": "GBP", "timezone": "Europe/London"}),
        )
        .await;
        let at = &tenant.at;
        let me = tenant.answer("/auth/me").await;
        assert_eq!(me.status, 200, "{}", me.text);
        assert_eq!(me.body["organization"]["name"], "Analytical Engines");
        assert_eq!(me.body["organization"]["currency"], "GBP");
        assert_eq!(me.body["user"]["role"], "owner");
        assert_eq!(me.headers["cache-control"], "no-store");

        let body = json!({"email": tenant.email.to_uppercase(), "password": PASSWORD});
        let login = at.send("POST", "/api/v1/auth/login", "", Some(body)).await;
        assert_eq!(login.status, 200, "{}", login.text);
        assert_eq!(login.headers["cache-control"], "no-store");
        let second = login.body["token"].as_str().unwrap().to_owned();
        assert_eq!(
            at.send("POST", "/api/v1/auth/logout", &second, None)
                .await
                .status,
            204
        );
        assert_eq!(
            at.send("GET", "/api/v1/auth/me", &second, None)
                .await
                .status,
            401
        );
        assert_eq!(
            tenant.answer("/auth/me").await.status,
            200,
            "the other session lives on"
        );

        // The currency is defined in every partition, for the fold.
        let mut found = 0;
        for bounds in at.log.bounds().await.unwrap() {
            for record in at
                .log
                .read(bounds.partition, bounds.start, 10_000, 1 << 20)
                .await
                .unwrap()
            {
                let text = String::from_utf8_lossy(&record.payload).into_owned();
                found += usize::from(
                    text.contains(tenant.organization.as_str()) && text.contains("\"GBP\""),
                );
            }
        }
        assert_eq!(found, at.log.partitions() as usize);
    });
}

#[test]
fn what_is_wrong_with_an_account_is_named_and_a_wrong_login_is_not() {
    run(async {
        let tenant = Tenant::new("taken").await;
        let at = &tenant.at;
        let good = json!({"name": "n", "email": "new@example.org", "password": PASSWORD});
        for (field, value, status) in [
            ("name", json!(null), 400),
            ("name", json!(7), 400),
            ("email", json!("no address"), 400),
            ("password", json!("short"), 400),
            ("currency", json!("EURO"), 400),
            ("timezone", json!("Mars"), 400),
            ("colour", json!("red"), 400),
            ("email", json!("TAKEN@example.org"), 409),
        ] {
            let mut body = good.clone();
            body[field] = value;
            let answer = at
                .send("POST", "/api/v1/auth/register", "", Some(body))
                .await;
            assert_eq!(
                (answer.status.as_u16(), &answer.body["field"]),
                (status, &json!(field)),
                "{}",
                answer.text
            );
            assert!(!answer.text.contains(PASSWORD));
        }
        let login = |email: &str, password: &str| {
            let body = json!({"email": email, "password": password});
            async move { at.send("POST", "/api/v1/auth/login", "", Some(body)).await }
        };
        let (wrong, unknown) = (
            login("taken@example.org", "wrong").await,
            login("nobody@example.org", "wrong").await,
        );
        assert_eq!((wrong.status.as_u16(), unknown.status.as_u16()), (401, 401));
        assert_eq!(wrong.body, unknown.body);
        assert_eq!(
            login("taken@example.org", PASSWORD).await.status,
            200,
            "a success forgets the failures"
        );
        for _ in 0..3 {
            assert_eq!(login("taken@example.org", "wrong").await.status, 401);
        }
        let throttled = login("taken@example.org", PASSWORD).await;
        assert_eq!(throttled.status, 429);
        assert!(
            throttled.headers["retry-after"]
                .to_str()
                .unwrap()
                .parse::<u32>()
                .unwrap()
                > 0
        );
        assert_eq!(login("other@example.org", "wrong").await.status, 401);
    });
}

#[test]
fn keys_are_shown_once_and_end_when_revoked() {
    run(async {
        let tenant = Tenant::new("keys").await;
        let at = &tenant.at;
        let made = tenant
            .post("/api-keys", json!({"name": "app", "scopes": ["read"]}))
            .await;
        assert_eq!(made.status, 201, "{}", made.text);
        let (id, key) = (
            made.body["id"].as_str().unwrap(),
            made.body["key"].as_str().unwrap(),
        );
        assert_eq!(
            at.send("GET", "/api/v1/customers", key, None).await.status,
            200
        );
        let by_header = Request::get("/api/v1/customers")
            .header("x-api-key", key)
            .body(Body::empty())
            .unwrap();
        assert_eq!(at.request(by_header).await.status, 200);
        // It reads, and no more.
        for (method, path) in [
            ("GET", "/api/v1/api-keys"),
            ("POST", "/api/v1/auth/logout"),
            ("GET", "/api/v1/admin/reconciliation"),
        ] {
            assert_eq!(at.send(method, path, key, None).await.status, 403, "{path}");
        }
        let list = tenant.answer("/api-keys").await;
        assert!(!list.text.contains(key));
        assert_eq!(list.body["items"][0]["id"], id);

        let rotated = at
            .send(
                "POST",
                &format!("/api/v1/api-keys/{id}/rotate"),
                &tenant.token,
                None,
            )
            .await;
        assert_eq!(rotated.status, 200, "{}", rotated.text);
        let new = rotated.body["key"].as_str().unwrap().to_owned();
        assert_eq!(
            at.send("GET", "/api/v1/customers", key, None).await.status,
            401
        );
        assert_eq!(
            at.send("GET", "/api/v1/customers", &new, None).await.status,
            200
        );
        let path = format!("/api/v1/api-keys/{id}");
        assert_eq!(
            at.send("DELETE", &path, &tenant.token, None).await.status,
            204
        );
        assert_eq!(
            at.send("GET", "/api/v1/customers", &new, None).await.status,
            401
        );
        assert_eq!(
            at.send("DELETE", "/api/v1/api-keys/key_0", &tenant.token, None)
                .await
                .status,
            404
        );

        for (body, field) in [
            (json!({"scopes": ["read"]}), "name"),
            (json!({"name": "k"}), "scopes"),
            (json!({"name": "k", "scopes": []}), "scopes"),
            (json!({"name": "k", "scopes": ["root"]}), "scopes"),
            (
                json!({"name": "k", "scopes": ["read"], "expires_at": "1999-01-01T00:00:00Z"}),
                "expires_at",
            ),
            (
                json!({"name": "k", "scopes": ["read"], "expires_at": "soon"}),
                "expires_at",
            ),
        ] {
            let answer = tenant.post("/api-keys", body.clone()).await;
            assert_eq!(
                (answer.status.as_u16(), &answer.body["field"]),
                (400, &json!(field)),
                "{body}"
            );
        }
    });
}

#[test]
fn only_the_operator_sees_the_installation() {
    run(async {
        let tenant = Tenant::new("tenant").await;
        assert_eq!(tenant.answer("/admin/reconciliation").await.status, 403);
        let at = installation().await;
        let answer = at
            .send("GET", "/api/v1/admin/reconciliation", at.operator(), None)
            .await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert_eq!(answer.body["balanced"], json!(true));
        assert!(answer.body["as_of"]["positions"].is_object());
        assert_eq!(tenant.answer("/admin/replay").await.status, 403);
        assert_eq!(tenant.post("/admin/replay", json!({})).await.status, 403);
        let replay =
            |body: Value| at.send("POST", "/api/v1/admin/replay", at.operator(), Some(body));
        let begun = replay(json!({"switch": true, "from": "1:2:3"})).await;
        assert_eq!(begun.status, 202, "{}", begun.text);
        assert_eq!(
            (&begun.body["switch"], &begun.body["from"]),
            (&json!(true), &json!("1:2:3"))
        );
        for bad in [
            json!({"from": "1:2"}),
            json!({"switch": "yes"}),
            json!({"since": "x"}),
            json!({"all": true}),
        ] {
            assert_eq!(replay(bad.clone()).await.status, 400, "{bad}");
        }
        let ingest: Value = tenant
            .post("/api-keys", json!({"name": "k", "scopes": ["ingest"]}))
            .await
            .body;
        let key = ingest["key"].as_str().unwrap();
        for path in [
            "/customers",
            "/customers/a/summary",
            "/reports",
            "/reports/sales",
            "/forecasts",
            "/recommendations",
        ] {
            assert_eq!(
                at.send("GET", &format!("/api/v1{path}"), key, None)
                    .await
                    .status,
                403,
                "{path}"
            );
            assert_eq!(
                at.send("GET", &format!("/api/v1{path}"), "", None)
                    .await
                    .status,
                401,
                "{path}"
            );
            assert_eq!(
                at.send("GET", &format!("/api/v1{path}"), "mr_live_wrong", None)
                    .await
                    .status,
                401,
                "{path}"
            );
        }
        assert_eq!(
            at.send("POST", "/api/v1/sql", key, Some(json!({"sql": "SELECT 1"})))
                .await
                .status,
            403
        );
    });
}

/// The real log, with an injected fault: it takes nothing in one of its partitions.
#[derive(Debug)]
struct Failing {
    log: Arc<dyn Log>,
    partition: u32,
}

#[async_trait]
impl Log for Failing {
    fn generation(&self) -> u32 {
        self.log.generation()
    }

    fn partitions(&self) -> u32 {
        self.log.partitions()
    }

    async fn append(&self, records: Vec<NewRecord>) -> Vec<Result<Position, AppendError>> {
        let fails: Vec<bool> = records
            .iter()
            .map(|record| record.partition == self.partition)
            .collect();
        let results = self.log.append(records).await;
        let failure = |reason: &str| AppendError::Unavailable {
            reason: reason.to_owned(),
        };
        fails
            .into_iter()
            .zip(results)
            .map(|(fails, result)| {
                if fails {
                    Err(failure("injected"))
                } else {
                    result
                }
            })
            .collect()
    }

    async fn subscribe(&self, group: &str) -> Result<Box<dyn Consumer>, LogError> {
        self.log.subscribe(group).await
    }

    async fn bounds(&self) -> Result<Vec<Bounds>, LogError> {
        self.log.bounds().await
    }

    async fn read(
        &self,
        partition: u32,
        from: u64,
        max_records: usize,
        max_bytes: usize,
    ) -> Result<Vec<LogRecord>, LogError> {
        self.log.read(partition, from, max_records, max_bytes).await
    }

    async fn release(&self, below: &[(u32, u64)]) -> Result<(), LogError> {
        self.log.release(below).await
    }

    async fn healthy(&self) -> Result<(), LogError> {
        self.log.healthy().await
    }

    async fn close(&self) -> Result<(), LogError> {
        self.log.close().await
    }
}

#[test]
fn nobody_is_registered_whose_currency_is_not_durable() {
    run(async {
        let at = installation().await;
        let failing = query_api::router(QueryApi {
            log: Arc::new(Failing {
                log: at.log.clone(),
                partition: at.log.partitions() - 1,
            }),
            ..at.api.clone()
        });
        let body = json!({"name": "n", "email": "late@example.org", "password": PASSWORD, "currency": "JPY"});
        let request = Request::post("/api/v1/auth/register")
            .header("content-type", "application/json")
            .body(Body::from(body.to_string()))
            .unwrap();
        let answer = failing.oneshot(request).await.unwrap();
        assert_eq!(answer.status(), 503);
        assert!(answer.headers().contains_key("retry-after"));
        let login = json!({"email": "late@example.org", "password": PASSWORD});
        let login = at.send("POST", "/api/v1/auth/login", "", Some(login)).await;
        assert_eq!(login.status, 401, "nothing was registered");
        let again = at
            .send("POST", "/api/v1/auth/register", "", Some(body))
            .await;
        assert_eq!(again.status, 201, "{}", again.text);
        assert_eq!(again.body["organization"]["currency"], "JPY");
    });
}
