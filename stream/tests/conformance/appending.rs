//! What those who append and look up are promised.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use stream::{AppendError, LogError, Options};

use crate::support::*;

pub(crate) async fn offsets_are_dense_and_in_order(place: Place) {
    let log = place.open().await;
    assert_eq!((log.generation(), log.partitions()), (1, 4));
    log.healthy().await.unwrap();
    let mut expected: BTreeMap<u32, Vec<String>> = BTreeMap::new();
    for call in 0..20_u64 {
        let records: Vec<_> = (0..50)
            .map(|number| record((number % 4) as u32, format!("{call}-{number}")))
            .collect();
        let positions = append(&log, records.clone()).await;
        for (record, position) in records.iter().zip(positions) {
            assert_eq!(
                (position.generation, position.partition),
                (1, record.partition)
            );
            let texts = expected.entry(record.partition).or_default();
            assert_eq!(
                position.offset,
                texts.len() as u64,
                "the next offset of its partition"
            );
            texts.push(String::from_utf8(record.payload.to_vec()).unwrap());
        }
    }
    for (partition, texts) in expected {
        let records = read_all(&log, partition).await;
        assert_eq!(records.iter().map(text).collect::<Vec<_>>(), texts);
        assert!(records.is_sorted_by_key(|record| record.appended_at));
        let age = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap()
            .as_micros() as i64
            - records[0].appended_at;
        assert!(
            (0..120_000_000).contains(&age),
            "{age} µs since it was appended"
        );
    }
}

pub(crate) async fn records_survive_reopening(place: Place) {
    for round in 0..4_u64 {
        let log = place.open().await;
        let end = log.bounds().await.unwrap()[2].end;
        assert_eq!(end, round * 30);
        let positions = append(&log, numbered(2, "kept", end..end + 30)).await;
        assert_eq!(positions[0].offset, end);
        log.close().await.unwrap();
    }
    let log = place.open().await;
    let records = read_all(&log, 2).await;
    assert_eq!(offsets(&records), (0..120).collect::<Vec<_>>());
    assert!(
        records
            .iter()
            .all(|record| text(record) == format!("kept-{}", record.position.offset))
    );
}

pub(crate) async fn many_appenders_at_once(place: Place) {
    let log = place.open().await;
    let appenders = (0..32).map(|appender| {
        let log = Arc::clone(&log);
        tokio::spawn(async move {
            let mut appended = Vec::new();
            for call in 0..20 {
                let size = [1, 7, 60][(appender + call) % 3];
                let records: Vec<_> = (0..size)
                    .map(|number| {
                        record(
                            ((appender + number) % 4) as u32,
                            format!("{appender}/{call}/{number}"),
                        )
                    })
                    .collect();
                let positions = append(&log, records.clone()).await;
                appended.extend(
                    positions
                        .into_iter()
                        .zip(records.into_iter().map(|record| record.payload)),
                );
            }
            appended
        })
    });
    let mut at = std::collections::HashMap::new();
    for appender in appenders.collect::<Vec<_>>() {
        let appended = appender.await.unwrap();
        let mut last: BTreeMap<u32, u64> = BTreeMap::new();
        for (position, payload) in appended {
            let before = last.insert(position.partition, position.offset);
            assert!(
                before.is_none_or(|before| before < position.offset),
                "an appender's own order"
            );
            assert!(
                at.insert((position.partition, position.offset), payload)
                    .is_none(),
                "a position given twice"
            );
        }
    }
    let mut found = 0;
    for partition in 0..4 {
        for (expected, record) in read_all(&log, partition).await.iter().enumerate() {
            assert_eq!(record.position.offset, expected as u64, "dense");
            assert_eq!(
                Some(&record.payload),
                at.get(&(partition, record.position.offset))
            );
            found += 1;
        }
    }
    assert_eq!(found, at.len());
}

pub(crate) async fn large_and_empty_records(place: Place) {
    let options = Options {
        max_record_bytes: 1 << 20,
        ..options()
    };
    let log = place.open_with(&options).await;
    let largest = noise(1 << 20, 7);
    let records = vec![
        record(0, "small"),
        record(0, largest.clone()),
        record(0, noise((1 << 20) + 1, 8)),
        record(0, ""),
        record(1, vec![b'a'; 1 << 20]),
    ];
    let results = log.append(records).await;
    assert_eq!(
        results[2],
        Err(AppendError::TooLarge {
            bytes: (1 << 20) + 1,
            limit: 1 << 20
        })
    );
    assert!(!results[2].as_ref().unwrap_err().is_retryable());
    let landed: Vec<u64> = [0, 1, 3]
        .iter()
        .map(|index| results[*index].as_ref().unwrap().offset)
        .collect();
    assert_eq!(landed, [0, 1, 2]);
    let records = log.read(0, 0, 10, 8 << 20).await.unwrap();
    assert_eq!(
        records
            .iter()
            .map(|record| record.payload.len())
            .collect::<Vec<_>>(),
        [5, 1 << 20, 0]
    );
    assert_eq!(records[1].payload, largest);
    assert_eq!(
        log.read(0, 1, 10, 100).await.unwrap().len(),
        1,
        "one record, however large"
    );
    let mut consumer = log.subscribe("state").await.unwrap();
    start_all(&mut consumer, 4, 0).await;
    let received = receive(&mut consumer, 4).await;
    assert_eq!(received[&0][1].payload, largest);
    assert_eq!(received[&1][0].payload.len(), 1 << 20);
}

