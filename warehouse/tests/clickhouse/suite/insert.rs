//! Inserts: what goes in comes back, and what would not is refused.

use std::sync::Arc;
use std::time::Instant;

use arrow::array::{AsArray, Int64Array, RecordBatch, StringArray};
use arrow::compute::concat_batches;
use arrow::datatypes::Decimal128Type;
use warehouse::{MAX_BLOCK_ROWS, Params, Warehouse, WarehouseError};

use super::rows::*;
use super::{execute, number, text};

async fn select(warehouse: &Arc<dyn Warehouse>, sql: &str) -> RecordBatch {
    let batches = warehouse.query(sql, &Params::new()).await.unwrap();
    concat_batches(&batches[0].schema(), &batches).unwrap()
}

/// Same columns, names and values; nullability of lists' items is the adapter's own.
fn assert_same(found: &RecordBatch, expected: &RecordBatch) {
    assert_eq!(found.num_rows(), expected.num_rows());
    for (index, field) in expected.schema().fields().iter().enumerate() {
        assert_eq!(found.schema().field(index).name(), field.name());
        let (found, expected) = (found.column(index), expected.column(index));
        match (found.as_list_opt::<i32>(), expected.as_list_opt::<i32>()) {
            (Some(found), Some(expected)) => {
                assert_eq!(found.values(), expected.values(), "{}", field.name());
                assert_eq!(found.offsets(), expected.offsets(), "{}", field.name());
            }
            _ => assert_eq!(found, expected, "{}", field.name()),
        }
    }
}

pub async fn every_type_comes_back_as_it_was(warehouse: &Arc<dyn Warehouse>) {
    let (table, rows) = every_type();
    execute(warehouse, table).await;
    warehouse.insert("every_type", rows.clone()).await.unwrap();
    let found = select(warehouse, "SELECT * FROM every_type ORDER BY a_u64").await;
    assert_same(&found, &rows);
    // A slice carries its neighbours' values behind it; only its own rows go in.
    execute(warehouse, "TRUNCATE TABLE every_type").await;
    warehouse
        .insert("every_type", rows.slice(1, 1))
        .await
        .unwrap();
    let found = select(
        warehouse,
        "SELECT a_u64, a_list[2] AS second, length(a_moneys) AS moneys FROM every_type",
    )
    .await;
    assert_eq!(found.num_rows(), 1);
    assert_eq!(found.column(1).as_string::<i32>().value(0), "it's");
}

pub async fn the_tables_take_their_rows(warehouse: &Arc<dyn Warehouse>) {
    let rows = events();
    warehouse.insert("events", rows.clone()).await.unwrap();
    // The same rows again, as after a crash: one of each stays.
    warehouse.insert("events", rows.clone()).await.unwrap();
    let found = select(
        warehouse,
        "SELECT * FROM events FINAL ORDER BY generation, partition, offset",
    )
    .await;
    assert_same(&found, &rows);
    for offset in [5, 9, 7] {
        warehouse
            .insert("progress", progress(offset))
            .await
            .unwrap();
    }
    assert_eq!(
        number(warehouse, "SELECT offset FROM progress FINAL").await,
        9
    );
    let id: [u8; 16] = *b"\x00\xff'\\quoted\n\t\x01\x02\x03\x04";
    warehouse
        .insert("event_ids", event_id(id, u64::MAX))
        .await
        .unwrap();
    let params = Params::new().with("ids", vec![id, [1; 16]]).with("id", id);
    let found = text(
        warehouse,
        "SELECT toString(count()) FROM event_ids WHERE id IN {ids:Array(FixedString(16))} AND id = {id:FixedString(16)} \
         AND who = 18446744073709551615",
        &params,
    )
    .await;
    assert_eq!(found, "1");
    for table in ["rejections", "customer_state", "customer_days"] {
        assert_eq!(
            number(warehouse, &format!("SELECT count() FROM {table} FINAL")).await,
            0
        );
    }
}

