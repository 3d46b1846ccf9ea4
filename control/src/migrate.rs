//! Versioned migrations: each runs once, in order, in one transaction, whoever starts at the same time.

use schemas::Timestamp;
use sha2::{Digest, Sha256};

use crate::db::{Db, Transaction, values};
use crate::error::ControlError;
use crate::token::TokenHash;

struct Migration {
    version: i64,
    name: &'static str,
    sql: &'static str,
}

/// Never edit one that has been released: a database remembers the hash of what it ran.
const MIGRATIONS: &[Migration] = &[
    Migration {
        version: 1,
        name: "accounts",
        sql: include_str!("../migrations/0001_accounts.sql"),
    },
    Migration {
        version: 2,
        name: "quotas",
        sql: include_str!("../migrations/0002_quotas.sql"),
    },
    Migration {
        version: 3,
        name: "staff",
        sql: include_str!("../migrations/0003_staff.sql"),
    },
    Migration {
        version: 4,
        name: "given quotas",
        sql: include_str!("../migrations/0004_given_quotas.sql"),
    },
    Migration {
        version: 5,
        name: "reservations",
        sql: include_str!("../migrations/0005_reservations.sql"),
    },
    Migration {
        version: 6,
        name: "audit",
        sql: include_str!("../migrations/0006_audit.sql"),
    },
    Migration {
        version: 7,
        name: "definitions",
        sql: include_str!("../migrations/0007_definitions.sql"),
    },
];

const TABLE: &str = "CREATE TABLE IF NOT EXISTS migrations (
    version BIGINT NOT NULL PRIMARY KEY, name TEXT NOT NULL, hash TEXT NOT NULL, applied_at BIGINT NOT NULL)";

/// An arbitrary constant that names our lock in PostgreSQL ("millrace" in ASCII).
const LOCK: &str = "SELECT pg_advisory_xact_lock(7883960425206866789)";

#[derive(sqlx::FromRow)]
struct Applied {
    version: i64,
    hash: String,
}

fn hash(sql: &str) -> String {
    TokenHash(Sha256::digest(sql.as_bytes()).into()).to_hex()
}

/// Brings the schema up to date; refuses a database that a later version of this program has changed.
pub(crate) async fn run(db: &Db, now: Timestamp) -> Result<(), ControlError> {
    let mut transaction = db.begin().await?;
    // SQLite's transaction holds the write lock already; both locks end with the transaction.
    if matches!(transaction, Transaction::Postgres(_)) {
        transaction.script(LOCK).await?;
    }
    transaction.script(TABLE).await?;
    let applied: Vec<Applied> = transaction
        .all(
            "SELECT version, hash FROM migrations ORDER BY version",
            Vec::new(),
        )
        .await?;
    for (row, migration) in applied.iter().zip(MIGRATIONS) {
        if row.version != migration.version || row.hash != hash(migration.sql) {
            let detail = format!(
                "migration {} is not the one that ran here, restore the original",
                row.version
            );
            return Err(ControlError::Schema(detail));
        }
    }
    if applied.len() > MIGRATIONS.len() {
        let newest = applied.last().map_or(0, |row| row.version);
        return Err(ControlError::Schema(format!(
            "it is at version {newest}, start a newer millrace"
        )));
    }
    for migration in &MIGRATIONS[applied.len()..] {
        transaction.script(migration.sql).await?;
        let row = values![migration.version, migration.name, hash(migration.sql), now];
        transaction
            .execute(
                "INSERT INTO migrations (version, name, hash, applied_at) VALUES ($1, $2, $3, $4)",
                row,
            )
            .await?;
        tracing::info!(
            version = migration.version,
            name = migration.name,
            "migrated the control database"
        );
    }
    transaction.commit().await?;
    Ok(())
}
