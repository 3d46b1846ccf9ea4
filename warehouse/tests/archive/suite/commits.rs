//! Who may commit what.

use warehouse::archive::{Archive, ArchiveError};

use super::rows::Events;
use super::{Site, append, assert_holds, to};

pub async fn of_two_archivers_of_a_partition_one_wins(site: &Site) {
    let (one, two) = (site.open().await, site.open().await);
    let mut all = Vec::new();
    for round in 0..5 {
        let snapshot = one.snapshot().await.unwrap();
        let events = Events::of(0, round * 30..round * 30 + 30);
        let (first, second) = tokio::join!(
            append(&one, &snapshot, &events),
            append(&two, &snapshot, &events)
        );
        let winners = usize::from(first.is_ok()) + usize::from(second.is_ok());
        assert_eq!(winners, 1, "{first:?} {second:?}");
        let error = first.err().or(second.err()).unwrap();
        assert!(
            matches!(&error, ArchiveError::Conflict { what, .. } if what.contains("1/0")),
            "{error}"
        );
        assert!(error.is_retryable());
        all.push(events);
        assert_holds(&two.snapshot().await.unwrap(), &all).await;
    }
    // The loser, late by a whole commit, is refused as well.
    let stale = one.snapshot().await.unwrap();
    let events = Events::of(0, 150..160);
    append(&two, &stale, &events).await.unwrap();
    let error = append(&one, &stale, &events).await.unwrap_err();
    assert!(matches!(error, ArchiveError::Conflict { .. }), "{error}");
    all.push(events);
    assert_holds(&one.snapshot().await.unwrap(), &all).await;
}

pub async fn a_conflict_in_one_partition_holds_back_the_others(site: &Site) {
    let (one, two) = (site.open().await, site.open().await);
    let snapshot = one.snapshot().await.unwrap();
    let (zero, first) = (Events::of(0, 0..20), Events::of(1, 0..20));
    append(&one, &snapshot, &first).await.unwrap();
    let both = [zero.batch(), first.batch()];
    let error = two
        .commit(&snapshot, &both, &[to(0, 20), to(1, 20)])
        .await
        .unwrap_err();
    assert!(
        matches!(&error, ArchiveError::Conflict { what, version: 1 } if what.contains("1/1")),
        "{error}"
    );
    let after = two.snapshot().await.unwrap();
    assert_holds(&after, &[first]).await;
    assert_eq!(after.archived(1, 0), 0);
}

pub async fn writers_of_different_partitions_lose_nothing(site: &Site) {
    const COMMITS: u64 = 20;
    // From one snapshot, both land.
    let (one, two) = (site.open().await, site.open().await);
    let snapshot = one.snapshot().await.unwrap();
    let (events, others) = (Events::of(8, 0..10), Events::of(9, 0..10));
    let (first, second) = tokio::join!(
        append(&one, &snapshot, &events),
        append(&two, &snapshot, &others)
    );
    let versions = [first.unwrap().version(), second.unwrap().version()];
    assert_eq!(versions.iter().max(), Some(&2));

    let writers: Vec<_> = (0..3)
        .map(|partition| {
            let (url, options) = (site.url.clone(), site.options.clone());
            tokio::spawn(async move {
                let archive = Archive::open(&url, &options).await.unwrap();
                let mut snapshot = archive.snapshot().await.unwrap();
                for commit in 0..COMMITS {
                    let events = Events::of(partition, commit * 5..commit * 5 + 5);
                    snapshot = append(&archive, &snapshot, &events).await.unwrap();
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    let snapshot = one.snapshot().await.unwrap();
    assert_eq!(snapshot.version(), 2 + 3 * COMMITS as i64);
    let mut all: Vec<Events> = vec![events, others];
    // Each commit begins its own days, so it is listed as it was made.
    all.extend(
        (0..3).flat_map(|partition| {
            (0..COMMITS).map(move |n| Events::of(partition, n * 5..n * 5 + 5))
        }),
    );
    assert_holds(&snapshot, &all).await;
    for partition in 0..3 {
        assert_eq!(snapshot.archived(1, partition), COMMITS * 5);
    }
}

pub async fn rows_that_do_not_fit_are_refused(site: &Site) {
    let archive = site.open().await;
    let before = archive.snapshot().await.unwrap();
    let snapshot = append(&archive, &before, &Events::of(0, 0..50))
        .await
        .unwrap();
    let rows = |offsets| [Events::of(0, offsets).batch()];
    for (what, batch, progress) in [
        ("an offset archived before", rows(40..60), vec![to(0, 60)]),
        (
            "an offset after the progress",
            rows(50..60),
            vec![to(0, 59)],
        ),
        ("rows without progress", rows(50..60), vec![to(1, 60)]),
        ("progress that goes back", rows(50..60), vec![to(0, 49)]),
        (
            "a partition twice",
            rows(50..60),
            vec![to(0, 60), to(0, 60)],
        ),
    ] {
        let error = archive
            .commit(&snapshot, &batch, &progress)
            .await
            .unwrap_err();
        assert!(
            matches!(error, ArchiveError::Rows(_)) && !error.is_retryable(),
            "{what}: {error}"
        );
    }
    let wrong = rows(50..60)[0].project(&[0, 1, 2]).unwrap();
    assert!(matches!(
        archive.commit(&snapshot, &[wrong], &[to(0, 60)]).await,
        Err(ArchiveError::Rows(_))
    ));
    assert_eq!(
        archive.snapshot().await.unwrap().version(),
        snapshot.version()
    );
}

pub async fn offsets_without_events_are_archived_too(site: &Site) {
    let archive = site.open().await;
    let snapshot = archive.snapshot().await.unwrap();
    let snapshot = archive.commit(&snapshot, &[], &[to(4, 12)]).await.unwrap();
    assert_eq!(
        (
            snapshot.version(),
            snapshot.archived(1, 4),
            snapshot.archived_rows(1, 4)
        ),
        (1, 12, 0)
    );
    let same = archive.commit(&snapshot, &[], &[to(4, 12)]).await.unwrap();
    assert_eq!(same.version(), 1, "nothing to say makes no version");
    let events = Events::of(4, 12..20);
    let snapshot = append(&archive, &same, &events).await.unwrap();
    assert_holds(&snapshot, &[events]).await;
    assert_eq!(
        site.open().await.snapshot().await.unwrap().archived(1, 4),
        20
    );
}

pub async fn opening_at_once_makes_one_table(site: &Site) {
    let openings: Vec<_> = (0..6)
        .map(|_| {
            let (url, options) = (site.url.clone(), site.options.clone());
            tokio::spawn(async move { Archive::open(&url, &options).await.unwrap() })
        })
        .collect();
    for opening in openings {
        let snapshot = opening.await.unwrap().snapshot().await.unwrap();
        assert_eq!(snapshot.version(), 0);
    }
}

/// Archivers run in tasks of their own: every operation must be able to move between threads.
const _: () = {
    fn sent<T: Send>(_: T) {}
    fn operations(archive: &'static Archive, snapshot: &'static warehouse::archive::Snapshot) {
        sent(archive.snapshot());
        sent(archive.commit(snapshot, &[], &[]));
        sent(archive.compact(&const { super::upkeep::EAGER }));
        sent(archive.vacuum(std::time::Duration::ZERO));
        sent(archive.sum_up());
        sent(snapshot.count_rows());
    }
    let _ = operations;
};