pub async fn times_reach_from_1900_to_2299(warehouse: &Arc<dyn Warehouse>) {
    execute(
        warehouse,
        "CREATE TABLE times (at DateTime64(6, 'UTC'), day Date32) ENGINE = MergeTree ORDER BY at",
    )
    .await;
    let (first, last) = (-2_208_988_800_000_000, 10_413_791_999_999_999);
    let days = |values: Vec<i32>| -> arrow::array::ArrayRef {
        Arc::new(arrow::array::Date32Array::from(values))
    };
    let rows = batch(vec![
        ("at", times(vec![first, last])),
        ("day", days(vec![-25_567, 120_529])),
    ]);
    warehouse.insert("times", rows.clone()).await.unwrap();
    assert_same(
        &select(warehouse, "SELECT * FROM times ORDER BY at").await,
        &rows,
    );
    let sql = "SELECT concat(toString(min(at)), ' ', toString(max(at))) FROM times";
    let shown = text(warehouse, sql, &Params::new()).await;
    assert_eq!(
        shown,
        "1900-01-01 00:00:00.000000 2299-12-31 23:59:59.999999"
    );
    for outside in [first - 1, last + 1] {
        let rows = batch(vec![("at", times(vec![outside])), ("day", days(vec![0]))]);
        let error = warehouse.insert("times", rows).await.unwrap_err();
        assert!(matches!(error, WarehouseError::Rows { .. }), "{error}");
    }
    assert_eq!(number(warehouse, "SELECT count() FROM times").await, 2);
}

pub async fn money_is_exact(warehouse: &Arc<dyn Warehouse>) {
    execute(
        warehouse,
        "CREATE TABLE money (id UInt64, amount Decimal(38, 6)) ENGINE = MergeTree ORDER BY id",
    )
    .await;
    // A tenth is no binary fraction, and the largest amount has 15 digits before the point.
    let largest = 999_999_999_999_999_999_999_i128;
    let mut amounts = vec![100_000_i128; 1000];
    amounts.extend([largest, largest, -1]);
    let rows = batch(vec![
        ("id", u64s(0..amounts.len() as u64)),
        ("amount", decimals(amounts)),
    ]);
    warehouse.insert("money", rows).await.unwrap();
    let found = select(warehouse, "SELECT sum(amount) AS total FROM money").await;
    let total = found.column(0).as_primitive::<Decimal128Type>().value(0);
    assert_eq!(total, 100_000 * 1000 + 2 * largest - 1);
}

pub async fn the_newest_version_wins(warehouse: &Arc<dyn Warehouse>) {
    execute(
        warehouse,
        "CREATE TABLE versions (key String, version UInt64, value String) ENGINE = ReplacingMergeTree(version) ORDER BY key",
    )
    .await;
    for (version, value) in [(1_u64, "old"), (3, "new"), (2, "late")] {
        let rows = batch(vec![
            ("key", texts(&["k"])),
            ("version", u64s([version])),
            ("value", texts(&[value])),
        ]);
        warehouse.insert("versions", rows).await.unwrap();
    }
    assert_eq!(
        text(
            warehouse,
            "SELECT value FROM versions FINAL",
            &Params::new()
        )
        .await,
        "new"
    );
    let by_key =
        "SELECT argMax(value, version) FROM versions WHERE key = {key:String} GROUP BY key";
    assert_eq!(
        text(warehouse, by_key, &Params::new().with("key", "k")).await,
        "new"
    );
}

