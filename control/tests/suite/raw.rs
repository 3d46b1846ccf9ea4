//! The database behind the crate's back.

use sqlx::{Connection, PgConnection, SqliteConnection};

/// The first column of every row, which must be text.
pub(crate) async fn texts(url: &str, sql: &'static str) -> Vec<String> {
    match url.starts_with("sqlite:") {
        true => {
            let mut connection = SqliteConnection::connect(url).await.unwrap();
            let texts = sqlx::query_scalar(sql)
                .fetch_all(&mut connection)
                .await
                .unwrap();
            connection.close().await.unwrap();
            texts
        }
        false => {
            let mut connection = PgConnection::connect(url).await.unwrap();
            let texts = sqlx::query_scalar(sql)
                .fetch_all(&mut connection)
                .await
                .unwrap();
            connection.close().await.unwrap();
            texts
        }
    }
}

pub(crate) async fn execute(url: &str, sql: &'static str) {
    match url.starts_with("sqlite:") {
        true => {
            let mut connection = SqliteConnection::connect(url).await.unwrap();
            sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
            connection.close().await.unwrap();
        }
        false => {
            let mut connection = PgConnection::connect(url).await.unwrap();
            sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
            connection.close().await.unwrap();
        }
    }
}
