//! The program under test, as a process of its own.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use reqwest::{Client, RequestBuilder};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::process;
use crate::settings::Settings;

const OPERATOR: &str = "operator-of-the-benchmarks-93b61c0f4e7d25a8";
const PASSWORD: &str = "a password for the time of a benchmark";
const STARTS_WITHIN: Duration = Duration::from_secs(60);
const SETTLES_WITHIN: Duration = Duration::from_secs(180);

/// A folder with an organization and a key, on which roles can be started.
#[derive(Debug)]
pub(crate) struct Installation {
    folder: TempDir,
    program: PathBuf,
    settings: Vec<String>,
}

/// A running role.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    client: Client,
    address: String,
    key: String,
    pid: u32,
}

impl Installation {
    pub(crate) fn new(settings: &Settings) -> Result<Self> {
        Ok(Self {
            folder: settings.temporary_folder()?,
            program: settings.program()?,
            settings: settings.program_settings(),
        })
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Bytes in a folder of the data.
    pub(crate) fn bytes(&self, part: &str) -> Result<u64> {
        process::folder_bytes(&self.data().join(part))
    }

    /// Starts `millrace up` and registers an organization with a key.
    pub(crate) async fn up(&self) -> Result<Server> {
        let mut server = self.start("up", &[]).await?;
        server.key = server.register().await?;
        Ok(server)
    }

    /// Starts `millrace ingest` on this log, or on the embedded one.
    pub(crate) async fn ingest(&self, log: Option<&str>) -> Result<Server> {
        // That role has no routes for accounts: another makes the key first.
        let accounts = self.start("serve", &[]).await?;
        let key = accounts.register().await?;
        accounts.stop().await?;
        let log: Vec<String> = log.map(|log| format!("log={log}")).into_iter().collect();
        let mut server = self.start("ingest", &log).await?;
        server.key = key;
        Ok(server)
    }

    async fn start(&self, role: &str, more: &[String]) -> Result<Server> {
        // The port is free now; that somebody takes it before the program does is said by its failure to start.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        let mut command = Command::new(&self.program);
        command
            .args([role, "--listen", &address])
            .arg("--data")
            .arg(self.data());
        for pair in self.settings.iter().chain(more) {
            command.args(["--set", pair]);
        }
        command.args(["--set", &format!("operator.key={OPERATOR}")]);
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("{} cannot be started", self.program.display()))?;
        let pid = child.id().context("the program ended at once")?;
        let client = Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(60))
            .build()?;
        let mut server = Server {
            child,
            client,
            address,
            key: String::new(),
            pid,
        };
        server.wait_until_ready(role).await?;
        Ok(server)
    }
}

impl Server {
    async fn wait_until_ready(&mut self, role: &str) -> Result<()> {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                bail!("millrace {role} ended while starting ({status}); see its messages above");
            }
            let asked = self
                .client
                .get(format!("http://{}/ready", self.address))
                .send()
                .await;
            if asked.is_ok_and(|answer| answer.status().is_success()) {
                return Ok(());
            }
            if begun.elapsed() > STARTS_WITHIN {
                bail!(
                    "millrace {role} is not ready after {} s",
                    STARTS_WITHIN.as_secs()
                );
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn register(&self) -> Result<String> {
        let owner = json!({"name": "Bench", "organization": "Bench", "email": "bench@example.com", "password": PASSWORD});
        let made = json_of(self.client.post(self.url("/auth/register")).json(&owner)).await?;
        let token = made["token"]
            .as_str()
            .context("registering gave no token")?;
        let key = json!({"name": "bench", "scopes": ["ingest", "read"]});
        let made = json_of(
            self.client
                .post(self.url("/api-keys"))
                .bearer_auth(token)
                .json(&key),
        )
        .await?;
        Ok(made["key"].as_str().context("no key was shown")?.to_owned())
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}/api/v1{path}", self.address)
    }

