//! What a key may send: a rate, and a daily quota that holds whatever restarts and however many processes there are.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::{Account, Answer, Caller, TestApp};

/// How often a case is begun anew where the control database was too slow for it.
const ROUNDS: usize = 5;
/// A part of a day's quota that the database gave and that was not heard of in time is lost: a request of these tests and
/// a twentieth of a thousand.
const LOST: usize = 70;

/// So many events, the first of this number.
fn events(first: usize, count: usize) -> String {
    let line = |n: usize| {
        format!(r#"{{"type":"activity","event_id":"e-{n}","customer_id":"c","name":"login"}}"#)
    };
    (first..first + count).map(|n| line(n) + "\n").collect()
}

/// A key with a quota of its own: its id, and a caller who has it.
async fn key(account: &Account, quota: Value) -> (String, Caller) {
    let mut body = json!({"name": "limited", "scopes": ["ingest", "read"]});
    let fields = body.as_object_mut().unwrap();
    fields.extend(quota.as_object().unwrap().clone());
    let made = account.owner.post("/api-keys", &body).await.expect(201);
    let text = |name: &str| made[name].as_str().unwrap().to_owned();
    (text("id"), account.owner.with_token(text("key")))
}

async fn change(by: &Caller, path: &str, body: Value) -> Answer {
    by.send(by.request(reqwest::Method::PATCH, path).json(&body))
        .await
}

#[track_caller]
fn header(answer: &Answer, name: &str) -> String {
    let value = answer.headers.get(name);
    let value =
        value.unwrap_or_else(|| panic!("{} has no {name}: {:?}", answer.asked, answer.json));
    value.to_str().unwrap().to_owned()
}

/// The remaining quota that an answer states for a policy.
#[track_caller]
fn remaining(answer: &Answer, policy: &str) -> u64 {
    let limits = header(answer, "ratelimit");
    let start = limits.find(&format!("\"{policy}\";r=")).unwrap() + policy.len() + 5;
    let digits: String = limits[start..]
        .chars()
        .take_while(char::is_ascii_digit)
        .collect();
    digits.parse().unwrap()
}

/// A refusal over a policy, whole and with everything a client needs to wait.
#[track_caller]
fn refused(answer: Answer, policy: &str) -> Value {
    let seconds: u64 = header(&answer, "retry-after").parse().unwrap();
    assert!((1..=86_400).contains(&seconds), "{seconds}");
    header(&answer, "ratelimit-policy");
    header(&answer, "ratelimit");
    let problem = answer.problem(429, "too-many-requests");
    assert_eq!(problem["violated-policies"], json!([policy]), "{problem}");
    assert!(problem.get("results").is_none(), "refused whole");
    problem
}

/// Sends events, again where it was told to come again because the control database was slow. Also how often it was.
async fn insisting(key: &Caller, events: &str) -> (Answer, usize) {
    let begun = Instant::now();
    let mut turned_away = 0;
    loop {
        let answer = key.ingest_lines(events).await;
        if answer.status != 503 || begun.elapsed() > Duration::from_secs(60) {
            return (answer, turned_away);
        }
        turned_away += 1;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Sends events once; nothing where the control database was slow, so that nothing can be counted any more.
async fn counting(key: &Caller, events: String) -> Option<Answer> {
    let answer = key.ingest_lines(events).await;
    (answer.status != 503).then_some(answer)
}

/// Quotas begin anew at midnight: tests that count a day begin well before or after.
async fn away_from_midnight() {
    while chrono::Utc::now().timestamp().rem_euclid(86_400) > 86_400 - 120 {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

#[tokio::test]
async fn a_rate_is_held_and_every_batch_passes_some_time() {
    let app = TestApp::start().await;
    let acme = app.register("acme").await;
    let (_, key) = key(&acme, json!({"events_per_second": 1, "burst": 5})).await;
    let free = acme.key(&["ingest"]).await;

    let shown = key.get("/connection").await.expect(200);
    assert_eq!(
        shown["quota"],
        json!({"events_per_second": 1, "burst": 5, "events_per_day": 0})
    );
    // Far more than the burst: it passes because the bucket is full, and is paid for afterwards.
    let taken = key.ingest_lines(events(0, 500)).await;
    assert_eq!(
        header(&taken, "ratelimit-policy"),
        r#""rate";q=5;w=5;qu="events""#
    );
    assert_eq!(remaining(&taken, "rate"), 0);
    assert_eq!(taken.expect(202)["accepted"], 500);
    let problem = refused(key.ingest_lines(events(500, 1)).await, "rate");
    assert!(
        problem["detail"]
            .as_str()
            .unwrap()
            .contains("1 events a second")
    );
    // Refused before anything is read, whatever it is.
    refused(key.ingest("/ingest/users", "not json").await, "rate");

    let other = free.ingest_lines(events(1_000, 600)).await;
    assert!(
        other.headers.get("ratelimit").is_none(),
        "a key without limits is told of none"
    );
    other.expect(202);
    // A wider rate holds from the next look at the key on.
    let (id, wide) = self::key(&acme, json!({"events_per_second": 1, "burst": 1})).await;
    wide.ingest_lines(events(2_000, 100)).await.expect(202);
    refused(wide.ingest_lines(events(2_100, 1)).await, "rate");
    let path = format!("/api-keys/{id}");
    let changed = change(
        &acme.owner,
        &path,
        json!({"events_per_second": 0, "name": "wide"}),
    )
    .await;
    let changed = changed.expect(200);
    assert_eq!(
        (&changed["name"], &changed["events_per_second"]),
        (&json!("wide"), &json!(0))
    );
    assert_eq!(changed["burst"], 1, "what is absent stays");
    wide.ingest_lines(events(2_100, 1)).await.expect(202);

    let settled = app.wait_settled().await;
    assert_eq!(settled["totals"]["events"], 500 + 600 + 101);
    let metrics = app.nobody().at(reqwest::Method::GET, "/metrics");
    let metrics = app.nobody().send(metrics).await;
    let metrics = String::from_utf8(metrics.bytes).unwrap();
    assert!(
        metrics.contains(r#"millrace_ingest_throttled_requests_total{policy="rate"} 3"#),
        "{metrics}"
    );
}

/// A program and a key that has sent all of its hundred events, 39 of them twice and one that is none.
async fn used_up() -> Option<(TestApp, Account, Caller)> {
    let app = TestApp::start().await;
    let acme = app.register("acme").await;
    let (_, key) = key(&acme, json!({"events_per_day": 100})).await;
    let first = counting(&key, events(0, 60)).await?;
    assert_eq!(
        header(&first, "ratelimit-policy"),
        r#""day";q=100;w=86400;qu="events""#
    );
    assert_eq!(remaining(&first, "day"), 40);
    first.expect(202);
    let problem = refused(counting(&key, events(60, 60)).await?, "day");
    assert!(
        problem["detail"].as_str().unwrap().contains("has 40 left"),
        "{problem}"
    );
    // Repeats count, and so do events that are refused.
    let bad = r#"{"type":"activity","customer_id":"c"}"#;
    let again = counting(&key, format!("{}{bad}\n", events(0, 39))).await?;
    assert_eq!(remaining(&again, "day"), 0);
    assert_eq!(again.expect(202)["accepted"], 39);
    Some((app, acme, key))
}

#[tokio::test]
async fn a_days_quota_outlives_restarts_and_counts_repeats() {
    away_from_midnight().await;
    let mut round = 0;
    let (mut app, acme, key) = loop {
        if let Some(ready) = used_up().await {
            break ready;
        }
        round += 1;
        assert!(round < ROUNDS, "the control database is too slow");
    };
    refused(insisting(&key, &events(60, 1)).await.0, "day");
    app.terminate().await;
    app.restart().await;
    refused(insisting(&key, &events(60, 1)).await.0, "day");
    let settled = app.wait_settled().await;
    assert_eq!(
        (
            &settled["totals"]["events"],
            &settled["totals"]["duplicates"]
        ),
        (&json!(60), &json!(39)),
        "nothing of what was refused is there"
    );

    // Killed with a piece in hand: never more than the quota, and at most a twentieth less.
    let (_, key) = self::key(&acme, json!({"events_per_day": 1_000})).await;
    let (mut taken, mut lost) = (0, 0);
    let mut number = 10_000;
    for _ in 0..3 {
        for _ in 0..30 {
            let (answer, turned_away) = insisting(&key, &events(number, 3)).await;
            answer.expect(202);
            (taken, number) = (taken + 3, number + 3);
            lost += turned_away * LOST;
        }
        app.kill();
        app.restart().await;
    }
    for size in [20, 1] {
        loop {
            let (answer, turned_away) = insisting(&key, &events(number, size)).await;
            lost += turned_away * LOST;
            match answer.status {
                202 => (taken, number) = (taken + size, number + size),
                _ => break drop(refused(answer, "day")),
            }
        }
    }
    assert!(
        taken <= 1_000 && taken + lost >= 800,
        "{taken}, and at most {lost} lost"
    );
}

#[tokio::test]
async fn processes_share_a_days_quota() {
    away_from_midnight().await;
    let folder = tempfile::tempdir().unwrap();
    let control = format!("control=sqlite:{}/control.db", folder.path().display());
    let one = TestApp::start_with(&[&control]).await;
    let other = TestApp::start_with(&[&control]).await;
    let acme = one.register("acme").await;
    let send = async |to: &Caller, from: usize, size: usize| {
        let (mut taken, mut turned_away) = (0, 0);
        loop {
            let (answer, times) = insisting(to, &events(from + taken, size)).await;
            turned_away += times;
            match answer.status {
                202 => taken += size,
                _ => {
                    refused(answer, "day");
                    return (taken, turned_away);
                }
            }
        }
    };
    let (mut at_one, mut at_other, mut round) = (0, 0, 0);
    loop {
        let (_, here) = key(&acme, json!({"events_per_day": 1_000})).await;
        let there = other.nobody().with_token(here.bearer().unwrap());
        let from = round * 1_000_000;
        let ((a, e), (b, f)) = tokio::join!(send(&here, from, 7), send(&there, from + 100_000, 9));
        // What is left is in single events, wherever it is held.
        let (c, g) = send(&here, from + 10_000, 1).await;
        let (d, h) = send(&there, from + 110_000, 1).await;
        (at_one, at_other) = (at_one + a + c, at_other + b + d);
        assert!(a + b + c + d <= 1_000, "{a}, {b}, {c} and {d}");
        // Where the database was slow a part may be lost, and where one process stood still the other had all.
        if e + f + g + h == 0 && a > 0 && b > 0 {
            assert_eq!(a + b + c + d, 1_000, "{a}, {b}, {c} and {d}");
            break;
        }
        round += 1;
        assert!(round < ROUNDS, "no two of them were quick enough to share");
    }
    let counted = async |app: &TestApp| {
        let settled = app.wait_settled().await;
        settled["totals"]["events"].as_u64().unwrap() as usize
    };
    assert_eq!(
        (counted(&one).await, counted(&other).await),
        (at_one, at_other)
    );
}

#[tokio::test]
async fn organizations_give_their_keys_less_and_the_operator_more() {
    let app = TestApp::start_with(&["quota.events_per_day=50", "quota.events_per_second=10"]).await;
    let _operator = app.register("first").await;
    let acme = app.register("acme").await;
    for (field, value) in [
        ("events_per_day", 51),
        ("events_per_day", 0),
        ("events_per_second", 11),
        ("burst", 101),
    ] {
        let mut body = json!({"name": "more", "scopes": ["ingest"]});
        body[field] = json!(value);
        let refused = acme.owner.post("/api-keys", &body).await;
        let problem = refused.problem(400, "bad-request");
        assert_eq!(
            (&problem["field"], &problem["code"]),
            (&json!(field), &json!("out_of_range"))
        );
    }
    let wrong = json!({"name": "odd", "scopes": ["ingest"], "burst": "many"});
    let wrong = acme.owner.post("/api-keys", &wrong).await;
    assert_eq!(wrong.problem(400, "bad-request")["code"], "invalid_type");

    let (id, less) = key(&acme, json!({"events_per_day": 20})).await;
    let quota = async |by: &Caller| by.get("/connection").await.expect(200)["quota"].clone();
    let expected = |day: u64| json!({"events_per_second": 10, "burst": 100, "events_per_day": day});
    assert_eq!(quota(&less).await, expected(20));
    let (more, _) = insisting(&less, &events(0, 21)).await;
    more.problem(429, "too-many-requests");
    let path = format!("/api-keys/{id}");
    change(&acme.owner, &path, json!({"events_per_day": null}))
        .await
        .expect(200);
    assert_eq!(quota(&less).await, expected(50));
    change(&acme.owner, &path, json!({"events_per_day": 60}))
        .await
        .problem(400, "bad-request");

    let any = format!("/admin{path}");
    change(&acme.owner, &any, json!({"events_per_day": 60}))
        .await
        .problem(403, "forbidden");
    change(&app.operator(), &any, json!({"events_per_day": 60}))
        .await
        .expect(200);
    assert_eq!(quota(&less).await, expected(60));
    // What the operator has given is not for the organization to change, neither way; the rest of the key is.
    for value in [json!(null), json!(10)] {
        change(&acme.owner, &path, json!({ "events_per_day": value }))
            .await
            .problem(403, "forbidden");
    }
    change(&acme.owner, &path, json!({"name": "renamed"}))
        .await
        .expect(200);
    assert_eq!(quota(&less).await, expected(60));
    change(&app.operator(), "/admin/api-keys/key_none", json!({}))
        .await
        .problem(404, "not-found");
    let listed = acme.owner.get("/api-keys").await.expect(200);
    assert_eq!(listed["items"][0]["events_per_day"], 60);
    let beside = app.register("beside").await;
    change(&beside.owner, &path, json!({"events_per_day": 1}))
        .await
        .problem(404, "not-found");
}
