//! The HTTP interface in a process of its own: libchdb holds one directory a process, and a server is another one.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use warehouse::{Access, Embedded, HttpAuth, clickhouse_router};

use super::options;

/// Tells the child its directory.
const FOLDER: &str = "MILLRACE_TEST_FOLDER";
pub const WRITER: (&str, &str) = ("writer", "se:cret ü&%");
pub const READER: (&str, &str) = ("reader", "read only");

/// A running child, stopped when dropped.
pub struct Server {
    child: Child,
    pub port: u16,
}

impl Server {
    /// Starts this test's executable again, as the server of a directory.
    pub fn start(folder: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "suite::serve::serve", "--nocapture"])
            .env(FOLDER, folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let port = lines
            .find_map(|line| {
                line.unwrap()
                    .strip_prefix("port ")
                    .map(|port| port.parse().unwrap())
            })
            .expect("the server says its port");
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, port }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Closes its standard input, which asks it to stop, and waits.
    pub fn stop(mut self) {
        drop(self.child.stdin.take());
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The child: serves until standard input ends.
#[test]
#[ignore = "the server of other tests, in a process of its own"]
fn serve() {
    let folder = std::env::var_os(FOLDER).expect("run by the other tests of this file");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let warehouse = Embedded::open(Path::new(&folder).join("warehouse"), &options())
            .await
            .unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        println!("\nport {}", listener.local_addr().unwrap().port());
        let auth = HttpAuth::new()
            .with(WRITER.0, WRITER.1, Access::Write)
            .with(READER.0, READER.1, Access::Read);
        let stopped = async {
            let end = || std::io::stdin().read_to_end(&mut Vec::new());
            let _ = tokio::task::spawn_blocking(end).await;
        };
        axum::serve(listener, clickhouse_router(warehouse.clone(), auth))
            .with_graceful_shutdown(stopped)
            .await
            .unwrap();
        warehouse::Warehouse::close(&*warehouse).await;
    });
}
