//! The form of answers: problem details, `as_of`, paths with and without prefix and slash.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use tests::{Caller, TestApp};

async fn start() -> (TestApp, Caller) {
    let app = TestApp::start().await;
    let acme = app.register("acme").await;
    (app, acme.owner)
}

#[tokio::test]
async fn every_refusal_is_problem_details() {
    let (app, owner) = start().await;
    let key = owner.clone();
    owner.get("/nothing/here").await.problem(404, "not-found");
    owner.get("/ingest").await.problem(404, "not-found");
    owner
        .get("/customers/nobody")
        .await
        .problem(404, "not-found");
    owner
        .get("/customers/nobody/summary")
        .await
        .problem(404, "not-found");
    owner
        .get("/customers/nobody/recommendations")
        .await
        .problem(404, "not-found");
    owner
        .get("/ingest/events/nothing")
        .await
        .problem(404, "not-found");
    let outside = app.nobody().at(Method::GET, "/elsewhere");
    app.nobody().send(outside).await.problem(404, "not-found");
    // A path that is no text.
    for path in [
        "/customers/%ff",
        "/customers/%ff/summary",
        "/ingest/events/%ff",
    ] {
        owner.get(path).await.problem(400, "bad-request");
    }

    for (method, path) in [
        (Method::GET, "/ingest/users"),
        (Method::GET, "/ingest/batch"),
        (Method::PUT, "/ingest/purchases"),
        (Method::POST, "/ingest/events/e-1"),
        (Method::POST, "/connection"),
        (Method::DELETE, "/customers"),
        (Method::POST, "/reports/sales"),
        (Method::GET, "/sql"),
        (Method::GET, "/auth/register"),
        (Method::POST, "/admin/reconciliation"),
        (Method::POST, "/health"),
    ] {
        let answer = owner.send(owner.request(method.clone(), path)).await;
        assert!(
            answer.headers.contains_key("allow"),
            "{method} {path}: Allow names what is allowed"
        );
        answer.problem(405, "method-not-allowed");
    }

    let event = r#"{"customer_id":"c"}"#;
    for content_type in [
        "text/plain",
        "application/xml",
        "application/x-www-form-urlencoded",
        "nonsense",
    ] {
        let answer = key
            .send_as("/ingest/users", content_type, None, event)
            .await;
        answer.problem(415, "unsupported-media-type");
    }
    let answer = key
        .send_as("/ingest/users", "application/x-ndjson", None, event)
        .await;
    answer.problem(415, "unsupported-media-type");
    for coding in ["br", "deflate", "gzip, zstd"] {
        let answer = key
            .send_as("/ingest/users", "application/json", Some(coding), event)
            .await;
        answer.problem(415, "unsupported-media-type");
    }
    let answer = owner
        .send_as("/sql", "text/plain", None, r#"{"sql":"SELECT 1"}"#)
        .await;
    answer.problem(415, "unsupported-media-type");

    for (path, named) in [
        ("/customers?colour=red", "colour"),
        ("/customers/c/summary?x=1", "x"),
        ("/reports/sales?perod=day", "perod"),
        ("/reports/sales?period=year", "period"),
        ("/reports/sales?group_by=colour", "group_by"),
        ("/reports/sales?tz=Mars%2FOlympus", "tz"),
        ("/reports/sales?currency=usd", "currency"),
        ("/reports/sales?from=yesterday", "from"),
        ("/forecasts?horizon=0", "horizon"),
        ("/forecasts?measure=weather", "measure"),
        ("/recommendations?x=1", "x"),
        ("/ingest/events/e?x=1", "x"),
        ("/connection?x=1", "x"),
        ("/ready?x=1", "x"),
        ("/admin/reconciliation?x=1", "x"),
    ] {
        let problem = owner.get(path).await.problem(400, "bad-request");
        assert_eq!(problem["field"], named, "{path}");
        assert!(
            problem["detail"].as_str().unwrap().contains(named),
            "{path} names it"
        );
    }
    let problem = key
        .ingest("/ingest/users?sync=1", event)
        .await
        .problem(400, "bad-request");
    assert_eq!(problem["field"], "sync");
    key.ingest("/ingest/users?verdicts=some", event)
        .await
        .problem(400, "bad-request");

    let long = "x".repeat(64 * 1024);
    let headers = owner
        .request(Method::GET, "/connection")
        .header("x-long", long.clone());
    owner.send(headers).await.problem(431, "headers-too-large");
    let many = (0..40).fold(owner.request(Method::GET, "/connection"), |request, n| {
        request.header(format!("x-{n}"), "y".repeat(1500))
    });
    owner.send(many).await.problem(431, "headers-too-large");
    owner.get("/connection").await.expect(200);
}

#[tokio::test]
async fn queries_are_one_select_or_refused() {
    let (app, owner) = start().await;
    let event = json!({"event_id": "e", "customer_id": "c", "amount": "12.345678"});
    owner
        .ingest("/ingest/purchases", event.to_string())
        .await
        .expect(202);
    app.wait_settled().await;
    for sql in [
        "",
        "SELEC 1",
        "SELECT 1; SELECT 2",
        "INSERT INTO events VALUES (1)",
        "DROP TABLE events",
        "CREATE TABLE x AS SELECT 1",
        "CREATE EXTERNAL TABLE x STORED AS CSV LOCATION '/etc/passwd'",
        "COPY events TO '/tmp/x.csv'",
        "SET datafusion.execution.batch_size = 1",
        "SELECT nothing FROM events",
        "SELECT * FROM nowhere",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM information_schema.tables; DROP TABLE events",
    ] {
        let problem = owner
            .post("/sql", &json!({"sql": sql}))
            .await
            .problem(400, "bad-request");
        assert_eq!(problem["field"], "sql", "{sql}");
    }
    owner
        .post("/sql", &json!({}))
        .await
        .problem(400, "bad-request");
    owner
        .post("/sql", &json!({"sql": "SELECT 1", "limit": 0}))
        .await
        .problem(400, "bad-request");
    owner
        .post("/sql", &json!({"sql": "SELECT 1", "x": 1}))
        .await
        .problem(400, "bad-request");
    owner.ingest("/sql", "{").await.problem(400, "bad-request");

    let sql = "SELECT event_id, amount, \"offset\" >= 0 AS there FROM events";
    let answer = owner.post("/sql", &json!({"sql": sql})).await.expect(200);
    assert_eq!(
        answer["columns"],
        json!([
            {"name": "event_id", "type": "text"},
            {"name": "amount", "type": "decimal"},
            {"name": "there", "type": "boolean"}
        ])
    );
    assert_eq!(answer["rows"], json!([["e", "12.345678", true]]));
    let one = json!({"sql": "SELECT 1 UNION ALL SELECT 1", "limit": 1});
    assert_eq!(
        owner.post("/sql", &one).await.expect(200)["rows"],
        json!([[1]])
    );
}

/// A request with bytes that an HTTP library would not send.
async fn raw(app: &TestApp, request: &str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let nobody = app.nobody();
    let address = nobody.address();
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut answer)).await;
    let _ = read.expect("the connection is answered or closed");
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn what_is_hardly_http_does_no_harm() {
    let (app, owner) = start().await;
    let answer = raw(&app, "NONSENSE\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    // Many headers are no offence, and too many are said to be.
    for (lines, status) in [(150, 200), (1100, 431)] {
        let headers: String = (0..lines).map(|line| format!("x-{line}: y\r\n")).collect();
        let request =
            format!("GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}\r\n");
        let answer = raw(&app, &request).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{lines}: {answer}"
        );
    }
    let announced = "POST /api/v1/ingest/users HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 99999999999\r\n\r\n{}";
    let answer = raw(&app, announced).await;
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    owner.get("/connection").await.expect(200);
}

