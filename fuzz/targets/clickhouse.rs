//! What `millrace warehouse` reads before ClickHouse does: statements, forms and compressed frames. Never a panic, and
//! nothing that was not sent.
//!
//! The first byte chooses the decoder; the rest is what it reads.

use warehouse::decoders::{form, frames, statement, unframe};

const MOST: usize = 1 << 20;

pub(crate) fn check(data: &[u8]) {
    let [decoder, data @ ..] = data else {
        return;
    };
    match decoder % 4 {
        0 => {
            if let Ok(Some(begin)) = statement(data) {
                assert!(
                    begin <= data.len(),
                    "the data of an insert is in what was sent"
                );
            }
        }
        1 => {
            let fields = form("multipart/form-data; boundary=b", data);
            for (name, value) in fields.ok().flatten().unwrap_or_default() {
                assert!(within(name.as_bytes(), data) && within(&value, data));
            }
        }
        2 => {
            if let Ok(inflated) = unframe(data, MOST) {
                assert!(inflated.len() <= MOST, "never more than allowed");
            }
        }
        _ => {
            let packed = frames(data);
            assert_eq!(unframe(&packed, data.len()).as_deref(), Ok(data));
            if let Some(less) = data.len().checked_sub(1) {
                assert!(unframe(&packed, less).is_err(), "never more than allowed");
            }
        }
    }
}

fn within(part: &[u8], whole: &[u8]) -> bool {
    part.is_empty() || whole.windows(part.len()).any(|window| window == part)
}
