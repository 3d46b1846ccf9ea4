//! The log is away: every sender is told to come again, in time and at no cost in memory, until it is back.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tests::{Caller, TestApp, resident_bytes};

const SENDERS: usize = 16;
const BATCHES: usize = 5;
const EVENTS: usize = 2_000;
const RECOVERS_WITHIN: Duration = Duration::from_secs(60);

/// A Kafka broker of this test's own.
struct Broker {
    folder: TempDir,
    address: String,
    pid: String,
}

impl Broker {
    fn script() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/dev/kafka")
    }

    fn start() -> Self {
        let folder = TempDir::with_prefix("millrace-kafka-").unwrap();
        let started = Command::new(Self::script())
            .arg("start")
            .arg("--dir")
            .arg(folder.path())
            .output()
            .unwrap();
        assert!(
            started.status.success(),
            "Kafka does not start; run `make setup` first. It says: {}",
            String::from_utf8_lossy(&started.stderr)
        );
        let said = String::from_utf8(started.stdout).unwrap();
        let mut lines = said.lines();
        let address = lines.next().unwrap().to_owned();
        let file = lines.next().unwrap().strip_prefix("pid_file=").unwrap();
        let pid = std::fs::read_to_string(file).unwrap().trim().to_owned();
        Self {
            folder,
            address,
            pid,
        }
    }

    fn signal(&self, signal: &str) {
        let status = Command::new("kill").args([signal, &self.pid]).status();
        assert!(status.unwrap().success(), "{signal}");
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // One that stands still cannot stop in order.
        let _ = Command::new("kill").args(["-CONT", &self.pid]).status();
        let _ = Command::new(Self::script())
            .arg("stop")
            .arg("--dir")
            .arg(self.folder.path())
            .stdout(Stdio::null())
            .status();
    }
}

/// The events of one batch of one sender.
fn batch(sender: usize, batch: usize) -> String {
    let line = |n: usize| {
        format!(
            "{{\"type\":\"activity\",\"event_id\":\"{sender}-{batch}-{n}\",\"customer_id\":\"c-{n}\",\"name\":\"login\"}}\n"
        )
    };
    (0..EVENTS).map(line).collect()
}

/// Sends a batch until all of it is taken: a log that was just away may be so again for a moment.
async fn sent(key: &Caller, body: String) {
    let begun = Instant::now();
    loop {
        let answer = key.ingest_lines(body.clone()).await;
        match answer.status {
            // Taken in part it is sent again too, for each event counts once.
            202 if answer.json["accepted"] == EVENTS => return,
            202 | 503 => assert!(
                begun.elapsed() < RECOVERS_WITHIN,
                "it does not take events: {}",
                answer.json
            ),
            _ => panic!("answered {}: {}", answer.status, answer.json),
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test]
async fn senders_are_told_to_come_again_and_memory_stays_flat() {
    let broker = Broker::start();
    let log = format!("log=kafka://{}", broker.address);
    // A queue that the senders overfill, and little patience.
    let app = TestApp::start_with(&[
        &log,
        "stream.append_seconds=3",
        "stream.queue_bytes=3000000",
    ])
    .await;
    let acme = app.register("acme").await;
    let key = acme.key(&["ingest"]).await;
    // Warm before it is measured: buffers and caches are filled once.
    for number in 0..20 {
        sent(&key, batch(SENDERS, number)).await;
    }
    app.wait_settled().await;

    broker.signal("-STOP");
    let before = resident_bytes(app.pid());
    let sending = (0..SENDERS).map(|sender| {
        let key = key.clone();
        async move {
            for number in 0..BATCHES {
                let answer = key.ingest_lines(batch(sender, number)).await;
                let problem = answer.problem(503, "unavailable");
                if let Some(taken) = problem.get("accepted") {
                    assert_eq!(taken, 0, "{problem}");
                }
            }
        }
    });
    futures::future::join_all(sending).await;
    let after = resident_bytes(app.pid());
    assert!(
        after < before + 200_000_000,
        "memory grew from {before} to {after} bytes while the log was away"
    );

    broker.signal("-CONT");
    // What had no certain outcome is sent again, and each event counts once.
    for sender in 0..SENDERS {
        for number in 0..BATCHES {
            sent(&key, batch(sender, number)).await;
        }
    }
    let settled = app.wait_settled().await;
    let expected = (20 + SENDERS * BATCHES) * EVENTS;
    assert_eq!(settled["totals"]["events"], expected);
}
