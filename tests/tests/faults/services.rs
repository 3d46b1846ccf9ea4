//! Kafka, S3 and PostgreSQL: the servers that `deploy/dev` starts, on free loopback ports, gone with the test process
//! however it ends.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;
use tests::{resume, stop};

/// A running server and its folder.
#[derive(Debug)]
pub(crate) struct Service {
    script: PathBuf,
    options: Vec<String>,
    folder: PathBuf,
    report: String,
    /// Stops the server and removes the folder once our end of its standard input is gone.
    sentinel: Child,
}

impl Service {
    /// Starts `deploy/dev/NAME` with further options.
    pub(crate) fn start(name: &str, options: &[&str]) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../deploy/dev")
            .join(name);
        let folder = TempDir::with_prefix(format!("millrace-{name}-"))
            .unwrap()
            .keep();
        let sentinel = Command::new("sh")
            .args([
                "-c",
                "cat >/dev/null; \"$1\" stop --dir \"$2\" >/dev/null 2>&1; rm -rf \"$2\"",
                "sh",
            ])
            .arg(&script)
            .arg(&folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut service = Self {
            script,
            options: options.iter().map(ToString::to_string).collect(),
            folder,
            report: String::new(),
            sentinel,
        };
        service.start_again();
        service
    }

    /// Starts it at the same address with the same data. Blocks until it serves.
    pub(crate) fn start_again(&mut self) {
        let output = Command::new(&self.script)
            .args(["start", "--dir"])
            .arg(&self.folder)
            .args(&self.options)
            .output()
            .expect("the script runs");
        assert!(
            output.status.success(),
            "{} does not start, run `make setup` once: {}",
            self.script.display(),
            String::from_utf8_lossy(&output.stderr)
        );
        let report = String::from_utf8(output.stdout).unwrap();
        assert!(
            self.report.is_empty() || self.report == report,
            "it comes back as {report} and was {}",
            self.report
        );
        self.report = report;
    }

    /// The first line of its report.
    pub(crate) fn address(&self) -> &str {
        self.report.lines().next().unwrap_or_default()
    }

    /// A named value of its report.
    pub(crate) fn value(&self, name: &str) -> &str {
        let found = self
            .report
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        found.unwrap_or_else(|| panic!("no {name} in {}", self.report))
    }

    /// Where it keeps everything.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    fn pid(&self) -> u32 {
        let text = std::fs::read_to_string(self.value("pid_file")).unwrap();
        text.lines()
            .next()
            .unwrap_or_default()
            .trim()
            .parse()
            .unwrap()
    }

    /// Ends it at once (SIGKILL), and waits until it is gone.
    pub(crate) fn kill(&self) {
        let pid = self.pid();
        tests::kill(pid);
        while Path::new(&format!("/proc/{pid}/exe")).exists() {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }

    /// Stops its clock (SIGSTOP); the system keeps its connections open.
    pub(crate) fn pause(&self) {
        stop(self.pid());
    }

    /// Lets it go on (SIGCONT).
    pub(crate) fn go_on(&self) {
        resume(self.pid());
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if let Ok(pid) = std::fs::read_to_string(self.value("pid_file"))
            && let Some(pid) = pid.lines().next().and_then(|pid| pid.trim().parse().ok())
            && Path::new(&format!("/proc/{pid}")).exists()
        {
            // A paused server could not end in order.
            resume(pid);
        }
        drop(self.sentinel.stdin.take());
        let _ = self.sentinel.wait();
    }
}
