use control::{Authenticator, Control, ControlError, Scope};

use super::keys::key;
use super::{Backend, raw, register};

pub(crate) async fn opening_again_finds_everything(backend: Backend<'_>) {
    let url = (backend.fresh)();
    let control = Control::open(&url).await.unwrap();
    let account = register(&control, "ada@example.com").await;
    let made = control
        .create_key(&account.organization.id, key([Scope::Read]))
        .await
        .unwrap();
    control.ping().await.unwrap();
    control.close().await;
    let closed = control.ping().await.unwrap_err();
    assert!(closed.is_retryable(), "{closed}");

    let control = Control::open(&url).await.unwrap();
    assert_eq!(
        control.organizations().await.unwrap(),
        [account.organization]
    );
    let authenticator = Authenticator::new(control.clone());
    assert!(authenticator.authenticate(&account.token).await.is_ok());
    assert!(authenticator.authenticate(&made.key).await.is_ok());
    assert!(
        !register(&control, "grace@example.com")
            .await
            .organization
            .operator,
        "the first stays the first"
    );
    let versions = raw::texts(
        &url,
        "SELECT CAST(version AS TEXT) FROM migrations ORDER BY version",
    )
    .await;
    assert_eq!(
        versions,
        ["1", "2", "3", "4", "5", "6", "7"],
        "a migration ran twice"
    );
}

pub(crate) async fn many_processes_may_start_at_once(backend: Backend<'_>) {
    let url = (backend.fresh)();
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let url = url.clone();
            tokio::spawn(async move { Control::open(&url).await })
        })
        .collect();
    let mut handles = Vec::new();
    for task in tasks {
        handles.push(task.await.unwrap().unwrap());
    }
    let versions = raw::texts(
        &url,
        "SELECT CAST(version AS TEXT) FROM migrations ORDER BY version",
    )
    .await;
    assert_eq!(versions, ["1", "2", "3", "4", "5", "6", "7"]);
    for (number, control) in handles.iter().enumerate() {
        register(control, &format!("user{number}@example.com")).await;
    }
    assert_eq!(handles[0].organizations().await.unwrap().len(), 8);
    if url.starts_with("sqlite:") {
        assert_eq!(raw::texts(&url, "PRAGMA journal_mode").await, ["wal"]);
    }
}

pub(crate) async fn an_unknown_schema_is_refused(backend: Backend<'_>) {
    let url = (backend.fresh)();
    Control::open(&url).await.unwrap().close().await;
    raw::execute(
        &url,
        "INSERT INTO migrations (version, name, hash, applied_at) VALUES (99, 'later', 'x', 1)",
    )
    .await;
    let error = Control::open(&url).await.unwrap_err();
    assert!(
        matches!(&error, ControlError::Schema(detail) if detail.contains("99")),
        "{error}"
    );
    raw::execute(&url, "DELETE FROM migrations WHERE version = 99").await;
    raw::execute(&url, "UPDATE migrations SET hash = 'edited'").await;
    let error = Control::open(&url).await.unwrap_err();
    assert!(
        matches!(&error, ControlError::Schema(_)) && !error.is_retryable(),
        "{error}"
    );
}
