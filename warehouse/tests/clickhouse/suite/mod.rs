//! What every adapter of the warehouse must do: run by `embedded.rs` and `server.rs`.

pub mod insert;
pub mod read;
pub mod rows;
pub mod serve;

use std::path::PathBuf;
use std::sync::Arc;

use warehouse::{Options, Params, Warehouse};

/// The options of tests: libchdb from the cache folder.
pub fn options() -> Options {
    Options {
        library: Some(library()),
        ..Options::default()
    }
}

/// Where `deploy/dev/setup chdb` leaves libchdb.
pub fn library() -> PathBuf {
    tool("chdb/lib/libchdb.so")
}

/// A file of the cache folder.
pub fn tool(name: &str) -> PathBuf {
    let cache = std::env::var_os("MILLRACE_CACHE").map_or_else(
        || PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache/millrace"),
        PathBuf::from,
    );
    let tool = cache.join(name);
    assert!(
        tool.exists(),
        "run `make setup` first: {} is missing",
        tool.display()
    );
    tool
}

/// Everything, in order, on one warehouse.
pub async fn all(warehouse: Arc<dyn Warehouse>) {
    macro_rules! run {
        ($($case:path),* $(,)?) => {$(
            eprintln!("case {}", stringify!($case));
            $case(&warehouse).await;
        )*};
    }
    run![
        insert::every_type_comes_back_as_it_was,
        insert::the_tables_take_their_rows,
        insert::times_reach_from_1900_to_2299,
        insert::money_is_exact,
        insert::the_newest_version_wins,
        insert::rows_that_do_not_fit_are_refused_whole,
        insert::a_changed_table_is_noticed,
        insert::a_million_rows_are_one_block,
        insert::rows_of_many_days_are_taken_at_once,
        read::parameters_arrive_as_they_are,
        read::parameters_do_not_stay,
        read::errors_carry_clickhouses_codes,
        read::streams_are_bounded_and_can_be_dropped,
        read::a_failing_stream_says_so,
        read::a_long_select_does_not_hold_up_inserts,
        read::readers_and_writers_run_beside_each_other,
    ];
}

/// Runs a statement without parameters.
pub async fn execute(warehouse: &Arc<dyn Warehouse>, sql: &str) {
    warehouse.execute(sql, &Params::new()).await.unwrap();
}

/// One number.
pub async fn number(warehouse: &Arc<dyn Warehouse>, sql: &str) -> u64 {
    text(
        warehouse,
        &format!("SELECT toString(({sql}))"),
        &Params::new(),
    )
    .await
    .parse()
    .unwrap()
}

/// The first column of the first row, which must be a string.
pub async fn text(warehouse: &Arc<dyn Warehouse>, sql: &str, params: &Params) -> String {
    use arrow::array::AsArray;
    let batches = warehouse.query(sql, params).await.unwrap();
    batches[0].column(0).as_string::<i32>().value(0).to_owned()
}
