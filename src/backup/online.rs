//! Backups of a running program, which holds the embedded places to itself: begun and looked at over HTTP.

use std::sync::Arc;

use parking_lot::Mutex;
use schemas::{Problem, ProblemKind};
use serde::Serialize;
use warehouse::archive::Place;

use super::take;
use crate::assemble::{Parts, storage_options};
use crate::config::Config;

/// Begins backups, one at a time.
#[derive(Debug, Clone)]
pub(crate) struct Backups {
    config: Arc<Config>,
    latest: Arc<Mutex<Backup>>,
}

/// The latest backup that was begun here.
#[derive(Debug, Clone, Default, Serialize)]
struct Backup {
    status: Status,
    /// Where it is.
    place: Option<String>,
    /// What has been done.
    steps: Vec<String>,
    /// Why there is none.
    error: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Status {
    #[default]
    None,
    Running,
    Done,
    Failed,
}

impl Backups {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            config: Arc::new(config.clone()),
            latest: Arc::default(),
        }
    }

    /// How the latest backup is.
    pub(crate) fn show(&self) -> Result<serde_json::Value, Problem> {
        serde_json::to_value(&*self.latest.lock())
            .map_err(|_| Problem::new(ProblemKind::Internal, "the backup cannot be described"))
    }

    /// Begins a backup to a new place below the one that the settings name.
    pub(crate) fn begin(&self, parts: Parts) -> Result<serde_json::Value, Problem> {
        let below = &self.config.backup.place;
        if below.is_empty() {
            return Err(Problem::new(
                ProblemKind::Conflict,
                "no place for backups is set; set backup.place to file:DIRECTORY or s3://BUCKET/PREFIX",
            ));
        }
        let name = chrono::Utc::now().format("%Y-%m-%dT%H-%M-%SZ");
        let url = format!("{}/{name}", below.trim_end_matches('/'));
        let place = Place::open(&url, &storage_options(&self.config, &url)).map_err(|error| {
            tracing::warn!(%error, "the place for backups cannot be used");
            Problem::new(
                ProblemKind::Unavailable,
                "the place for backups cannot be used now",
            )
        })?;
        {
            let mut latest = self.latest.lock();
            if latest.status == Status::Running {
                return Err(Problem::new(
                    ProblemKind::Conflict,
                    "a backup is being taken; wait for its end",
                ));
            }
            *latest = Backup {
                status: Status::Running,
                place: Some(url),
                ..Backup::default()
            };
        }
        tokio::spawn(run(self.latest.clone(), parts, place));
        self.show()
    }
}

async fn run(latest: Arc<Mutex<Backup>>, parts: Parts, place: Place) {
    tracing::info!(place = place.url(), "taking a backup");
    let tell = |line: String| latest.lock().steps.push(line);
    let taken = take::take(&parts, &place, &tell).await;
    let mut latest = latest.lock();
    match taken {
        Ok(manifest) => {
            latest.status = Status::Done;
            latest.steps.push(manifest.summary());
            tracing::info!(place = place.url(), "took {}", manifest.summary());
        }
        Err(error) => {
            latest.status = Status::Failed;
            latest.error = Some(format!("{error:#}"));
            tracing::error!(
                place = place.url(),
                error = format!("{error:#}"),
                "there is no backup there; take another when this is mended"
            );
        }
    }
}
