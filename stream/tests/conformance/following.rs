//! What consumers are promised.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use schemas::TraceContext;
use stream::{AppendError, Consumer, Delivery, Limits, LogError, LogRecord, NewRecord};

use crate::support::*;

pub(crate) async fn a_consumer_starts_in_the_middle(place: Place) {
    let log = place.open().await;
    append(&log, numbered(1, "early", 0..100)).await;
    append(&log, numbered(3, "other", 0..10)).await;
    let mut consumer = log.subscribe("state").await.unwrap();
    let foreign = consumer.start(1, 0).await;
    assert!(
        matches!(foreign, Err(LogError::NotAssigned { partition: 1 })),
        "{foreign:?}"
    );
    assert_eq!(await_assignment(&mut consumer, 4).await, [0, 1, 2, 3]);
    assert!(
        consumer.poll(&LIMITS).await.unwrap().is_empty(),
        "nothing before a start"
    );
    assert_out_of_range(consumer.start(1, 101).await);

    consumer.start(1, 60).await.unwrap();
    let received = receive(&mut consumer, 40).await;
    assert_eq!(
        received.keys().collect::<Vec<_>>(),
        [&1],
        "only what was started"
    );
    assert_eq!(offsets(&received[&1]), (60..100).collect::<Vec<_>>());
    append(&log, numbered(1, "late", 0..5)).await;
    let received = receive(&mut consumer, 5).await;
    assert_eq!(
        received[&1].iter().map(text).collect::<Vec<_>>(),
        ["late-0", "late-1", "late-2", "late-3", "late-4"]
    );

    consumer.start(1, 98).await.unwrap();
    consumer.start(3, 10).await.unwrap();
    append(&log, numbered(3, "new", 0..1)).await;
    let received = receive(&mut consumer, 8).await;
    assert_eq!(
        offsets(&received[&1]),
        (98..105).collect::<Vec<_>>(),
        "moved back"
    );
    assert_eq!(offsets(&received[&3]), [10], "from the end");
    consumer.note_progress(&[(1, 105), (3, 11)]);
}

pub(crate) async fn polls_keep_to_their_limits(place: Place) {
    let log = place.open().await;
    for partition in 0..4 {
        append(
            &log,
            (0..50)
                .map(|_| record(partition, vec![b'x'; 1_000]))
                .collect(),
        )
        .await;
    }
    let mut consumer = log.subscribe("state").await.unwrap();
    start_all(&mut consumer, 4, 0).await;
    let size = |deliveries: &[Delivery]| -> usize {
        deliveries
            .iter()
            .map(|delivery| {
                if let Delivery::Records { records, .. } = delivery {
                    records.len()
                } else {
                    0
                }
            })
            .sum()
    };
    let mut left = 200;
    let mut partitions = HashSet::new();
    let begun = Instant::now();
    for turn in 0.. {
        assert!(begun.elapsed() < PATIENCE, "{left} are missing");
        let limits = match turn % 3 {
            0 => Limits {
                max_records: 7,
                ..LIMITS
            },
            1 => Limits {
                max_bytes: 3_500,
                ..LIMITS
            },
            _ => Limits {
                max_bytes: 1,
                ..LIMITS
            },
        };
        let deliveries = consumer.poll(&limits).await.unwrap();
        assert!(
            size(&deliveries) <= [7, 3, 1][turn % 3],
            "turn {turn}: {} records",
            size(&deliveries)
        );
        left -= size(&deliveries);
        for delivery in deliveries {
            if let Delivery::Records { partition, .. } = delivery {
                partitions.insert(partition);
            }
        }
        if left == 0 {
            break;
        }
    }
    assert_eq!(partitions.len(), 4);
    let begun = Instant::now();
    let wait = Duration::from_millis(300);
    assert!(
        consumer
            .poll(&Limits { wait, ..LIMITS })
            .await
            .unwrap()
            .is_empty()
    );
    assert!(begun.elapsed() >= wait && begun.elapsed() < wait * 20);
}

