//! Replays asked for over HTTP: one at a time, and the last one's state.

use std::sync::Arc;

use parking_lot::Mutex;
use processors::replay::{Options, Place, Progress, ReplayError, Report, Selection, replay};
use query_api::ReplayRequest;
use schemas::{Problem, ProblemKind, Timestamp};
use serde_json::{Value, json};
use tokio::sync::watch;

/// The replays of this process.
#[derive(Debug)]
pub(crate) struct Replays {
    place: Place,
    last: Mutex<Option<Arc<Replay>>>,
}

#[derive(Debug)]
struct Replay {
    started_at: Timestamp,
    progress: watch::Receiver<Progress>,
    outcome: Mutex<Option<Outcome>>,
}

#[derive(Debug)]
struct Outcome {
    finished_at: Timestamp,
    result: Result<Report, ReplayError>,
}

fn now() -> Timestamp {
    Timestamp::from_micros(chrono::Utc::now().timestamp_micros())
}

impl Replays {
    pub(crate) fn new(place: Place) -> Self {
        Self {
            place,
            last: Mutex::new(None),
        }
    }

    /// Begins one, unless one runs.
    pub(crate) fn start(&self, request: ReplayRequest) -> Result<Value, Problem> {
        let selection = super::selection(request.from, request.since, request.until);
        if request.switch && selection != Selection::All {
            let detail = "switch: a switch is for every customer; leave out from, since and until";
            return Err(Problem::new(ProblemKind::BadRequest, detail).field("switch"));
        }
        let options = Options {
            selection,
            switch: request.switch,
            dry_run: request.dry_run,
            ..Options::default()
        };
        let mut last = self.last.lock();
        if last
            .as_ref()
            .is_some_and(|last| last.outcome.lock().is_none())
        {
            let detail = "a replay runs already; GET /admin/replay tells how far it is";
            return Err(Problem::new(ProblemKind::Conflict, detail));
        }
        let (told, progress) = watch::channel(Progress::default());
        let begun = Arc::new(Replay {
            started_at: now(),
            progress,
            outcome: Mutex::new(None),
        });
        *last = Some(begun.clone());
        let shown = begun.shown();
        let place = self.place.clone();
        tokio::spawn(async move {
            // In a task of its own: what panics there ends this replay, and not the ones to come.
            let task = tokio::spawn(async move { replay(&place, &options, &told).await });
            let result = task.await.unwrap_or_else(|error| Err(error.into()));
            match &result {
                Ok(report) if report.is_clean() => {
                    tracing::info!(
                        customers = report.customers,
                        "a replay found the live state as it should be"
                    );
                }
                Ok(report) => {
                    tracing::warn!(
                        different = report.different,
                        switched = report.switched,
                        "a replay found customers whose live state is not what their events say"
                    );
                }
                Err(error) => tracing::warn!(%error, "a replay did not come to its end"),
            }
            *begun.outcome.lock() = Some(Outcome {
                finished_at: now(),
                result,
            });
        });
        Ok(shown)
    }

    /// The last one.
    pub(crate) fn state(&self) -> Result<Value, Problem> {
        match &*self.last.lock() {
            Some(last) => Ok(last.shown()),
            None => {
                let detail = "no replay has begun since this process started; POST to begin one";
                Err(Problem::new(ProblemKind::NotFound, detail))
            }
        }
    }
}

impl Replay {
    fn shown(&self) -> Value {
        let outcome = self.outcome.lock();
        let (state, report, error) = match outcome.as_ref().map(|outcome| &outcome.result) {
            None => ("running", None, None),
            Some(Ok(report)) => ("done", Some(report), None),
            Some(Err(error)) => ("failed", None, Some(error.to_string())),
        };
        let progress = self.progress.borrow();
        json!({
            "state": state,
            "phase": progress.phase,
            "events": progress.events,
            "total": progress.total,
            "percent": progress.percent(),
            "events_per_second": progress.events_per_second,
            "started_at": self.started_at,
            "finished_at": outcome.as_ref().map(|outcome| outcome.finished_at),
            "report": report,
            "error": error,
        })
    }
}
