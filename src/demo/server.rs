//! The `millrace up` that the demo runs against: a process of its own, as in real use.

use std::net::TcpListener;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use reqwest::{Client, RequestBuilder, Response};
use serde_json::Value;
use tokio::process::{Child, Command};

use crate::config::Flags;

/// A running Millrace and a client of it.
#[derive(Debug)]
pub(super) struct Server {
    child: Child,
    client: Client,
    base: String,
}

impl Server {
    /// Starts `millrace up` on a folder and waits until it is ready.
    ///
    /// Where an earlier run was cut off, its Millrace may still be draining on that folder: then it is tried again.
    pub(super) async fn start(data: &Path, flags: &Flags, earlier_run: bool) -> Result<Self> {
        let started = Instant::now();
        loop {
            match Self::start_once(data, flags).await {
                Err(_) if earlier_run && started.elapsed() < Duration::from_secs(60) => {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
                result => return result,
            }
        }
    }

    async fn start_once(data: &Path, flags: &Flags) -> Result<Self> {
        let listen = match &flags.listen {
            Some(listen) => listen.clone(),
            None => free_address()?,
        };
        let program = std::env::current_exe().context("this program's own file is not known")?;
        let mut command = Command::new(program);
        command
            .args(["up", "--until-stdin-closes"])
            .arg("--data")
            .arg(data)
            .arg("--listen")
            .arg(&listen)
            .args(["--set", "logging.level=warn"]);
        if let Some(file) = &flags.config {
            command.arg("--config").arg(file);
        }
        for pair in &flags.set {
            command.arg("--set").arg(pair);
        }
        let child = command
            // Held open: it closes with this process, however that ends.
            .stdin(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("millrace up cannot be started")?;
        let client = Client::builder()
            .timeout(Duration::from_secs(120))
            .build()?;
        let mut server = Self {
            child,
            client,
            base: format!("http://{listen}"),
        };
        server.wait_until_ready().await?;
        Ok(server)
    }

    async fn wait_until_ready(&mut self) -> Result<()> {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                bail!("millrace up ended while starting ({status}); see its messages above");
            }
            if let Ok(response) = self.client.get(format!("{}/ready", self.base)).send().await
                && response.status().is_success()
            {
                return Ok(());
            }
            if started.elapsed() > Duration::from_secs(120) {
                bail!("millrace up is not ready after two minutes; see its messages above");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Where it serves, without a path.
    pub(super) fn base(&self) -> &str {
        &self.base
    }

    pub(super) fn post(&self, path: &str) -> RequestBuilder {
        self.client.post(format!("{}/api/v1{path}", self.base))
    }

    pub(super) fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(format!("{}/api/v1{path}", self.base))
    }

    /// The most memory it has held so far, in bytes.
    pub(super) fn peak_memory(&self) -> u64 {
        let status = self
            .child
            .id()
            .and_then(|id| std::fs::read_to_string(format!("/proc/{id}/status")).ok());
        let kib = status.as_deref().and_then(|status| {
            let line = status
                .lines()
                .find_map(|line| line.strip_prefix("VmHWM:"))?;
            line.trim()
                .trim_end_matches("kB")
                .trim()
                .parse::<u64>()
                .ok()
        });
        kib.unwrap_or(0) * 1024
    }

    /// Waits until it ends by itself.
    pub(super) async fn wait(&mut self) -> Result<()> {
        let status = self.child.wait().await?;
        if !status.success() {
            bail!("millrace up ended with {status}");
        }
        Ok(())
    }

    /// Asks it to stop, and waits until it has drained.
    pub(super) async fn stop(mut self) -> Result<()> {
        if let Some(id) = self.child.id() {
            // The shell's kill: sending a signal takes unsafe code or another dependency.
            Command::new("kill")
                .arg("-TERM")
                .arg(id.to_string())
                .status()
                .await?;
        }
        match tokio::time::timeout(Duration::from_secs(60), self.child.wait()).await {
            Ok(status) => {
                let status = status?;
                if !status.success() {
                    bail!(
                        "millrace up ended with {status}: something was left undone, see its messages above"
                    );
                }
                Ok(())
            }
            Err(_) => bail!("millrace up has not stopped after a minute"),
        }
    }
}

fn free_address() -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    Ok(listener.local_addr()?.to_string())
}

/// The JSON of an answer, or its problem as an error.
pub(super) async fn json(response: Response) -> Result<Value> {
    let (status, url) = (response.status(), response.url().path().to_owned());
    let body = response.bytes().await?;
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    if !status.is_success() {
        bail!(
            "{url} answered {status}: {}",
            body["detail"].as_str().unwrap_or("no detail")
        );
    }
    Ok(body)
}
