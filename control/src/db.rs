//! Two databases behind one SQL text: `$1` placeholders, text and 64-bit integers work the same on both.

use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::{PgArguments, PgConnectOptions, PgPool, PgPoolOptions, PgRow};
use sqlx::sqlite::{
    SqliteArguments, SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteRow, SqliteSynchronous,
};
use sqlx::{Arguments, FromRow, SqlSafeStr};

use crate::error::ControlError;

/// How long a connection or SQLite's write lock is waited for.
const PATIENCE: Duration = Duration::from_secs(5);
const SQLITE_READERS: u32 = 4;
const POSTGRES_CONNECTIONS: u32 = 8;

/// A parameter of a statement.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    Text(String),
    OptionalText(Option<String>),
    Integer(i64),
    OptionalInteger(Option<i64>),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Value::Text(text)
    }
}

impl From<Option<&str>> for Value {
    fn from(text: Option<&str>) -> Self {
        Value::OptionalText(text.map(str::to_owned))
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Value::Integer(number)
    }
}

impl From<schemas::Timestamp> for Value {
    fn from(time: schemas::Timestamp) -> Self {
        Value::Integer(time.micros())
    }
}

impl From<Option<schemas::Timestamp>> for Value {
    fn from(time: Option<schemas::Timestamp>) -> Self {
        Value::OptionalInteger(time.map(schemas::Timestamp::micros))
    }
}

impl From<Option<i64>> for Value {
    fn from(number: Option<i64>) -> Self {
        Value::OptionalInteger(number)
    }
}

macro_rules! values {
    ($($value:expr),* $(,)?) => { vec![$($crate::db::Value::from($value)),*] };
}
pub(crate) use values;

fn arguments<A: Arguments>(values: Vec<Value>) -> Result<A, sqlx::Error>
where
    String: for<'q> sqlx::Encode<'q, A::Database> + sqlx::Type<A::Database>,
    Option<String>: for<'q> sqlx::Encode<'q, A::Database> + sqlx::Type<A::Database>,
    i64: for<'q> sqlx::Encode<'q, A::Database> + sqlx::Type<A::Database>,
    Option<i64>: for<'q> sqlx::Encode<'q, A::Database> + sqlx::Type<A::Database>,
{
    let mut arguments = A::default();
    for value in values {
        match value {
            Value::Text(text) => arguments.add(text),
            Value::OptionalText(text) => arguments.add(text),
            Value::Integer(number) => arguments.add(number),
            Value::OptionalInteger(number) => arguments.add(number),
        }
        .map_err(sqlx::Error::Encode)?;
    }
    Ok(arguments)
}

/// A row that both databases can give.
pub(crate) trait Record:
    for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin
{
}

impl<T> Record for T where
    T: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin
{
}

/// The pools of one database.
#[derive(Debug)]
pub(crate) enum Db {
    /// SQLite has one writer at a time: one connection writes, so that writers of this process queue
    /// fairly in memory; the others read beside it (WAL).
    Sqlite {
        write: SqlitePool,
        read: SqlitePool,
    },
    Postgres(PgPool),
}

