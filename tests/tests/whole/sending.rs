//! Every way to send events, and the shape of the verdicts.

use std::io::Write;

use serde_json::{Value, json};
use tests::{Answer, Caller, TestApp};

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

fn zstd(data: &[u8]) -> Vec<u8> {
    zstd::encode_all(data, 3).unwrap()
}

/// `type`, id and customer of an event that only has to be taken.
fn activity(event_id: &str) -> Value {
    json!({"type": "activity", "event_id": event_id, "customer_id": "c-1", "name": "login"})
}

fn lines(events: &[Value]) -> String {
    events.iter().map(|event| format!("{event}\n")).collect()
}

/// Checks that everything was taken, and each verdict's shape. Returns the ids.
#[track_caller]
fn all_taken(answer: Answer, events: usize) -> Vec<String> {
    let body = answer.expect(202);
    assert_eq!(
        (body["accepted"].as_u64(), body["rejected"].as_u64()),
        (Some(events as u64), Some(0))
    );
    let results = body["results"].as_array().unwrap();
    assert_eq!(results.len(), events);
    results
        .iter()
        .enumerate()
        .map(|(index, result)| {
            assert_eq!(result["index"], index);
            assert_eq!(result["status"], "accepted");
            assert!(result.get("error").is_none(), "{result}");
            let position = result["position"].as_str().unwrap();
            let parts: Vec<u64> = position
                .split(':')
                .map(|part| part.parse().unwrap())
                .collect();
            assert_eq!(parts.len(), 3, "{position} is generation:partition:offset");
            result["event_id"].as_str().unwrap().to_owned()
        })
        .collect()
}

async fn start() -> (TestApp, Caller) {
    let app = TestApp::start().await;
    let acme = app.register("acme").await;
    let key = acme.key(&["ingest", "read"]).await;
    (app, key)
}

#[tokio::test]
async fn one_event_goes_to_the_path_of_its_kind() {
    let (app, key) = start().await;
    let answer = key.ingest(
        "/ingest/users",
        r#"{"event_id":"u","customer_id":"c","name":"Ada"}"#,
    );
    assert_eq!(all_taken(answer.await, 1), ["u"]);
    let answer = key.ingest(
        "/ingest/purchases",
        r#"{"event_id":"p","customer_id":"c","amount":12.50}"#,
    );
    assert_eq!(all_taken(answer.await, 1), ["p"]);
    let answer = key.ingest(
        "/ingest/activities",
        r#"{"event_id":"a","customer_id":"c","name":"login"}"#,
    );
    assert_eq!(all_taken(answer.await, 1), ["a"]);
    let answer = key.ingest(
        "/ingest/interactions",
        r#"{"event_id":"i","customer_id":"c","channel":"phone","kind":"support"}"#,
    );
    assert_eq!(all_taken(answer.await, 1), ["i"]);
    // Its own type may be said, and no charset but UTF-8.
    let answer = key.send_as(
        "/ingest/users",
        "application/json; charset=utf-8",
        None,
        r#"{"type":"user","event_id":"v","customer_id":"d"}"#,
    );
    assert_eq!(all_taken(answer.await, 1), ["v"]);

    app.wait_settled().await;
    let rows = key
        .sql("SELECT event_id, kind FROM events ORDER BY event_id")
        .await;
    let expected = json!([
        ["a", "activity"],
        ["i", "interaction"],
        ["p", "purchase"],
        ["u", "user"],
        ["v", "user"]
    ]);
    assert_eq!(json!(rows), expected);
}

