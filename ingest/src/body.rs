//! Reads a request body: content type, coding, and never more bytes than allowed.

use std::io::Read;

use axum::body::{Body, HttpBody};
use axum::http::{HeaderMap, header};
use bytes::{Bytes, BytesMut};
use flate2::read::MultiGzDecoder;
use futures::StreamExt;
use schemas::{Problem, ProblemKind};

use crate::budget::Share;

/// The largest zstd window accepted: more than the largest body never helps a sender.
const ZSTD_WINDOW_LOG: u32 = 25;

/// How a body is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One JSON text.
    Json,
    /// One JSON text a line.
    Lines,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Coding {
    Identity,
    Gzip,
    Zstd,
}

fn unsupported(detail: &'static str) -> Problem {
    Problem::new(ProblemKind::UnsupportedMediaType, detail)
}

fn too_large(limit: usize) -> Problem {
    Problem::new(
        ProblemKind::TooLarge,
        format!(
            "a body may have {} MB at most, inflated; send smaller batches",
            limit / 1_000_000
        ),
    )
}

/// The format that Content-Type names; JSON where there is none.
pub(crate) fn format(headers: &HeaderMap) -> Result<Format, Problem> {
    const ACCEPTED: &str = "send application/json, or application/x-ndjson to /ingest/batch";
    let Some(value) = headers.get(header::CONTENT_TYPE) else {
        return Ok(Format::Json);
    };
    let value = value.to_str().map_err(|_| unsupported(ACCEPTED))?;
    let mut parts = value.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default().to_ascii_lowercase();
    for parameter in parts {
        let utf8 = parameter.to_ascii_lowercase().replace('"', "");
        if utf8.starts_with("charset=") && utf8 != "charset=utf-8" && utf8 != "charset=us-ascii" {
            return Err(unsupported(
                "bodies are UTF-8: send charset=utf-8, or no charset",
            ));
        }
    }
    match essence.as_str() {
        "application/json" => Ok(Format::Json),
        "application/x-ndjson" | "application/ndjson" | "application/jsonl" => Ok(Format::Lines),
        _ => Err(unsupported(ACCEPTED)),
    }
}

fn coding(headers: &HeaderMap) -> Result<Coding, Problem> {
    const ACCEPTED: &str = "send Content-Encoding gzip, zstd or none";
    let mut values = headers.get_all(header::CONTENT_ENCODING).iter();
    let Some(value) = values.next() else {
        return Ok(Coding::Identity);
    };
    let value = value
        .to_str()
        .map_err(|_| unsupported(ACCEPTED))?
        .trim()
        .to_ascii_lowercase();
    match (value.as_str(), values.next()) {
        ("identity" | "", None) => Ok(Coding::Identity),
        ("gzip" | "x-gzip", None) => Ok(Coding::Gzip),
        ("zstd", None) => Ok(Coding::Zstd),
        _ => Err(unsupported(ACCEPTED)),
    }
}

/// The whole body, inflated; at most `limit` bytes both before and after.
pub async fn read(
    headers: &HeaderMap,
    body: Body,
    limit: usize,
    share: &mut Share,
) -> Result<Bytes, Problem> {
    let coding = coding(headers)?;
    let raw = collect(body, limit, share).await?;
    match coding {
        Coding::Identity => Ok(raw),
        Coding::Gzip => inflate(MultiGzDecoder::new(&raw[..]), limit, share),
        Coding::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::new(&raw[..]).map_err(broken)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG).map_err(broken)?;
            inflate(decoder, limit, share)
        }
    }
}

async fn collect(body: Body, limit: usize, share: &mut Share) -> Result<Bytes, Problem> {
    let announced = body.size_hint().lower();
    if announced > limit as u64 {
        return Err(too_large(limit));
    }
    let mut chunks = body.into_data_stream();
    let mut whole = BytesMut::new();
    let mut first: Option<Bytes> = None;
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| {
            Problem::new(
                ProblemKind::BadRequest,
                "the body ended early; send it again",
            )
        })?;
        if whole.len() + first.as_ref().map_or(0, Bytes::len) + chunk.len() > limit {
            return Err(too_large(limit));
        }
        share.grow(chunk.len())?;
        // Most bodies are one chunk, which is not copied.
        if first.is_none() && whole.is_empty() {
            first = Some(chunk);
            continue;
        }
        if let Some(first) = first.take() {
            whole.reserve((announced as usize).max(first.len() + chunk.len()));
            whole.extend_from_slice(&first);
        }
        whole.extend_from_slice(&chunk);
    }
    Ok(first.unwrap_or_else(|| whole.freeze()))
}