pub(crate) async fn bounds_and_random_access(place: Place) {
    let log = place.open().await;
    append(&log, numbered(3, "found", 0..250)).await;
    append(&log, numbered(3, "found", 250..500)).await;
    let bounds = log.bounds().await.unwrap();
    assert_eq!(
        bounds
            .iter()
            .map(|bounds| bounds.partition)
            .collect::<Vec<_>>(),
        [0, 1, 2, 3]
    );
    assert_eq!((bounds[3].start, bounds[3].end), (0, 500));
    assert_eq!((bounds[0].start, bounds[0].end), (0, 0));
    for from in [0, 1, 249, 250, 333, 499] {
        let record = &log.read(3, from, 1, 1 << 20).await.unwrap()[0];
        assert_eq!(
            (record.position.offset, text(record)),
            (from, format!("found-{from}"))
        );
        assert!(record.decoded.is_none());
    }
    assert_eq!(
        offsets(&log.read(3, 240, 20, 1 << 20).await.unwrap()),
        (240..260).collect::<Vec<_>>()
    );
    assert!(
        log.read(3, 500, 10, 1 << 20).await.unwrap().is_empty(),
        "the end"
    );
    assert!(log.read(0, 0, 10, 1 << 20).await.unwrap().is_empty());
    assert_out_of_range(log.read(3, 501, 10, 1 << 20).await);
    assert!(log.read(4, 0, 10, 1 << 20).await.is_err());
}

pub(crate) async fn only_what_is_released_is_dropped(place: Place) {
    let mut options = Options {
        retention_age: Duration::from_millis(1),
        retention_interval: Duration::from_millis(100),
        ..options()
    };
    options.embedded.segment_bytes = 1 << 20;
    let log = place.open_with(&options).await;
    for _ in 0..24 {
        append(
            &log,
            (0..16)
                .map(|number| record(number % 2, noise(16_000, u64::from(number))))
                .collect(),
        )
        .await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert!(
        log.bounds()
            .await
            .unwrap()
            .iter()
            .all(|bounds| bounds.start == 0),
        "nothing is released"
    );
    log.release(&[(0, 100), (1, 120)]).await.unwrap();
    eventually("released records are dropped", || async {
        log.bounds().await.unwrap()[..2]
            .iter()
            .all(|bounds| bounds.start > 0)
    })
    .await;
    tokio::time::sleep(Duration::from_millis(400)).await;
    let bounds = log.bounds().await.unwrap();
    assert!(
        bounds[0].start <= 100 && bounds[1].start <= 120,
        "{bounds:?}"
    );
    assert_out_of_range(log.read(0, bounds[0].start - 1, 1, 1).await);
    assert_eq!(
        log.read(0, 100, 1, 1).await.unwrap()[0].payload.len(),
        16_000
    );
    assert_eq!(read_all(&log, 1).await.len() as u64, 192 - bounds[1].start);
    let mut consumer = log.subscribe("state").await.unwrap();
    await_assignment(&mut consumer, 4).await;
    assert_out_of_range(consumer.start(0, bounds[0].start - 1).await);

    // All of it: offsets go on all the same, also after reopening.
    log.release(&[(0, 192), (1, 192)]).await.unwrap();
    eventually("everything released is dropped", || async {
        log.bounds().await.unwrap()[..2]
            .iter()
            .all(|bounds| bounds.start == 192 && bounds.end == 192)
    })
    .await;
    drop(consumer);
    log.close().await.unwrap();
    let log = place.open_with(&options).await;
    let bounds = log.bounds().await.unwrap();
    assert_eq!((bounds[0].start, bounds[0].end), (192, 192));
    assert_eq!(append(&log, vec![record(0, "next")]).await[0].offset, 192);
    assert_eq!(text(&log.read(0, 192, 1, 1).await.unwrap()[0]), "next");
}

pub(crate) async fn a_wrong_partition_is_refused(place: Place) {
    let log = place.open().await;
    let results = log
        .append(vec![record(0, "good"), record(4, "bad"), record(1, "good")])
        .await;
    assert!(results[0].is_ok() && results[2].is_ok());
    assert_eq!(
        results[1],
        Err(AppendError::NoSuchPartition {
            partition: 4,
            partitions: 4
        })
    );
    assert!(log.append(Vec::new()).await.is_empty());
    assert!(log.release(&[(4, 1)]).await.is_err());
}

pub(crate) async fn another_partition_count_is_refused(place: Place) {
    let log = place.open().await;
    append(&log, numbered(0, "a", 0..1)).await;
    log.close().await.unwrap();
    drop(log);
    let error = stream::open(
        &place.url(),
        &Options {
            partitions: 8,
            ..options()
        },
    )
    .await
    .unwrap_err();
    assert!(
        matches!(&error, LogError::Mismatch(text) if text.contains("set the partition count to 4")),
        "{error}"
    );
    assert!(!error.is_retryable());
    let error = stream::open(
        &place.url(),
        &Options {
            partitions: 5,
            ..options()
        },
    )
    .await
    .unwrap_err();
    assert!(
        matches!(error, LogError::Misconfigured(_)),
        "5 does not divide 256"
    );
    assert_eq!(place.open().await.bounds().await.unwrap()[0].end, 1);
}
