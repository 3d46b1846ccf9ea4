//! The faults, by what they hit. Each is injected under load, and counts only where it was seen to act.

pub(crate) mod broken;
pub(crate) mod clients;
pub(crate) mod clock;
pub(crate) mod embedded;
pub(crate) mod members;
pub(crate) mod overload;
pub(crate) mod processes;
pub(crate) mod servers;

use std::time::Duration;

use rand::RngExt;

use crate::run::Run;

/// Waits a random part of so many milliseconds.
pub(crate) async fn moment(run: &mut Run, most: u64) {
    let pause = run.rng.random_range(0..most);
    tokio::time::sleep(Duration::from_millis(pause)).await;
}
