//! What the archive promises, whatever it is stored in. Each place's tests run all of it.

pub mod commits;
pub mod reads;
pub mod rows;
pub mod upkeep;

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Decimal128Type, Int64Type};
use datafusion::prelude::SessionContext;
use rows::Events;
use warehouse::archive::{Archive, ArchiveError, ArchiveOptions, Archived, Snapshot};

/// An empty place for an archive, and whatever must live as long as it does.
pub struct Site {
    pub url: String,
    pub options: ArchiveOptions,
    pub _alive: Box<dyn Any + Send + Sync>,
}

impl Site {
    pub async fn open(&self) -> Archive {
        Archive::open(&self.url, &self.options).await.unwrap()
    }
}

/// Progress of one partition of generation 1.
pub fn to(partition: u32, next_offset: u64) -> Archived {
    Archived {
        generation: 1,
        partition,
        next_offset,
    }
}

/// Commits events as the only ones of their partition, up to their end.
pub async fn append(
    archive: &Archive,
    snapshot: &Snapshot,
    events: &Events,
) -> Result<Snapshot, ArchiveError> {
    let progress = Archived {
        generation: events.generation,
        partition: events.partition,
        next_offset: events.offsets.end,
    };
    archive
        .commit(snapshot, &[events.batch()], &[progress])
        .await
}

pub async fn query(snapshot: &Snapshot, sql: &str) -> Vec<RecordBatch> {
    let context = SessionContext::new();
    context
        .register_table("events", snapshot.provider().unwrap())
        .unwrap();
    context.sql(sql).await.unwrap().collect().await.unwrap()
}

/// Rows and sum of amounts in millionths, read from the files.
pub async fn truth(snapshot: &Snapshot) -> (u64, i128) {
    let batches = query(snapshot, "SELECT count(*), sum(amount) FROM events").await;
    let rows = batches[0].column(0).as_primitive::<Int64Type>().value(0);
    (
        rows as u64,
        batches[0]
            .column(1)
            .as_primitive::<Decimal128Type>()
            .value(0),
    )
}

/// That a snapshot holds exactly these events, by its claims and by its files.
pub async fn assert_holds(snapshot: &Snapshot, all: &[Events]) {
    let rows: u64 = all.iter().map(Events::rows).sum();
    let mut by_partition: BTreeMap<(u32, u32), u64> = BTreeMap::new();
    for events in all {
        *by_partition
            .entry((events.generation, events.partition))
            .or_default() += events.rows();
    }
    assert_eq!(
        truth(snapshot).await,
        (rows, all.iter().map(Events::total).sum())
    );
    assert_eq!(snapshot.count_rows().await.unwrap(), by_partition);
    assert_eq!(snapshot.rows(), rows);
    for ((generation, partition), rows) in by_partition {
        assert_eq!(snapshot.archived_rows(generation, partition), rows);
    }
    let distinct = query(snapshot, "SELECT count(DISTINCT event_id) FROM events").await;
    assert_eq!(
        distinct[0].column(0).as_primitive::<Int64Type>().value(0) as u64,
        rows
    );
}

pub fn files(snapshot: &Snapshot) -> u64 {
    snapshot
        .rows_by_partition()
        .values()
        .map(|directory| directory.files)
        .sum()
}

/// The table's storage, below the archive's own code.
pub async fn store(archive: &Archive, site: &Site) -> Arc<dyn object_store::ObjectStore> {
    let url = url::Url::parse(archive.url()).unwrap();
    let table = deltalake::DeltaTableBuilder::from_url(url)
        .unwrap()
        .with_storage_options(site.options.storage.clone())
        .build()
        .unwrap();
    table.log_store().object_store(None)
}

/// Runs the whole suite at a place made for each test by `$site`.
macro_rules! suite {
    ($site:expr; $($module:ident :: $test:ident),* $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                let site = $site;
                $crate::suite::$module::$test(&site).await;
            }
        )*
    };
    ($site:expr) => {
        suite! { $site;
            reads::rows_come_back_as_they_went_in,
            reads::reopening_finds_everything,
            reads::sums_of_decimals_are_exact,
            reads::directories_and_statistics_prune,
            reads::a_table_with_other_columns_is_refused,
            commits::of_two_archivers_of_a_partition_one_wins,
            commits::a_conflict_in_one_partition_holds_back_the_others,
            commits::writers_of_different_partitions_lose_nothing,
            commits::rows_that_do_not_fit_are_refused,
            commits::offsets_without_events_are_archived_too,
            commits::opening_at_once_makes_one_table,
            upkeep::compaction_keeps_every_row,
            upkeep::compaction_runs_beside_appends,
            upkeep::two_compactions_do_not_double_rows,
            upkeep::files_without_a_commit_are_not_seen_and_go_away,
            upkeep::vacuum_spares_what_is_younger_than_the_grace,
            upkeep::a_summed_up_log_keeps_all_progress,
        }
    };
}
