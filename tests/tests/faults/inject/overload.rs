//! Far more is sent than the log takes: the broker runs for a moment every three seconds, and many clients do not hold back.

use std::time::{Duration, Instant};

use tests::resident_bytes;

use crate::driver::Pace;
use crate::run::{Injected, Run};

const SEED: u64 = 5_000;
/// Other numbers than those of the driver's own senders.
const FIRST: u64 = 1_000;
const PACE: Pace = Pace {
    senders: 250,
    batch: 1_000,
    rate: u64::MAX,
    customers: 400,
};
/// The broker's share of the time, in turns: in one of them it takes all that waits.
const ON: Duration = Duration::from_millis(50);
const OFF: Duration = Duration::from_millis(2_950);
/// What is offered must exceed what is accepted so many times, or it was no overload.
const OVERLOAD: f64 = 5.0;
/// Whoever is accepted is told within this time: `stream.append_seconds`, a quarter of that before there is room, and two
/// more on a machine that has no rest.
const BOUND: Duration = Duration::from_secs(12);
/// Room for noise in "memory stays flat".
const NOISE: u64 = 64 << 20;

pub(crate) async fn rush(run: &mut Run) -> Injected {
    let lasts = run.either(60, 15);
    let (before, begun) = (run.driver.ledger().counts, Instant::now());
    let mut memory: Vec<u64> = Vec::new();
    {
        let cluster = &run.cluster;
        let watching = async {
            while begun.elapsed() < lasts {
                cluster.kafka.pause();
                tokio::time::sleep(OFF).await;
                cluster.kafka.go_on();
                tokio::time::sleep(ON).await;
                let roles = cluster.ingests.iter();
                memory.push(roles.map(|role| resident_bytes(role.process.pid())).sum());
            }
        };
        let rushing = run.driver.rush(SEED, FIRST, PACE, lasts);
        tokio::join!(rushing, watching);
    }
    let ledger = run.driver.ledger();
    let counts = ledger.counts.since(&before);
    let seconds = begun.elapsed().as_secs_f64();
    let offered = counts.sent as f64 / seconds;
    let accepted = (counts.acknowledged + counts.repeats) as f64 / seconds;
    let p99 = ledger.p99_since(begun).unwrap_or_default();
    let half = memory.len() / 2;
    let peak = |of: &[u64]| of.iter().copied().max().unwrap_or(0);
    let (first, second) = (peak(&memory[..half]), peak(&memory[half..]));
    let mut injected = Injected::times(u64::from(offered >= OVERLOAD * accepted)).note(format!(
        "offered {offered:.0} events/s, accepted {accepted:.0}/s with p99 {:.1} s; memory of both copies of ingest {} MB, then {} MB",
        p99.as_secs_f64(),
        first >> 20,
        second >> 20
    ));
    if p99 > BOUND {
        injected.wrong.push(format!("accepted only after {p99:?}"));
    }
    if second > first + first / 4 + NOISE {
        injected.wrong.push("memory does not stay flat".to_owned());
    }
    injected
}
