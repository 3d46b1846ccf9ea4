//! Trace contexts: which request a record came with, as W3C Trace Context writes it.

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Bytes of the binary form.
pub const TRACE_BYTES: usize = 24;

/// A trace that somebody follows, and the span of it that goes on here. Those that nobody follows are not carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceContext {
    /// Never 0.
    pub trace_id: u128,
    /// Never 0.
    pub span_id: u64,
}

impl TraceContext {
    /// Reads the header `traceparent`. `None` for what is none, and for a trace that is not sampled.
    pub fn parse(traceparent: &str) -> Option<Self> {
        let mut parts = traceparent.trim().split('-');
        let version = hex(parts.next()?, 2)?;
        let trace_id = hex(parts.next()?, 32)?;
        let span_id = u64::try_from(hex(parts.next()?, 16)?).ok()?;
        let flags = hex(parts.next()?, 2)?;
        // Later versions may have more parts.
        let whole = version != 0xff && (version > 0 || parts.next().is_none());
        let sampled = flags & 1 == 1;
        (whole && sampled && trace_id != 0 && span_id != 0).then_some(Self { trace_id, span_id })
    }

    /// As the header `traceparent`.
    pub fn traceparent(&self) -> String {
        format!("00-{:032x}-{:016x}-01", self.trace_id, self.span_id)
    }

    /// The span of a step that follows on this one: the same step of the same trace has the same id, so that what is
    /// done again is told again and not told as something new.
    #[must_use]
    pub fn follow(&self, step: &str, number: u64) -> Self {
        let seed = self.span_id ^ number.rotate_left(32);
        let span_id = xxh3_64_with_seed(step.as_bytes(), seed ^ self.trace_id as u64);
        Self {
            span_id: span_id.max(1),
            ..*self
        }
    }

    /// The binary form.
    pub fn to_bytes(&self) -> [u8; TRACE_BYTES] {
        let mut bytes = [0; TRACE_BYTES];
        bytes[..16].copy_from_slice(&self.trace_id.to_be_bytes());
        bytes[16..].copy_from_slice(&self.span_id.to_be_bytes());
        bytes
    }

    /// Reads the binary form.
    pub fn from_bytes(bytes: [u8; TRACE_BYTES]) -> Self {
        let number = |range: std::ops::Range<usize>| {
            bytes[range]
                .iter()
                .fold(0, |number: u128, byte| number << 8 | u128::from(*byte))
        };
        Self {
            trace_id: number(0..16),
            span_id: number(16..24) as u64,
        }
    }
}

/// A number of so many lower-case hexadecimal digits.
fn hex(text: &str, digits: usize) -> Option<u128> {
    let lower = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let is_hex = text.len() == digits && text.bytes().all(lower);
    is_hex
        .then(|| u128::from_str_radix(text, 16).ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLED: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_sampled_context_comes_back() {
        let context = TraceContext::parse(SAMPLED);
        assert_eq!(
            context.map(|context| context.traceparent()).as_deref(),
            Some(SAMPLED)
        );
        let bytes = context.map(|context| context.to_bytes());
        assert_eq!(bytes.map(TraceContext::from_bytes), context);
    }

    #[test]
    fn what_is_not_sampled_or_not_whole_is_none() {
        for other in [
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "+0-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "",
        ] {
            assert_eq!(TraceContext::parse(other), None, "{other}");
        }
        let later = format!("01{}-more", &SAMPLED[2..]);
        assert!(TraceContext::parse(&later).is_some());
    }

    #[test]
    fn steps_have_spans_of_their_own_and_the_same_again() {
        let Some(context) = TraceContext::parse(SAMPLED) else {
            panic!("it is sampled");
        };
        assert_eq!(context.follow("fold", 7), context.follow("fold", 7));
        assert_ne!(context.follow("fold", 7), context.follow("fold", 8));
        assert_ne!(context.follow("fold", 7), context.follow("insert", 7));
        assert_eq!(context.follow("fold", 7).trace_id, context.trace_id);
    }
}
