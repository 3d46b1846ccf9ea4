//! The negative control: the recipe without one of its steps, under a fault that the step is there for. The comparison
//! that calls everything else exact must find it.

use std::time::Duration;

use super::processes::{Target, hold_one};
use crate::driver::Pace;
use crate::proxy::Moment;
use crate::run::{Injected, Run};
use crate::table::Row;

/// Of its row.
pub(crate) const NAME: &str = "control: replays taken for duplicates";
/// What is broken may never come to rest.
const SETTLES_WITHIN: Duration = Duration::from_secs(20);

/// A processor dies before its commit point, and those who take over find its claims and think that they are others'.
pub(crate) async fn claims(pace: Pace) -> Row {
    let mut run = Run::start(false, pace).await;
    run.settles_within = SETTLES_WITHIN;
    for role in &mut run.cluster.processors {
        role.process.kill();
        role.process.run_crashable();
        role.process
            .with_environment(&[("MILLRACE_LEAVE_OUT", "own-claims".to_owned())]);
        role.process.launch();
    }
    for role in &mut run.cluster.processors {
        role.process.wait_ready().await;
    }
    run.driver.wait_for(300, Duration::from_secs(60)).await;
    let mut injected = Injected::default();
    let words = ["INSERT INTO", "`progress`"];
    if let Some(victim) =
        hold_one(&mut run.cluster, Target::Warehouse, &words, Moment::Before).await
    {
        let role = &mut run.cluster.processors[victim];
        role.process.kill();
        role.links.warehouse.drop_held().await;
        Target::Warehouse.release(&run.cluster);
        injected.times += 1;
    }
    let mut row = run.judge(NAME, injected).await;
    let (noticed, others): (Vec<String>, Vec<String>) = std::mem::take(&mut row.wrong)
        .into_iter()
        .partition(|wrong| wrong.starts_with("rejections: of duplicates"));
    row.caught = !noticed.is_empty();
    match noticed.into_iter().next() {
        Some(first) => row.notes.push(first),
        None => {
            row.wrong = others;
            row.wrong
                .push("what was broken on purpose was not noticed".to_owned());
        }
    }
    row
}
