//! Clients that are slow, idle or too many cost only themselves.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tests::TestApp;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Long past every limit of these tests.
const PATIENCE: Duration = Duration::from_secs(30);

/// A connection of our own making.
struct Raw(TcpStream);

impl Raw {
    async fn open(app: &TestApp) -> Self {
        Self(TcpStream::connect(app.nobody().address()).await.unwrap())
    }

    async fn send(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.unwrap();
    }

    /// Reads an answer with a body: its status, whether it ends the connection, and the JSON.
    async fn answer(&mut self) -> (u16, bool, Value) {
        let mut bytes = Vec::new();
        let mut piece = [0; 4096];
        loop {
            let read = timeout(PATIENCE, self.0.read(&mut piece)).await;
            let read = read.expect("it answers").unwrap();
            assert!(read > 0, "closed: {}", String::from_utf8_lossy(&bytes));
            bytes.extend_from_slice(&piece[..read]);
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let Some((head, body)) = text.split_once("\r\n\r\n") else {
                continue;
            };
            let head = head.to_ascii_lowercase();
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "))
                .unwrap();
            if body.len() < length.parse().unwrap() {
                continue;
            }
            let status = head[9..12].parse().unwrap();
            let ends = head.contains("connection: close");
            return (status, ends, serde_json::from_str(body).unwrap_or_default());
        }
    }

    async fn get(&mut self, path: &str) -> (u16, bool, Value) {
        self.send(&format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n"))
            .await;
        self.answer().await
    }

    /// Waits until the server closes it, without another word.
    async fn closed(&mut self) {
        let mut piece = [0; 64];
        let read = timeout(PATIENCE, self.0.read(&mut piece)).await;
        let read = read.expect("it is closed in time");
        assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
    }
}

#[tokio::test]
async fn slow_headers_and_idle_connections_have_limits_of_their_own() {
    let app = TestApp::start_with(&["http.header_seconds=1", "http.idle_seconds=12"]).await;
    let mut silent = Raw::open(&app).await;
    let mut slow = Raw::open(&app).await;
    slow.send("GET /health HTTP/1.1\r\nhost: x\r\n").await;
    let trickle = async {
        loop {
            if slow.0.write_all(b"x-more: y\r\n").await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(PATIENCE, trickle)
        .await
        .expect("headers cannot trickle for ever");
    silent.closed().await;

    // A connection that is kept for later outlives the time for headers, each time anew, and then ends.
    let mut kept = Raw::open(&app).await;
    for _ in 0..3 {
        let (status, ends, _) = kept.get("/health").await;
        assert_eq!((status, ends), (200, false));
        tokio::time::sleep(Duration::from_millis(1_600)).await;
    }
    // The headers of a later request may not be slow either.
    let mut later = Raw::open(&app).await;
    later.get("/health").await;
    later.send("GET /health HTTP/1.1\r\n").await;
    later.closed().await;
    kept.closed().await;
}

#[tokio::test]
async fn a_body_that_trickles_is_answered_408() {
    // So long that a machine that stands still for a while is not taken for a slow client.
    let app =
        TestApp::start_with(&["http.body_seconds=8", "http.body_bytes_per_second=10000"]).await;
    let acme = app.register("acme").await;
    let key = acme.key(&["ingest"]).await;
    let event = r#"{"customer_id":"c","event_id":"slow","name":"login"}"#;
    let head = |length: usize| {
        let bearer = key.bearer().unwrap();
        format!(
            "POST /api/v1/ingest/activities HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {bearer}\r\n\
             content-type: application/json\r\ncontent-length: {length}\r\n\r\n"
        )
    };
    let mut slow = Raw::open(&app).await;
    slow.send(&head(event.len())).await;
    slow.send(&event[..10]).await;
    // The same over a chunked body, and for routes that are not ingest's.
    let mut chunked = Raw::open(&app).await;
    chunked
        .send(
            "POST /api/v1/auth/login HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
               transfer-encoding: chunked\r\n\r\n5\r\n{\"ema\r\n",
        )
        .await;
    let (status, ends, problem) = slow.answer().await;
    assert_eq!(
        (status, ends, &problem["type"]),
        (408, true, &json!("/problems/timeout"))
    );
    slow.closed().await;
    assert_eq!(chunked.answer().await.0, 408);

    // A pause within the limit costs nothing, and nothing of the slow body was taken.
    let mut pausing = Raw::open(&app).await;
    pausing.send(&head(event.len())).await;
    pausing.send(&event[..10]).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    pausing.send(&event[10..]).await;
    assert_eq!(pausing.answer().await.0, 202);
    assert_eq!(app.wait_settled().await["totals"]["events"], 1);
}

#[tokio::test]
async fn connections_are_bounded_and_idle_ones_make_room() {
    let app = TestApp::start_with(&["http.connections=6", "http.idle_seconds=3600"]).await;
    let mut idle = Vec::new();
    for _ in 0..40 {
        let mut raw = Raw::open(&app).await;
        assert_eq!(
            raw.get("/health").await.0,
            200,
            "the next one finds a place"
        );
        idle.push(raw);
    }
    idle[0].closed().await;
    // The last is younger than the rest and still there.
    let last = idle.last_mut().unwrap();
    assert_eq!(last.get("/health").await.0, 200);
}

#[tokio::test]
async fn one_address_cannot_try_many_accounts() {
    // Behind a proxy of our own: what stands before its entry is only the client's word.
    let app = TestApp::start_with(&["http.proxies=1"]).await;
    let acme = app.register("acme").await;
    let login = async |email: &str, password: &str, from: &str| {
        let body = json!({"email": email, "password": password});
        let nobody = app.nobody();
        let request = nobody
            .request(Method::POST, "/auth/login")
            .header("x-forwarded-for", format!("203.0.113.9, {from}"))
            .json(&body);
        nobody.send(request).await
    };
    let mut refused = None;
    for number in 0..150 {
        let email = format!("nobody-{number}@example.com");
        let answer = login(&email, "a wrong password", "192.0.2.1").await;
        match answer.status {
            401 => {}
            _ => {
                answer.problem(429, "too-many-requests");
                refused = Some(number);
                break;
            }
        }
    }
    assert_eq!(refused, Some(100), "ten times what one account may fail");
    login(&acme.email, &acme.password, "192.0.2.1")
        .await
        .problem(429, "too-many-requests");
    login(&acme.email, &acme.password, "192.0.2.2")
        .await
        .expect(200);
}
