//! Runs a query in a session of its own and answers as it goes.

use std::sync::Arc;

use arrow::error::ArrowError;
use arrow::ipc::writer::StreamWriter;
use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use tokio::sync::{mpsc, oneshot};

use super::Held;
use super::coding::{Coding, Encoder};
use super::error::HttpError;
use super::request::Query;
use super::statement::{Statement, Verb};
use crate::embedded::{Counts, Engine, Session, WRITE_SETTINGS};
use crate::error::WarehouseError;
use crate::params::Params;

/// Formats whose pieces make a whole when put after each other: these are streamed, the others sent at the end.
const STREAMED: [&str; 9] = [
    "Native",
    "RowBinary",
    "TabSeparated",
    "TSV",
    "TabSeparatedRaw",
    "TSVRaw",
    "CSV",
    "JSONEachRow",
    "LineAsString",
];
/// How many pieces wait for a slow client before the query does.
const PIECES_AHEAD: usize = 4;
/// A whole answer is handed on in pieces of this size.
const PIECE: usize = 1 << 20;

/// The head of an answer: sent once the first piece, or the end, is there.
struct Head {
    counts: Counts,
    /// Marks an exception after the head.
    tag: String,
}

/// Sends the head, then the coded pieces.
struct Sink {
    head: Option<oneshot::Sender<Result<Head, HttpError>>>,
    pieces: mpsc::Sender<Result<Bytes, std::io::Error>>,
    encoder: Encoder,
    tag: String,
}

impl Sink {
    fn start(&mut self, counts: Counts) {
        if let Some(head) = self.head.take() {
            let tag = self.tag.clone();
            let _ = head.send(Ok(Head { counts, tag }));
        }
    }

    /// Whether the client still listens.
    fn piece(&mut self, data: &[u8]) -> bool {
        let coded = self.encoder.piece(data);
        self.send(coded)
    }

    fn send(&self, coded: std::io::Result<Vec<u8>>) -> bool {
        match coded {
            Ok(coded) if coded.is_empty() => true,
            coded => {
                let failed = coded.is_err();
                self.pieces.blocking_send(coded.map(Bytes::from)).is_ok() && !failed
            }
        }
    }

    /// The end of the answer, or of its failure.
    fn end(mut self, outcome: Result<Counts, WarehouseError>) {
        match (outcome, self.head.take()) {
            (Err(error), Some(head)) => {
                let _ = head.send(Err(error.into()));
            }
            (Err(error), None) => {
                let error = HttpError::from(error);
                let trailer = exception(&self.tag, &error.text());
                self.piece(trailer.as_bytes());
                // Clients that do not know the mark see the connection break instead of a whole answer.
                let broken = std::io::Error::other(error.message);
                let _ = self.pieces.blocking_send(Err(broken));
            }
            (Ok(counts), head) => {
                if let Some(head) = head {
                    let tag = self.tag.clone();
                    let _ = head.send(Ok(Head { counts, tag }));
                }
                let encoder = std::mem::replace(&mut self.encoder, Encoder::Plain);
                self.send(encoder.end());
            }
        }
    }
}

/// An exception after the head, as ClickHouse marks it.
fn exception(tag: &str, message: &str) -> String {
    format!(
        "\r\n__exception__\r\n{tag}\r\n{message}{} {tag}\r\n__exception__\r\n",
        message.len()
    )
}

/// Runs the query and answers with its result.
pub(super) async fn run(
    engine: Arc<Engine>,
    query: Query,
    held: Held,
) -> Result<Response, HttpError> {
    let (head, headed) = oneshot::channel();
    let (pieces, mut received) = mpsc::channel(PIECES_AHEAD);
    let sink = Sink {
        head: Some(head),
        pieces,
        encoder: Encoder::new(query.coding)
            .map_err(|error| HttpError::new(1002, error.to_string()))?,
        tag: uuid::Uuid::new_v4().simple().to_string()[..16].to_owned(),
    };
    let (query_id, format, coding) = (query.query_id.clone(), query.format.clone(), query.coding);
    tokio::task::spawn_blocking(move || {
        let mut sink = sink;
        let outcome = execute(&engine, &query, &mut sink);
        // Before the answer ends: who has read it may close the warehouse, and nothing may hold the engine then.
        drop(engine);
        sink.end(outcome);
        drop(held);
    });
    let head = headed
        .await
        .map_err(|_| HttpError::new(1002, "the statement broke off; see the log"))??;
    let body = Body::from_stream(futures::stream::poll_fn(move |context| {
        received.poll_recv(context)
    }));
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    common(headers, Some(&query_id));
    fill(headers, &head, &format, coding);
    Ok(response)
}

fn execute(engine: &Arc<Engine>, query: &Query, sink: &mut Sink) -> Result<Counts, WarehouseError> {
    let mut session = engine.session()?;
    prepare(&mut session, query)?;
    match &query.statement {
        Statement::Insert { head, format, .. } => {
            let pieces = query.data.chunks(PIECE);
            session.insert_bytes(head, format, &query.params, pieces)
        }
        Statement::Other {
            sql,
            verb: Verb::Select,
            ..
        } if !query.wait && STREAMED.contains(&query.format.as_str()) => {
            let mut counts = Counts::default();
            session.run_pieces(sql, &query.format, &query.params, |piece, so_far| {
                counts = so_far;
                sink.start(so_far);
                sink.piece(piece)
            })?;
            Ok(counts)
        }
        Statement::Other {
            sql,
            verb: Verb::Select,
            format: None,
        } if !query.wait && query.format == "ArrowStream" => {
            arrow(&mut session, sql, &query.params, sink)
        }
        Statement::Other { sql, .. } => {
            session.run(sql, &query.format, &query.params, |answer, counts| {
                sink.start(counts);
                for piece in answer.chunks(PIECE) {
                    if !sink.piece(piece) {
                        break;
                    }
                }
                counts
            })
        }
    }
}