pub(crate) async fn a_waiting_consumer_wakes_at_once(place: Place) {
    let log = place.open().await;
    let mut consumer = log.subscribe("state").await.unwrap();
    start_all(&mut consumer, 4, 0).await;
    append(&log, vec![record(0, "first")]).await;
    receive(&mut consumer, 1).await;
    let mut fastest = Duration::MAX;
    for number in 0..10_u64 {
        let limits = Limits {
            wait: Duration::from_secs(20),
            ..LIMITS
        };
        let waiting = tokio::spawn(async move {
            let deliveries = consumer.poll(&limits).await.unwrap();
            (consumer, deliveries, Instant::now())
        });
        tokio::time::sleep(Duration::from_millis(50)).await;
        let begun = Instant::now();
        append(
            &log,
            numbered((number % 4) as u32, "wake", number..number + 1),
        )
        .await;
        let (returned, deliveries, woken) = waiting.await.unwrap();
        consumer = returned;
        assert!(
            matches!(&deliveries[..], [Delivery::Records { records, .. }] if records.len() == 1)
        );
        fastest = fastest.min(woken.saturating_duration_since(begun));
    }
    // An fsync, or a round trip; far from the 20 s it was ready to wait, whatever else the machine does.
    assert!(fastest < Duration::from_millis(500), "{fastest:?}");
}

/// Applies records as a processor does: positions of record outside the log, and nothing after a revocation.
async fn process(
    mut consumer: Box<dyn Consumer>,
    applied: Arc<Mutex<BTreeMap<u32, Vec<u64>>>>,
    held: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
) -> (usize, usize) {
    let (mut assigned, mut revoked) = (0, 0);
    let mut owned = HashSet::new();
    while !stop.load(Ordering::Acquire) {
        for delivery in consumer.poll(&LIMITS).await.unwrap() {
            match delivery {
                Delivery::Assigned(partitions) => {
                    assigned += partitions.len();
                    for partition in partitions {
                        assert!(owned.insert(partition), "assigned twice");
                        let next = applied.lock().entry(partition).or_default().len() as u64;
                        consumer.start(partition, next).await.unwrap();
                    }
                }
                Delivery::Revoked(partitions) => {
                    revoked += partitions.len();
                    for partition in partitions {
                        assert!(owned.remove(&partition), "revoked without having it");
                    }
                }
                Delivery::Lost(partitions) => {
                    panic!("lost {partitions:?}, though it polls all the time")
                }
                Delivery::Records { partition, records } => {
                    assert!(
                        owned.contains(&partition),
                        "records of a partition of somebody else"
                    );
                    let mut applied = applied.lock();
                    let applied = applied.entry(partition).or_default();
                    for record in records {
                        assert_eq!(
                            record.position.offset,
                            applied.len() as u64,
                            "partition {partition}"
                        );
                        applied.push(record.position.offset);
                    }
                }
            }
            held.store(owned.len(), Ordering::Release);
        }
    }
    (assigned, revoked)
}