/// A transaction that may write. Dropped without [`Transaction::commit`], it is rolled back.
#[derive(Debug)]
pub(crate) enum Transaction {
    Sqlite(sqlx::Transaction<'static, sqlx::Sqlite>),
    Postgres(sqlx::Transaction<'static, sqlx::Postgres>),
}

impl Db {
    /// Connects; creates the file and its folder where SQLite needs them.
    pub(crate) async fn open(url: &str) -> Result<Self, ControlError> {
        match url.split_once(':').map(|(scheme, _)| scheme) {
            Some("sqlite") => open_sqlite(url).await,
            Some("postgres" | "postgresql") => open_postgres(url).await,
            _ => Err(bad_url(
                url,
                "write sqlite:PATH or postgres://USER@HOST/DATABASE",
            )),
        }
    }

    pub(crate) async fn close(&self) {
        match self {
            Db::Sqlite { write, read } => {
                read.close().await;
                // Last, so that the closing connection folds the write-ahead log into the file.
                write.close().await;
            }
            Db::Postgres(pool) => pool.close().await,
        }
    }

    pub(crate) async fn all<T: Record>(
        &self,
        sql: &'static str,
        values: Vec<Value>,
    ) -> Result<Vec<T>, sqlx::Error> {
        match self {
            Db::Sqlite { read, .. } => {
                sqlx::query_as_with(sql, arguments::<SqliteArguments>(values)?)
                    .fetch_all(read)
                    .await
            }
            Db::Postgres(pool) => {
                sqlx::query_as_with(sql, arguments::<PgArguments>(values)?)
                    .fetch_all(pool)
                    .await
            }
        }
    }

    pub(crate) async fn one<T: Record>(
        &self,
        sql: &'static str,
        values: Vec<Value>,
    ) -> Result<Option<T>, sqlx::Error> {
        match self {
            Db::Sqlite { read, .. } => {
                sqlx::query_as_with(sql, arguments::<SqliteArguments>(values)?)
                    .fetch_optional(read)
                    .await
            }
            Db::Postgres(pool) => {
                sqlx::query_as_with(sql, arguments::<PgArguments>(values)?)
                    .fetch_optional(pool)
                    .await
            }
        }
    }

    /// Runs one writing statement by itself; the number of rows it touched.
    pub(crate) async fn execute(
        &self,
        sql: &'static str,
        values: Vec<Value>,
    ) -> Result<u64, sqlx::Error> {
        match self {
            Db::Sqlite { write, .. } => {
                let done = sqlx::query_with(sql, arguments::<SqliteArguments>(values)?)
                    .execute(write)
                    .await?;
                Ok(done.rows_affected())
            }
            Db::Postgres(pool) => {
                let done = sqlx::query_with(sql, arguments::<PgArguments>(values)?)
                    .execute(pool)
                    .await?;
                Ok(done.rows_affected())
            }
        }
    }

    pub(crate) async fn begin(&self) -> Result<Transaction, sqlx::Error> {
        match self {
            // Takes the write lock at once: a lock that is taken half-way cannot be waited for.
            Db::Sqlite { write, .. } => Ok(Transaction::Sqlite(
                write.begin_with("BEGIN IMMEDIATE").await?,
            )),
            Db::Postgres(pool) => Ok(Transaction::Postgres(pool.begin().await?)),
        }
    }
}

impl Transaction {
    pub(crate) async fn all<T: Record>(
        &mut self,
        sql: impl SqlSafeStr,
        values: Vec<Value>,
    ) -> Result<Vec<T>, sqlx::Error> {
        match self {
            Transaction::Sqlite(inner) => {
                sqlx::query_as_with(sql, arguments::<SqliteArguments>(values)?)
                    .fetch_all(&mut **inner)
                    .await
            }
            Transaction::Postgres(inner) => {
                sqlx::query_as_with(sql, arguments::<PgArguments>(values)?)
                    .fetch_all(&mut **inner)
                    .await
            }
        }
    }

    pub(crate) async fn execute(
        &mut self,
        sql: impl SqlSafeStr,
        values: Vec<Value>,
    ) -> Result<u64, sqlx::Error> {
        match self {
            Transaction::Sqlite(inner) => {
                let done = sqlx::query_with(sql, arguments::<SqliteArguments>(values)?)
                    .execute(&mut **inner)
                    .await?;
                Ok(done.rows_affected())
            }
            Transaction::Postgres(inner) => {
                let done = sqlx::query_with(sql, arguments::<PgArguments>(values)?)
                    .execute(&mut **inner)
                    .await?;
                Ok(done.rows_affected())
            }
        }
    }

    /// Runs a script of several statements without parameters.
    pub(crate) async fn script(&mut self, sql: &'static str) -> Result<(), sqlx::Error> {
        match self {
            Transaction::Sqlite(inner) => sqlx::raw_sql(sql).execute(&mut **inner).await.map(drop),
            Transaction::Postgres(inner) => {
                sqlx::raw_sql(sql).execute(&mut **inner).await.map(drop)
            }
        }
    }

    pub(crate) async fn commit(self) -> Result<(), sqlx::Error> {
        match self {
            Transaction::Sqlite(inner) => inner.commit().await,
            Transaction::Postgres(inner) => inner.commit().await,
        }
    }
}

async fn open_sqlite(url: &str) -> Result<Db, ControlError> {
    let options =
        SqliteConnectOptions::from_str(url).map_err(|error| bad_url(url, &error.to_string()))?;
    let file = options.get_filename().to_owned();
    if url.contains(":memory:") || url.contains("mode=memory") || file.as_os_str().is_empty() {
        return Err(bad_url(
            url,
            "name a file, a database in memory would be gone at the next start",
        ));
    }
    create_private_file(&file).map_err(|error| bad_url(url, &error.to_string()))?;
    let options = options
        .create_if_missing(true)
        .foreign_keys(true)
        .busy_timeout(PATIENCE)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .optimize_on_close(false, None);
    let pool = |size| {
        SqlitePoolOptions::new()
            .max_connections(size)
            .acquire_timeout(PATIENCE)
            .idle_timeout(None)
            .max_lifetime(None)
    };
    let started = tokio::time::Instant::now();
    let write = loop {
        match pool(1)
            .connect_with(options.clone())
            .await
            .map_err(ControlError::from)
        {
            // Turning a new file to write-ahead logging does not wait for another process that does the same.
            Err(error) if error.is_retryable() && started.elapsed() < PATIENCE => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            connected => break connected?,
        }
    };
    let read = pool(SQLITE_READERS).connect_with(options).await?;
    Ok(Db::Sqlite { write, read })
}

/// The file holds hashes of passwords and keys, so only its owner may read it; SQLite's own files beside it follow.
fn create_private_file(file: &Path) -> std::io::Result<()> {
    if let Some(folder) = file
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
    {
        std::fs::create_dir_all(folder)?;
    }
    let mut options = std::fs::OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(file).map(drop)
}

async fn open_postgres(url: &str) -> Result<Db, ControlError> {
    let options =
        PgConnectOptions::from_str(url).map_err(|error| bad_url(url, &error.to_string()))?;
    let pool = PgPoolOptions::new()
        .max_connections(POSTGRES_CONNECTIONS)
        .acquire_timeout(PATIENCE)
        .connect_with(options.application_name("millrace"))
        .await?;
    Ok(Db::Postgres(pool))
}

fn bad_url(url: &str, detail: &str) -> ControlError {
    ControlError::Url {
        url: without_password(url),
        detail: detail.to_owned(),
    }
}

/// The URL with what stands between the user's colon and the `@` left out.
fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    match rest.rsplit_once('@') {
        Some((account, host)) => {
            let user = account.split(':').next().unwrap_or_default();
            format!("{scheme}://{user}:***@{host}")
        }
        None => url.to_owned(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn passwords_of_urls_stay_out_of_messages() {
        assert_eq!(
            without_password("postgres://ada:s3c:r@t@host/db"),
            "postgres://ada:***@host/db"
        );
        assert_eq!(
            without_password("sqlite:./data/control.db"),
            "sqlite:./data/control.db"
        );
    }

    #[tokio::test]
    async fn what_is_no_database_of_ours_is_refused_with_advice() {
        for url in [
            "",
            "mysql://host/db",
            "control.db",
            "sqlite::memory:",
            "sqlite://x.db?mode=memory",
        ] {
            let error = Db::open(url).await.unwrap_err();
            assert!(
                matches!(error, ControlError::Url { .. }) && !error.is_retryable(),
                "{url}: {error}"
            );
        }
    }
}
