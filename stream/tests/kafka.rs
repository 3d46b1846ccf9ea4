//! What only the log on Kafka can suffer: brokers that die and brokers that are away.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use stream::{AppendError, Delivery, Log, LogError, Options};
use support::broker::Broker;
use support::*;

/// Appends records of this name and a number until one is acknowledged, for a broker that has just started takes its
/// time. Says what it was: those before it may have landed too.
async fn append_until_taken(log: &Arc<dyn Log>, name: &str) -> String {
    let begun = Instant::now();
    let mut number = 0;
    loop {
        let said = format!("{name}-{number}");
        if log.append(vec![record(0, said.clone())]).await[0].is_ok() {
            return said;
        }
        assert!(begun.elapsed() < PATIENCE, "{said} is not taken");
        number += 1;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_when_the_broker_is_killed() {
    let broker = Broker::start();
    let place = Place::on(&broker);
    // About as long as the broker is away, so that some appends may end without an answer.
    let options = Options {
        append_timeout: Duration::from_secs(6),
        ..options()
    };
    let log = place.open_with(&options).await;
    let mut consumer = log.subscribe("state").await.unwrap();
    let appending = Arc::new(AtomicBool::new(true));
    let appenders: Vec<_> = (0..8)
        .map(|appender| {
            let (log, appending) = (Arc::clone(&log), Arc::clone(&appending));
            tokio::spawn(async move {
                let (mut acknowledged, mut failed) = (BTreeMap::new(), 0);
                for call in 0.. {
                    if !appending.load(Ordering::Acquire) {
                        break;
                    }
                    let records: Vec<_> = (0..20)
                        .map(|number| record(number % 4, format!("{appender}/{call}/{number}")))
                        .collect();
                    for (record, result) in records.iter().zip(log.append(records.clone()).await) {
                        match result {
                            Ok(position) => {
                                let payload = String::from_utf8(record.payload.to_vec()).unwrap();
                                let before = acknowledged
                                    .insert((position.partition, position.offset), payload);
                                assert!(before.is_none(), "a position given twice");
                            }
                            Err(error) => {
                                assert!(error.is_retryable(), "{error}");
                                failed += 1;
                            }
                        }
                    }
                }
                (acknowledged, failed)
            })
        })
        .collect();
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        tokio::task::block_in_place(|| {
            broker.kill();
            broker.restart();
        });
        eventually("the log is healthy again", || async {
            log.healthy().await.is_ok()
        })
        .await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    appending.store(false, Ordering::Release);
    let mut expected = BTreeMap::new();
    for appender in appenders {
        expected.extend(appender.await.unwrap().0);
    }
    assert!(expected.len() > 1_000, "{} acknowledged", expected.len());
    let mut found = 0;
    let mut payloads = HashSet::new();
    let mut next = [0_u64; 4];
    let total: u64 = log
        .bounds()
        .await
        .unwrap()
        .iter()
        .map(|bounds| bounds.end)
        .sum();
    let begun = Instant::now();
    while next.iter().sum::<u64>() < total {
        assert!(begun.elapsed() < PATIENCE, "{next:?} of {total}");
        for delivery in consumer.poll(&LIMITS).await.unwrap() {
            match delivery {
                Delivery::Assigned(partitions) => {
                    for partition in partitions {
                        consumer
                            .start(partition, next[partition as usize])
                            .await
                            .unwrap();
                    }
                }
                // A broker that was away long enough has forgotten the member; it joins again by itself.
                Delivery::Lost(_) | Delivery::Revoked(_) => {}
                Delivery::Records { partition, records } => {
                    for record in records {
                        let offset = &mut next[partition as usize];
                        assert_eq!(record.position.offset, *offset, "dense");
                        *offset += 1;
                        assert!(
                            payloads.insert(text(&record)),
                            "{} is in the log twice",
                            text(&record)
                        );
                        if let Some(payload) = expected.get(&(partition, record.position.offset)) {
                            assert_eq!(*payload, text(&record));
                            found += 1;
                        }
                    }
                }
            }
        }
    }
    assert_eq!(found, expected.len(), "acknowledged records are missing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_away_is_told_in_time() {
    let broker = Broker::start();
    let place = Place::on(&broker);
    let log = place
        .open_with(&Options {
            append_timeout: Duration::from_secs(4),
            ..options()
        })
        .await;
    let before = append_until_taken(&log, "before").await;
    let url = place.url();
    broker.kill();
    let begun = Instant::now();
    let results = log.append(numbered(0, "away", 0..3)).await;
    assert!(
        begun.elapsed() < Duration::from_secs(20),
        "{:?}",
        begun.elapsed()
    );
    for result in &results {
        assert!(
            matches!(
                result,
                Err(AppendError::Unavailable { .. } | AppendError::Unknown { .. })
            ),
            "{results:?}"
        );
    }
    assert!(log.healthy().await.is_err());
    let error = log.bounds().await.unwrap_err();
    assert!(error.is_retryable(), "{error}");
    let error = stream::open(&url, &options()).await.unwrap_err();
    assert!(matches!(error, LogError::Unavailable(_)), "{error}");

    broker.restart();
    let back = append_until_taken(&log, "back").await;
    let texts: Vec<String> = read_all(&log, 0).await.iter().map(text).collect();
    assert!(
        texts.contains(&before) && texts.contains(&back),
        "{texts:?}"
    );
    let distinct: HashSet<_> = texts.iter().collect();
    assert_eq!(
        distinct.len(),
        texts.len(),
        "what is acknowledged landed once, what is unknown at most once: {texts:?}"
    );
    let known = ["before-", "away-", "back-"];
    assert!(
        texts
            .iter()
            .all(|text| known.iter().any(|name| text.starts_with(name))),
        "{texts:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_is_told() {
    let broker = Broker::start();
    let place = Place::on(&broker);
    let options = Options {
        append_timeout: Duration::from_secs(8),
        max_record_bytes: 100_000,
        queue_bytes: 1 << 20,
        ..options()
    };
    let log = place.open_with(&options).await;
    append_until_taken(&log, "before").await;
    broker.kill();
    let appends: Vec<_> = (0..40)
        .map(|number| {
            let log = Arc::clone(&log);
            tokio::spawn(async move {
                log.append(vec![record(0, noise(90_000, number))])
                    .await
                    .remove(0)
            })
        })
        .collect();
    let (mut full, mut other) = (0, 0);
    for append in appends {
        match append.await.unwrap() {
            Err(AppendError::Unavailable { reason }) if reason.contains("queue is full") => {
                full += 1
            }
            Err(AppendError::Unavailable { .. } | AppendError::Unknown { .. }) => other += 1,
            result => panic!("{result:?}"),
        }
    }
    assert!(
        full >= 28 && other >= 10,
        "1 MB holds eleven of the forty: {full} refused, {other} tried"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn generations_are_topics() {
    let broker = Broker::shared();
    let place = Place::on(broker);
    let first = place.open().await;
    append(&first, vec![record(0, "first")]).await;
    let second = place
        .open_with(&Options {
            generation: 2,
            ..options()
        })
        .await;
    assert_eq!(second.generation(), 2);
    assert_eq!(second.bounds().await.unwrap()[0].end, 0);
    let position = append(&second, vec![record(0, "second")]).await[0];
    assert_eq!((position.generation, position.offset), (2, 0));
    assert_eq!(read_all(&first, 0).await.len(), 1);
}
