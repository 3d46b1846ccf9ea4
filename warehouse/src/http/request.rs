//! Reads a request: the statement, its data, parameters, settings and how to answer.

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderMap, Method};

use super::auth::Access;
use super::coding::{self, Coding};
use super::error::HttpError;
use super::room::Room;
use super::statement::{Statement, Verb};
use super::{form, native};
use crate::params::Params;

/// A query to run.
#[derive(Debug)]
pub(super) struct Query {
    pub(super) statement: Statement,
    /// What an INSERT inserts.
    pub(super) data: Vec<u8>,
    pub(super) params: Params,
    /// In the order to be set.
    pub(super) settings: Vec<(String, String)>,
    pub(super) database: Option<String>,
    pub(super) format: String,
    pub(super) coding: Coding,
    /// Whether to send nothing before the end is known.
    pub(super) wait: bool,
    pub(super) query_id: String,
}

/// URL parameters that are no settings, and that say nothing to an interface without sessions and quotas.
const IGNORED: [&str; 12] = [
    "user",
    "password",
    "quota_key",
    "session_id",
    "session_timeout",
    "session_check",
    "stacktrace",
    "buffer_size",
    "client_protocol_version",
    "close_session",
    "http_native_compression_disable_checksumming_on_decompress",
    "log_comment_prefix",
];

impl Query {
    /// Reads parameters and body. `query_id` is set as soon as it is known, for errors too.
    pub(super) async fn read(
        parts: &Parts,
        body: Body,
        access: Access,
        room: &mut Room,
        query_id: &mut Option<String>,
    ) -> Result<Self, HttpError> {
        let mut url = Url::default();
        for (name, value) in
            url::form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes())
        {
            url.take(&name, value.into_owned())?;
        }
        let id = url.query_id.take().filter(|id| !id.is_empty());
        let id = id.unwrap_or_else(|| uuid::Uuid::new_v4().to_string());
        *query_id = Some(id.clone());

        let mut body = read_body(&parts.headers, body, url.decompress, room).await?;
        let content_type = text_header(&parts.headers, CONTENT_TYPE.as_str()).unwrap_or_default();
        if let Some(boundary) = form::boundary(content_type) {
            for (name, value) in form::fields(&body, &boundary)? {
                let value = String::from_utf8(value)
                    .map_err(|_| HttpError::bad(format!("{name} is not UTF-8")))?;
                url.take(&name, value)?;
            }
            body = Bytes::new();
        }

        let (statement, data) = combine(url.query.unwrap_or_default(), body)?;
        let mut settings = Vec::with_capacity(url.settings.len() + 1);
        match access {
            // First, so that nothing after it can undo it.
            Access::Read => settings.push(("readonly".to_owned(), "1".to_owned())),
            // As ClickHouse does: a GET never writes.
            Access::Write if parts.method == Method::GET => {
                settings.push(("readonly".to_owned(), "2".to_owned()))
            }
            Access::Write => {}
        }
        if access == Access::Read
            && matches!(
                statement,
                Statement::Other {
                    verb: Verb::Kill,
                    ..
                }
            )
        {
            return Err(HttpError::new(
                164,
                "Cannot execute query in readonly mode. (READONLY)",
            ));
        }
        let http_compression = !url
            .settings
            .iter()
            .any(|(name, value)| name == "enable_http_compression" && value == "0");
        settings.append(&mut url.settings);

        let asked = text_header(&parts.headers, "x-clickhouse-format").map(str::to_owned);
        let stated = match &statement {
            Statement::Other { format, .. } => format.clone(),
            Statement::Insert { .. } => None,
        };
        let format = stated
            .or(asked)
            .or(url.default_format)
            .unwrap_or_else(|| "TabSeparated".to_owned());
        let accepted = text_header(&parts.headers, ACCEPT_ENCODING.as_str()).unwrap_or_default();
        let coding = match (url.compress, http_compression) {
            (true, _) => Coding::Native,
            (false, true) => Coding::accepted(accepted),
            (false, false) => Coding::Plain,
        };
        let database = url
            .database
            .or_else(|| text_header(&parts.headers, "x-clickhouse-database").map(str::to_owned));
        Ok(Self {
            statement,
            data,
            params: url.params,
            settings,
            database: database.filter(|name| !name.is_empty()),
            format,
            coding,
            wait: url.wait,
            query_id: id,
        })
    }
}

