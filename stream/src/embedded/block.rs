//! One stored entry: what one group commit wrote to one partition.
//!
//! ```text
//! key    partition u32 BE | first offset u64 BE
//! value  xxh3 of what follows, seeded with the key u64 LE | codec u8 | 3 × 0 | count u32 LE | appended_at i64 LE
//!        | length of the records u32 LE | the records, each length u32 LE + payload, as one lz4 block (codec 1)
//!        or as they are (codec 0, when lz4 would not shrink them)
//! ```
//!
//! The highest bit of a record's length says that 24 bytes of trace context come before its payload.

use bytes::Bytes;
use lz4_flex::block as lz4;
use schemas::TraceContext;
use schemas::trace::TRACE_BYTES;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Bytes before the records.
const HEADER: usize = 28;
const STORED: u8 = 0;
const LZ4: u8 = 1;
/// In the length of a record.
const TRACED: u32 = 1 << 31;

/// Key of the block of `partition` that starts at `first`.
pub(super) fn key(partition: u32, first: u64) -> [u8; 12] {
    let mut key = [0; 12];
    key[..4].copy_from_slice(&partition.to_be_bytes());
    key[4..].copy_from_slice(&first.to_be_bytes());
    key
}

/// Partition and first offset of a key.
pub(super) fn split_key(key: &[u8]) -> Option<(u32, u64)> {
    let partition = u32::from_be_bytes(key.get(..4)?.try_into().ok()?);
    let first = u64::from_be_bytes(key.get(4..12)?.try_into().ok()?);
    (key.len() == 12).then_some((partition, first))
}

/// Collects the records of one block. Keeps its buffer from block to block.
#[derive(Debug, Default)]
pub(super) struct Builder {
    records: Vec<u8>,
    count: u32,
}

impl Builder {
    pub(super) fn push(&mut self, payload: &[u8], trace: Option<&TraceContext>) {
        let length = u32::try_from(payload.len()).expect("the append checked the size");
        match trace {
            None => self.records.extend_from_slice(&length.to_le_bytes()),
            Some(trace) => {
                self.records
                    .extend_from_slice(&(length | TRACED).to_le_bytes());
                self.records.extend_from_slice(&trace.to_bytes());
            }
        }
        self.records.extend_from_slice(payload);
        self.count += 1;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Bytes collected.
    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    pub(super) fn count(&self) -> u32 {
        self.count
    }

    /// The stored value; empties the builder.
    pub(super) fn finish(
        &mut self,
        partition: u32,
        first: u64,
        appended_at: i64,
        table: &mut lz4::CompressTable,
    ) -> Vec<u8> {
        let mut value = vec![0; HEADER + lz4::get_maximum_output_size(self.records.len())];
        let packed = lz4::compress_into_with_table(&self.records, &mut value[HEADER..], table);
        let codec = match packed {
            Ok(length) if length < self.records.len() => {
                value.truncate(HEADER + length);
                LZ4
            }
            _ => {
                value.truncate(HEADER);
                value.extend_from_slice(&self.records);
                STORED
            }
        };
        let length = u32::try_from(self.records.len()).expect("blocks are closed far below 4 GB");
        value[8] = codec;
        value[12..16].copy_from_slice(&self.count.to_le_bytes());
        value[16..24].copy_from_slice(&appended_at.to_le_bytes());
        value[24..28].copy_from_slice(&length.to_le_bytes());
        let hash = xxh3_64_with_seed(&value[8..], seed(partition, first));
        value[..8].copy_from_slice(&hash.to_le_bytes());
        self.records.clear();
        self.count = 0;
        value
    }

    /// Gives back the memory of an unusually large block.
    pub(super) fn shrink(&mut self, keep: usize) {
        if self.records.capacity() > keep {
            self.records = Vec::new();
        }
    }
}

/// What the header says, after the hash has been checked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Header {
    codec: u8,
    pub(super) count: u32,
    pub(super) appended_at: i64,
    length: usize,
}

/// Checks a stored value against its key.
pub(super) fn check(partition: u32, first: u64, value: &[u8]) -> Result<Header, String> {
    let damaged =
        |what: &str| format!("the block at offset {first} of partition {partition} {what}");
    if value.len() < HEADER {
        return Err(damaged("is cut short"));
    }
    let field = |range: std::ops::Range<usize>| -> [u8; 4] {
        value[range].try_into().expect("four bytes of the header")
    };
    let eight = |range: std::ops::Range<usize>| -> [u8; 8] {
        value[range].try_into().expect("eight bytes of the header")
    };
    let stored = u64::from_le_bytes(eight(0..8));
    if stored != xxh3_64_with_seed(&value[8..], seed(partition, first)) {
        return Err(damaged("does not match its checksum"));
    }
    let header = Header {
        codec: value[8],
        count: u32::from_le_bytes(field(12..16)),
        appended_at: i64::from_le_bytes(eight(16..24)),
        length: u32::from_le_bytes(field(24..28)) as usize,
    };
    if header.codec > LZ4 {
        return Err(damaged("was written by a newer version"));
    }
    if header.count == 0 {
        return Err(damaged("holds no records"));
    }
    Ok(header)
}

