//! Bad input: each case costs only itself, is named by field and code, and leaves the server as it was.

mod cases;

use std::io::Write;

use cases::{amounts, ids, json_rules, kinds, nested, purchases, times};
use schemas::event::MAX_EVENT_BYTES;
use serde_json::{Value, json};
use tests::{Caller, TestApp, resident_bytes};

/// What is not JSON: alone in a line of NDJSON, and the end of everything in an array.
fn malformed() -> Vec<Vec<u8>> {
    let mut cases: Vec<Vec<u8>> = [
        "{",
        "not json",
        r#"{"type":"user","customer_id":"c"}}"#,
        r#"{"type":"user","customer_id":"c"}{"type":"user","customer_id":"d"}"#,
        r#"{"type":"user","customer_id":"c",}"#,
        r#"{"type":"user","customer_id":"c"#,
        r#"{'type':'user','customer_id':'c'}"#,
        r#"{"type":"user","customer_id":"c","x":01}"#,
        r#"{"type":"user","customer_id":"c","x":"\x"}"#,
        r#"{"type":"user","customer_id":"c","x":tru}"#,
        "{\"type\":\"user\",\"customer_id\":\"a\u{0}b\"}",
    ]
    .into_iter()
    .map(|text| text.as_bytes().to_vec())
    .collect();
    cases.push(b"{\"type\":\"user\",\"customer_id\":\"\xff\xfe\"}".to_vec());
    cases.push("[".repeat(500_000).into_bytes());
    cases
}

