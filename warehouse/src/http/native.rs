//! ClickHouse's own block compression (`compress=1`, `decompress=1`): frames of LZ4, zstd or nothing, each with a
//! CityHash128 (of version 1.0.2, which is ClickHouse's) before it.

use super::error::HttpError;

const LZ4: u8 = 0x82;
const ZSTD: u8 = 0x90;
const PLAIN: u8 = 0x02;
/// Method, size with this header, size without compression.
const HEADER: usize = 9;
const CHECKSUM: usize = 16;
/// How much goes into one frame.
const FRAME: usize = 1 << 20;

fn checksum(bytes: &[u8]) -> [u8; CHECKSUM] {
    // ClickHouse writes the low half first.
    cityhash_rs::cityhash_102_128(bytes)
        .rotate_right(64)
        .to_le_bytes()
}

/// Frames of LZ4.
pub(super) fn compress(data: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(data.len() / 2 + CHECKSUM + HEADER);
    for piece in data.chunks(FRAME) {
        let compressed = lz4_flex::block::compress(piece);
        let mut frame = Vec::with_capacity(HEADER + compressed.len());
        frame.push(LZ4);
        frame.extend_from_slice(&((HEADER + compressed.len()) as u32).to_le_bytes());
        frame.extend_from_slice(&(piece.len() as u32).to_le_bytes());
        frame.extend_from_slice(&compressed);
        out.extend_from_slice(&checksum(&frame));
        out.extend_from_slice(&frame);
    }
    out
}

/// The data of frames; fails on a wrong checksum, and beyond `most` bytes.
pub(super) fn decompress(mut frames: &[u8], most: usize) -> Result<Vec<u8>, HttpError> {
    let broken = |what: &str| HttpError::new(271, format!("Cannot decompress: {what}"));
    let mut out = Vec::new();
    while !frames.is_empty() {
        let (Some(sum), Some(header)) = (
            frames.get(..CHECKSUM),
            frames.get(CHECKSUM..CHECKSUM + HEADER),
        ) else {
            return Err(broken("a frame is cut short"));
        };
        let number = |at: usize| {
            let bytes = [header[at], header[at + 1], header[at + 2], header[at + 3]];
            u32::from_le_bytes(bytes) as usize
        };
        let (size, inflated) = (number(1), number(5));
        if size < HEADER {
            return Err(broken("a frame is smaller than its header"));
        }
        let Some(frame) = frames.get(CHECKSUM..CHECKSUM + size) else {
            return Err(broken("a frame is cut short"));
        };
        if checksum(frame) != sum {
            // CHECKSUM_DOESNT_MATCH
            return Err(HttpError::new(
                40,
                "Checksum doesn't match: corrupted data.",
            ));
        }
        if out.len() + inflated > most {
            return Err(super::coding::too_large());
        }
        let data = &frame[HEADER..];
        match header[0] {
            LZ4 => out.extend(
                lz4_flex::block::decompress(data, inflated)
                    .map_err(|error| broken(&error.to_string()))?,
            ),
            ZSTD => out.extend(
                zstd::bulk::decompress(data, inflated)
                    .map_err(|error| broken(&error.to_string()))?,
            ),
            PLAIN => out.extend_from_slice(data),
            method => {
                // UNKNOWN_COMPRESSION_METHOD
                return Err(HttpError::new(
                    89,
                    format!("Unknown compression method 0x{method:02x}"),
                ));
            }
        }
        frames = &frames[CHECKSUM + size..];
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_round_trip_and_are_checked() {
        let data: Vec<u8> = (0..3_000_000_u32)
            .map(|number| (number / 7) as u8)
            .collect();
        let mut frames = compress(&data);
        assert_eq!(
            decompress(&frames, data.len()).ok().as_deref(),
            Some(data.as_slice())
        );
        assert_eq!(
            decompress(&frames, data.len() - 1)
                .err()
                .map(|error| error.code),
            Some(229)
        );
        assert!(decompress(&frames[..100], data.len()).is_err());
        frames[40] ^= 1;
        assert_eq!(
            decompress(&frames, data.len())
                .err()
                .map(|error| error.code),
            Some(40)
        );
    }
}