fn as_of(answer: &Value) -> u64 {
    let as_of = &answer["as_of"];
    chrono::DateTime::parse_from_rfc3339(as_of["time"].as_str().unwrap()).unwrap();
    let positions = as_of["positions"].as_object().unwrap();
    positions
        .iter()
        .map(|(partition, next)| {
            let parts: Vec<u64> = partition
                .split(':')
                .map(|part| part.parse().unwrap())
                .collect();
            assert_eq!(parts.len(), 2, "{partition} is generation:partition");
            next.as_u64().unwrap()
        })
        .sum()
}

/// What is answered, with what it is computed from: `/health` leaves that out where it would have to wait for it.
async fn with_as_of(owner: &Caller, path: &str) -> Value {
    let started = Instant::now();
    loop {
        let answer = owner.get(path).await.expect(200);
        if path != "/health" || answer["as_of"].is_object() {
            return answer;
        }
        assert!(
            started.elapsed() < Duration::from_secs(30),
            "{path} never says what it is computed from"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn answers_say_what_they_are_computed_from() {
    let (app, owner) = start().await;
    for day in 1..=28 {
        for month in 1..=3 {
            let event = json!({"event_id": format!("{month}-{day}"), "customer_id": "c", "amount": 100 + day,
                "product": "tea", "occurred_at": format!("2026-{month:02}-{day:02}T10:00:00Z")});
            owner
                .ingest("/ingest/purchases", event.to_string())
                .await
                .expect(202);
        }
    }
    let settled = app.wait_settled().await;
    let applied = settled["totals"]["applied"].as_u64().unwrap();
    for path in [
        "/customers",
        "/customers/c",
        "/customers/c/summary",
        "/customers/c/recommendations",
        "/recommendations",
        "/reports",
        "/reports/sales",
        "/reports/sales?period=month&group_by=product",
        "/forecasts?measure=revenue&period=day&horizon=28",
        "/admin/reconciliation",
        "/health",
        "/ready",
    ] {
        let answer = with_as_of(&owner, path).await;
        let seen = as_of(&answer);
        assert!(
            seen >= applied,
            "{path} is computed from {seen} records of {applied}"
        );
    }
    let answer = owner
        .post("/sql", &json!({"sql": "SELECT 1"}))
        .await
        .expect(200);
    assert!(as_of(&answer) >= applied);
    for path in ["/customers", "/recommendations", "/reports"] {
        let answer = owner.get(path).await.expect(200);
        assert!(answer["items"].is_array(), "{path}");
        assert!(answer.get("next_cursor").is_some(), "{path}");
    }

    let forecast = owner.get("/forecasts?horizon=28").await.expect(200);
    assert_eq!(forecast["as_of"]["last_period"], "2026-03-28");
    let rows = forecast["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 28);
    assert_eq!(rows[0]["period"], "2026-03-29");
    for row in rows {
        let of = |name: &str| {
            row[name]
                .as_f64()
                .unwrap_or_else(|| panic!("{name} of {row} is a number"))
        };
        assert!(
            of("lower_95") <= of("lower_80") && of("lower_80") <= of("value"),
            "{row}"
        );
        assert!(
            of("value") <= of("upper_80") && of("upper_80") <= of("upper_95"),
            "{row}"
        );
    }
    for name in [
        "mase",
        "wape",
        "bias",
        "coverage_80",
        "coverage_95",
        "baseline_mase",
    ] {
        assert!(
            forecast["backtest"][name].is_f64(),
            "{name}: {}",
            forecast["backtest"]
        );
    }
    assert!(forecast["model"].is_string() && forecast["baseline"].is_string());
    let none = owner.get("/forecasts?currency=EUR").await;
    none.problem(422, "unprocessable");
}

#[tokio::test]
async fn lists_are_walked_by_cursor() {
    let (app, owner) = start().await;
    let events: Vec<Value> = (0..25)
        .map(|n| json!({"type": "user", "customer_id": format!("c-{n:02}"), "name": format!("N{n}")}))
        .collect();
    owner
        .ingest("/ingest/batch", json!(events).to_string())
        .await
        .expect(202);
    app.wait_settled().await;
    let (mut found, mut pages, mut path) = (Vec::new(), 0, "/customers?limit=10".to_owned());
    loop {
        let page = owner.get(&path).await.expect(200);
        let items = page["items"].as_array().unwrap();
        found.extend(
            items
                .iter()
                .map(|item| item["customer_id"].as_str().unwrap().to_owned()),
        );
        pages += 1;
        match page["next_cursor"].as_str() {
            Some(cursor) => path = format!("/customers?limit=10&cursor={}", tests::encoded(cursor)),
            None => break,
        }
    }
    assert_eq!(pages, 3);
    let expected: Vec<String> = (0..25).map(|n| format!("c-{n:02}")).collect();
    assert_eq!(found, expected);
    owner
        .get("/customers?cursor=nonsense")
        .await
        .problem(400, "bad-request");
}

#[tokio::test]
async fn probes_and_documents_need_no_prefix_and_no_key() {
    let (app, owner) = start().await;
    let nobody = app.nobody();
    for path in ["/health", "/ready", "/metrics", "/openapi.json", "/docs"] {
        for path in [path.to_owned(), format!("/api/v1{path}")] {
            for path in [path.clone(), format!("{path}/")] {
                nobody.send(nobody.at(Method::GET, &path)).await.expect(200);
            }
        }
    }
    let metrics = nobody.send(nobody.at(Method::GET, "/metrics")).await;
    let text = String::from_utf8_lossy(&metrics.bytes).into_owned();
    assert!(text.contains("# TYPE "), "{text}");
    let document = nobody
        .send(nobody.at(Method::GET, "/openapi.json"))
        .await
        .expect(200);
    let paths: Vec<&String> = document["paths"].as_object().unwrap().keys().collect();
    for path in [
        "/ingest/users",
        "/ingest/batch",
        "/ingest/events/{event_id}",
        "/connection",
        "/auth/register",
        "/api-keys",
        "/customers",
        "/customers/{id}/summary",
        "/reports/sales",
        "/forecasts",
        "/sql",
        "/admin/reconciliation",
    ] {
        assert!(
            paths
                .iter()
                .any(|known| *known == &format!("/api/v1{path}")),
            "{path} is not described: {paths:?}"
        );
    }
    let page = nobody.send(nobody.at(Method::GET, "/docs")).await;
    assert!(
        String::from_utf8_lossy(&page.bytes)
            .to_lowercase()
            .contains("<html")
    );

    owner.get("/customers/").await.expect(200);
    owner.get("/connection/").await.expect(200);
    owner
        .ingest("/ingest/users/", r#"{"customer_id":"c"}"#)
        .await
        .expect(202);
    owner.get("/reports/sales/?period=day").await.expect(200);
}
