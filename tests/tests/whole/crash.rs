//! Exactly once: the whole process is killed again and again while clients send, and nothing is lost or counted twice.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tests::{Load, TestApp};

const SEED: u64 = 164;
const KILLS: usize = 6;
/// With less than this acknowledged the kills would show nothing.
const AT_LEAST: usize = 10_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_doubled_over_kill_9() {
    let mut app = TestApp::start().await;
    let acme = app.register("acme").await;
    let key = acme.key(&["ingest", "read"]).await;
    let load = Load::start(&key, SEED);
    let mut rng = StdRng::seed_from_u64(SEED);
    load.wait_for(5_000).await;
    for kill in 0..KILLS {
        // Soon after a start as well as in the middle of writing cycles and archiving.
        load.wait_for(rng.random_range(1..3_000)).await;
        tokio::time::sleep(Duration::from_millis(rng.random_range(0..2_500))).await;
        app.kill();
        tokio::time::sleep(Duration::from_millis(rng.random_range(0..200))).await;
        app.restart().await;
        eprintln!(
            "killed {} times, {} events acknowledged",
            kill + 1,
            load.sent()
        );
    }
    load.wait_for(1_000).await;
    let ledger = load.finish().await;
    assert!(
        ledger.events() > AT_LEAST,
        "only {} events were sent",
        ledger.events()
    );
    assert!(
        ledger.repeats() > 100,
        "only {} repeats were sent",
        ledger.repeats()
    );
    ledger.assert_kept(&app, &key).await;

    // And once more from what is on disk alone.
    app.kill();
    app.restart().await;
    ledger.assert_kept(&app, &key).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_under_load_ends_in_order_and_loses_nothing() {
    let mut app = TestApp::start().await;
    let acme = app.register("acme").await;
    let key = acme.key(&["ingest", "read"]).await;
    let load = Load::start(&key, SEED);
    for _ in 0..3 {
        load.wait_for(3_000).await;
        app.terminate().await;
        app.restart().await;
    }
    load.wait_for(1_000).await;
    let ledger = load.finish().await;
    ledger.assert_kept(&app, &key).await;
    app.terminate().await;
    app.restart().await;
    ledger.assert_kept(&app, &key).await;
}

#[tokio::test]
async fn an_idle_program_is_ready_and_ends_at_once() {
    let mut app = TestApp::start().await;
    let records = app.wait_settled().await["totals"]["internal"]
        .as_u64()
        .unwrap();
    tokio::time::sleep(Duration::from_secs(12)).await;
    app.nobody().get("/ready").await.expect(200);
    let settled = app.wait_settled().await;
    let tried = settled["totals"]["internal"].as_u64().unwrap();
    assert!(
        tried > records,
        "an idle log is tried with a record of its own: {settled:#}"
    );
    app.terminate().await;
    app.restart().await;
    app.wait_settled().await;
    let strewn: Vec<_> = std::fs::read_dir(app.elsewhere()).unwrap().collect();
    assert!(
        strewn.is_empty(),
        "written outside of its folder: {strewn:?}"
    );
}
