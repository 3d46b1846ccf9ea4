//! An Apache Kafka broker for the time of a benchmark, through the same script the tests use.

use std::process::Command;

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::settings::{Settings, workspace};

/// A running broker; stopped when dropped.
#[derive(Debug)]
pub(crate) struct Kafka {
    folder: TempDir,
    address: String,
}

impl Kafka {
    pub(crate) fn start(settings: &Settings) -> Result<Self> {
        let folder = settings.temporary_folder()?;
        let output = Command::new(workspace().join("deploy/dev/kafka"))
            .args(["start", "--dir"])
            .arg(folder.path())
            .output()
            .context("deploy/dev/kafka cannot be run")?;
        if !output.status.success() {
            bail!(
                "Kafka did not start: {}",
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        let address = printed
            .lines()
            .next()
            .context("deploy/dev/kafka names no address")?;
        Ok(Self {
            address: address.to_owned(),
            folder,
        })
    }

    /// The log URL of a topic.
    pub(crate) fn url(&self, topic: &str) -> String {
        format!("kafka://{}/{topic}", self.address)
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        let stopped = Command::new(workspace().join("deploy/dev/kafka"))
            .args(["stop", "--dir"])
            .arg(self.folder.path())
            .output();
        if let Err(error) = stopped {
            eprintln!(
                "the broker in {} was not stopped: {error}",
                self.folder.path().display()
            );
        }
    }
}
