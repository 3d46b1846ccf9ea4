//! The soak: ten minutes at half of what the machine can do, with a fault a minute.

use std::time::{Duration, Instant};

use crate::PACE;
use crate::driver::Pace;
use crate::inject::{members, processes, servers};
use crate::run::{Injected, Run};
use crate::table;

const LASTS: Duration = Duration::from_secs(600);
const EVERY: Duration = Duration::from_secs(60);
/// How long the capacity is measured.
const MEASURE: Duration = Duration::from_secs(30);

/// Runs it; whether it reconciles exactly.
pub(crate) async fn soak() -> bool {
    let pace = Pace {
        senders: 8,
        batch: 1_000,
        rate: u64::MAX,
        ..PACE
    };
    let mut run = Run::start(false, pace).await;
    let capacity = capacity(&run).await;
    run.driver.set_rate(capacity / 2);
    println!("capacity {capacity} events/s, accepted and applied; soaking at half of it");
    let mut rows = vec![
        run.judge("at full speed, no fault", Injected::times(1))
            .await,
    ];

    let begun = Instant::now();
    let mut injected = Injected::default();
    for round in 0.. {
        let due = begun + EVERY * round;
        if begun + EVERY * (round + 1) > begun + LASTS + EVERY / 2 {
            break;
        }
        tokio::time::sleep(due.saturating_duration_since(Instant::now())).await;
        let one = match round % 5 {
            0 => processes::processor(&mut run).await,
            1 => servers::broker_killed(&mut run).await,
            2 => processes::ingest(&mut run).await,
            3 => servers::warehouse_away(&mut run).await,
            _ => members::zombie(&mut run).await,
        };
        injected.wrong.extend(run.cluster.heal().await);
        injected.times += u64::from(one.times > 0);
        injected.notes.extend(one.notes);
        injected.wrong.extend(one.wrong);
    }
    tokio::time::sleep((begun + LASTS).saturating_duration_since(Instant::now())).await;
    rows.push(run.judge("soak", injected).await);
    rows.iter().for_each(table::Row::tell);
    table::print(&rows)
}

/// Events a second that are accepted and applied when the senders do not wait.
async fn capacity(run: &Run) -> u64 {
    let begun = Instant::now();
    let before = run.driver.ledger().counts.acknowledged;
    tokio::time::sleep(MEASURE).await;
    let quiet = run.driver.quiet().await;
    let sent = run.driver.ledger().counts.acknowledged - before;
    let all = run
        .lag
        .caught_up(Instant::now(), Duration::from_secs(300))
        .await;
    assert!(quiet.is_some() && all.is_some(), "it does not catch up");
    (sent as f64 / begun.elapsed().as_secs_f64()) as u64
}
