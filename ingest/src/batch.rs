//! Cuts a body into events and parses each: one bad event costs only itself.

use std::ops::Range;

use bytes::Bytes;
use compact_str::CompactString;
use schemas::event::{Found, read_event};
use schemas::json::{Peek, ReadError, Reader};
use schemas::{Code, Draft, FieldError, Kind, ParseContext, Problem, ProblemKind};

use crate::body::Format;

/// The events of one request in the order they were sent.
#[derive(Debug)]
pub struct Batch {
    /// The whole body: events are ranges of it.
    pub body: Bytes,
    /// Each event or why it is refused.
    pub events: Vec<Parsed>,
}

/// One event of a body.
#[derive(Debug)]
pub struct Parsed {
    /// Its bytes in the body.
    pub at: Range<usize>,
    /// The event, or the one reason to refuse it.
    pub draft: Result<Draft, FieldError>,
    /// The id that a refused event states.
    pub refused_id: Option<CompactString>,
}

fn bad(detail: impl Into<std::borrow::Cow<'static, str>>) -> Problem {
    Problem::new(ProblemKind::BadRequest, detail)
}

/// Parses a body of one event of a known kind.
pub fn one(body: Bytes, kind: Kind, context: &ParseContext) -> Result<Batch, Problem> {
    let text = utf8(&body)?;
    let mut reader = Reader::new(text);
    if reader.at_end() {
        return Err(bad("the body is empty; send one event as a JSON object"));
    }
    let found = read_event(text, reader.position(), Some(kind), context)
        .map_err(|error| not_json(error, None))?;
    Reader::at(text, found.at.end)
        .finish()
        .map_err(|error| not_json(error, None))?;
    Ok(Batch {
        events: vec![Parsed {
            at: found.at,
            draft: found.draft,
            refused_id: found.refused_id,
        }],
        body,
    })
}

/// Parses a body of many events, each with its `type`.
pub fn many(
    body: Bytes,
    format: Format,
    limit: usize,
    context: &ParseContext,
) -> Result<Batch, Problem> {
    let events = match format {
        Format::Json => array(utf8(&body)?, limit, context)?,
        Format::Lines => lines(&body, limit, context)?,
    };
    match events.is_empty() {
        true => Err(bad("the batch is empty; send at least one event")),
        false => Ok(Batch { body, events }),
    }
}

fn utf8(body: &Bytes) -> Result<&str, Problem> {
    std::str::from_utf8(body).map_err(|error| {
        bad(format!(
            "the body is not UTF-8 at byte {}; send JSON as UTF-8",
            error.valid_up_to()
        ))
    })
}

fn not_json(error: ReadError, item: Option<usize>) -> Problem {
    let ReadError::Syntax { at, expected } = error else {
        return bad("the body is not JSON");
    };
    match item {
        Some(item) => bad(format!(
            "the body is not JSON: item {item}, byte {at}: expected {expected}"
        )),
        None => bad(format!(
            "the body is not JSON: byte {at}: expected {expected}"
        )),
    }
}

/// `[…]` or `{"events": […]}`: refused whole if it is not JSON, for then nobody knows where events end.
fn array(text: &str, limit: usize, context: &ParseContext) -> Result<Vec<Parsed>, Problem> {
    const FORM: &str = "send a JSON array of events, {\"events\": […]} or NDJSON";
    let mut reader = Reader::new(text);
    if reader.at_end() {
        return Err(bad("the body is empty; send at least one event"));
    }
    let wrapped = match reader.peek().map_err(|error| not_json(error, None))? {
        Peek::Array => false,
        Peek::Object => {
            reader
                .enter_object()
                .map_err(|error| not_json(error, None))?;
            match reader
                .key(true)
                .map_err(|error| not_json(error, None))?
                .as_deref()
            {
                Some("events") => {}
                Some(other) => {
                    return Err(bad(format!("{FORM}; `{other}` is not known here")).field(other));
                }
                None => return Err(bad("the batch is empty; send at least one event")),
            }
            match reader.peek().map_err(|error| not_json(error, None))? {
                Peek::Array => true,
                other => {
                    return Err(
                        bad(format!("events must be an array, not {}", other.name()))
                            .field("events"),
                    );
                }
            }
        }
        other => {
            let syntax = ReadError::Syntax {
                at: reader.position(),
                expected: "an array or an object",
            };
            return Err(match reader.skip_value() {
                Ok(_) => bad(format!("{FORM}, not {}", other.name())),
                Err(_) => not_json(syntax, Some(0)),
            });
        }
    };
    reader
        .enter_array()
        .map_err(|error| not_json(error, None))?;
    let mut events = Vec::new();
    loop {
        let item = events.len();
        if !reader
            .element(item == 0)
            .map_err(|error| not_json(error, Some(item)))?
        {
            break;
        }
        if item == limit {
            return Err(too_many(limit));
        }
        let Found {
            at,
            draft,
            refused_id,
        } = read_event(text, reader.position(), None, context)
            .map_err(|error| not_json(error, Some(item)))?;
        reader.move_to(at.end);
        events.push(Parsed {
            at,
            draft,
            refused_id,
        });
    }
    if wrapped {
        match reader
            .key(false)
            .map_err(|error| not_json(error, None))?
            .as_deref()
        {
            None => {}
            Some(other) => {
                return Err(bad(format!("{FORM}; `{other}` is not known here")).field(other));
            }
        }
    }
    reader.finish().map_err(|error| not_json(error, None))?;
    Ok(events)
}

fn too_many(limit: usize) -> Problem {
    Problem::new(
        ProblemKind::TooLarge,
        format!("a request may have {limit} events at most; send smaller batches"),
    )
}

/// One event a line: a line that is not JSON is refused alone.
fn lines(body: &Bytes, limit: usize, context: &ParseContext) -> Result<Vec<Parsed>, Problem> {
    let mut events = Vec::new();
    let mut start = 0;
    for line in body.split(|byte| *byte == b'\n') {
        let at = start..start + line.len();
        start = at.end + 1;
        if line.trim_ascii().is_empty() {
            continue;
        }
        if events.len() == limit {
            return Err(too_many(limit));
        }
        events.push(parse_line(line, at, context));
    }
    Ok(events)
}

fn parse_line(line: &[u8], at: Range<usize>, context: &ParseContext) -> Parsed {
    let refused = |error: FieldError| Parsed {
        at: at.clone(),
        draft: Err(error),
        refused_id: None,
    };
    let Ok(text) = std::str::from_utf8(line) else {
        return refused(FieldError::new(
            "",
            Code::Malformed,
            "this line is not UTF-8; send JSON as UTF-8",
        ));
    };
    let found = read_event(text, 0, None, context)
        .and_then(|found| Reader::at(text, found.at.end).finish().map(|()| found));
    match found {
        Ok(found) => Parsed {
            at: at.start + found.at.start..at.start + found.at.end,
            draft: found.draft,
            refused_id: found.refused_id,
        },
        Err(error) => refused(error.into_field_error()),
    }
}

#[cfg(test)]
#[path = "batch_tests.rs"]
mod tests;
