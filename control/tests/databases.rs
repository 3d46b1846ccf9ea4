//! One suite, run on SQLite in a temporary folder and on a real PostgreSQL.

#![allow(clippy::unwrap_used)]

mod suite;
mod support;

use suite::Backend;
use support::postgres::Postgres;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let next = std::cell::Cell::new(0);
    let fresh = || {
        next.set(next.get() + 1);
        format!(
            "sqlite:{}/{}/control.db",
            folder.path().display(),
            next.get()
        )
    };
    suite::run(Backend {
        name: "sqlite",
        fresh: &fresh,
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn postgresql() {
    let server = Postgres::start();
    let fresh = || server.database();
    suite::run(Backend {
        name: "postgresql",
        fresh: &fresh,
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nobody_is_let_in_while_the_database_is_away_and_all_are_when_it_is_back() {
    let server = Postgres::start();
    suite::outage::refuses_and_recovers(&server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn reads_are_noted_while_the_database_is_away() {
    let server = Postgres::start();
    suite::outage::keeps_reads(&server).await;
}
