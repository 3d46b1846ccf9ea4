//! What the demo remembers in its folder, so that a run that was cut off goes on where it was.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// The demo's own notes, beside the data.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Journal {
    /// The account that was registered.
    pub(super) email: String,
    /// Its password, made for this folder.
    pub(super) password: String,
    /// Events from the front that are certainly acknowledged.
    pub(super) acknowledged: usize,
    /// How far beyond that events may have been sent.
    pub(super) in_doubt: usize,
    #[serde(skip)]
    path: PathBuf,
    #[serde(skip)]
    saved: bool,
}

impl Journal {
    /// The journal of a folder, or a new one.
    pub(super) fn open(data: &Path) -> Result<Self> {
        let path = data.join("demo.json");
        match fs::read(&path) {
            Ok(text) => {
                let journal: Journal = serde_json::from_slice(&text).with_context(|| {
                    format!(
                        "{} is damaged; choose another --data folder",
                        path.display()
                    )
                })?;
                Ok(Self {
                    path,
                    saved: true,
                    ..journal
                })
            }
            Err(_) => Ok(Self {
                email: "demo@millrace.invalid".into(),
                password: uuid::Uuid::new_v4().to_string(),
                acknowledged: 0,
                in_doubt: 0,
                path,
                saved: false,
            }),
        }
    }

    /// Whether it was there before this run.
    pub(super) fn saved(&self) -> bool {
        self.saved
    }

    /// Writes it beside and renames it, so that it is never half written.
    pub(super) fn save(&self) -> Result<()> {
        let beside = self.path.with_extension("new");
        fs::write(&beside, serde_json::to_vec(self)?)?;
        fs::rename(&beside, &self.path).context("the demo's notes cannot be written")
    }
}
