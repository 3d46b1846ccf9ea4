//! The HTTP interface used by `clickhouse-connect`, ClickHouse's own Python client.

use std::path::Path;
use std::process::Command;

use crate::suite::serve::{READER, Server, WRITER};
use crate::suite::tool;

#[test]
fn clickhouse_connect_works() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/py/clickhouse_client.py");
    let output = Command::new(tool("venv/bin/python"))
        .arg(script)
        .args([&server.port.to_string(), WRITER.1, READER.1])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "passed");
    server.stop();
}