/// Streams Arrow: its head and foot come from here, because the engine's own pieces have one each.
fn arrow(
    session: &mut Session,
    sql: &str,
    params: &Params,
    sink: &mut Sink,
) -> Result<Counts, WarehouseError> {
    let mut writer: Option<StreamWriter<Vec<u8>>> = None;
    let mut counts = Counts::default();
    let mut failed = None;
    let schema = session.run_arrow(sql, params, |batch| {
        counts.result_rows += batch.num_rows() as u64;
        let written = match &mut writer {
            Some(writer) => writer.write(&batch),
            none => StreamWriter::try_new(Vec::new(), batch.schema_ref())
                .and_then(|writer| none.insert(writer).write(&batch)),
        };
        failed = written.err();
        let piece = writer
            .as_mut()
            .map(|writer| std::mem::take(writer.get_mut()));
        sink.start(counts);
        failed.is_none() && piece.is_some_and(|piece| sink.piece(&piece))
    })?;
    let unwritable = |error: ArrowError| WarehouseError::Answer(error.to_string());
    if let Some(error) = failed {
        return Err(unwritable(error));
    }
    let mut writer = match writer {
        Some(writer) => writer,
        None => StreamWriter::try_new(Vec::new(), &schema).map_err(unwritable)?,
    };
    writer.finish().map_err(unwritable)?;
    sink.start(counts);
    sink.piece(&std::mem::take(writer.get_mut()));
    Ok(counts)
}

/// Makes the session the request's.
fn prepare(session: &mut Session, query: &Query) -> Result<(), WarehouseError> {
    let none = Params::new();
    if let Some(database) = &query.database {
        let name = database.replace('\\', "\\\\").replace('`', "\\`");
        session.run(&format!("USE `{name}`"), "Null", &none, |_, _| ())?;
    }
    for (name, value) in WRITE_SETTINGS {
        session.run(&format!("SET {name} = {value}"), "Null", &none, |_, _| ())?;
    }
    for (name, value) in &query.settings {
        let value = value.replace('\\', "\\\\").replace('\'', "\\'");
        session.run(&format!("SET {name} = '{value}'"), "Null", &none, |_, _| ())?;
    }
    Ok(())
}

/// A short answer that is no query's.
pub(super) fn text(text: &'static str) -> Response {
    let mut response = Response::new(Body::from(text));
    common(response.headers_mut(), None);
    response
}

/// The headers of every answer.
pub(super) fn common(headers: &mut HeaderMap, query_id: Option<&str>) {
    headers.insert(
        "x-clickhouse-server-display-name",
        HeaderValue::from_static("millrace"),
    );
    headers.insert("x-clickhouse-timezone", HeaderValue::from_static("UTC"));
    if let Some(Ok(id)) = query_id.map(HeaderValue::from_str) {
        headers.insert("x-clickhouse-query-id", id);
    }
}

fn fill(headers: &mut HeaderMap, head: &Head, format: &str, coding: Coding) {
    let counts = &head.counts;
    let summary = format!(
        "{{\"read_rows\":\"{}\",\"read_bytes\":\"{}\",\"written_rows\":\"{}\",\"written_bytes\":\"{}\",\
         \"total_rows_to_read\":\"0\",\"result_rows\":\"{}\",\"result_bytes\":\"0\"}}",
        counts.read_rows,
        counts.read_bytes,
        counts.written_rows,
        counts.written_bytes,
        counts.result_rows
    );
    for (name, value) in [
        ("x-clickhouse-summary", summary.as_str()),
        ("x-clickhouse-format", format),
    ] {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    }
    if let Ok(tag) = HeaderValue::from_str(&head.tag) {
        headers.insert("x-clickhouse-exception-tag", tag);
    }
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static(content_type(format)),
    );
    if let Some(name) = coding.name() {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(name));
    }
}

fn content_type(format: &str) -> &'static str {
    if format.starts_with("JSONEachRow") || format.starts_with("NDJSON") {
        "application/x-ndjson; charset=UTF-8"
    } else if format.starts_with("JSON") {
        "application/json; charset=UTF-8"
    } else if format.starts_with("CSV") {
        "text/csv; charset=UTF-8; header=absent"
    } else if format.starts_with("TabSeparated") || format.starts_with("TSV") {
        "text/tab-separated-values; charset=UTF-8"
    } else if format.starts_with("Pretty") || format == "Vertical" || format == "Markdown" {
        "text/plain; charset=UTF-8"
    } else {
        "application/octet-stream"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exceptions_after_the_head_are_marked_with_their_length() {
        let text = exception("0123456789abcdef", "Code: 1. DB::Exception: x\n");
        let end = "26 0123456789abcdef\r\n__exception__\r\n";
        assert!(text.ends_with(end), "{text}");
        assert!(text.starts_with("\r\n__exception__\r\n0123456789abcdef\r\nCode: 1."));
    }
}