pub async fn rows_that_do_not_fit_are_refused_whole(warehouse: &Arc<dyn Warehouse>) {
    execute(
        warehouse,
        "CREATE TABLE strict (id UInt64, a String, b String, list Array(String)) ENGINE = MergeTree ORDER BY id",
    )
    .await;
    let no_list = || lists(&[0], texts(&[]));
    let missing: arrow::array::ArrayRef = Arc::new(StringArray::from(vec![None::<&str>]));
    let null_item = {
        let field = Arc::new(arrow::datatypes::Field::new(
            "item",
            arrow::datatypes::DataType::Utf8,
            true,
        ));
        let offsets = arrow::buffer::OffsetBuffer::from_lengths([1]);
        let list = arrow::array::ListArray::new(field, offsets, Arc::clone(&missing), None);
        Arc::new(list) as arrow::array::ArrayRef
    };
    let signed: arrow::array::ArrayRef = Arc::new(Int64Array::from(vec![-1]));
    let (id, a, b) = (
        || ("id", u64s([1])),
        || ("a", texts(&["x"])),
        || ("b", texts(&["y"])),
    );
    let refused = [
        (vec![id(), b(), a(), ("list", no_list())], "column 2 is b"),
        (
            vec![id(), a(), ("c", texts(&["y"])), ("list", no_list())],
            "column b is missing",
        ),
        (vec![id(), a(), b()], "column list is missing"),
        (
            vec![id(), a(), b(), ("list", no_list()), ("c", texts(&["z"]))],
            "no column c",
        ),
        (
            vec![("id", signed), a(), b(), ("list", no_list())],
            "takes UInt64, not Int64",
        ),
        (
            vec![id(), ("a", missing), b(), ("list", no_list())],
            "takes no null",
        ),
        (vec![id(), a(), b(), ("list", null_item)], "takes no null"),
        (
            vec![id(), a(), b(), ("list", texts(&["no list"]))],
            "takes List",
        ),
    ];
    for (columns, reason) in refused {
        let error = warehouse
            .insert("strict", batch(columns))
            .await
            .unwrap_err();
        assert!(
            matches!(error, WarehouseError::Rows { .. }) && !error.is_retryable(),
            "{error}"
        );
        assert!(
            error.to_string().contains(reason),
            "{error} does not say: {reason}"
        );
    }
    let error = warehouse
        .insert("no_such_table", numbered(0, 1))
        .await
        .unwrap_err();
    assert!(matches!(error, WarehouseError::Rows { .. }), "{error}");
    assert_eq!(number(warehouse, "SELECT count() FROM strict").await, 0);
}

pub async fn a_changed_table_is_noticed(warehouse: &Arc<dyn Warehouse>) {
    execute(
        warehouse,
        "CREATE TABLE changing (id UInt64) ENGINE = MergeTree ORDER BY id",
    )
    .await;
    warehouse
        .insert("changing", batch(vec![("id", u64s([1]))]))
        .await
        .unwrap();
    execute(warehouse, "ALTER TABLE changing ADD COLUMN text String").await;
    let error = warehouse
        .insert("changing", batch(vec![("id", u64s([2]))]))
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("column text is missing"),
        "{error}"
    );
    warehouse.insert("changing", numbered(2, 1)).await.unwrap();
    assert_eq!(number(warehouse, "SELECT count() FROM changing").await, 2);
}

pub async fn a_million_rows_are_one_block(warehouse: &Arc<dyn Warehouse>) {
    execute(
        warehouse,
        "CREATE TABLE big (id UInt64, text String) ENGINE = MergeTree ORDER BY id \
         SETTINGS fsync_after_insert = 1, fsync_part_directory = 1",
    )
    .await;
    let rows = numbered(0, MAX_BLOCK_ROWS);
    let started = Instant::now();
    warehouse.insert("big", rows).await.unwrap();
    let elapsed = started.elapsed();
    eprintln!("{MAX_BLOCK_ROWS} rows in {elapsed:?}");
    assert_eq!(
        number(warehouse, "SELECT count() FROM big").await,
        MAX_BLOCK_ROWS as u64
    );
    let parts = "SELECT count() FROM system.parts WHERE database = currentDatabase() AND table = 'big' AND active";
    assert_eq!(number(warehouse, parts).await, 1);
    let error = warehouse
        .insert("big", numbered(0, MAX_BLOCK_ROWS + 1))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("too many"), "{error}");
    assert_eq!(
        number(warehouse, "SELECT count() FROM big").await,
        MAX_BLOCK_ROWS as u64
    );
}

pub async fn rows_of_many_days_are_taken_at_once(warehouse: &Arc<dyn Warehouse>) {
    // ClickHouse itself refuses rows of more than 100 partitions, and what was sent late may be of any day.
    let days = 400;
    execute(
        warehouse,
        "CREATE TABLE days (id UInt64, text String) ENGINE = MergeTree PARTITION BY id ORDER BY id",
    )
    .await;
    warehouse.insert("days", numbered(0, days)).await.unwrap();
    assert_eq!(
        number(warehouse, "SELECT count() FROM days").await,
        days as u64
    );
    // Moved within the warehouse, as a replay does.
    execute(warehouse, "CREATE TABLE days_more AS days").await;
    execute(warehouse, "INSERT INTO days_more SELECT * FROM days").await;
    assert_eq!(
        number(warehouse, "SELECT count() FROM days_more").await,
        days as u64
    );
}
