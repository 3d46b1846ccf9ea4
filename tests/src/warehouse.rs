//! The warehouse of a program that is stopped, served by `millrace warehouse`: for tests that spoil what it holds.

use std::net::TcpListener;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use reqwest::Client;

use crate::TestApp;
use crate::tools::{command, libchdb, terminate};

const STARTS_WITHIN: Duration = Duration::from_secs(60);

/// `millrace warehouse` on the folder of a stopped program; ended when it is dropped.
#[derive(Debug)]
pub struct OpenWarehouse {
    child: Child,
    address: String,
    client: Client,
}

impl OpenWarehouse {
    /// Serves the warehouse of a program that does not run.
    pub async fn of(app: &TestApp) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let listen = listener.local_addr().unwrap().to_string();
        drop(listener);
        let child = command()
            .args(["warehouse", "--listen", &listen])
            .arg("--data")
            .arg(app.data())
            .args([
                "--set",
                &format!("embedded.library={}", libchdb().display()),
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let opened = Self {
            child,
            address: format!("http://{listen}/"),
            client: Client::builder().no_proxy().build().unwrap(),
        };
        let started = Instant::now();
        while opened.ask("SELECT 1").await.is_none() {
            assert!(
                started.elapsed() < STARTS_WITHIN,
                "the warehouse does not start"
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        opened
    }

    async fn ask(&self, sql: &str) -> Option<String> {
        let request = self
            .client
            .post(&self.address)
            .basic_auth("millrace", Some(""));
        let answer = request.body(sql.to_owned()).send().await.ok()?;
        let good = answer.status().is_success();
        let text = answer.text().await.ok()?;
        assert!(good, "{sql}: {text}");
        Some(text)
    }

    /// Runs a statement; what it prints.
    pub async fn run(&self, sql: &str) -> String {
        self.ask(sql).await.expect("the warehouse answers")
    }

    /// Ends it in order, so that the program may start again.
    pub fn close(mut self) {
        terminate(self.child.id());
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for OpenWarehouse {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
