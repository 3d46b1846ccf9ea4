//! What readers see.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field};
use datafusion::physical_plan::displayable;
use datafusion::prelude::SessionContext;
use deltalake::kernel::{DataType as DeltaType, PrimitiveType, StructField};
use deltalake::operations::create::CreateBuilder;
use warehouse::archive::{Archive, ArchiveError, Snapshot};

use super::rows::Events;
use super::{Site, append, assert_holds, files, query, to, truth};

pub async fn rows_come_back_as_they_went_in(site: &Site) {
    let archive = site.open().await;
    let snapshot = archive.snapshot().await.unwrap();
    assert_eq!(
        (snapshot.version(), snapshot.rows(), snapshot.archived(1, 0)),
        (0, 0, 0)
    );
    assert!(snapshot.count_rows().await.unwrap().is_empty());

    // In three batches of two partitions, so that files are put together from several.
    let parts = [
        Events::of(0, 0..150),
        Events::of(0, 150..400),
        Events::of(1, 0..100),
    ];
    let batches: Vec<RecordBatch> = parts.iter().map(Events::batch).collect();
    let snapshot = archive
        .commit(&snapshot, &batches, &[to(0, 400), to(1, 100)])
        .await
        .unwrap();
    assert_holds(&snapshot, &parts).await;
    assert_eq!(snapshot.archived(1, 0), 400);
    assert_eq!(
        snapshot.all_archived().into_iter().collect::<Vec<_>>(),
        [((1, 0), 400), ((1, 1), 100)]
    );

    let month = Field::new("month", DataType::Utf8, false);
    let mut fields: Vec<_> = schemas::arrow::events().fields().iter().cloned().collect();
    fields.push(Arc::new(month));
    let schema = snapshot.provider().unwrap().schema();
    for (found, expected) in schema.fields().iter().zip(&fields) {
        assert_eq!(
            (found.name(), found.data_type()),
            (expected.name(), expected.data_type())
        );
    }
    assert_eq!(schema.fields().len(), fields.len());

    let found = query(
        &snapshot,
        r#"SELECT * FROM events ORDER BY partition, "offset""#,
    )
    .await;
    let found = concat_batches(&found[0].schema(), &found).unwrap();
    let sent = concat_batches(&schemas::arrow::events(), &batches).unwrap();
    for (field, expected) in schemas::arrow::events().fields().iter().zip(sent.columns()) {
        assert_eq!(
            found.column_by_name(field.name()).unwrap(),
            expected,
            "column {}",
            field.name()
        );
    }
    let months = query(
        &snapshot,
        "SELECT count(*) AS wrong FROM events WHERE month <> to_char(occurred_at, '%Y-%m')",
    )
    .await;
    assert_eq!(number(&months), 0);
    let directories = snapshot.rows_by_partition();
    assert!(
        directories
            .keys()
            .all(|(kind, _)| kind == "purchase" || kind == "user")
    );
    assert_eq!(
        directories
            .values()
            .map(|directory| directory.rows)
            .sum::<u64>(),
        500
    );
    assert!(
        directories.len() >= 4
            && directories.contains_key(&("purchase".to_owned(), "2024-02".to_owned()))
    );
}

pub async fn reopening_finds_everything(site: &Site) {
    let archive = site.open().await;
    let mut snapshot = archive.snapshot().await.unwrap();
    let all = [
        Events::of(0, 0..40),
        Events::of(3, 0..30),
        Events::of(0, 40..90),
    ];
    for events in &all {
        snapshot = append(&archive, &snapshot, events).await.unwrap();
    }
    drop(archive);

    let again = site.open().await.snapshot().await.unwrap();
    assert_eq!(again.version(), 3);
    assert_eq!(again.all_archived(), snapshot.all_archived());
    assert_holds(&again, &all).await;

    // The Delta implementation's own reading of the application ids agrees.
    let url = url::Url::parse(site.open().await.url()).unwrap();
    let table = deltalake::open_table_with_storage_options(url, site.options.storage.clone())
        .await
        .unwrap();
    let (log, state) = (table.log_store(), table.snapshot().unwrap());
    for (id, version) in [("1/0", 90), ("1/0/rows", 90), ("1/3", 30), ("1/3/rows", 30)] {
        assert_eq!(
            state.transaction_version(log.as_ref(), id).await.unwrap(),
            Some(version),
            "{id}"
        );
    }
}

