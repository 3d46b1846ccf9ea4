//! One party that calls the program: a key, a session, or nobody.

use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::HeaderMap;
use reqwest::{Client, Method, RequestBuilder};
use serde_json::Value;

/// A text as one segment of a path, or as a parameter.
pub fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// Calls `/api/v1` with one token, or without any.
#[derive(Debug, Clone)]
pub struct Caller {
    pub(crate) client: Client,
    pub(crate) base: String,
    pub(crate) token: Option<String>,
}

/// What was answered.
#[derive(Debug)]
pub struct Answer {
    /// The method and path that were asked.
    pub asked: String,
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body as it came.
    pub bytes: Vec<u8>,
    /// The body as JSON; null where it is none.
    pub json: Value,
}

impl Answer {
    /// The JSON of an answer of this status.
    #[track_caller]
    pub fn expect(self, status: u16) -> Value {
        assert_eq!(
            self.status,
            status,
            "{}: {}",
            self.asked,
            String::from_utf8_lossy(&self.bytes)
        );
        self.json
    }

    /// The problem details of a refusal: status, stable type, title and detail, as RFC 9457 has them.
    #[track_caller]
    pub fn problem(self, status: u16, kind: &str) -> Value {
        let shown = format!(
            "{} was answered {}: {}",
            self.asked,
            self.status,
            String::from_utf8_lossy(&self.bytes)
        );
        assert_eq!(self.status, status, "{shown}");
        let content_type = self
            .headers
            .get("content-type")
            .and_then(|value| value.to_str().ok());
        assert_eq!(content_type, Some("application/problem+json"), "{shown}");
        assert_eq!(self.json["type"], format!("/problems/{kind}"), "{shown}");
        assert_eq!(self.json["status"], status, "{shown}");
        for member in ["title", "detail"] {
            assert!(
                self.json[member]
                    .as_str()
                    .is_some_and(|text| !text.is_empty()),
                "{shown}"
            );
        }
        if matches!(status, 429 | 503) {
            assert!(self.headers.contains_key("retry-after"), "{shown}");
        }
        if status == 401 {
            assert!(self.headers.contains_key("www-authenticate"), "{shown}");
        }
        self.json
    }
}

impl Caller {
    /// Calls `HOST:PORT` without a token.
    pub fn to(address: &str) -> Self {
        // The server closes what idles for longer than it waits for headers.
        let client = Client::builder()
            .no_proxy()
            .pool_idle_timeout(Duration::from_secs(3))
            .build()
            .unwrap();
        Self {
            client,
            base: format!("http://{address}"),
            token: None,
        }
    }

    /// The same place, another token.
    pub fn with_token(&self, token: impl Into<String>) -> Self {
        Self {
            token: Some(token.into()),
            ..self.clone()
        }
    }

    /// The same place without a token.
    pub fn anonymous(&self) -> Self {
        Self {
            token: None,
            ..self.clone()
        }
    }

    /// Its key or token.
    pub fn bearer(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// Where the server listens, `HOST:PORT`.
    pub fn address(&self) -> &str {
        self.base.trim_start_matches("http://")
    }

    /// A request to a path below `/api/v1`, to be completed.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.at(method, &format!("/api/v1{path}"))
    }

    /// A request to a path of the server.
    pub fn at(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.base));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// Sends a request; an error when there is no whole answer.
    pub async fn try_send(&self, request: RequestBuilder) -> Result<Answer, reqwest::Error> {
        self.try_send_within(request, Duration::from_secs(120))
            .await
    }

    /// The same, with another limit on the time to the whole answer.
    pub async fn try_send_within(
        &self,
        request: RequestBuilder,
        limit: Duration,
    ) -> Result<Answer, reqwest::Error> {
        let request = request.timeout(limit).build()?;
        let asked = format!("{} {}", request.method(), request.url());
        let response = self.client.execute(request).await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let bytes = response.bytes().await?.to_vec();
        let json = serde_json::from_slice(&bytes).unwrap_or_default();
        Ok(Answer {
            asked,
            status,
            headers,
            bytes,
            json,
        })
    }

    /// Sends a request that must be answered.
    pub async fn send(&self, request: RequestBuilder) -> Answer {
        self.try_send(request).await.expect("the program answers")
    }

    /// GET below `/api/v1`.
    pub async fn get(&self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path)).await
    }

    /// POST of JSON below `/api/v1`.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(self.request(Method::POST, path).json(body)).await
    }

    /// `PUT` of JSON.
    pub async fn put(&self, path: &str, body: &Value) -> Answer {
        self.send(self.request(Method::PUT, path).json(body)).await
    }

    /// `PATCH` of JSON.
    pub async fn patch(&self, path: &str, body: &Value) -> Answer {
        self.send(self.request(Method::PATCH, path).json(body))
            .await
    }

    /// A request with JSON and headers.
    pub async fn with_headers(
        &self,
        method: &str,
        path: &str,
        body: &Value,
        headers: &[(&str, &str)],
    ) -> Answer {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = self.request(method, path).json(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request).await
    }

    /// DELETE below `/api/v1`.
    pub async fn delete(&self, path: &str) -> Answer {
        self.send(self.request(Method::DELETE, path)).await
    }

    /// Sends events: a JSON text as it is.
    pub async fn ingest(&self, path: &str, body: impl Into<Vec<u8>>) -> Answer {
        self.send_as(path, "application/json", None, body).await
    }

    /// Sends NDJSON to `/ingest/batch`.
    pub async fn ingest_lines(&self, body: impl Into<Vec<u8>>) -> Answer {
        self.send_as("/ingest/batch", "application/x-ndjson", None, body)
            .await
    }

    /// Sends a body of a content type and coding.
    pub async fn send_as(
        &self,
        path: &str,
        content_type: &str,
        coding: Option<&str>,
        body: impl Into<Vec<u8>>,
    ) -> Answer {
        let mut request = self
            .request(Method::POST, path)
            .header("content-type", content_type)
            .body(body.into());
        if let Some(coding) = coding {
            request = request.header("content-encoding", coding);
        }
        self.send(request).await
    }

    /// The rows of a query.
    pub async fn sql(&self, sql: &str) -> Vec<Vec<Value>> {
        let answer = self
            .post("/sql", &serde_json::json!({"sql": sql, "limit": 10_000}))
            .await;
        let rows = answer.expect(200)["rows"].take();
        serde_json::from_value(rows).expect("rows are arrays")
    }

    /// The only cell of the only row of a query.
    pub async fn sql_cell(&self, sql: &str) -> Value {
        let mut rows = self.sql(sql).await;
        assert_eq!(rows.len(), 1, "{sql}");
        rows.remove(0).remove(0)
    }
}
