//! Everything in one process: killed as a whole, and with a disk that is full.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tempfile::TempDir;
use tests::TestApp;

use crate::cluster::{ask_warehouse, warehouse_settings};
use crate::driver::{Driver, Pace};
use crate::oracle::{EVENTS, Found, REJECTIONS, compare};
use crate::process::Process;
use crate::run::Injected;
use crate::table::Row;

const SEED: u64 = 2_711;
const PACE: Pace = Pace {
    senders: 4,
    batch: 100,
    rate: 1_500,
    customers: 300,
};

/// The whole process is killed again and again.
pub(crate) async fn killed(full: bool) -> Row {
    let mut app = TestApp::start_with(&["process.archive_ms=2000"]).await;
    let driver = driver(&app).await;
    let mut rng = StdRng::seed_from_u64(SEED);
    let kills = if full { 6 } else { 2 };
    let mut acted = 0;
    for _ in 0..kills {
        driver.wait_for(500, Duration::from_secs(60)).await;
        tokio::time::sleep(Duration::from_millis(rng.random_range(0..2_500))).await;
        let before = driver.ledger().counts.unknown;
        app.kill();
        tokio::time::sleep(Duration::from_millis(200)).await;
        acted += u64::from(driver.ledger().counts.unknown > before);
        app.restart().await;
    }
    judge("embedded, killed", app, driver, Injected::times(acted)).await
}

/// The disk of the log has no room left, then has some again.
pub(crate) async fn disk_full(full: bool) -> Row {
    let disk = Disk::mount("400m");
    let log = format!("log=file:{}", disk.folder().join("log").display());
    let app = TestApp::start_with(&["process.archive_ms=2000", &log]).await;
    let driver = driver(&app).await;
    let rounds = if full { 3 } else { 1 };
    let mut injected = Injected::default();
    for _ in 0..rounds {
        driver.wait_for(2_000, Duration::from_secs(60)).await;
        let before = driver.ledger().counts.unknown;
        disk.fill();
        tokio::time::sleep(Duration::from_secs(if full { 10 } else { 3 })).await;
        let unknown = driver.ledger().counts.unknown - before;
        disk.make_room();
        injected.times += u64::from(unknown > 0);
        if !driver.wait_for(500, Duration::from_secs(60)).await {
            injected
                .wrong
                .push("it does not take events again".to_owned());
        }
    }
    judge("embedded, disk full", app, driver, injected).await
}

async fn driver(app: &TestApp) -> Driver {
    let account = app.register("acme").await;
    let key = account.key(&["ingest", "read"]).await;
    Driver::start(SEED, vec![key], PACE)
}

/// Lets it come to rest, asks it, ends it, and reads what it leaves with another process.
async fn judge(name: &str, mut app: TestApp, driver: Driver, injected: Injected) -> Row {
    let Injected {
        times,
        notes,
        mut wrong,
    } = injected;
    // Held to the end: nothing new begins meanwhile.
    let quiet = driver.quiet().await;
    if quiet.is_none() {
        wrong.push("something is not answered any more".to_owned());
    }
    app.wait_settled().await;
    let mut found = Found::default();
    found.ask(driver.key(), &app.operator()).await;
    app.terminate().await;
    let folder = app.data().parent().expect("a folder of its own").to_owned();
    let mut warehouse = Process::new("warehouse", "warehouse", &folder, &warehouse_settings());
    warehouse.start().await;
    for (sql, events) in [(EVENTS, true), (REJECTIONS, false)] {
        let text = ask_warehouse(warehouse.listen(), "default", sql)
            .await
            .expect("the warehouse answers");
        match events {
            true => found.read_events(&text),
            false => found.read_rejections(&text),
        }
    }
    warehouse.terminate().await;
    found.read_archive(&app.archive());
    let ledger = driver.ledger();
    wrong.extend(compare(&ledger, None, &found));
    if times == 0 {
        wrong.push("invalid: the fault was not seen to act".to_owned());
    }
    Row {
        fault: name.to_owned(),
        times,
        counts: ledger.counts,
        warehouse: found.warehouse.len(),
        archive: found.archive.len(),
        rejections: found.rejections.len(),
        notes,
        wrong,
        caught: false,
    }
}

/// A small file system in memory.
struct Disk {
    folder: TempDir,
}

impl Disk {
    fn mount(size: &str) -> Self {
        let folder = TempDir::with_prefix("millrace-disk-").unwrap();
        let disk = Self { folder };
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(disk.folder())
            .status();
        assert!(
            mounted.is_ok_and(|status| status.success()),
            "a small file system to fill cannot be mounted: run the tests as root"
        );
        disk
    }

    fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn ballast(&self) -> PathBuf {
        self.folder().join("ballast")
    }

    /// Takes all the room there is.
    fn fill(&self) {
        let mut ballast = std::fs::File::create(self.ballast()).unwrap();
        let copied = std::io::copy(&mut std::io::repeat(0), &mut ballast);
        assert_eq!(
            copied.expect_err("it is full at last").kind(),
            std::io::ErrorKind::StorageFull
        );
    }

    fn make_room(&self) {
        std::fs::remove_file(self.ballast()).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: what has been killed may still hold a file.
        let _ = Command::new("umount")
            .arg("--lazy")
            .arg(self.folder())
            .status();
    }
}
