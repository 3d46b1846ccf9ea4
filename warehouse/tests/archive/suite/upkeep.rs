//! Compaction, vacuum and the log's own upkeep.

use std::time::Duration;

use arrow::array::AsArray;
use arrow::datatypes::TimestampMicrosecondType;
use futures::TryStreamExt;
use object_store::{ObjectStore, ObjectStoreExt, path::Path};
use warehouse::archive::{Archive, ArchiveError, CompactOptions, Snapshot};

use super::rows::Events;
use super::{Site, append, assert_holds, files, query, store, to};

pub const EAGER: CompactOptions = CompactOptions {
    target_rows: 1_000_000,
    target_bytes: 64 << 20,
    min_files: 2,
};
const HOUR: Duration = Duration::from_secs(3_600);

/// Ten commits of forty events, ten days each.
async fn ten_commits(archive: &Archive) -> (Snapshot, Vec<Events>) {
    let mut snapshot = archive.snapshot().await.unwrap();
    let mut all = Vec::new();
    for commit in 0..10 {
        let events = Events::of(0, commit * 40..commit * 40 + 40);
        snapshot = append(archive, &snapshot, &events).await.unwrap();
        all.push(events);
    }
    (snapshot, all)
}

/// Names of the data files in the storage, whether the table refers to them or not.
async fn stored(archive: &Archive, site: &Site) -> Vec<String> {
    let listing: Vec<_> = store(archive, site)
        .await
        .list(None)
        .try_collect()
        .await
        .unwrap();
    listing
        .into_iter()
        .map(|file| file.location.to_string())
        .filter(|name| name.ends_with(".parquet"))
        .filter(|name| !name.starts_with("_delta_log"))
        .collect()
}

