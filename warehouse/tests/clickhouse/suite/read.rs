//! Reads: parameters, errors, streams, and many at once.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Int32Type, UInt64Type};
use futures::StreamExt;
use schemas::money::Decimal;
use schemas::time::Timestamp;
use warehouse::{Params, Warehouse, WarehouseError};

use super::rows::{batch, numbered, texts};
use super::{execute, number, text};

pub async fn parameters_arrive_as_they_are(warehouse: &Arc<dyn Warehouse>) {
    execute(
        warehouse,
        "CREATE TABLE words (word String) ENGINE = MergeTree ORDER BY word",
    )
    .await;
    let awkward = [
        "plain",
        "",
        "it's",
        "\"double\"",
        "'; DROP TABLE words; --",
        "' OR '1'='1",
        "back\\slash \\' \\n \\N",
        "\\N",
        "tab\tand\nlines\r\n",
        "zero\u{0}inside",
        "{word:String} %s $1 ?",
        "кириллица عربى 漢字 🙂",
        "`backtick` /* comment */ --",
        "&param_word=x&query=SELECT 1",
        "\r\n--boundary\r\nContent-Disposition: form-data; name=\"query\"\r\n\r\nDROP TABLE words",
    ];
    warehouse
        .insert("words", batch(vec![("word", texts(&awkward))]))
        .await
        .unwrap();
    for word in awkward {
        let params = Params::new().with("word", word);
        assert_eq!(text(warehouse, "SELECT {word:String}", &params).await, word);
        let found = text(
            warehouse,
            "SELECT word FROM words WHERE word = {word:String}",
            &params,
        )
        .await;
        assert_eq!(found, word);
    }
    let params = Params::new().with("words", awkward.to_vec());
    let found = text(
        warehouse,
        "SELECT concat(toString(count()), ' ', toString(length({words:Array(String)}))) FROM words WHERE has({words:Array(String)}, word)",
        &params,
    )
    .await;
    assert_eq!(found, format!("{0} {0}", awkward.len()));
    let params = Params::new()
        .with("big", u64::MAX)
        .with("small", i64::MIN)
        .with("many", vec![1_u64, u64::MAX])
        .with("money", Decimal::from_micros(-123_456_789_012_345_678_901))
        .with("at", Timestamp::EARLIEST)
        .with("none", None::<u64>)
        .with("yes", true);
    let found = text(
        warehouse,
        "SELECT concat(toString({big:UInt64}), ' ', toString({small:Int64}), ' ', toString({many:Array(UInt64)}), ' ', \
         toString({money:Decimal(38, 6)}), ' ', toString({at:DateTime64(6, 'UTC')}), ' ', \
         toString({none:Nullable(UInt64)} IS NULL), ' ', toString({yes:Bool}))",
        &params,
    )
    .await;
    assert_eq!(
        found,
        "18446744073709551615 -9223372036854775808 [1,18446744073709551615] -123456789012345.678901 \
         1900-01-01 00:00:00.000000 1 true"
    );
    // Statements without rows take them too.
    warehouse
        .execute(
            "ALTER TABLE words DELETE WHERE word = {word:String} SETTINGS mutations_sync = 1",
            &Params::new().with("word", awkward[4]),
        )
        .await
        .unwrap();
    assert_eq!(
        number(warehouse, "SELECT count() FROM words").await,
        awkward.len() as u64 - 1
    );
}

pub async fn parameters_do_not_stay(warehouse: &Arc<dyn Warehouse>) {
    // More often than there are sessions, so that each has seen it.
    for _ in 0..16 {
        let params = Params::new().with("seen", "secret");
        assert_eq!(
            text(warehouse, "SELECT {seen:String}", &params).await,
            "secret"
        );
    }
    for _ in 0..16 {
        let error = warehouse
            .query("SELECT {seen:String}", &Params::new())
            .await
            .unwrap_err();
        assert_eq!(error.code(), Some(456), "{error}");
        // Settings of one statement do not reach the next.
        let with = "SELECT getSetting('max_block_size') AS size SETTINGS max_block_size = 1234";
        assert_eq!(number(warehouse, with).await, 1234);
        assert_ne!(
            number(warehouse, "SELECT getSetting('max_block_size')").await,
            1234
        );
    }
}

pub async fn errors_carry_clickhouses_codes(warehouse: &Arc<dyn Warehouse>) {
    let none = Params::new();
    for (sql, code, retryable) in [
        ("SELECT * FROM no_such_table", 60, false),
        ("SELEC 1", 62, false),
        ("SELECT no_such_column FROM system.one", 47, false),
        ("SELECT throwIf(1)", 395, false),
        ("SELECT toUInt8('x')", 6, false),
        (
            "SELECT groupArray(number) FROM numbers(100000000) SETTINGS max_memory_usage = 10000000",
            241,
            true,
        ),
        (
            "SELECT sleep(2) FROM numbers(3) SETTINGS max_execution_time = 1, max_block_size = 1",
            159,
            true,
        ),
    ] {
        let error = warehouse.query(sql, &none).await.unwrap_err();
        assert_eq!(error.code(), Some(code), "{sql}: {error}");
        assert_eq!(error.is_retryable(), retryable, "{sql}: {error}");
    }
    let error = warehouse
        .query(
            "SELECT {id:UInt64}",
            &Params::new().with("id", "not a number"),
        )
        .await
        .unwrap_err();
    assert_eq!(error.code(), Some(457), "{error}");
    let error = warehouse
        .execute("DROP TABLE no_such_table", &none)
        .await
        .unwrap_err();
    assert_eq!(error.code(), Some(60), "{error}");
    assert!(
        warehouse
            .query("SELECT 1 WHERE 0", &none)
            .await
            .unwrap()
            .is_empty()
    );
}