pub(crate) async fn a_group_shares_and_hands_over_without_loss(place: Place) {
    let log = place.open().await;
    let applied = Arc::new(Mutex::new(BTreeMap::new()));
    let appending = Arc::new(AtomicBool::new(true));
    let appender = tokio::spawn({
        let (log, appending) = (Arc::clone(&log), Arc::clone(&appending));
        async move {
            let mut count = 0_usize;
            while appending.load(Ordering::Acquire) {
                append(
                    &log,
                    (0..40)
                        .map(|number| record(number % 4, format!("{count}")))
                        .collect(),
                )
                .await;
                count += 40;
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            count
        }
    });
    let join = |held: &Arc<AtomicUsize>, stop: &Arc<AtomicBool>| {
        let (log, applied) = (Arc::clone(&log), Arc::clone(&applied));
        let (held, stop) = (Arc::clone(held), Arc::clone(stop));
        tokio::spawn(async move {
            process(log.subscribe("state").await.unwrap(), applied, held, stop).await
        })
    };
    let total = || applied.lock().values().map(Vec::len).sum::<usize>();
    let (first_holds, second_holds) = (Arc::default(), Arc::<AtomicUsize>::default());
    let (stop_first, stop_second) = (Arc::default(), Arc::default());
    let first = join(&first_holds, &stop_first);
    eventually("the first consumer applies", || async { total() > 100 }).await;
    let second = join(&second_holds, &stop_second);
    eventually("the second gets its share", || async {
        second_holds.load(Ordering::Acquire) == 2
    })
    .await;
    let before = total();
    eventually("both go on", || async { total() > before + 200 }).await;
    stop_first.store(true, Ordering::Release);
    let (assigned, revoked) = first.await.unwrap();
    assert_eq!(
        (assigned, revoked),
        (4, 2),
        "the first had all and gave half away"
    );
    let before = total();
    eventually("the second takes over", || async { total() > before + 200 }).await;
    appending.store(false, Ordering::Release);
    let count = appender.await.unwrap();
    eventually("everything is applied", || async { total() == count }).await;
    stop_second.store(true, Ordering::Release);
    assert_eq!(second.await.unwrap().0, 4, "in the end the second had all");
    for (partition, offsets) in applied.lock().iter() {
        assert_eq!(
            *offsets,
            (0..count as u64 / 4).collect::<Vec<_>>(),
            "partition {partition}"
        );
    }
}

pub(crate) async fn groups_do_not_disturb_each_other(place: Place) {
    let log = place.open().await;
    append(&log, numbered(0, "shared", 0..30)).await;
    let mut first = log.subscribe("state").await.unwrap();
    let mut second = log.subscribe("archive").await.unwrap();
    start_all(&mut first, 4, 0).await;
    assert_eq!(receive(&mut first, 30).await[&0].len(), 30);
    start_all(&mut second, 4, 0).await;
    append(&log, numbered(0, "shared", 30..60)).await;
    assert_eq!(
        offsets(&receive(&mut second, 60).await[&0]),
        (0..60).collect::<Vec<_>>()
    );
    assert_eq!(
        offsets(&receive(&mut first, 30).await[&0]),
        (30..60).collect::<Vec<_>>()
    );
}

pub(crate) async fn a_closed_log_says_so(place: Place) {
    let log = place.open().await;
    let mut consumer = log.subscribe("state").await.unwrap();
    start_all(&mut consumer, 4, 0).await;
    let under_way: Vec<_> = (0..8)
        .map(|number| {
            let log = Arc::clone(&log);
            tokio::spawn(async move { log.append(numbered(number % 4, "last", 0..100)).await })
        })
        .collect();
    tokio::task::yield_now().await;
    let waiting = tokio::spawn(async move {
        loop {
            let polled = consumer
                .poll(&Limits {
                    wait: Duration::from_secs(30),
                    ..LIMITS
                })
                .await;
            if let Err(error) = polled {
                return error;
            }
        }
    });
    log.close().await.unwrap();
    log.close().await.unwrap();
    let mut landed = 0;
    for append in under_way {
        for result in append.await.unwrap() {
            match result {
                Ok(_) => landed += 1,
                Err(error) => assert_eq!(error, AppendError::Closed, "all or nothing, and said so"),
            }
        }
    }
    let woken = tokio::time::timeout(Duration::from_secs(10), waiting).await;
    assert!(matches!(
        woken.expect("a waiting poll ends").unwrap(),
        LogError::Closed
    ));
    assert_eq!(
        log.append(vec![record(0, "late")]).await,
        [Err(AppendError::Closed)]
    );
    assert!(matches!(
        log.subscribe("state").await.map(|_| ()),
        Err(LogError::Closed)
    ));
    assert!(matches!(log.bounds().await, Err(LogError::Closed)));
    assert!(matches!(log.healthy().await, Err(LogError::Closed)));
    drop(log);
    let log = place.open().await;
    let kept: u64 = log
        .bounds()
        .await
        .unwrap()
        .iter()
        .map(|bounds| bounds.end)
        .sum();
    assert_eq!(
        kept, landed,
        "what was acknowledged, and nothing that was refused"
    );
}

pub(crate) async fn traces_travel_with_their_records(place: Place) {
    let trace = |number: u64| {
        Arc::new(TraceContext {
            trace_id: u128::from(number) << 100 | 7,
            span_id: number,
        })
    };
    let sent: Vec<NewRecord> = (0..40)
        .map(|number| NewRecord {
            trace: (number % 3 == 1).then(|| trace(number)),
            ..record(0, format!("record-{number}"))
        })
        .collect();
    let traces = |records: &[LogRecord]| -> Vec<_> {
        let traces = records
            .iter()
            .map(|record| (record.payload.clone(), record.trace.clone()));
        traces.collect()
    };
    let expected: Vec<_> = sent
        .iter()
        .map(|record| (record.payload.clone(), record.trace.clone()))
        .collect();
    let mut log = place.open().await;
    append(&log, sent).await;
    // At first perhaps from memory, then from where it is kept.
    for _ in 0..2 {
        let mut consumer = log.subscribe("state").await.unwrap();
        start_all(&mut consumer, 4, 0).await;
        let received = receive(&mut consumer, 40).await;
        assert_eq!(traces(&received[&0]), expected);
        assert_eq!(traces(&read_all(&log, 0).await), expected);
        drop(consumer);
        log.close().await.unwrap();
        drop(log);
        log = place.open().await;
    }
}
