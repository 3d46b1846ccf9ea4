//! Every benchmark runs, quickly: that they work, not how fast anything is.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// The program the benchmarks were built beside, and the engine it needs.
fn program() -> (PathBuf, PathBuf) {
    let built = match std::env::var_os("MILLRACE_BIN") {
        Some(path) => PathBuf::from(path),
        None => Path::new(env!("CARGO_BIN_EXE_benches")).with_file_name("millrace"),
    };
    assert!(
        built.is_file(),
        "{} is missing: run `make build`",
        built.display()
    );
    let library = match std::env::var_os("MILLRACE_LIBCHDB") {
        Some(path) => PathBuf::from(path),
        None => std::env::var_os("MILLRACE_CACHE")
            .map_or_else(
                || Path::new(&std::env::var_os("HOME").unwrap()).join(".cache/millrace"),
                PathBuf::from,
            )
            .join("chdb/lib/libchdb.so"),
    };
    assert!(
        library.is_file(),
        "{} is missing: run `make setup`",
        library.display()
    );
    (built, library)
}

/// Runs a benchmark and gives the lines that it printed.
fn quick(bench: &str) -> Vec<Value> {
    let (program, library) = program();
    let output = Command::new(env!("CARGO_BIN_EXE_benches"))
        .args([bench, "--quick", "--millrace"])
        .arg(program)
        .arg("--libchdb")
        .arg(library)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let lines: Vec<Value> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(!lines.is_empty(), "{bench} printed nothing: {said}");
    for line in &lines {
        assert_eq!(line["bench"], bench);
        let case = line["case"].as_str().unwrap();
        assert!(said.contains(case), "{case} is not said for people: {said}");
        let figures = line["figures"].as_object().unwrap();
        assert!(!figures.is_empty(), "{case}");
        for (name, figure) in figures {
            let value = figure["median"].as_f64().unwrap_or(-1.0);
            assert!(
                value >= 0.0 && value.is_finite(),
                "{case}: {name} is {figure}"
            );
        }
    }
    lines
}

/// The cases that every one of these figures is above zero in.
fn positive(lines: &[Value], names: &[&str]) {
    for line in lines {
        for name in names {
            let value = line["figures"][name]["median"].as_f64().unwrap_or_default();
            assert!(value > 0.0, "{}: {name} is {value}", line["case"]);
        }
    }
}

#[test]
fn append() {
    let lines = quick("append");
    assert_eq!(lines.len(), 6, "three cases on each log");
    positive(&lines, &["events_per_s", "p50_ms"]);
}

#[test]
fn ingest() {
    let lines = quick("ingest");
    assert_eq!(lines.len(), 9, "three loads on three servers");
    positive(&lines, &["events_per_s", "requests_per_s", "p50_ms"]);
}

#[test]
fn fold() {
    positive(&quick("fold"), &["events_per_s", "fold_us", "columns_us"]);
}

#[test]
fn end_to_end() {
    let lines = quick("end-to-end");
    assert_eq!(lines.len(), 2);
    positive(
        &lines,
        &[
            "events_per_s",
            "peak_rss_mb",
            "log_bytes_per_event",
            "archive_bytes_per_event",
        ],
    );
}

#[test]
fn archive() {
    positive(&quick("archive"), &["mb_of_json_per_s", "bytes_per_event"]);
}

#[test]
fn report() {
    positive(&quick("report"), &["p50_ms"]);
}

#[test]
fn latency() {
    positive(&quick("latency"), &["p95_ms", "probes"]);
}

#[test]
fn memory() {
    positive(&quick("memory"), &["resident_mb", "data_mb"]);
}
