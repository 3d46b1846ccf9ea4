//! The suite on the embedded ClickHouse. One test: a process holds one directory.

use std::sync::Arc;
use std::time::Instant;

use crate::suite::{number, options};
use warehouse::{Params, WarehouseError, open};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_embedded_clickhouse_passes_the_suite() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("chdb:{}", folder.path().join("warehouse").display());
    let warehouse = open(&url, &options()).await.unwrap();

    // Again in the same process: the same engine, and migrations that have nothing to do.
    let again = open(&url, &options()).await.unwrap();
    assert_eq!(number(&again, "SELECT count() FROM migrations").await, 11);
    again.close().await;
    assert!(matches!(
        again.query("SELECT 1", &Params::new()).await,
        Err(WarehouseError::Closed)
    ));
    let elsewhere = format!("chdb:{}", folder.path().join("elsewhere").display());
    let error = open(&elsewhere, &options()).await.unwrap_err();
    assert!(error.to_string().contains("one directory"), "{error}");

    crate::suite::all(Arc::clone(&warehouse)).await;

    report_memory();
    // A stream nobody reads must not keep the engine from closing.
    let unread = warehouse
        .stream("SELECT number FROM system.numbers", &Params::new())
        .await
        .unwrap();
    let started = Instant::now();
    warehouse.close().await;
    assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
    drop(unread);
    let error = warehouse
        .execute("SELECT 1", &Params::new())
        .await
        .unwrap_err();
    assert!(matches!(error, WarehouseError::Closed), "{error}");
    drop(warehouse);

    // Closed, the directory opens again with everything in it; and dropping without closing closes too.
    let warehouse = open(&url, &options()).await.unwrap();
    assert_eq!(number(&warehouse, "SELECT count() FROM busy").await, 4000);
    assert_eq!(
        number(&warehouse, "SELECT count() FROM events FINAL").await,
        2
    );
    drop(warehouse);
    assert!(open("sqlite:x", &options()).await.is_err());
}

fn report_memory() {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kilobytes = |name: &str| -> Option<u64> {
        let line = status.lines().find(|line| line.starts_with(name))?;
        line.split_whitespace().nth(1)?.parse().ok()
    };
    if let (Some(now), Some(peak)) = (kilobytes("VmRSS:"), kilobytes("VmHWM:")) {
        eprintln!("resident {} MB, peak {} MB", now / 1024, peak / 1024);
        assert!(peak < 2 << 20, "the process took {peak} kB");
    }
}
