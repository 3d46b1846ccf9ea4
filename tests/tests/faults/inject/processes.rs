//! Roles that are killed (SIGKILL), at any moment and at every write of the recipe.

use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::select_all;

use super::moment;
use crate::cluster::{Cluster, Links, until};
use crate::proxy::{Matching, Mode, Moment, Proxy};
use crate::run::{Injected, Run};

/// A hand-over takes a session's end and a rebalance, and catching up a while; the test machine may be slow.
const TAKEN_OVER_WITHIN: Duration = Duration::from_secs(120);

/// Copies of ingest, in turn, while requests are under way in them.
pub(crate) async fn ingest(run: &mut Run) -> Injected {
    let kills = if run.full { 8 } else { 3 };
    let before = run.driver.ledger().counts.unknown;
    for number in 0..kills {
        moment(run, 1_000).await;
        let role = &mut run.cluster.ingests[number % 2];
        role.process.kill();
        tokio::time::sleep(Duration::from_millis(300)).await;
        role.process.start().await;
    }
    let unknown = run.driver.ledger().counts.unknown - before;
    // A copy that is away answers nobody: that was seen, or it was not away.
    Injected::times(if unknown > 0 { kills as u64 } else { 0 })
}

/// Copies of serve, while somebody reads.
pub(crate) async fn serve(run: &mut Run) -> Injected {
    let kills = if run.full { 4 } else { 1 };
    let mut acted = 0;
    for number in 0..kills {
        let reader = run.cluster.serves[number % 2]
            .process
            .nobody
            .with_token(&run.cluster.key);
        let reading = tokio::spawn(async move {
            loop {
                let request = reader.request(reqwest::Method::GET, "/reports/sales");
                match reader
                    .try_send_within(request, Duration::from_secs(10))
                    .await
                {
                    Ok(answer) => assert_eq!(answer.status, 200, "{}", answer.json),
                    Err(_) => return,
                }
            }
        });
        moment(run, 2_000).await;
        let role = &mut run.cluster.serves[number % 2];
        role.process.kill();
        // The reader ends because nobody answers.
        if tokio::time::timeout(Duration::from_secs(10), reading)
            .await
            .is_ok_and(|ended| ended.is_ok())
        {
            acted += 1;
        }
        role.process.start().await;
    }
    Injected::times(acted)
}

/// A processor, which the archive is written by too; the others take over. Measures what clients and readers notice.
pub(crate) async fn processor(run: &mut Run) -> Injected {
    let kills = if run.full { 3 } else { 1 };
    let mut injected = Injected::default();
    for number in 0..kills {
        moment(run, 1_000).await;
        let victim = number % run.cluster.processors.len();
        let owned = run.cluster.processors[victim].owned();
        let killed = Instant::now();
        run.cluster.processors[victim].process.kill();
        let taken = until(TAKEN_OVER_WITHIN, async || {
            let others = run.cluster.processors.iter().enumerate();
            let now: Vec<u32> = others
                .filter(|(number, _)| *number != victim)
                .flat_map(|(_, role)| role.owned())
                .collect();
            owned.iter().all(|partition| now.contains(partition))
        })
        .await;
        let rebalanced = Instant::now();
        let caught_up = run.lag.caught_up(rebalanced, TAKEN_OVER_WITHIN).await;
        let p99 = run.driver.ledger().p99_since(killed).unwrap_or_default();
        match (taken && !owned.is_empty(), caught_up) {
            (true, Some(caught_up)) => {
                injected.times += 1;
                injected.notes.push(format!(
                    "{} partitions taken over after {:.1} s, caught up {:.1} s later, accept p99 {} ms",
                    owned.len(),
                    (rebalanced - killed).as_secs_f64(),
                    caught_up.as_secs_f64(),
                    p99.as_millis()
                ));
            }
            (false, _) => injected
                .wrong
                .push("its partitions were not taken over".to_owned()),
            (true, None) => injected
                .wrong
                .push("the others did not catch up".to_owned()),
        }
        run.cluster.processors[victim].process.start().await;
    }
    injected
}

/// A processor at each write of the recipe: before the server sees it, in the middle, and after it is done but not known.
pub(crate) async fn processor_at_writes(run: &mut Run) -> Injected {
    let every: [Moment; 3] = [Moment::Before, Moment::During, Moment::After];
    let mut points: Vec<(Target, &[&str], Moment)> = Vec::new();
    for insert in INSERTS {
        points.extend(every.map(|moment| (Target::Warehouse, insert, moment)));
    }
    for put in PUTS {
        points.extend([Moment::Before, Moment::After].map(|moment| (Target::S3, put, moment)));
    }
    if !run.full {
        points.retain(|(_, words, moment)| {
            (words[1] == "`events`" && *moment == Moment::During)
                || (words[1] == "`customer_state`" && *moment == Moment::After)
                || (words[1] == "_delta_log/0" && *moment == Moment::After)
        });
    }
    let mut injected = Injected::default();
    for (target, words, when) in points {
        match hold_one(&mut run.cluster, target, words, when).await {
            Some(victim) => {
                let role = &mut run.cluster.processors[victim];
                role.process.kill();
                // What it had not sent never arrives.
                target.of(&role.links).drop_held().await;
                injected.times += 1;
            }
            None => injected
                .wrong
                .push(format!("no processor came to {words:?}")),
        }
        target.release(&run.cluster);
        if let Some(role) = run
            .cluster
            .processors
            .iter_mut()
            .find(|role| !role.process.is_started())
        {
            role.process.launch();
        }
    }
    injected
}

/// The inserts of a cycle.
const INSERTS: [&[&str]; 6] = [
    &["INSERT INTO", "`events`"],
    &["INSERT INTO", "`event_ids`"],
    &["INSERT INTO", "`rejections`"],
    &["INSERT INTO", "`customer_days`"],
    &["INSERT INTO", "`customer_state`"],
    &["INSERT INTO", "`progress`"],
];
/// The writes of a commit to the archive.
const PUTS: [&[&str]; 2] = [&["PUT ", ".parquet"], &["PUT ", "_delta_log/0"]];

/// Which server the write goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    Warehouse,
    S3,
}

impl Target {
    fn of(self, links: &Links) -> &Proxy {
        match self {
            Target::Warehouse => &links.warehouse,
            Target::S3 => &links.s3,
        }
    }

    fn of_mut(self, links: &mut Links) -> &mut Proxy {
        match self {
            Target::Warehouse => &mut links.warehouse,
            Target::S3 => &mut links.s3,
        }
    }

    /// Lets everything pass, what is held too.
    pub(crate) fn release(self, cluster: &Cluster) {
        cluster.set(|links| self.of(links), &Mode::Pass);
    }
}

/// Waits until the first processor comes to a write, and holds it there; which one it is.
pub(crate) async fn hold_one(
    cluster: &mut Cluster,
    target: Target,
    words: &[&str],
    when: Moment,
) -> Option<usize> {
    let hold = Mode::Hold(Matching::all(words), when);
    for role in &mut cluster.processors {
        let proxy = target.of_mut(&mut role.links);
        proxy.forget_held();
        proxy.set(hold.clone());
    }
    let held = cluster
        .processors
        .iter_mut()
        .map(|role| target.of_mut(&mut role.links).holds().boxed());
    let first = tokio::time::timeout(Duration::from_secs(45), select_all(held)).await;
    first.ok().map(|((), victim, _)| victim)
}
