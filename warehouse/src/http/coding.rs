//! Codings of bodies: gzip, deflate, zstd and LZ4 frames of HTTP, and ClickHouse's own frames.

use std::io::{Read, Write};

use super::error::HttpError;
use super::native;

pub(super) fn too_large() -> HttpError {
    // QUERY_IS_TOO_LARGE
    HttpError::new(
        229,
        format!("the body is larger than {} bytes", super::MAX_BODY),
    )
}

/// Undoes a `Content-Encoding`.
pub(super) fn decode(coding: &str, body: &[u8]) -> Result<Vec<u8>, HttpError> {
    let reader: Box<dyn Read + '_> = match coding.trim().to_ascii_lowercase().as_str() {
        "gzip" | "x-gzip" => Box::new(flate2::read::MultiGzDecoder::new(body)),
        "deflate" => Box::new(flate2::read::ZlibDecoder::new(body)),
        "zstd" => Box::new(
            zstd::stream::read::Decoder::new(body)
                .map_err(|error| HttpError::new(271, error.to_string()))?,
        ),
        "lz4" => Box::new(lz4_flex::frame::FrameDecoder::new(body)),
        "" | "identity" => Box::new(body),
        // UNKNOWN_COMPRESSION_METHOD
        other => {
            return Err(HttpError::new(
                89,
                format!("Unknown compression method {other}"),
            ));
        }
    };
    let mut out = Vec::new();
    reader
        .take(super::MAX_BODY as u64 + 1)
        .read_to_end(&mut out)
        // CANNOT_DECOMPRESS
        .map_err(|error| HttpError::new(271, format!("Cannot decompress the body: {error}")))?;
    if out.len() > super::MAX_BODY {
        return Err(too_large());
    }
    Ok(out)
}

/// How an answer is coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    Plain,
    /// ClickHouse's own frames.
    Native,
    Gzip,
    Deflate,
    Zstd,
    Lz4,
}

impl Coding {
    /// The first that is understood of an `Accept-Encoding`.
    pub(super) fn accepted(header: &str) -> Self {
        header
            .split(',')
            .filter_map(|item| {
                let (name, weight) = item.split_once(';').unwrap_or((item, ""));
                let refused = weight
                    .trim()
                    .strip_prefix("q=")
                    .is_some_and(|q| q.parse::<f32>() == Ok(0.0));
                match name.trim().to_ascii_lowercase().as_str() {
                    _ if refused => None,
                    "gzip" | "x-gzip" => Some(Self::Gzip),
                    "deflate" => Some(Self::Deflate),
                    "zstd" => Some(Self::Zstd),
                    "lz4" => Some(Self::Lz4),
                    _ => None,
                }
            })
            .next()
            .unwrap_or(Self::Plain)
    }

    /// The value of `Content-Encoding`.
    pub(super) fn name(self) -> Option<&'static str> {
        match self {
            Self::Plain | Self::Native => None,
            Self::Gzip => Some("gzip"),
            Self::Deflate => Some("deflate"),
            Self::Zstd => Some("zstd"),
            Self::Lz4 => Some("lz4"),
        }
    }
}

/// Codes an answer piece by piece; each piece can be decoded as soon as it is there.
pub(super) enum Encoder {
    Plain,
    Native,
    Gzip(flate2::write::GzEncoder<Vec<u8>>),
    Deflate(flate2::write::ZlibEncoder<Vec<u8>>),
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
    Lz4(Box<lz4_flex::frame::FrameEncoder<Vec<u8>>>),
}

impl Encoder {
    pub(super) fn new(coding: Coding) -> std::io::Result<Self> {
        let fast = flate2::Compression::new(3);
        Ok(match coding {
            Coding::Plain => Self::Plain,
            Coding::Native => Self::Native,
            Coding::Gzip => Self::Gzip(flate2::write::GzEncoder::new(Vec::new(), fast)),
            Coding::Deflate => Self::Deflate(flate2::write::ZlibEncoder::new(Vec::new(), fast)),
            Coding::Zstd => Self::Zstd(zstd::stream::write::Encoder::new(Vec::new(), 1)?),
            Coding::Lz4 => Self::Lz4(Box::new(lz4_flex::frame::FrameEncoder::new(Vec::new()))),
        })
    }

    pub(super) fn piece(&mut self, data: &[u8]) -> std::io::Result<Vec<u8>> {
        match self {
            Self::Plain => Ok(data.to_vec()),
            Self::Native => Ok(native::compress(data)),
            Self::Gzip(encoder) => {
                encoder.write_all(data)?;
                encoder.flush()?;
                Ok(std::mem::take(encoder.get_mut()))
            }
            Self::Deflate(encoder) => {
                encoder.write_all(data)?;
                encoder.flush()?;
                Ok(std::mem::take(encoder.get_mut()))
            }
            Self::Zstd(encoder) => {
                encoder.write_all(data)?;
                encoder.flush()?;
                Ok(std::mem::take(encoder.get_mut()))
            }
            Self::Lz4(encoder) => {
                encoder.write_all(data)?;
                encoder.flush()?;
                Ok(std::mem::take(encoder.get_mut()))
            }
        }
    }

    /// What ends the coding.
    pub(super) fn end(self) -> std::io::Result<Vec<u8>> {
        match self {
            Self::Plain | Self::Native => Ok(Vec::new()),
            Self::Gzip(encoder) => encoder.finish(),
            Self::Deflate(encoder) => encoder.finish(),
            Self::Zstd(encoder) => encoder.finish(),
            Self::Lz4(encoder) => encoder.finish().map_err(std::io::Error::other),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_coding_round_trips() {
        let data = "0123456789".repeat(100_000);
        for name in ["gzip", "deflate", "zstd", "lz4", "identity"] {
            let coding = Coding::accepted(&format!("br, {name};q=0.5"));
            let mut encoder = Encoder::new(coding).unwrap();
            let mut coded = encoder.piece(&data.as_bytes()[..7]).unwrap();
            coded.extend(encoder.piece(&data.as_bytes()[7..]).unwrap());
            coded.extend(encoder.end().unwrap());
            assert_eq!(decode(name, &coded).unwrap(), data.as_bytes(), "{name}");
        }
        assert_eq!(Coding::accepted("gzip;q=0, br"), Coding::Plain);
        assert_eq!(decode("br", b"").unwrap_err().code, 89);
        assert_eq!(decode("gzip", b"no gzip").unwrap_err().code, 271);
    }
}