/// Checks that ids follow each other and returns how many there were.
fn count_ids(batch: &RecordBatch, next: &mut u64) -> usize {
    for id in batch.column(0).as_primitive::<UInt64Type>().values() {
        assert_eq!(*id, *next);
        *next += 1;
    }
    batch.num_rows()
}

pub async fn streams_are_bounded_and_can_be_dropped(warehouse: &Arc<dyn Warehouse>) {
    let none = Params::new();
    let rows = 3_000_000_u64;
    let sql = "SELECT number, toString(number) AS text FROM numbers({rows:UInt64})";
    let mut stream = warehouse
        .stream(sql, &Params::new().with("rows", rows))
        .await
        .unwrap();
    let (mut next, mut batches) = (0, 0);
    while let Some(batch) = stream.next().await {
        let count = count_ids(&batch.unwrap(), &mut next);
        assert!(count < 1_000_000, "a batch of {count} rows is not a stream");
        batches += 1;
    }
    assert_eq!(next, rows);
    assert!(batches > 3);
    // Without an end: only a stream that stops when dropped lets the next ones have its place.
    for _ in 0..8 {
        let mut endless = warehouse
            .stream("SELECT number FROM system.numbers", &none)
            .await
            .unwrap();
        assert!(endless.next().await.unwrap().unwrap().num_rows() > 0);
    }
    let answered =
        tokio::time::timeout(Duration::from_secs(20), number(warehouse, "SELECT 1")).await;
    assert_eq!(answered.unwrap(), 1);
}

pub async fn a_failing_stream_says_so(warehouse: &Arc<dyn Warehouse>) {
    let sql = "SELECT throwIf(number = 2000000) AS thrown FROM numbers(3000000)";
    let outcome = match warehouse.stream(sql, &Params::new()).await {
        Ok(stream) => stream
            .collect::<Vec<_>>()
            .await
            .into_iter()
            .collect::<Result<Vec<_>, _>>(),
        Err(error) => Err(error),
    };
    let error = outcome.unwrap_err();
    // The end of the connection may be seen before the reason that was sent with it.
    assert!(matches!(error.code(), None | Some(395)), "{error}");
}

pub async fn a_long_select_does_not_hold_up_inserts(warehouse: &Arc<dyn Warehouse>) {
    execute(
        warehouse,
        "CREATE TABLE beside (id UInt64, text String) ENGINE = MergeTree ORDER BY id",
    )
    .await;
    let slow: Vec<_> = (0..3)
        .map(|_| {
            let warehouse = Arc::clone(warehouse);
            tokio::spawn(async move {
                let sql =
                    "SELECT sleep(1) FROM numbers(12) SETTINGS max_block_size = 1, max_threads = 1";
                warehouse.query(sql, &Params::new()).await.unwrap();
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(200)).await;
    warehouse.insert("beside", numbered(0, 10)).await.unwrap();
    assert_eq!(number(warehouse, "SELECT count() FROM beside").await, 10);
    // No clock: the machine may be slow. Had the insert waited for them, they would have ended by now.
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(
        slow.iter().all(|task| !task.is_finished()),
        "the insert took as long as the selects"
    );
    for task in slow {
        task.await.unwrap();
    }
}

pub async fn readers_and_writers_run_beside_each_other(warehouse: &Arc<dyn Warehouse>) {
    execute(
        warehouse,
        "CREATE TABLE busy (id UInt64, text String) ENGINE = MergeTree ORDER BY id",
    )
    .await;
    let writers = (0..4_u64).map(|writer| {
        let warehouse = Arc::clone(warehouse);
        tokio::spawn(async move {
            for block in 0..10 {
                warehouse
                    .insert("busy", numbered((writer * 10 + block) * 100, 100))
                    .await?;
            }
            Ok::<(), WarehouseError>(())
        })
    });
    let readers = (0..4).map(|_| {
        let warehouse = Arc::clone(warehouse);
        tokio::spawn(async move {
            let mut seen = 0;
            for _ in 0..20 {
                let count = number(&warehouse, "SELECT count() FROM busy").await;
                // Blocks land whole, and nothing that was there goes away.
                assert!(count % 100 == 0 && count >= seen, "{count} after {seen}");
                seen = count;
            }
            Ok(())
        })
    });
    for task in writers.chain(readers).collect::<Vec<_>>() {
        task.await.unwrap().unwrap();
    }
    let batches = warehouse
        .query(
            "SELECT id, toInt32(1) AS one FROM busy ORDER BY id",
            &Params::new(),
        )
        .await
        .unwrap();
    let mut next = 0;
    for batch in &batches {
        count_ids(batch, &mut next);
        assert!(
            batch
                .column(1)
                .as_primitive::<Int32Type>()
                .values()
                .iter()
                .all(|one| *one == 1)
        );
    }
    assert_eq!(next, 4000);
}
