//! Every step of the write path: the process dies at exactly this point, on a disk that stays and on one that loses what
//! was not synced, and nothing is lost or counted twice. The same, with a step left out, must be noticed.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use schemas::crash::{Point, Step};
use tests::{Caller, Ledger, Load, TestApp, millrace};

/// Small cycles, archive commits and segments, so that every point is soon come to.
const SETTINGS: [&str; 6] = [
    "process.cycle_ms=50",
    "process.archive_ms=300",
    "process.compact_every=2",
    "stream.retention_hours=0",
    "stream.partitions=2",
    "logging.level=warn",
];

/// At which passage the process dies: not the first everywhere, for that is often an empty log's.
fn passage(point: Point) -> u64 {
    match point {
        Point::IngestBeforeAppend
        | Point::LogBeforeSync
        | Point::LogAfterSync
        | Point::IngestAfterAppend
        | Point::IngestBeforeAnswer => 25,
        Point::SegmentFull
        | Point::SegmentBegun
        | Point::PartitionAssigned
        | Point::CompactionBeforeCommit
        | Point::CompactionAfterCommit
        | Point::RetentionBefore
        | Point::RetentionRecordRemoved
        | Point::RetentionAfter => 1,
        _ => 4,
    }
}

/// A program that dies, is started again, and is compared with the ledger.
struct Walk {
    app: TestApp,
    key: Caller,
    ledger: Ledger,
    power: bool,
    loads: u64,
}

impl Walk {
    async fn start(power: bool) -> Self {
        let app = TestApp::start_crashable(&SETTINGS, power).await;
        let key = app.register("acme").await.key(&["ingest", "read"]).await;
        Self {
            app,
            key,
            ledger: Ledger::default(),
            power,
            loads: 0,
        }
    }

    fn load(&mut self) -> Load {
        self.loads += 1;
        Load::paced(&self.key, self.loads, PAUSE)
    }

    /// Dies at the point under load, and again at its first passage after that, and goes on.
    async fn die_at(&mut self, point: Point) {
        self.app.kill();
        self.app.crash_at(point.name(), passage(point));
        self.app.spawn();
        let load = self.load();
        self.down(point).await;
        self.app.crash_at(point.name(), 1);
        self.app.spawn();
        self.down(point).await;
        self.app.crash_no_more();
        self.app.restart().await;
        load.wait_for(500).await;
        self.ledger.add(load.finish().await);
    }

    async fn down(&mut self, point: Point) {
        self.app.crashed(point.name()).await;
        if self.power {
            self.app.lose_power();
        }
    }

    /// Waits until it has ended by itself.
    async fn ended(&mut self) {
        while !self.app.has_ended() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// What is to be said of one that has ended by itself.
    fn no_further(&self) -> String {
        format!("it goes no further: {}", self.app.last_messages())
    }

    async fn through_all_points(mut self) {
        for point in Point::ALL {
            self.die_at(*point).await;
            let kept = self.ledger.kept(&self.app, &self.key, SETTLES_WITHIN).await;
            if let Err(difference) = kept {
                panic!("after dying at {}: {difference}", point.name());
            }
            eprintln!("died at {}: {} events", point.name(), self.ledger.events());
        }
        assert!(
            self.ledger.repeats() > 100,
            "only {} repeats were sent",
            self.ledger.repeats()
        );
    }
}

const SETTLES_WITHIN: Duration = Duration::from_secs(60);
/// Between two batches of a client: what is looked for is not in the number of events.
const PAUSE: Duration = Duration::from_millis(40);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_doubled_wherever_the_process_dies() {
    Walk::start(false).await.through_all_points().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_doubled_wherever_the_power_fails() {
    Walk::start(true).await.through_all_points().await;
}

/// Leaves a step out, dies where it matters, and says what was noticed.
async fn noticed(step: Step, point: Point, power: bool) -> String {
    let mut walk = Walk::start(power).await;
    walk.app.kill();
    walk.app.leave_out(step.name());
    walk.app.crash_at(point.name(), passage(point));
    walk.app.spawn();
    let load = walk.load();
    walk.down(point).await;
    walk.app.crash_no_more();
    walk.app.spawn();
    if walk.app.wait_ready().await.is_err() {
        load.abandon();
        return walk.no_further();
    }
    let going_on = async {
        load.wait_for(500).await;
        // What the processor finds out ends it a little later.
        tokio::time::sleep(Duration::from_secs(2)).await;
    };
    tokio::select! {
        () = walk.ended() => {
            load.abandon();
            return walk.no_further();
        }
        () = going_on => {}
    }
    let sent = tokio::select! {
        () = walk.ended() => return walk.no_further(),
        sent = load.finish() => sent,
    };
    walk.ledger.add(sent);
    let kept = walk
        .ledger
        .kept(&walk.app, &walk.key, Duration::from_secs(10));
    let difference = kept.await.expect_err("nothing was noticed");
    // It may be that it does not answer because it is just ending.
    let ended = tokio::time::timeout(Duration::from_secs(2), walk.ended()).await;
    match ended {
        Ok(()) => walk.no_further(),
        Err(_) => difference,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_noticed_when_progress_is_written_before_outputs() {
    let found = noticed(Step::OutputsFirst, Point::ProgressWritten, false).await;
    eprintln!("{found}");
    assert!(found.contains("events"), "{found}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_noticed_when_replays_are_taken_for_duplicates() {
    let found = noticed(Step::OwnClaims, Point::OutputsWritten, false).await;
    eprintln!("{found}");
    assert!(
        found.contains("events") || found.contains("add up"),
        "{found}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_noticed_when_the_log_does_not_wait_for_the_disk() {
    let found = noticed(Step::LogSync, Point::IngestBeforeAnswer, true).await;
    eprintln!("{found}");
    assert!(
        found.contains("applied") || found.contains("events"),
        "{found}"
    );
}

#[test]
fn nothing_of_it_is_in_what_is_shipped() {
    let program = std::fs::read(millrace()).unwrap();
    let has = |text: &str| {
        let text = text.as_bytes();
        program.windows(text.len()).any(|window| window == text)
    };
    assert!(has("MILLRACE_"), "the program's own texts are found");
    let first = Point::ALL[0].name();
    for text in [
        "MILLRACE_CRASH_AT",
        "MILLRACE_LEAVE_OUT",
        "crash point ",
        first,
    ] {
        assert!(!has(text), "{text} is in the program");
    }
}
