//! Paths, methods, bodies, documentation and probes.

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};

use crate::harness::{Tenant, installation, run};

#[test]
fn probes_answer_with_and_without_the_prefix() {
    run(async {
        let at = installation().await;
        for prefix in ["", "/api/v1"] {
            for path in ["health", "ready"] {
                let answer = at.send("GET", &format!("{prefix}/{path}"), "", None).await;
                assert_eq!(answer.status, 200, "{path}: {}", answer.text);
                assert!(answer.body["as_of"]["positions"].is_object());
            }
            let metrics = at.send("GET", &format!("{prefix}/metrics"), "", None).await;
            assert_eq!(
                (metrics.status.as_u16(), metrics.text.as_str()),
                (200, "millrace_up 1\n")
            );
            for slash in ["", "/"] {
                let page = at
                    .send("GET", &format!("{prefix}/docs{slash}"), "", None)
                    .await;
                assert!(
                    page.status == 200 && page.text.contains("swagger-ui"),
                    "{}",
                    page.text
                );
                // Nothing on the page comes from elsewhere, and what it names is there.
                assert!(!page.text.contains("http://") && !page.text.contains("https://"));
                for link in page
                    .text
                    .split(['"'])
                    .filter(|link| link.starts_with(&format!("{prefix}/docs/")))
                {
                    assert_eq!(at.send("GET", link, "", None).await.status, 200, "{link}");
                }
            }
        }
        let script = at
            .send("GET", "/docs/swagger-initializer.js", "", None)
            .await;
        assert!(script.text.contains("/openapi.json"), "{}", script.text);
        assert_eq!(
            at.send("GET", "/docs/nothing.js", "", None).await.status,
            404
        );
    });
}

#[test]
fn the_document_lists_every_route_and_every_route_is_there() {
    run(async {
        let at = installation().await;
        let document = at.send("GET", "/openapi.json", "", None).await.body;
        let paths = document["paths"].as_object().unwrap();
        for path in [
            "/auth/register",
            "/auth/login",
            "/auth/logout",
            "/auth/me",
            "/auth/password",
            "/auth/sessions",
            "/auth/sessions/{id}",
            "/users",
            "/users/{id}",
            "/users/{id}/sessions",
            "/teams",
            "/teams/{id}",
            "/roles",
            "/access-review",
            "/api-keys",
            "/api-keys/{id}",
            "/api-keys/{id}/rotate",
            "/customers",
            "/customers/{id}",
            "/customers/{id}/summary",
            "/customers/{id}/recommendations",
            "/reports",
            "/reports/sales",
            "/sql",
            "/forecasts",
            "/recommendations",
            "/rejections",
            "/rejections/{position}",
            "/rejections/{position}/retry",
            "/rejections/retry",
            "/admin/reconciliation",
            "/admin/backup",
            "/admin/replay",
            "/health",
            "/ready",
            "/metrics",
        ] {
            assert!(paths.contains_key(&format!("/api/v1{path}")), "{path}");
        }
        for (path, item) in paths {
            for (method, operation) in item.as_object().unwrap() {
                let real = path.replace("{id}", "x").replace("{position}", "1:0:0");
                let answer = at.send(&method.to_uppercase(), &real, "", None).await;
                assert!(
                    answer.status != 404 && answer.status != 405,
                    "{method} {real}: {}",
                    answer.text
                );
                assert!(
                    operation["responses"]["401"].is_object() && operation["summary"].is_string(),
                    "{method} {path}"
                );
            }
        }
        // Every reference leads somewhere.
        let text = document.to_string();
        for reference in text.split("#/components/schemas/").skip(1) {
            let name = reference.split('"').next().unwrap();
            assert!(
                document["components"]["schemas"][name].is_object(),
                "{name}"
            );
        }
        assert_eq!(
            document["components"]["securitySchemes"]["bearer"]["scheme"],
            "bearer"
        );
        // Every field is described, here or by what it refers to.
        for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
            for (field, schema) in schema["properties"].as_object().into_iter().flatten() {
                let text = schema.to_string();
                assert!(
                    text.contains("\"description\"") || text.contains("\"$ref\""),
                    "{name}.{field}"
                );
            }
        }
        let purchase = &document["components"]["schemas"]["PurchaseEvent"];
        assert!(purchase["properties"]["amount"]["description"].is_string());
        let row = &document["components"]["schemas"]["SalesRow"];
        assert!(
            !row.to_string().contains("\"figures\""),
            "rows are flat: {row}"
        );
    });
}

#[test]
fn wrong_methods_paths_and_bodies_have_one_shape() {
    run(async {
        let tenant = Tenant::new("shapes").await;
        let at = &tenant.at;
        let problem = |status: u16, kind: &str, answer: &crate::harness::Answer| {
            assert_eq!(answer.status.as_u16(), status, "{}", answer.text);
            assert_eq!(answer.headers["content-type"], "application/problem+json");
            assert_eq!(answer.body["type"], format!("/problems/{kind}"));
            assert_eq!(answer.body["status"], status);
        };
        let answer = at
            .send("DELETE", "/api/v1/customers", &tenant.token, None)
            .await;
        problem(405, "method-not-allowed", &answer);
        assert!(answer.headers["allow"].to_str().unwrap().contains("GET"));
        problem(
            404,
            "not-found",
            &at.send("GET", "/api/v1/nothing", &tenant.token, None).await,
        );
        problem(
            401,
            "unauthorized",
            &at.send("GET", "/api/v1/customers", "", None).await,
        );
        let post = |kind: Option<&str>, coding: Option<&str>, body: String| {
            let mut request = Request::post("/api/v1/auth/login");
            if let Some(kind) = kind {
                request = request.header("content-type", kind);
            }
            if let Some(coding) = coding {
                request = request.header("content-encoding", coding);
            }
            let request = request.body(Body::from(body)).unwrap();
            async move { at.request(request).await }
        };
        let body = json!({"email": "a@example.org", "password": "x"}).to_string();
        problem(
            415,
            "unsupported-media-type",
            &post(None, None, body.clone()).await,
        );
        problem(
            415,
            "unsupported-media-type",
            &post(Some("text/plain"), None, body.clone()).await,
        );
        problem(
            415,
            "unsupported-media-type",
            &post(Some("application/json"), Some("gzip"), body.clone()).await,
        );
        problem(
            413,
            "too-large",
            &post(
                Some("application/json"),
                None,
                format!("\"{}\"", "x".repeat(2 << 20)),
            )
            .await,
        );
        let broken = post(
            Some("application/json"),
            None,
            "{\"email\": \"a\",\n }".to_owned(),
        )
        .await;
        problem(400, "bad-request", &broken);
        assert!(broken.body["detail"].as_str().unwrap().contains("line 2"));
        problem(
            400,
            "bad-request",
            &post(Some("application/json"), None, String::new()).await,
        );
        problem(
            401,
            "unauthorized",
            &post(Some("application/json; charset=utf-8"), None, body).await,
        );
        let answer = tenant.answer("/health?verbose=1").await;
        problem(400, "bad-request", &answer);
        assert_eq!(answer.body["field"], Value::from("verbose"));
        assert_eq!(tenant.answer("/customers").await.status, 200);
    });
}