/// A payload, and the trace it belongs to.
pub(super) type Stored = (Bytes, Option<TraceContext>);

/// The payloads of a stored value, as slices of one buffer.
pub(super) fn payloads(
    partition: u32,
    first: u64,
    value: &[u8],
) -> Result<(Header, Vec<Stored>), String> {
    let damaged =
        |what: String| format!("the block at offset {first} of partition {partition} {what}");
    let header = check(partition, first, value)?;
    let body = &value[HEADER..];
    let records = if header.codec == LZ4 {
        lz4::decompress(body, header.length)
            .map_err(|error| damaged(format!("does not unpack: {error}")))?
    } else {
        body.to_vec()
    };
    if records.len() != header.length {
        return Err(damaged("has another length than it says".to_owned()));
    }
    let records = Bytes::from(records);
    let mut payloads = Vec::with_capacity(header.count as usize);
    let mut at = 0;
    while at < records.len() {
        let beyond = || damaged("has a record beyond its end".to_owned());
        let word = records
            .get(at..at + 4)
            .and_then(|word| word.try_into().ok());
        let word = word.map(u32::from_le_bytes).ok_or_else(beyond)?;
        at += 4;
        let mut trace = None;
        if word & TRACED != 0 {
            let bytes = records.get(at..at + TRACE_BYTES);
            let bytes = bytes.and_then(|bytes| bytes.try_into().ok());
            trace = Some(TraceContext::from_bytes(bytes.ok_or_else(beyond)?));
            at += TRACE_BYTES;
        }
        let end = at + (word & !TRACED) as usize;
        if end > records.len() {
            return Err(beyond());
        }
        payloads.push((records.slice(at..end), trace));
        at = end;
    }
    if payloads.len() != header.count as usize {
        return Err(damaged(
            "has another number of records than it says".to_owned(),
        ));
    }
    Ok((header, payloads))
}

/// The key, mixed into the hash: a block under a wrong key is noticed.
fn seed(partition: u32, first: u64) -> u64 {
    first.rotate_left(20) ^ (u64::from(partition) << 32)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn block(payloads: &[&[u8]]) -> Vec<u8> {
        let mut builder = Builder::default();
        for payload in payloads {
            builder.push(payload, None);
        }
        builder.finish(3, 70, 1_000, &mut lz4::CompressTable::large())
    }

    #[test]
    fn payloads_come_back() {
        let large = vec![7; 100_000];
        let records: [&[u8]; 4] = [b"one", b"", &large, b"{\"a\":1}"];
        let (header, payloads_read) = payloads(3, 70, &block(&records)).unwrap();
        assert_eq!(header.count, 4);
        assert_eq!(header.appended_at, 1_000);
        let read: Vec<&[u8]> = payloads_read
            .iter()
            .map(|(payload, _)| &payload[..])
            .collect();
        assert_eq!(read, records);
        assert!(payloads_read.iter().all(|(_, trace)| trace.is_none()));
    }

    #[test]
    fn what_lz4_cannot_shrink_is_stored_as_it_is() {
        let mut state = 1_u64;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 56) as u8
        })
        .take(5_000)
        .collect();
        let value = block(&[&noise]);
        assert_eq!(value.len(), HEADER + 4 + noise.len());
        assert_eq!(payloads(3, 70, &value).unwrap().1[0].0, noise[..]);
    }

    #[test]
    fn traces_are_kept_beside_the_payloads() {
        let trace = TraceContext {
            trace_id: 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c,
            span_id: 0xb7ad_6b71_6920_3331,
        };
        let mut builder = Builder::default();
        builder.push(b"plain", None);
        builder.push(b"traced", Some(&trace));
        builder.push(b"", Some(&trace));
        let value = builder.finish(3, 70, 1_000, &mut lz4::CompressTable::large());
        let (_, read) = payloads(3, 70, &value).unwrap();
        let plain = |text: &'static [u8]| Bytes::from_static(text);
        assert_eq!(
            read,
            [
                (plain(b"plain"), None),
                (plain(b"traced"), Some(trace)),
                (plain(b""), Some(trace))
            ]
        );
    }

    #[test]
    fn every_changed_byte_is_noticed() {
        let value = block(&[b"first", b"second"]);
        for at in 0..value.len() {
            let mut changed = value.clone();
            changed[at] ^= 1;
            assert!(check(3, 70, &changed).is_err(), "byte {at}");
        }
        assert!(check(3, 71, &value).is_err(), "another offset");
        assert!(check(2, 70, &value).is_err(), "another partition");
        assert!(check(3, 70, &value[..10]).is_err(), "cut short");
    }
}