pub async fn sums_of_decimals_are_exact(site: &Site) {
    let archive = site.open().await;
    let snapshot = archive.snapshot().await.unwrap();
    let events = Events::of(0, 0..5_000);
    let snapshot = append(&archive, &snapshot, &events).await.unwrap();
    assert_eq!(truth(&snapshot).await, (5_000, events.total()));
    let groups = query(
        &snapshot,
        "SELECT sum(total) FROM (SELECT sum(amount) AS total FROM events GROUP BY month)",
    )
    .await;
    assert_eq!(decimal(&groups), events.total());
    let negative = query(&snapshot, "SELECT sum(amount) FROM events WHERE amount < 0").await;
    assert!(decimal(&negative) < 0);
}

pub async fn directories_and_statistics_prune(site: &Site) {
    let archive = site.open().await;
    let mut snapshot = archive.snapshot().await.unwrap();
    let mut next = 0;
    for (organization, day) in [("org-a", 0), ("org-b", 0), ("org-a", 45), ("org-b", 45)] {
        let offsets = next..next + 20;
        next = offsets.end;
        let events = Events {
            organization: Some(organization),
            day,
            ..Events::of(0, offsets)
        };
        snapshot = append(&archive, &snapshot, &events).await.unwrap();
    }
    // Two kinds a commit.
    assert_eq!(files(&snapshot), 8);
    for (filter, expected_files, expected_rows) in [
        ("true", 8, 80),
        ("kind = 'purchase'", 4, 72),
        ("month = '2024-02'", 4, 40),
        ("kind = 'user' AND month = '2024-01'", 2, 4),
        ("organization = 'org-a'", 4, 40),
        (
            "organization = 'org-a' AND kind = 'purchase' AND month = '2024-02'",
            1,
            18,
        ),
        ("occurred_at >= TIMESTAMP '2024-02-01T00:00:00Z'", 4, 40),
        (r#""offset" < 20"#, 2, 20),
        ("organization = 'org-z'", 0, 0),
    ] {
        assert_eq!(
            planned_files(&snapshot, filter).await,
            expected_files,
            "files for {filter}"
        );
        let rows = query(
            &snapshot,
            &format!("SELECT count(*) FROM events WHERE {filter}"),
        )
        .await;
        assert_eq!(number(&rows), expected_rows, "rows for {filter}");
    }
}

/// Data files a plan for the filter would open.
async fn planned_files(snapshot: &Snapshot, filter: &str) -> usize {
    let context = SessionContext::new();
    context
        .register_table("events", snapshot.provider().unwrap())
        .unwrap();
    let sql = format!("SELECT customer_id FROM events WHERE {filter}");
    let plan = context
        .sql(&sql)
        .await
        .unwrap()
        .create_physical_plan()
        .await
        .unwrap();
    displayable(plan.as_ref())
        .indent(true)
        .to_string()
        .matches(".zstd.parquet")
        .count()
}

pub async fn a_table_with_other_columns_is_refused(site: &Site) {
    let archive = site.open().await;
    let url = archive.url().to_owned();
    // Beside it, a table by the same name with a column too few.
    let other = Site {
        url: format!("{}/other", site.url),
        options: site.options.clone(),
        _alive: Box::new(()),
    };
    let location = url
        .trim_end_matches('/')
        .trim_end_matches("events")
        .to_owned()
        + "other/events";
    if let Some(directory) = location.strip_prefix("file://") {
        std::fs::create_dir_all(directory).unwrap();
    }
    CreateBuilder::new()
        .with_location(location)
        .with_storage_options(other.options.storage.clone())
        .with_columns([StructField::nullable(
            "organization",
            DeltaType::Primitive(PrimitiveType::String),
        )])
        .await
        .unwrap();
    let error = Archive::open(&other.url, &other.options).await.unwrap_err();
    assert!(
        matches!(error, ArchiveError::Columns { .. }) && !error.is_retryable(),
        "{error}"
    );
}

fn number(batches: &[RecordBatch]) -> i64 {
    use arrow::array::AsArray;
    batches[0]
        .column(0)
        .as_primitive::<arrow::datatypes::Int64Type>()
        .value(0)
}

fn decimal(batches: &[RecordBatch]) -> i128 {
    use arrow::array::AsArray;
    batches[0]
        .column(0)
        .as_primitive::<arrow::datatypes::Decimal128Type>()
        .value(0)
}
