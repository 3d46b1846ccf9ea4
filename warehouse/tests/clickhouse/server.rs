//! The suite on the server adapter, against the HTTP interface over the embedded engine.

use std::sync::Arc;

use crate::suite::serve::{READER, Server, WRITER};
use crate::suite::{number, options};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use warehouse::{Params, WarehouseError, open};

fn url(user: (&str, &str), port: u16, database: &str) -> String {
    let password = utf8_percent_encode(user.1, NON_ALPHANUMERIC);
    format!(
        "clickhouse://{}:{password}@127.0.0.1:{port}/{database}",
        user.0
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_passes_the_suite() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let warehouse = open(&url(WRITER, server.port, "millrace"), &options())
        .await
        .unwrap();
    let again = open(&url(WRITER, server.port, "millrace"), &options())
        .await
        .unwrap();
    assert_eq!(number(&again, "SELECT count() FROM migrations").await, 11);
    assert_eq!(
        number(&again, "SELECT currentDatabase() = 'millrace'").await,
        1
    );

    crate::suite::all(Arc::clone(&warehouse)).await;

    let error = open(
        &url(("writer", "wrong"), server.port, "millrace"),
        &options(),
    )
    .await
    .unwrap_err();
    assert_eq!(error.code(), Some(516), "{error}");
    let error = open(&url(READER, server.port, "other"), &options())
        .await
        .unwrap_err();
    assert!(!error.is_retryable(), "{error}");

    warehouse.close().await;
    let error = warehouse
        .query("SELECT 1", &Params::new())
        .await
        .unwrap_err();
    assert!(matches!(error, WarehouseError::Closed), "{error}");
    server.stop();
    let error = again.query("SELECT 1", &Params::new()).await.unwrap_err();
    assert!(error.is_retryable(), "{error}");
    for url in [
        "clickhouse://",
        "clickhouse://host:8123",
        "clickhouse://host/a/b",
    ] {
        let error = open(url, &options()).await.unwrap_err();
        assert!(matches!(error, WarehouseError::Url(_)), "{error}");
    }
}
