//! Processors that come and go, and those that do not know that they are gone.

use std::collections::BTreeSet;
use std::time::Duration;

use super::processes::{Target, hold_one};
use crate::cluster::until;
use crate::proxy::Moment;
use crate::run::{Injected, Run};

/// A hand-over takes a session's end and a rebalance; the test machine may be slow.
const HANDED_OVER_WITHIN: Duration = Duration::from_secs(90);
/// How often a processor is stopped in the hope that it owns something.
const STOPS: usize = 5;

/// Processors join and leave every few seconds, in order and killed.
pub(crate) async fn storm(run: &mut Run) -> Injected {
    let rounds = if run.full { 8 } else { 2 };
    let before: usize = run.cluster.taken_over();
    let mut guests = [
        run.cluster.role("process", 8).await,
        run.cluster.role("process", 9).await,
    ];
    let mut left_badly = Vec::new();
    for round in 0..rounds {
        let guest = &mut guests[round % 2];
        match guest.process.is_started() {
            false => guest.process.launch(),
            true if round % 4 < 2 => guest.process.kill(),
            true => {
                let status = guest.process.terminate().await;
                if !status.success() {
                    left_badly.push(format!(
                        "{}: {status}\n{}",
                        guest.process.name,
                        guest.process.last_messages()
                    ));
                }
            }
        }
        tokio::time::sleep(Duration::from_secs(3)).await;
    }
    for guest in &mut guests {
        guest.process.kill();
    }
    let mut injected = Injected::times(if run.cluster.taken_over() > before {
        rounds as u64
    } else {
        0
    });
    injected.wrong = left_badly;
    injected
}

/// A processor is stopped in the middle of a cycle, its partitions go to others, and it goes on as if nothing had been.
pub(crate) async fn zombie(run: &mut Run) -> Injected {
    let mut injected = Injected::default();
    let moments: &[(&[&str], Moment)] = match run.full {
        true => &[
            (&["INSERT INTO", "`events`"], Moment::Before),
            (&["INSERT INTO", "`customer_state`"], Moment::Before),
            (&["INSERT INTO", "`customer_state`"], Moment::After),
            (&["INSERT INTO", "`progress`"], Moment::Before),
        ],
        false => &[(&["INSERT INTO", "`customer_state`"], Moment::Before)],
    };
    for (words, when) in moments {
        let zombie = match stop_and_hand_over(run, words, *when).await {
            Ok((zombie, _)) => zombie,
            Err(reason) => {
                injected.wrong.push(format!("{words:?}: {reason}"));
                continue;
            }
        };
        run.cluster.processors[zombie].process.go_on();
        injected.times += 1;
        // It finishes what it has in hand and comes back; until then it is nobody to take anything from.
        let back = until(HANDED_OVER_WITHIN, async || {
            let mut processors = run.cluster.processors.iter();
            processors.all(|role| !role.owned().is_empty())
        });
        if !back.await {
            injected
                .wrong
                .push("the zombie got no partitions any more".to_owned());
        }
        tokio::time::sleep(Duration::from_secs(3)).await;
    }
    injected
}

/// The same, and the others then leave: the zombie gets back what it had, with what others did meanwhile in it.
pub(crate) async fn zombie_returns(run: &mut Run) -> Injected {
    let mut injected = Injected::default();
    let rounds = if run.full { 2 } else { 1 };
    for _ in 0..rounds {
        let insert: &[&str] = &["INSERT INTO", "`customer_state`"];
        let (zombie, had) = match stop_and_hand_over(run, insert, Moment::Before).await {
            Ok(stopped) => stopped,
            Err(reason) => {
                injected.wrong.push(reason);
                continue;
            }
        };
        let taken = run.cluster.processors[zombie].taken_over();
        run.cluster.processors[zombie].process.go_on();
        for (number, role) in run.cluster.processors.iter_mut().enumerate() {
            if number != zombie {
                role.process.kill();
            }
        }
        let returned = until(HANDED_OVER_WITHIN, async || {
            let role = &run.cluster.processors[zombie];
            role.taken_over() > taken && had.is_subset(&role.owned())
        })
        .await;
        if returned {
            injected.times += 1;
            // Long enough to work on what has come back.
            tokio::time::sleep(Duration::from_secs(2)).await;
        } else {
            injected
                .wrong
                .push("the zombie did not get its partitions back".to_owned());
        }
        injected.wrong.extend(run.cluster.heal().await);
    }
    injected
}

/// Stops the first processor that comes to a write and waits until others have all it had. Which one, and what it had.
async fn stop_and_hand_over(
    run: &mut Run,
    words: &[&str],
    when: Moment,
) -> Result<(usize, BTreeSet<u32>), String> {
    for _ in 0..STOPS {
        let held = hold_one(&mut run.cluster, Target::Warehouse, words, when).await;
        if let Some(zombie) = held {
            run.cluster.processors[zombie].process.pause();
        }
        Target::Warehouse.release(&run.cluster);
        let zombie = held.ok_or("no processor came to it")?;
        let had = run.cluster.processors[zombie].owned();
        if had.is_empty() {
            // It was writing the last of what it had just given up.
            run.cluster.processors[zombie].process.go_on();
            continue;
        }
        let others = |run: &Run| -> BTreeSet<u32> {
            let others = run.cluster.processors.iter().enumerate();
            let others = others.filter(|(number, _)| *number != zombie);
            others.flat_map(|(_, role)| role.owned()).collect()
        };
        let handed_over = until(HANDED_OVER_WITHIN, async || had.is_subset(&others(run))).await;
        if !handed_over {
            let now = others(run);
            run.cluster.processors[zombie].process.go_on();
            return Err(format!(
                "it had {had:?}, and the others own {now:?} after {HANDED_OVER_WITHIN:?}"
            ));
        }
        // The new owners go on, beyond what the zombie has in hand.
        run.driver.wait_for(500, Duration::from_secs(30)).await;
        return Ok((zombie, had));
    }
    Err(format!("who came to it owned nothing, {STOPS} times"))
}
