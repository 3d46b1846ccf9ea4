//! Servers that die, pause, are away, are slow, break off, and do what they were asked without anybody hearing of it.

use std::time::Duration;

use super::moment;
use crate::cluster::Links;
use crate::proxy::{Matching, Mode, Moment, Proxy};
use crate::run::{Injected, Run};

/// The broker is killed and comes back with what it had.
pub(crate) async fn broker_killed(run: &mut Run) -> Injected {
    let kills = if run.full { 3 } else { 1 };
    let mut acted = 0;
    for _ in 0..kills {
        moment(run, 1_500).await;
        run.cluster.kafka.kill();
        // What was answered just before may still be on its way here.
        tokio::time::sleep(Duration::from_secs(2)).await;
        let before = run.driver.ledger().counts.acknowledged;
        // Longer than an append may wait for its answer.
        tokio::time::sleep(run.either(10, 2)).await;
        let after = run.driver.ledger().counts.acknowledged;
        run.cluster.kafka.start_again();
        acted += u64::from(before == after);
        run.driver.wait_for(100, Duration::from_secs(60)).await;
    }
    Injected::times(acted)
}

/// The broker stands still: connections stay open and nothing is answered.
pub(crate) async fn broker_paused(run: &mut Run) -> Injected {
    let before = run.driver.ledger().counts.unknown;
    run.driver.ledger().longest = Duration::ZERO;
    run.cluster.kafka.pause();
    tokio::time::sleep(run.either(30, 10)).await;
    run.cluster.kafka.go_on();
    let ledger = run.driver.ledger();
    let unknown = ledger.counts.unknown - before;
    Injected::times(u64::from(unknown > 0)).note(format!(
        "nobody waited longer than {:.1} s for an answer",
        ledger.longest.as_secs_f64()
    ))
}

/// The warehouse is killed and away for a while.
pub(crate) async fn warehouse_away(run: &mut Run) -> Injected {
    run.cluster.warehouse.kill();
    let before = run.driver.ledger().counts.acknowledged;
    tokio::time::sleep(run.either(60, 5)).await;
    let taken = run.driver.ledger().counts.acknowledged - before;
    run.cluster.warehouse.start().await;
    Injected::times(u64::from(taken > 0)).note(format!("{taken} events accepted meanwhile"))
}

/// The warehouse takes requests and answers none.
pub(crate) async fn warehouse_silent(run: &mut Run) -> Injected {
    through_proxies(run, |links| &links.warehouse, Mode::Silent, 30, 5).await
}

/// Connections to the warehouse break in the middle of inserts.
pub(crate) async fn warehouse_breaks(run: &mut Run) -> Injected {
    let cut = Mode::Cut(Matching::one_in(2, &["INSERT INTO"]), Moment::During);
    through_proxies(run, |links| &links.warehouse, cut, 20, 4).await
}

/// Inserts land, and their answers are lost.
pub(crate) async fn warehouse_answers_lost(run: &mut Run) -> Injected {
    let cut = Mode::Cut(Matching::one_in(2, &["INSERT INTO"]), Moment::After);
    through_proxies(run, |links| &links.warehouse, cut, 20, 4).await
}

/// Answers to reads break off or are lost too.
pub(crate) async fn warehouse_reads_break(run: &mut Run) -> Injected {
    let cut = Mode::Cut(Matching::one_in(3, &["POST "]), Moment::After);
    through_proxies(run, |links| &links.warehouse, cut, 20, 4).await
}

/// The S3 service answers 503.
pub(crate) async fn s3_failing(run: &mut Run) -> Injected {
    let failing = Mode::Failing(Matching::one_in(2, &["HTTP/1.1"]));
    through_proxies(run, |links| &links.s3, failing, 20, 4).await
}

/// The S3 service cannot be reached.
pub(crate) async fn s3_away(run: &mut Run) -> Injected {
    through_proxies(run, |links| &links.s3, Mode::Away, 30, 4).await
}

/// Each request to the S3 service takes long.
pub(crate) async fn s3_slow(run: &mut Run) -> Injected {
    let slow = Mode::Slow(Duration::from_millis(1_500));
    through_proxies(run, |links| &links.s3, slow, 30, 4).await
}

/// Objects are stored, and the answers that say so are lost.
pub(crate) async fn s3_answers_lost(run: &mut Run) -> Injected {
    let cut = Mode::Cut(Matching::one_in(2, &["PUT "]), Moment::After);
    through_proxies(run, |links| &links.s3, cut, 30, 6).await
}

/// PostgreSQL cannot be reached. Keys that were good a moment ago still are; later everybody is told to come again.
pub(crate) async fn control_away(run: &mut Run) -> Injected {
    through_proxies(run, |links| &links.control, Mode::Away, 30, 6).await
}

/// All proxies of a kind behave so for some seconds, of a full or of a short run.
async fn through_proxies(
    run: &mut Run,
    of: fn(&Links) -> &Proxy,
    mode: Mode,
    full: u64,
    short: u64,
) -> Injected {
    let before = run.cluster.acted(of);
    run.cluster.set(of, &mode);
    tokio::time::sleep(run.either(full, short)).await;
    run.cluster.set(of, &Mode::Pass);
    Injected::times(run.cluster.acted(of) - before)
}
