//! Every decoder that meets bytes of others, on changed copies of a corpus. The targets are those of `fuzz/`, where a
//! nightly compiler searches on; here a seed decides, so that a run can be repeated.

#![allow(clippy::unwrap_used)]

mod changes;

#[path = "../../../fuzz/targets/bodies.rs"]
mod bodies;
#[path = "../../../fuzz/targets/clickhouse.rs"]
mod clickhouse;
#[path = "../../../fuzz/targets/criteria.rs"]
mod criteria;
#[path = "../../../fuzz/targets/records.rs"]
mod records;
#[path = "../../../fuzz/targets/texts.rs"]
mod texts;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

use changes::Changes;

/// Inputs of one target; `DECODER_INPUTS` asks for more.
const INPUTS: u64 = 100_000;
/// No input of these sizes takes milliseconds: what takes this long grows faster than its input.
const LONGEST: Duration = Duration::from_secs(10);

/// The files of a target's corpus, in the order of their names.
fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
    let mut files: Vec<_> = fs::read_dir(folder.join(target))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(files.len() > 5, "the corpus of {target} is missing");
    files.iter().map(|file| fs::read(file).unwrap()).collect()
}

/// Gives a target its corpus and changed copies of it. An input that breaks it is printed as a Rust literal.
fn try_all(target: &str, check: fn(&[u8])) {
    let corpus = corpus(target);
    let inputs = std::env::var("DECODER_INPUTS").map_or(INPUTS, |count| count.parse().unwrap());
    let mut changes = Changes::new(&corpus);
    let changed = (0..inputs).map(|_| changes.next());
    for (number, input) in corpus.iter().cloned().chain(changed).enumerate() {
        let begun = Instant::now();
        let outcome = catch_unwind(AssertUnwindSafe(|| check(&input)));
        assert!(
            outcome.is_ok(),
            "{target} breaks on input {number}: b\"{}\"",
            input.escape_ascii()
        );
        assert!(
            begun.elapsed() < LONGEST,
            "{target} takes {:?} for {} bytes: b\"{}\"",
            begun.elapsed(),
            input.len(),
            input.escape_ascii()
        );
    }
}

#[test]
fn bodies_of_requests() {
    try_all("bodies", bodies::check);
}

#[test]
fn requests_of_clickhouses_clients() {
    try_all("clickhouse", clickhouse::check);
}

#[test]
fn criteria_of_segments() {
    try_all("criteria", criteria::check);
}

#[test]
fn payloads_of_records() {
    try_all("records", records::check);
}

#[test]
fn texts_of_fields() {
    try_all("texts", texts::check);
}

/// A reader that takes the first event of a batch for all of it, and one that falls over: both must be noticed.
#[test]
fn a_broken_decoder_is_noticed() {
    fn forgetful(data: &[u8]) {
        let events = data.split(|byte| *byte == b'\n').count();
        assert_eq!(events.min(1), events, "a verdict for every event");
    }
    fn brittle(data: &[u8]) {
        assert!(std::str::from_utf8(data).is_ok());
    }
    for broken in [forgetful, brittle] {
        let noticed = catch_unwind(|| try_all("records", broken));
        let said = *noticed.unwrap_err().downcast::<String>().unwrap();
        assert!(said.contains("breaks on input"), "{said}");
    }
}

/// The work grows with the input and no faster: nesting, long keys, many keys, many lines.
#[test]
fn work_is_bounded_by_the_size_of_the_input() {
    let keys: String = (0..20_000).map(|key| format!("\"k{key}\":1,")).collect();
    let wide = format!(r#"{{{keys}"type":"activity","customer_id":"c","name":"n"}}"#);
    let escaped = format!(
        r#"{{"customer_id":"c","name":"{}"}}"#,
        r"\u0041".repeat(100_000)
    );
    let digits = format!(r#"{{"customer_id":"c","amount":{}}}"#, "9".repeat(900_000));
    for (place, body) in [
        (0, "[".repeat(1_000_000)),
        (0, format!("[{}]", "{\"a\":".repeat(200_000))),
        (0, format!("[{wide}]")),
        (1, wide.repeat(3)),
        (1, "\n".repeat(1_000_000)),
        (1, "{\n".repeat(400_000)),
        (3, digits),
        (4, escaped),
    ] {
        let begun = Instant::now();
        let mut input = vec![place, 0];
        input.extend_from_slice(body.as_bytes());
        bodies::check(&input);
        let took = begun.elapsed();
        assert!(took < LONGEST, "{took:?} for {:.60}", body);
    }
}