pub async fn compaction_keeps_every_row(site: &Site) {
    let archive = site.open().await;
    let (before, all) = ten_commits(&archive).await;
    assert_eq!(files(&before), 20);
    let report = archive.compact(&EAGER).await.unwrap();
    // Two kinds in one month.
    assert_eq!((report.commits, report.conflicts, report.rows), (2, 0, 400));
    assert_eq!((report.files_removed, report.files_added), (20, 2));
    assert!(report.bytes_added < report.bytes_removed);

    let after = archive.snapshot().await.unwrap();
    assert_eq!(files(&after), 2);
    assert_holds(&after, &all).await;
    assert_eq!(after.all_archived(), before.all_archived());
    // Whoever still reads the old version finds its files.
    assert_holds(&before, &all).await;
    // One file holds its rows by organization and time.
    let batches = query(
        &after,
        "SELECT organization, occurred_at FROM events WHERE kind = 'user'",
    )
    .await;
    let sorted: Vec<_> = batches
        .iter()
        .flat_map(|batch| {
            let organizations = batch.column(0).as_string::<i32>().iter();
            organizations
                .zip(batch.column(1).as_primitive::<TimestampMicrosecondType>())
                .collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(sorted.len(), 40);
    assert!(sorted.is_sorted());

    let again = archive.compact(&EAGER).await.unwrap();
    assert_eq!(
        (again.commits, archive.snapshot().await.unwrap().version()),
        (0, after.version())
    );

    // A target below what there is leaves large files alone.
    let small = CompactOptions {
        target_rows: 50,
        ..EAGER
    };
    assert_eq!(archive.compact(&small).await.unwrap().commits, 0);
}

pub async fn compaction_runs_beside_appends(site: &Site) {
    let archive = site.open().await;
    let (_, mut all) = ten_commits(&archive).await;
    let appender = {
        let (url, options) = (site.url.clone(), site.options.clone());
        tokio::spawn(async move {
            let archive = Archive::open(&url, &options).await.unwrap();
            let mut snapshot = archive.snapshot().await.unwrap();
            for commit in 0..10 {
                let events = Events::of(1, commit * 20..commit * 20 + 20);
                snapshot = append(&archive, &snapshot, &events).await.unwrap();
            }
        })
    };
    for _ in 0..5 {
        assert_eq!(archive.compact(&EAGER).await.unwrap().conflicts, 0);
    }
    appender.await.unwrap();
    all.extend((0..10).map(|commit| Events::of(1, commit * 20..commit * 20 + 20)));
    assert_holds(&archive.snapshot().await.unwrap(), &all).await;
    archive.compact(&EAGER).await.unwrap();
    let after = archive.snapshot().await.unwrap();
    assert_eq!(files(&after), 2);
    assert_holds(&after, &all).await;
}

pub async fn two_compactions_do_not_double_rows(site: &Site) {
    let (one, two) = (site.open().await, site.open().await);
    let (_, all) = ten_commits(&one).await;
    two.snapshot().await.unwrap();
    let (first, second) = tokio::join!(one.compact(&EAGER), two.compact(&EAGER));
    let (first, second) = (first.unwrap(), second.unwrap());
    assert!(first.commits + second.commits >= 2);
    let after = one.snapshot().await.unwrap();
    assert_eq!(files(&after), 2);
    assert_holds(&after, &all).await;
}

pub async fn files_without_a_commit_are_not_seen_and_go_away(site: &Site) {
    let (one, two) = (site.open().await, site.open().await);
    let snapshot = one.snapshot().await.unwrap();
    let events = Events::of(0, 0..40);
    append(&one, &snapshot, &events).await.unwrap();
    // Writes its files, then is refused: the same as dying between the two.
    let error = append(&two, &snapshot, &events).await.unwrap_err();
    assert!(matches!(error, ArchiveError::Conflict { .. }), "{error}");
    let stray = Path::from("kind=purchase/month=2024-01/part-stray.zstd.parquet");
    store(&one, site)
        .await
        .put(&stray, "half a file".into())
        .await
        .unwrap();
    assert_eq!(stored(&one, site).await.len(), 2 + 2 + 1);
    let after = site.open().await.snapshot().await.unwrap();
    assert_holds(&after, std::slice::from_ref(&events)).await;
    assert_eq!(after.archived(1, 0), 40);

    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let report = one.vacuum(Duration::ZERO).await.unwrap();
    assert_eq!(report.deleted.len(), 3, "{report:?}");
    assert_eq!(stored(&one, site).await.len(), 2);
    assert_holds(&one.snapshot().await.unwrap(), &[events]).await;
}

pub async fn vacuum_spares_what_is_younger_than_the_grace(site: &Site) {
    let archive = site.open().await;
    let (before, all) = ten_commits(&archive).await;
    archive.compact(&EAGER).await.unwrap();
    assert_eq!(
        archive.vacuum(HOUR).await.unwrap().deleted,
        Vec::<String>::new()
    );
    assert_holds(&before, &all).await;

    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert_eq!(
        archive.vacuum(Duration::ZERO).await.unwrap().deleted.len(),
        20
    );
    let after = archive.snapshot().await.unwrap();
    assert_eq!(stored(&archive, site).await.len() as u64, files(&after));
    assert_holds(&after, &all).await;
    // And it goes on.
    let more = Events::of(0, 400..420);
    let snapshot = append(&archive, &after, &more).await.unwrap();
    assert_holds(&snapshot, &[all, vec![more]].concat()).await;
}

pub async fn a_summed_up_log_keeps_all_progress(site: &Site) {
    let options = warehouse::archive::ArchiveOptions {
        log_retention: Duration::ZERO,
        ..site.options.clone()
    };
    let archive = Archive::open(&site.url, &options).await.unwrap();
    let old = archive.snapshot().await.unwrap();
    let (snapshot, mut all) = ten_commits(&archive).await;
    archive.commit(&snapshot, &[], &[to(7, 77)]).await.unwrap();
    // Entries of this very moment are kept.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert!(archive.sum_up().await.unwrap() >= 10);

    let events = Events::of(2, 0..25);
    let snapshot = append(&archive, &archive.snapshot().await.unwrap(), &events)
        .await
        .unwrap();
    all.push(events);
    for snapshot in [snapshot, site.open().await.snapshot().await.unwrap()] {
        assert_holds(&snapshot, &all).await;
        let expected = [((1, 0), 400), ((1, 2), 25), ((1, 7), 77)];
        assert_eq!(
            snapshot.all_archived().into_iter().collect::<Vec<_>>(),
            expected
        );
    }
    // A writer that slept through the clean-up must not write into the gap.
    let error = append(&archive, &old, &Events::of(5, 0..5))
        .await
        .unwrap_err();
    assert!(
        matches!(error, ArchiveError::Stale(_)) && error.is_retryable(),
        "{error}"
    );
    assert_eq!(
        site.open().await.snapshot().await.unwrap().archived(1, 5),
        0
    );
}
