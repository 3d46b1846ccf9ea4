//! A real Kafka broker for the tests, stopped when the test process ends, however it ends.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use tempfile::TempDir;

pub(crate) struct Broker {
    /// `host:port`.
    pub(crate) address: String,
    folder: PathBuf,
    pid_file: PathBuf,
    /// Stops the broker once our end of its standard input is gone.
    _sentinel: Child,
}

impl Broker {
    /// One broker for all tests of a test program.
    pub(crate) fn shared() -> &'static Self {
        static BROKER: OnceLock<Broker> = OnceLock::new();
        BROKER.get_or_init(Self::start)
    }

    /// A broker of one's own.
    pub(crate) fn start() -> Self {
        let folder = TempDir::with_prefix("millrace-kafka-").unwrap().keep();
        let sentinel = Command::new("sh")
            .args([
                "-c",
                "cat >/dev/null; \"$1\" stop --dir \"$2\" >/dev/null 2>&1; rm -rf \"$2\"",
                "sh",
            ])
            .arg(script())
            .arg(&folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (address, pid_file) = run_start(&folder);
        Self {
            address,
            folder,
            pid_file,
            _sentinel: sentinel,
        }
    }

    /// As power loss would: no goodbye.
    pub(crate) fn kill(&self) {
        let pid = std::fs::read_to_string(&self.pid_file).unwrap();
        let status = Command::new("kill")
            .args(["-9", pid.trim()])
            .status()
            .unwrap();
        assert!(status.success(), "no broker to kill");
        while Command::new("kill")
            .args(["-0", pid.trim()])
            .stderr(Stdio::null())
            .status()
            .unwrap()
            .success()
        {
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Comes back at the same address with the same data.
    pub(crate) fn restart(&self) {
        let (address, _) = run_start(&self.folder);
        assert_eq!(address, self.address);
    }
}

fn script() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../deploy/dev/kafka")
}

/// Returns the address and the file with the process id.
fn run_start(folder: &std::path::Path) -> (String, PathBuf) {
    let output = Command::new(script())
        .arg("start")
        .arg("--dir")
        .arg(folder)
        .output();
    let output = output.expect("deploy/dev/kafka can be run");
    assert!(
        output.status.success(),
        "Kafka does not start; run `make setup` first. It says: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).unwrap();
    let mut lines = text.lines();
    let address = lines.next().expect("the address").to_owned();
    let pid_file = lines
        .next()
        .and_then(|line| line.strip_prefix("pid_file="))
        .expect("the pid file");
    (address, PathBuf::from(pid_file))
}
