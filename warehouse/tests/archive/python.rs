//! The archive read by tools that nobody here wrote: `deltalake`, Polars and DuckDB.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::suite::rows::Events;
use crate::suite::{Site, append, assert_holds};
use serde_json::Value;
use warehouse::archive::{ArchiveOptions, CompactOptions, Snapshot};

/// The pinned readers of the set-up.
fn python() -> PathBuf {
    let cache = std::env::var_os("MILLRACE_CACHE")
        .map(PathBuf::from)
        .unwrap_or_else(|| {
            let home = std::env::var_os("HOME")
                .expect("HOME or MILLRACE_CACHE names where tools are kept");
            Path::new(&home).join(".cache/millrace")
        });
    let python = cache.join("venv/bin/python");
    assert!(
        python.is_file(),
        "{} is missing: run `make setup` once",
        python.display()
    );
    python
}

/// What each reader found, by its name.
fn read(table: &Path) -> serde_json::Map<String, Value> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/py/read_archive.py");
    let output = Command::new(python())
        .arg(script)
        .arg(table)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

async fn assert_readers_agree(table: &Path, snapshot: &Snapshot, all: &[Events]) {
    assert_holds(snapshot, all).await;
    let rows: u64 = all.iter().map(Events::rows).sum();
    let total: i128 = all.iter().map(Events::total).sum();
    let readers = read(table);
    assert_eq!(
        readers.keys().map(String::as_str).collect::<Vec<_>>(),
        ["deltalake", "polars", "duckdb"]
    );
    for (reader, found) in &readers {
        assert_eq!(found["rows"].as_u64(), Some(rows), "{reader}");
        assert_eq!(
            found["amount_millionths"].as_str(),
            Some(total.to_string().as_str()),
            "{reader}"
        );
        assert_eq!(
            found["purchases"].as_u64(),
            Some(rows - rows.div_ceil(10)),
            "{reader}"
        );
        assert_eq!(
            found["items"].as_u64(),
            Some(2 * (rows - rows.div_ceil(10))),
            "{reader}"
        );
        assert_eq!(
            found["first"].as_str(),
            Some("2024-01-01T00:00:00+00:00"),
            "{reader}"
        );
    }
    let partitions = &readers["deltalake"]["partitions"];
    assert_eq!(partitions, &serde_json::json!(["kind", "month"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn python_readers_see_the_same_rows_and_sums() {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("file:{}", directory.path().display());
    let site = Site {
        url,
        options: ArchiveOptions::default(),
        _alive: Box::new(()),
    };
    let table = directory.path().join("events");
    let archive = site.open().await;
    let mut snapshot = archive.snapshot().await.unwrap();
    let mut all = Vec::new();
    for partition in 0..6 {
        let events = Events::of(partition, 0..500);
        snapshot = append(&archive, &snapshot, &events).await.unwrap();
        all.push(events);
    }
    assert_readers_agree(&table, &snapshot, &all).await;

    // And after everything that rearranges the table.
    let eager = CompactOptions {
        min_files: 2,
        ..CompactOptions::default()
    };
    assert!(archive.compact(&eager).await.unwrap().commits > 0);
    archive.sum_up().await.unwrap();
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert!(
        !archive
            .vacuum(Duration::ZERO)
            .await
            .unwrap()
            .deleted
            .is_empty()
    );
    assert_readers_agree(&table, &archive.snapshot().await.unwrap(), &all).await;
}
