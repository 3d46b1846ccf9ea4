//! All rows as text, and back: what a backup keeps, on whichever database it is taken or put.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, Column as _, FromRow, Row as _};

use crate::control::Control;
use crate::db::{Db, Transaction, Value};
use crate::error::ControlError;

/// The ledger of migrations: compared, not copied.
const LEDGER: &str = "migrations";

/// One line of a copy.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    /// The first: which tables these rows fit.
    Schema { version: i64 },
    /// A row, tables in an order in which every row finds the rows it refers to.
    Row {
        table: String,
        row: Map<String, Json>,
    },
}

/// A row of any table: text and 64-bit integers are all there is.
struct AnyRow(Map<String, Json>);

macro_rules! any_row {
    ($row:ty) => {
        impl<'r> FromRow<'r, $row> for AnyRow {
            fn from_row(row: &'r $row) -> Result<Self, sqlx::Error> {
                let mut values = Map::new();
                for column in row.columns() {
                    let value = match row.try_get::<Option<i64>, _>(column.ordinal()) {
                        Ok(number) => Json::from(number),
                        Err(_) => Json::from(row.try_get::<Option<String>, _>(column.ordinal())?),
                    };
                    values.insert(column.name().to_owned(), value);
                }
                Ok(Self(values))
            }
        }
    };
}
any_row!(SqliteRow);
any_row!(PgRow);

/// In the order they were made: a table comes after those it refers to.
const SQLITE_TABLES: &str = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY rowid";
const POSTGRES_TABLES: &str =
    "SELECT c.relname::text AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND n.nspname = current_schema() ORDER BY c.oid";

impl Control {
    /// Every row there is now, as lines of JSON. They hold the hashes of passwords and keys: keep them as the database.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn export(&self) -> Result<Vec<u8>, ControlError> {
        let mut transaction = self.snapshot().await?;
        let mut out = Vec::new();
        let version = version(&mut transaction).await?;
        write(&mut out, &Line::Schema { version });
        for table in tables(&mut transaction).await? {
            let sql = format!("SELECT * FROM {}", quoted(&table));
            let rows: Vec<AnyRow> = transaction.all(AssertSqlSafe(sql), Vec::new()).await?;
            for AnyRow(row) in rows {
                let table = table.clone();
                write(&mut out, &Line::Row { table, row });
            }
        }
        Ok(out)
    }

    /// Puts back what [`Control::export`] gave; all or nothing. Rows there are refused, or dropped to `replace` them.
    ///
    /// # Errors
    /// When the database holds something, is at another version, or does not answer.
    pub async fn import(&self, lines: &[u8], replace: bool) -> Result<(), ControlError> {
        let mut transaction = self.db().begin().await?;
        let tables = tables(&mut transaction).await?;
        for table in tables.iter().rev() {
            if replace {
                let sql = format!("DELETE FROM {}", quoted(table));
                transaction.execute(AssertSqlSafe(sql), Vec::new()).await?;
            }
        }
        if !replace && count(&mut transaction, &tables).await? > 0 {
            let detail =
                "the database is not empty, name an empty one or say that it is to be replaced";
            return Err(ControlError::Schema(detail.to_owned()));
        }
        let ours = version(&mut transaction).await?;
        for line in lines.split(|byte| *byte == b'\n') {
            if line.is_empty() {
                continue;
            }
            match serde_json::from_slice(line) {
                Ok(Line::Schema { version }) if version == ours => {}
                Ok(Line::Schema { version }) => {
                    return Err(ControlError::Schema(format!(
                        "the copy is of version {version} and this program has {ours}, restore it with the program that made it"
                    )));
                }
                Ok(Line::Row { table, row }) if tables.contains(&table) => {
                    insert(&mut transaction, &table, row).await?;
                }
                _ => {
                    let detail = "the copy holds a line that is no row of this program";
                    return Err(ControlError::Schema(detail.to_owned()));
                }
            }
        }
        transaction.commit().await?;
        self.forget_cached();
        Ok(())
    }

    /// Whether no organization has been registered.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn is_empty(&self) -> Result<bool, ControlError> {
        let mut transaction = self.snapshot().await?;
        let tables = tables(&mut transaction).await?;
        Ok(count(&mut transaction, &tables).await? == 0)
    }

    /// A transaction that sees one moment.
    async fn snapshot(&self) -> Result<Transaction, ControlError> {
        let mut transaction = self.db().begin().await?;
        if matches!(self.db(), Db::Postgres(_)) {
            transaction
                .script("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                .await?;
        }
        Ok(transaction)
    }
}

fn write(out: &mut Vec<u8>, line: &Line) {
    // Plain data with string keys always serialises.
    let _ = serde_json::to_writer(&mut *out, line);
    out.push(b'\n');
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

async fn tables(transaction: &mut Transaction) -> Result<Vec<String>, ControlError> {
    let sql = match transaction {
        Transaction::Sqlite(_) => SQLITE_TABLES,
        Transaction::Postgres(_) => POSTGRES_TABLES,
    };
    let found: Vec<(String,)> = transaction.all(sql, Vec::new()).await?;
    let names = found.into_iter().map(|(name,)| name);
    Ok(names.filter(|name| name != LEDGER).collect())
}

async fn version(transaction: &mut Transaction) -> Result<i64, ControlError> {
    let found: Vec<(i64,)> = transaction
        .all("SELECT MAX(version) FROM migrations", Vec::new())
        .await?;
    Ok(found.first().map_or(0, |(version,)| *version))
}

async fn count(transaction: &mut Transaction, tables: &[String]) -> Result<i64, ControlError> {
    let mut rows = 0;
    for table in tables {
        let sql = format!("SELECT COUNT(*) FROM {}", quoted(table));
        let found: Vec<(i64,)> = transaction.all(AssertSqlSafe(sql), Vec::new()).await?;
        rows += found.first().map_or(0, |(count,)| *count);
    }
    Ok(rows)
}

async fn insert(
    transaction: &mut Transaction,
    table: &str,
    row: Map<String, Json>,
) -> Result<(), ControlError> {
    // Sorted, so that rows of one table share a prepared statement.
    let row: BTreeMap<String, Json> = row.into_iter().collect();
    let names: Vec<String> = row.keys().map(|name| quoted(name)).collect();
    let (mut places, mut values) = (Vec::new(), Vec::new());
    for value in row.into_values() {
        values.push(match value {
            Json::String(text) => Value::Text(text),
            Json::Number(number) => Value::OptionalInteger(number.as_i64()),
            // A parameter would need a type.
            _ => {
                places.push("NULL".to_owned());
                continue;
            }
        });
        places.push(format!("${}", values.len()));
    }
    let sql = format!(
        "INSERT INTO {} ({}) VALUES ({})",
        quoted(table),
        names.join(", "),
        places.join(", ")
    );
    transaction.execute(AssertSqlSafe(sql), values).await?;
    Ok(())
}