fn good(event_id: &str) -> String {
    format!(r#"{{"type":"activity","event_id":"{event_id}","customer_id":"c","name":"login"}}"#)
}

fn shown(event: &str) -> String {
    event.chars().take(200).collect()
}

#[track_caller]
fn one_refused(body: &Value, event: &str, field: &str, code: &str) {
    let shown = shown(event);
    assert_eq!(
        (body["accepted"].as_u64(), body["rejected"].as_u64()),
        (Some(2), Some(1)),
        "{shown}: {body}"
    );
    let results = body["results"].as_array().unwrap();
    assert_eq!(results[0]["status"], "accepted", "{shown}");
    assert_eq!(results[2]["status"], "accepted", "{shown}");
    let error = &results[1]["error"];
    assert_eq!(
        (&error["field"], &error["code"]),
        (&json!(field), &json!(code)),
        "{shown}: {error}"
    );
    assert!(
        error["detail"]
            .as_str()
            .is_some_and(|detail| detail.len() > 8),
        "{shown}"
    );
}

async fn start() -> (TestApp, Caller) {
    let app = TestApp::start().await;
    let acme = app.register("acme").await;
    let key = acme.key(&["ingest", "read"]).await;
    (app, key)
}

#[tokio::test]
async fn a_bad_event_costs_only_itself() {
    let (app, key) = start().await;
    let cases = [
        ids(),
        amounts(),
        purchases(),
        times(),
        kinds(),
        json_rules(),
    ]
    .concat();
    assert!(cases.len() > 100);
    let mut taken = 0;
    for (number, (event, field, code)) in cases.iter().enumerate() {
        let neighbours = |form: &str| {
            (
                good(&format!("{form}-{number}-0")),
                good(&format!("{form}-{number}-2")),
            )
        };
        let (before, after) = neighbours("lines");
        let answer = key
            .ingest_lines(format!("{before}\n{event}\n{after}\n"))
            .await;
        one_refused(&answer.expect(202), event, field, code);
        let (before, after) = neighbours("array");
        let answer = key
            .ingest("/ingest/batch", format!("[{before},{event},{after}]"))
            .await;
        one_refused(&answer.expect(202), event, field, code);
        taken += 4;
    }
    for (number, line) in malformed().iter().enumerate() {
        let (before, after) = (
            good(&format!("m-{number}-0")),
            good(&format!("m-{number}-2")),
        );
        let body = [before.as_bytes(), line, after.as_bytes()].join(&b'\n');
        let answer = key.ingest_lines(body).await;
        one_refused(
            &answer.expect(202),
            &String::from_utf8_lossy(line),
            "",
            "malformed",
        );
        taken += 2;
    }
    // What is just allowed is taken.
    let most = "x".repeat(256);
    for (path, event) in [
        (
            "/ingest/purchases",
            r#"{"customer_id":"c","amount":"999999999999999.999999"}"#.to_owned(),
        ),
        (
            "/ingest/purchases",
            r#"{"customer_id":"c","amount":-0.000001,"items":[]}"#.to_owned(),
        ),
        (
            "/ingest/purchases",
            r#"{"customer_id":"c","amount":0,"occurred_at":"1900-01-01T00:00:00Z"}"#.to_owned(),
        ),
        (
            "/ingest/activities",
            format!(r#"{{"customer_id":"{most}","name":"login"}}"#),
        ),
        ("/ingest/batch", format!("[{}]", nested(64))),
        (
            "/ingest/users",
            r#"{"customer_id":"c","name":"\ud83d\ude00","x":1e400}"#.to_owned(),
        ),
        (
            "/ingest/users",
            format!(
                r#"{{"customer_id":"c","x":"{}"}}"#,
                "y".repeat(MAX_EVENT_BYTES - 100)
            ),
        ),
    ] {
        let answer = key.ingest(path, event.as_str()).await;
        assert_eq!(answer.status, 202, "{}: {}", shown(&event), answer.json);
        taken += 1;
    }
    let soon = (chrono::Utc::now() + chrono::Duration::hours(23)).to_rfc3339();
    let event = json!({"customer_id": "c", "amount": 1, "occurred_at": soon}).to_string();
    key.ingest("/ingest/purchases", event).await.expect(202);
    taken += 1;

    let settled = app.wait_settled().await;
    assert_eq!(
        settled["totals"]["events"].as_u64(),
        Some(taken),
        "nothing else of the batches was lost"
    );
    assert_eq!(
        settled["totals"]["rejections"], 0,
        "nothing bad has reached the log"
    );
}

#[tokio::test]
async fn one_bad_event_alone_is_a_problem() {
    let (_app, key) = start().await;
    for (event, field, code) in purchases().into_iter().chain(amounts()) {
        let problem = key
            .ingest("/ingest/purchases", event.as_str())
            .await
            .problem(400, "bad-request");
        assert_eq!(
            (&problem["accepted"], &problem["rejected"]),
            (&json!(0), &json!(1))
        );
        let error = &problem["results"][0]["error"];
        assert_eq!(
            (&error["field"], &error["code"]),
            (&json!(field), &json!(code)),
            "{}",
            shown(&event)
        );
    }
}

#[tokio::test]
async fn a_body_that_is_not_json_is_refused_whole() {
    let (app, key) = start().await;
    let item = good("in-a-bad-body");
    for (number, bad) in malformed().iter().enumerate() {
        let body = [b"[", item.as_bytes(), b",", bad.as_slice(), b"]"].concat();
        let problem = key
            .ingest("/ingest/batch", body)
            .await
            .problem(400, "bad-request");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains("byte "), "case {number}: {detail}");
        if std::str::from_utf8(bad).is_ok() {
            assert!(detail.contains("item "), "case {number}: {detail}");
        }
        assert!(problem.get("results").is_none());
        key.ingest("/ingest/activities", bad.as_slice())
            .await
            .problem(400, "bad-request");
    }
    let cut = format!("[{item},{{\"type\":\"user\",\"customer_id\":}}]");
    let problem = key
        .ingest("/ingest/batch", cut.as_str())
        .await
        .problem(400, "bad-request");
    let detail = problem["detail"].as_str().unwrap();
    assert!(
        detail.contains("item 1") && detail.contains(&format!("byte {}", cut.len() - 2)),
        "{detail}"
    );

    for body in [
        "",
        " ",
        "\n\n",
        "[]",
        r#"{"events":[]}"#,
        "{}",
        r#"{"events":5}"#,
        r#"{"batch":[]}"#,
        "5",
        "null",
        r#""x""#,
        "[",
        "[]]",
        r#"{"events":[],"more":1}"#,
    ] {
        key.ingest("/ingest/batch", body)
            .await
            .problem(400, "bad-request");
    }
    for body in ["", "\n", "  \r\n\n"] {
        key.ingest_lines(body).await.problem(400, "bad-request");
        key.ingest("/ingest/users", body)
            .await
            .problem(400, "bad-request");
    }
    key.ingest("/ingest/users", format!("{item} {item}"))
        .await
        .problem(400, "bad-request");
    key.ingest("/ingest/users", format!("[{item}]"))
        .await
        .problem(400, "bad-request");
    for coding in ["gzip", "zstd"] {
        let plain = key
            .send_as(
                "/ingest/batch",
                "application/json",
                Some(coding),
                format!("[{item}]"),
            )
            .await;
        plain.problem(400, "bad-request");
    }
    let mut cut = zstd::encode_all(format!("[{item}]").as_bytes(), 3).unwrap();
    cut.truncate(cut.len() - 4);
    let cut = key
        .send_as("/ingest/batch", "application/json", Some("zstd"), cut)
        .await;
    cut.problem(400, "bad-request");

    let settled = app.wait_settled().await;
    assert_eq!(
        settled["totals"]["events"], 0,
        "nothing of a refused body is taken"
    );
}

/// Inflates to so many megabytes of white space, in members or frames of ten.
fn bomb(coding: &str, megabytes: usize) -> Vec<u8> {
    let piece = vec![b' '; 10_000_000];
    let packed = match coding {
        "gzip" => {
            let mut encoder =
                flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            encoder.write_all(&piece).unwrap();
            encoder.finish().unwrap()
        }
        _ => zstd::encode_all(&piece[..], 3).unwrap(),
    };
    packed.repeat(megabytes / 10)
}

#[tokio::test]
async fn size_is_bounded_and_memory_stays_flat() {
    let (app, key) = start().await;
    let batch = |from: usize, events: usize| -> String {
        (from..from + events)
            .map(|n| good(&format!("e-{n}")) + "\n")
            .collect()
    };
    let all = key.ingest_lines(batch(0, 10_000)).await.expect(202);
    assert_eq!(all["accepted"], 10_000);
    key.ingest_lines(batch(10_000, 10_001))
        .await
        .problem(413, "too-large");
    let array = format!("[{}]", batch(10_000, 10_001).trim_end().replace('\n', ","));
    key.ingest("/ingest/batch", array)
        .await
        .problem(413, "too-large");

    // Warm before it is measured: buffers and caches are filled once.
    let bombs = [("gzip", bomb("gzip", 1000)), ("zstd", bomb("zstd", 1000))];
    let flood = async |rounds: usize| {
        for _ in 0..rounds {
            for (coding, body) in &bombs {
                assert!(body.len() < 2_000_000);
                let answer = key
                    .send_as(
                        "/ingest/batch",
                        "application/json",
                        Some(coding),
                        body.as_slice(),
                    )
                    .await;
                answer.problem(413, "too-large");
            }
            let large = key.ingest("/ingest/batch", vec![b' '; 20_000_001]).await;
            large.problem(413, "too-large");
            let text = format!(
                r#"{{"customer_id":"c","name":"{}"}}"#,
                "y".repeat(10_000_000)
            );
            let one = key
                .ingest("/ingest/users", text)
                .await
                .problem(400, "bad-request");
            assert_eq!(one["results"][0]["error"]["code"], "too_large");
            key.ingest_lines("[".repeat(19_000_000))
                .await
                .problem(400, "bad-request");
        }
    };
    flood(2).await;
    app.wait_settled().await;
    let before = resident_bytes(app.pid());
    flood(8).await;
    let after = resident_bytes(app.pid());
    assert!(
        after < before + 150_000_000,
        "memory grew from {before} to {after} bytes over refused bodies"
    );

    // Several at once are either refused for their size or told to come again.
    let many: Vec<_> = (0..24)
        .map(|_| {
            key.send_as(
                "/ingest/batch",
                "application/json",
                Some("gzip"),
                bombs[0].1.as_slice(),
            )
        })
        .collect();
    for answer in futures::future::join_all(many).await {
        match answer.status {
            503 => answer.problem(503, "unavailable"),
            _ => answer.problem(413, "too-large"),
        };
    }
    let settled = app.wait_settled().await;
    assert_eq!(settled["totals"]["events"], 10_000);
    key.ingest("/ingest/activities", good("after"))
        .await
        .expect(202);
    assert_eq!(app.wait_settled().await["totals"]["events"], 10_001);
    assert!(resident_bytes(app.pid()) < 2_000_000_000);
}
