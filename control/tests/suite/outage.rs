use std::time::{Duration, Instant};

use control::{AuditFilter, AuthError, Authenticator, Control, Scope};

use super::keys::key;
use super::register;
use crate::support::postgres::Postgres;

/// Cached answers may be used up, then nobody passes; nothing is remembered against a good key.
pub(crate) async fn refuses_and_recovers(server: &Postgres) {
    let control = Control::open(&server.database()).await.unwrap();
    let account = register(&control, "ada@example.com").await;
    let made = control
        .create_key(&account.organization.id, key([Scope::Ingest]))
        .await
        .unwrap();
    let authenticator = Authenticator::new(control.clone());
    // Who calls all the time has an answer that is never old, and does not notice a short outage. Who was held up
    // meanwhile did not call all the time, and begins anew.
    let (begun, mut calls) = (Instant::now(), 0);
    while calls < 70 && begun.elapsed() < Duration::from_secs(60) {
        let called = Instant::now();
        let answer = authenticator.authenticate(&made.key).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        if called.elapsed() < Duration::from_millis(500) {
            assert!(answer.is_ok());
            calls += 1;
        } else {
            calls = 0;
        }
    }
    // An answer lives four seconds, and was asked for again when it was one second old. Stopping takes part of the rest.
    let stopping = Instant::now();
    server.stop();
    for _ in 0..10 {
        let answer = authenticator.authenticate(&made.key).await;
        if stopping.elapsed() > Duration::from_secs(2) {
            break;
        }
        assert!(answer.is_ok(), "an answer in memory is not used");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let stopped = Instant::now();
    // A token that is not cached is refused at once or when patience ends, and as unavailable, not as unknown.
    assert_eq!(
        authenticator.authenticate(&account.token).await,
        Err(AuthError::Unavailable)
    );
    assert!(
        stopped.elapsed() < Duration::from_secs(4),
        "{:?}",
        stopped.elapsed()
    );
    loop {
        let asked = stopped.elapsed();
        if authenticator.authenticate(&made.key).await.is_err() {
            break;
        }
        assert!(
            asked < Duration::from_secs(6),
            "a cached answer outlives its time"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(
        authenticator.authenticate(&made.key).await,
        Err(AuthError::Unavailable)
    );
    assert!(
        control
            .login("ada@example.com", "correct horse")
            .await
            .unwrap_err()
            .is_retryable()
    );

    server.start_again();
    let started = Instant::now();
    while authenticator.authenticate(&made.key).await.is_err() {
        assert!(
            started.elapsed() < Duration::from_secs(60),
            "a good key is still refused"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(authenticator.authenticate(&account.token).await.is_ok());
}

/// Reads are noted while the database is away, and are in the audit when it is back.
pub(crate) async fn keeps_reads(server: &Postgres) {
    let control = Control::open(&server.database()).await.unwrap();
    let organization = register(&control, "ada@example.com").await.organization.id;
    server.stop();
    let ids: Vec<String> = (0..1_500).map(|number| format!("c-{number}")).collect();
    control
        .note_read(&organization, "customer", &ids)
        .await
        .unwrap();
    // Longer than the writer waits before it tries.
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    server.start_again();
    let started = Instant::now();
    let reads = AuditFilter {
        action: Some("read".into()),
        ..AuditFilter::default()
    };
    loop {
        assert!(
            started.elapsed() < Duration::from_secs(60),
            "the reads are not in the audit"
        );
        let found = control
            .audit_after(&organization, &reads, None, 10_000)
            .await;
        if found.is_ok_and(|found| found.len() == ids.len()) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