#[tokio::test]
async fn many_events_go_in_one_request_in_every_form() {
    let (app, key) = start().await;
    let mut sent = Vec::new();
    let mut some = |form: &str| -> Vec<Value> {
        let events: Vec<Value> = (0..3).map(|n| activity(&format!("{form}-{n}"))).collect();
        sent.extend(
            events
                .iter()
                .map(|event| event["event_id"].as_str().unwrap().to_owned()),
        );
        events
    };

    let events = some("array");
    let ids = all_taken(
        key.ingest("/ingest/batch", json!(events).to_string()).await,
        3,
    );
    assert_eq!(ids, ["array-0", "array-1", "array-2"]);

    let events = some("wrapped");
    all_taken(
        key.ingest("/ingest/batch", json!({"events": events}).to_string())
            .await,
        3,
    );

    let events = some("lines");
    all_taken(key.ingest_lines(lines(&events)).await, 3);

    // Blank lines are skipped and not counted; a last line needs no end; CRLF is white space.
    let events = some("blank");
    let body = format!("\n\r\n{}\r\n   \n{}\n\n{}", events[0], events[1], events[2]);
    assert_eq!(
        all_taken(key.ingest_lines(body).await, 3),
        ["blank-0", "blank-1", "blank-2"]
    );

    let (json_type, lines_type) = ("application/json", "application/x-ndjson");
    let events = some("gzip");
    let body = gzip(json!(events).to_string().as_bytes());
    all_taken(
        key.send_as("/ingest/batch", json_type, Some("gzip"), body)
            .await,
        3,
    );

    let events = some("zstd");
    let body = zstd(lines(&events).as_bytes());
    all_taken(
        key.send_as("/ingest/batch", lines_type, Some("zstd"), body)
            .await,
        3,
    );

    // Each event a member or frame of its own.
    let events = some("members");
    let body: Vec<u8> = events
        .iter()
        .flat_map(|event| gzip(format!("{event}\n").as_bytes()))
        .collect();
    all_taken(
        key.send_as("/ingest/batch", lines_type, Some("gzip"), body)
            .await,
        3,
    );
    let events = some("frames");
    let body: Vec<u8> = events
        .iter()
        .flat_map(|event| zstd(format!("{event}\n").as_bytes()))
        .collect();
    all_taken(
        key.send_as("/ingest/batch", lines_type, Some("zstd"), body)
            .await,
        3,
    );

    let body = gzip(br#"{"event_id":"one-gzip","customer_id":"c"}"#);
    sent.push("one-gzip".into());
    all_taken(
        key.send_as("/ingest/users", json_type, Some("gzip"), body)
            .await,
        1,
    );

    app.wait_settled().await;
    sent.sort();
    let rows = key
        .sql("SELECT event_id FROM events ORDER BY event_id")
        .await;
    let found: Vec<String> = rows
        .into_iter()
        .map(|row| row[0].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(found, sent, "every event is there once");
}

#[tokio::test]
async fn verdicts_are_by_event_and_can_be_shortened() {
    let (_app, key) = start().await;
    let events = json!([
        activity("good"),
        {"type": "purchase", "event_id": "bad", "customer_id": "c", "amount": "much"},
        {"type": "activity", "customer_id": "c", "name": "no id"},
        {"type": "purchase", "customer_id": "c"},
    ]);
    let body = key
        .ingest("/ingest/batch", events.to_string())
        .await
        .expect(202);
    assert_eq!(
        (body["accepted"].as_u64(), body["rejected"].as_u64()),
        (Some(2), Some(2))
    );
    let results = body["results"].as_array().unwrap();
    assert_eq!(results.len(), 4);
    assert_eq!(results[0]["event_id"], "good");
    assert_eq!(
        results[1]["event_id"], "bad",
        "its sender knows it by its id"
    );
    assert_eq!(results[1]["status"], "rejected");
    assert!(results[1].get("position").is_none());
    assert_eq!(results[1]["error"]["field"], "amount");
    assert_eq!(results[1]["error"]["code"], "invalid_format");
    assert!(
        results[1]["error"]["detail"]
            .as_str()
            .is_some_and(|detail| !detail.is_empty())
    );
    let made = results[2]["event_id"].as_str().unwrap();
    assert!(!made.is_empty() && made.len() <= 128);
    assert_eq!(results[3]["error"]["field"], "amount");
    assert_eq!(results[3]["error"]["code"], "required");

    let path = "/ingest/batch?verdicts=rejected";
    let body = key.ingest(path, events.to_string()).await.expect(202);
    assert_eq!(
        (body["accepted"].as_u64(), body["rejected"].as_u64()),
        (Some(2), Some(2))
    );
    let results = body["results"].as_array().unwrap();
    let listed: Vec<u64> = results
        .iter()
        .map(|result| result["index"].as_u64().unwrap())
        .collect();
    assert_eq!(
        listed,
        [1, 2, 3],
        "the rejected, and the one whose id the server made"
    );
    assert_ne!(
        results[1]["event_id"], made,
        "another sending without an id is another event"
    );

    let none = json!([events[1], events[3]]).to_string();
    let problem = key
        .ingest("/ingest/batch", none)
        .await
        .problem(400, "bad-request");
    assert_eq!(
        (problem["accepted"].as_u64(), problem["rejected"].as_u64()),
        (Some(0), Some(2))
    );
    assert_eq!(problem["results"][0]["error"]["field"], "amount");
    assert_eq!(problem["results"][1]["index"], 1);
    let one = key.ingest("/ingest/purchases", events[1].to_string()).await;
    let problem = one.problem(400, "bad-request");
    assert_eq!(problem["results"][0]["error"]["code"], "invalid_format");
}

#[tokio::test]
async fn fields_are_kept_as_stated() {
    let (app, key) = start().await;
    let event = r#"{"event_id":"e/1 ü","customer_id":" c/1 ","amount":"1.000001","currency":"EUR","order_id":"o",
        "occurred_at":"2026-03-01T12:30:00.1234569+02:00","shop":"north","till":3.10,
        "attributes":{"till":"seven","note":null}}"#;
    key.ingest("/ingest/purchases", event).await.expect(202);
    let millis = r#"{"event_id":"e2","customer_id":"c2","amount":5,"occurred_at":1772361000123}"#;
    key.ingest("/ingest/purchases", millis).await.expect(202);
    app.wait_settled().await;

    let rows = key
        .sql(
            "SELECT event_id, customer_id, amount, currency, order_id, occurred_at, attributes FROM events \
             ORDER BY customer_id",
        )
        .await;
    assert_eq!(rows.len(), 2);
    assert_eq!(
        rows[0][..2],
        [json!("e/1 ü"), json!(" c/1 ")],
        "ids are neither trimmed nor changed"
    );
    assert_eq!(tests::micros(rows[0][2].as_str().unwrap()), 1_000_001);
    assert_eq!((&rows[0][3], &rows[0][4]), (&json!("EUR"), &json!("o")));
    let time = chrono::DateTime::parse_from_rfc3339(rows[0][5].as_str().unwrap()).unwrap();
    assert_eq!(
        time.timestamp_micros(),
        1_772_361_000_123_456,
        "cut to the microsecond"
    );
    let attributes: Value = serde_json::from_str(rows[0][6].as_str().unwrap()).unwrap();
    assert_eq!(attributes["shop"], "north");
    assert_eq!(
        attributes["till"], "seven",
        "what attributes says itself wins"
    );
    assert_eq!(attributes.get("note"), Some(&Value::Null));
    assert_eq!((&rows[1][3], &rows[1][4]), (&json!("USD"), &Value::Null));
    let time = chrono::DateTime::parse_from_rfc3339(rows[1][5].as_str().unwrap()).unwrap();
    assert_eq!(time.timestamp_micros(), 1_772_361_000_123_000);

    let path = format!("/customers/{}/summary", tests::encoded(" c/1 "));
    assert_eq!(
        key.get(&path).await.expect(200)["profile"]["customer_id"],
        " c/1 "
    );
    let path = format!("/ingest/events/{}", tests::encoded("e/1 ü"));
    assert_eq!(
        key.get(&path).await.expect(200)["receipts"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

#[tokio::test]
async fn a_user_sent_again_updates_what_it_names() {
    let (app, key) = start().await;
    for (event_id, fields) in [
        (
            "1",
            r#""name":"Ada","email":"ada@example.com","phone":"1","customer_type":"individual","tags":["a"]"#,
        ),
        (
            "2",
            r#""name":"Ada L.","phone":null,"occurred_at":"2001-01-01T00:00:00Z""#,
        ),
        (
            "3",
            r#""company_name":"Engines","customer_type":"business""#,
        ),
    ] {
        let event = format!(r#"{{"event_id":"{event_id}","customer_id":"c",{fields}}}"#);
        key.ingest("/ingest/users", event).await.expect(202);
    }
    app.wait_settled().await;
    let profile = key.get("/customers/c/summary").await.expect(200)["profile"].take();
    assert_eq!(
        profile["name"], "Ada L.",
        "the later in the log wins, whenever it happened"
    );
    assert_eq!(profile["email"], "ada@example.com");
    assert_eq!(profile["phone"], Value::Null);
    assert_eq!(profile["company_name"], "Engines");
    assert_eq!(profile["customer_type"], "business");
    let id = profile["id"].as_str().unwrap();
    assert!(id.starts_with("cus_"));
    let same = key
        .get(&format!("/customers/{id}/summary"))
        .await
        .expect(200);
    assert_eq!(
        same["profile"]["customer_id"], "c",
        "the internal id finds it too"
    );
}