    /// `HOST:PORT`.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// A key that may send and read.
    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// A GET below `/api/v1` with the key.
    pub(crate) fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(self.url(path)).bearer_auth(&self.key)
    }

    /// CPU seconds it has used.
    pub(crate) fn cpu_seconds(&self) -> Result<f64> {
        process::cpu_seconds(self.pid)
    }

    /// Resident memory now, in MB.
    pub(crate) fn resident_mb(&self) -> Result<f64> {
        process::memory_mb(self.pid, "VmRSS")
    }

    /// The most resident memory so far, in MB.
    pub(crate) fn peak_mb(&self) -> Result<f64> {
        process::memory_mb(self.pid, "VmHWM")
    }

    /// A metric without labels, or the sum over them; 0 where it has not been counted yet.
    async fn metric(&self, name: &str) -> Result<f64> {
        let response = self
            .client
            .get(format!("http://{}/metrics", self.address))
            .send()
            .await?;
        let text = response.error_for_status()?.text().await?;
        Ok(sum_of(&text, name))
    }

    /// Waits until so many events are processed, and then until they are archived; gives the seconds since `begun`.
    ///
    /// Then everything must add up.
    pub(crate) async fn settled(&self, events: u64, begun: Instant) -> Result<(f64, f64)> {
        let waiting = Instant::now();
        let mut seconds = [0.0; 2];
        for (index, name) in [
            "millrace_processor_records_total{verdict=\"event\"}",
            "millrace_archive_rows_total",
        ]
        .into_iter()
        .enumerate()
        {
            loop {
                let so_far = self.metric(name).await?;
                seconds[index] = begun.elapsed().as_secs_f64();
                if so_far >= events as f64 {
                    break;
                }
                if waiting.elapsed() > SETTLES_WITHIN {
                    bail!(
                        "after {} s {name} is {so_far}, not {events}",
                        SETTLES_WITHIN.as_secs()
                    );
                }
                // Seldom enough that being asked costs the server nothing to speak of.
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        Ok((seconds[0], seconds[1]))
    }

    /// Requires that log, state and archive add up, with so many events.
    pub(crate) async fn check_balanced(&self, events: u64) -> Result<()> {
        let found = json_of(
            self.client
                .get(self.url("/admin/reconciliation"))
                .bearer_auth(OPERATOR),
        )
        .await?;
        if found["balanced"] != true
            || found["totals"]["events"] != events
            || found["totals"]["archive_rows"] != events
        {
            bail!("{events} events were accepted, but the reconciliation says {found}");
        }
        Ok(())
    }

    /// Asks it to end, and requires that it left nothing undone.
    pub(crate) async fn stop(mut self) -> Result<()> {
        // The shell's kill: sending a signal takes unsafe code or another dependency.
        Command::new("kill")
            .arg("-TERM")
            .arg(self.pid.to_string())
            .status()
            .await?;
        let status = tokio::time::timeout(Duration::from_secs(90), self.child.wait())
            .await
            .context("the program has not ended 90 s after SIGTERM")??;
        if !status.success() {
            bail!("the program ended with {status}; see its messages above");
        }
        Ok(())
    }
}

/// The JSON of an answer, or its problem as an error.
pub(crate) async fn json_of(request: RequestBuilder) -> Result<Value> {
    let response = request.send().await?;
    let (status, url) = (response.status(), response.url().path().to_owned());
    let body: Value = serde_json::from_slice(&response.bytes().await?).unwrap_or_default();
    if !status.is_success() {
        bail!(
            "{url} answered {status}: {}",
            body["detail"].as_str().unwrap_or("no detail")
        );
    }
    Ok(body)
}

/// The sum of the samples whose name, or name and labels, begin so.
fn sum_of(text: &str, name: &str) -> f64 {
    text.lines()
        .filter_map(|line| line.strip_prefix(name))
        .filter(|rest| rest.starts_with([' ', '{']))
        .filter_map(|rest| rest.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_summed_by_name() {
        let text = "# TYPE a_total counter\na_total{verdict=\"event\"} 3\na_total{verdict=\"duplicate\"} 4\na_totals 9\nb 2\n";
        assert_eq!(sum_of(text, "a_total"), 7.0);
        assert_eq!(sum_of(text, "a_total{verdict=\"event\"}"), 3.0);
        assert_eq!(sum_of(text, "b"), 2.0);
        assert_eq!(sum_of(text, "c"), 0.0);
    }
}
