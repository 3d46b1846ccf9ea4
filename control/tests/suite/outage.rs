use std::time::{Duration, Instant};

use control::{AuthError, Authenticator, Control, Scope};

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
    // Who calls all the time has an answer that is never old, and does not notice a short outage.
    for _ in 0..70 {
        assert!(authenticator.authenticate(&made.key).await.is_ok());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    server.stop();
    for _ in 0..10 {
        assert!(authenticator.authenticate(&made.key).await.is_ok());
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
    while authenticator.authenticate(&made.key).await.is_ok() {
        assert!(
            stopped.elapsed() < Duration::from_secs(6),
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
            started.elapsed() < Duration::from_secs(10),
            "a good key is still refused"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(authenticator.authenticate(&account.token).await.is_ok());
}