fn broken(error: std::io::Error) -> Problem {
    Problem::new(
        ProblemKind::BadRequest,
        format!("the compressed body is broken: {error}; compress it again"),
    )
}

/// Inflates piece by piece, so that a bomb costs no more than the limit.
fn inflate(mut decoder: impl Read, limit: usize, share: &mut Share) -> Result<Bytes, Problem> {
    const PIECE: usize = 128 * 1024;
    let mut whole = Vec::new();
    loop {
        let start = whole.len();
        share.grow(PIECE)?;
        whole.resize(start + PIECE, 0);
        let mut filled = 0;
        while filled < PIECE {
            match decoder.read(&mut whole[start + filled..]).map_err(broken)? {
                0 => break,
                read => filled += read,
            }
        }
        whole.truncate(start + filled);
        if whole.len() > limit {
            return Err(too_large(limit));
        }
        if filled < PIECE {
            return Ok(whole.into());
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io::Write;

    use axum::http::HeaderValue;

    use super::*;
    use crate::Budget;

    async fn read_as(coding: &'static str, body: Vec<u8>, limit: usize) -> Result<Bytes, Problem> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding));
        let mut share = Budget::new(1 << 30).share();
        read(&headers, Body::from(body), limit, &mut share).await
    }

    fn gzip(data: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    #[tokio::test]
    async fn every_member_and_frame_is_read() {
        let members = [gzip(b"[1,"), gzip(b"2]")].concat();
        assert_eq!(&read_as("gzip", members, 100).await.unwrap()[..], b"[1,2]");
        let frames = [
            zstd::encode_all(&b"[1,"[..], 3).unwrap(),
            zstd::encode_all(&b"2]"[..], 3).unwrap(),
        ]
        .concat();
        assert_eq!(&read_as("zstd", frames, 100).await.unwrap()[..], b"[1,2]");
        assert_eq!(
            &read_as("identity", b"[]".to_vec(), 100).await.unwrap()[..],
            b"[]"
        );
    }

    #[tokio::test]
    async fn bombs_are_stopped_at_the_limit() {
        let zeros = vec![b' '; 50_000_000];
        for (coding, bomb) in [
            ("gzip", gzip(&zeros)),
            ("zstd", zstd::encode_all(&zeros[..], 3).unwrap()),
        ] {
            assert!(bomb.len() < 100_000);
            let problem = read_as(coding, bomb, 20_000_000).await.unwrap_err();
            assert_eq!(problem.kind(), ProblemKind::TooLarge, "{coding}");
        }
        assert_eq!(
            read_as("identity", vec![b' '; 101], 100)
                .await
                .unwrap_err()
                .kind(),
            ProblemKind::TooLarge
        );
    }

    #[tokio::test]
    async fn broken_and_unknown_codings_are_refused() {
        let cut = gzip(b"hello hello hello")[..12].to_vec();
        assert_eq!(
            read_as("gzip", cut, 100).await.unwrap_err().kind(),
            ProblemKind::BadRequest
        );
        let frame = zstd::encode_all(&b"hello hello hello"[..], 3).unwrap();
        let cut = frame[..frame.len() - 4].to_vec();
        assert_eq!(
            read_as("zstd", cut, 100).await.unwrap_err().kind(),
            ProblemKind::BadRequest
        );
        assert_eq!(
            read_as("zstd", b"plain".to_vec(), 100)
                .await
                .unwrap_err()
                .kind(),
            ProblemKind::BadRequest
        );
        assert_eq!(
            read_as("br", vec![], 100).await.unwrap_err().kind(),
            ProblemKind::UnsupportedMediaType
        );
        assert_eq!(
            read_as("gzip, gzip", vec![], 100).await.unwrap_err().kind(),
            ProblemKind::UnsupportedMediaType
        );
    }

    #[test]
    fn content_types_name_the_format() {
        let of = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(value));
            format(&headers).map_err(|problem| problem.kind())
        };
        assert_eq!(of("application/json; charset=UTF-8"), Ok(Format::Json));
        assert_eq!(of("application/x-ndjson"), Ok(Format::Lines));
        for refused in [
            "text/plain",
            "application/x-www-form-urlencoded",
            "application/json; charset=latin1",
        ] {
            assert_eq!(
                of(refused),
                Err(ProblemKind::UnsupportedMediaType),
                "{refused}"
            );
        }
        assert_eq!(format(&HeaderMap::new()).unwrap(), Format::Json);
    }
}