/// The parameters of the URL, and of forms.
#[derive(Debug, Default)]
struct Url {
    query: Option<String>,
    query_id: Option<String>,
    database: Option<String>,
    default_format: Option<String>,
    compress: bool,
    decompress: bool,
    wait: bool,
    params: Params,
    settings: Vec<(String, String)>,
}

impl Url {
    fn take(&mut self, name: &str, value: String) -> Result<(), HttpError> {
        let yes = |value: &str| matches!(value, "1" | "true");
        match name {
            "query" => self.query = Some(value),
            "query_id" => self.query_id = Some(value),
            "database" => self.database = Some(value),
            "default_format" => self.default_format = Some(value),
            "compress" => self.compress = yes(&value),
            "decompress" => self.decompress = yes(&value),
            "wait_end_of_query" => self.wait = yes(&value),
            "role" => return Err(HttpError::new(511, format!("There is no role `{value}`"))),
            _ if IGNORED.contains(&name) => {}
            _ => match name.strip_prefix("param_") {
                Some(name) => {
                    self.params = std::mem::take(&mut self.params).with_escaped(name, value)
                }
                None if is_setting(name) => self.settings.push((name.to_owned(), value)),
                // UNKNOWN_SETTING
                None => return Err(HttpError::new(115, format!("Unknown setting '{name}'"))),
            },
        }
        Ok(())
    }
}

/// A name that may stand in a SET without quotes.
fn is_setting(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn text_header<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

async fn read_body(
    headers: &HeaderMap,
    body: Body,
    native_frames: bool,
    room: &mut Room,
) -> Result<Bytes, HttpError> {
    let mut raw = BytesMut::new();
    let mut pieces = body.into_data_stream();
    while let Some(piece) = pieces.next().await {
        // NETWORK_ERROR
        let piece =
            piece.map_err(|error| HttpError::new(210, format!("the body broke off: {error}")))?;
        if raw.len() + piece.len() > super::MAX_BODY {
            return Err(coding::too_large());
        }
        room.take(piece.len())?;
        raw.extend_from_slice(&piece);
    }
    let raw = raw.freeze();
    let coding = text_header(headers, CONTENT_ENCODING.as_str())
        .unwrap_or_default()
        .to_owned();
    if coding.is_empty() && !native_frames {
        return Ok(raw);
    }
    let decode = move || -> Result<Bytes, HttpError> {
        let body = coding::decode(&coding, &raw)?;
        if native_frames {
            return native::decompress(&body, super::MAX_BODY).map(Bytes::from);
        }
        Ok(body.into())
    };
    let decoded = tokio::task::spawn_blocking(decode)
        .await
        .map_err(|error| HttpError::new(1002, error.to_string()))??;
    room.take(decoded.len())?;
    Ok(decoded)
}

/// Puts the URL's text before the body's, as ClickHouse does, and cuts the data off.
fn combine(query: String, body: Bytes) -> Result<(Statement, Vec<u8>), HttpError> {
    if !query.trim().is_empty() {
        let statement = Statement::parse(query.as_bytes());
        if let Ok(Statement::Insert { data, .. }) = &statement {
            let mut all = query.as_bytes()[*data..].to_vec();
            all.extend_from_slice(&body);
            return Ok((statement?, all));
        }
        if body.is_empty() {
            return Ok((statement?, Vec::new()));
        }
    }
    let mut text = query.into_bytes();
    if !text.is_empty() {
        text.push(b'\n');
    }
    text.extend_from_slice(&body);
    let statement = Statement::parse(&text)?;
    let data = match &statement {
        Statement::Insert { data, .. } => text.split_off(*data),
        Statement::Other { .. } => Vec::new(),
    };
    Ok((statement, data))
}
