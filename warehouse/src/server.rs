//! A ClickHouse server over HTTP, through the `clickhouse` crate. Rows travel as Arrow.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::buffer::Buffer;
use arrow::ipc::reader::StreamDecoder;
use arrow::ipc::writer::StreamWriter;
use async_trait::async_trait;
use bytes::Bytes;
use clickhouse::error::Error;
use clickhouse::query::BytesCursor;
use clickhouse::{Client, Compression};
use futures::StreamExt;
use percent_encoding::percent_decode_str;

use crate::embedded::WRITE_SETTINGS;
use crate::error::WarehouseError;
use crate::params::Params;
use crate::port::{Options, Rows, Warehouse};
use crate::table::Tables;

/// Rows are encoded this many at a time, so that an insert does not hold a second copy of itself. The server gathers
/// them into one block again.
const ROWS_A_PIECE: usize = 65_536;

/// A ClickHouse server and database.
pub(crate) struct Server {
    client: Client,
    name: String,
    tables: Tables,
    timeout: Duration,
    closed: AtomicBool,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server")
            .field("at", &self.name)
            .finish_non_exhaustive()
    }
}

impl Server {
    /// Connects to `clickhouse://[user[:password]@]host[:8123]/database`.
    pub(crate) async fn open(url: &str, options: &Options) -> Result<Arc<Self>, WarehouseError> {
        let invalid = |reason: String| {
            WarehouseError::Url(format!("{reason}; write clickhouse://host:8123/database"))
        };
        let parsed = url::Url::parse(url)
            .map_err(|error| invalid(format!("the warehouse's URL is invalid: {error}")))?;
        let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let host = parsed
            .host_str()
            .filter(|host| !host.is_empty())
            .ok_or_else(|| invalid("the warehouse's URL names no host".into()))?;
        let database = decoded(parsed.path().trim_matches('/'));
        if database.is_empty() || database.contains('/') {
            return Err(invalid("the warehouse's URL names no database".into()));
        }
        let name = format!("{host}:{}", parsed.port().unwrap_or(8123));
        let mut client = Client::default()
            .with_url(format!("http://{name}"))
            .with_compression(Compression::Lz4)
            .with_setting("output_format_arrow_string_as_string", "1");
        if !parsed.username().is_empty() {
            client = client.with_user(decoded(parsed.username()));
        }
        if let Some(password) = parsed.password() {
            client = client.with_password(decoded(password));
        }
        let mut server = Self {
            client,
            name: format!("{name}/{database}"),
            tables: Tables::default(),
            timeout: options.timeout,
            closed: AtomicBool::new(false),
        };
        let create = server
            .execute(
                "CREATE DATABASE IF NOT EXISTS {database:Identifier}",
                &Params::new().with("database", database.as_str()),
            )
            .await;
        match create {
            // Not permitted: then it is there already, or the first query says that it is not.
            Err(WarehouseError::Exception {
                code: 164 | 497, ..
            })
            | Ok(()) => {}
            Err(error) => return Err(error),
        }
        server.client = server.client.with_database(database);
        Ok(Arc::new(server))
    }

    fn client(&self, params: &Params) -> Result<Client, WarehouseError> {
        if self.closed.load(Ordering::Acquire) {
            return Err(WarehouseError::Closed);
        }
        let mut client = self.client.clone();
        for (name, value) in params.iter() {
            client = client.with_setting(format!("param_{name}"), value);
        }
        Ok(client)
    }

    fn cursor(&self, sql: &str, params: &Params) -> Result<Batches, WarehouseError> {
        let cursor = self
            .client(params)?
            .query_raw(sql)
            .fetch_bytes("ArrowStream")
            .map_err(mapped)?;
        Ok(Batches {
            cursor,
            decoder: StreamDecoder::new(),
            rest: Buffer::from(Vec::<u8>::new()),
            timeout: self.timeout,
        })
    }

    async fn within<T>(
        &self,
        call: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, WarehouseError> {
        within(self.timeout, call).await
    }
}

async fn within<T>(
    timeout: Duration,
    call: impl Future<Output = Result<T, Error>>,
) -> Result<T, WarehouseError> {
    match tokio::time::timeout(timeout, call).await {
        Ok(answer) => answer.map_err(mapped),
        Err(_) => Err(WarehouseError::Unavailable(format!(
            "no answer within {} s",
            timeout.as_secs()
        ))),
    }
}

fn mapped(error: Error) -> WarehouseError {
    match error {
        Error::BadResponse(text) if text.contains("Code: ") => WarehouseError::from_text(&text),
        // Not ClickHouse's own words: a proxy, or nothing readable.
        Error::BadResponse(text) => WarehouseError::Unavailable(text),
        Error::Network(error) => {
            let cause = std::error::Error::source(&*error)
                .map(|cause| format!(": {cause}"))
                .unwrap_or_default();
            WarehouseError::Unavailable(format!("{error}{cause}"))
        }
        Error::TimedOut => WarehouseError::Unavailable("timed out".into()),
        other => WarehouseError::Answer(other.to_string()),
    }
}

/// Decodes an Arrow stream as its bytes arrive.
struct Batches {
    cursor: BytesCursor,
    decoder: StreamDecoder,
    rest: Buffer,
    timeout: Duration,
}

impl Batches {
    async fn next(&mut self) -> Result<Option<RecordBatch>, WarehouseError> {
        loop {
            while !self.rest.is_empty() {
                let decoded = self.decoder.decode(&mut self.rest);
                match decoded.map_err(|error| WarehouseError::Answer(error.to_string()))? {
                    Some(batch) if batch.num_rows() > 0 => return Ok(Some(batch)),
                    Some(_) => {}
                    None => break,
                }
            }
            match within(self.timeout, self.cursor.next()).await? {
                Some(bytes) => self.rest = Buffer::from(bytes),
                None => {
                    return match self.decoder.finish() {
                        Ok(()) => Ok(None),
                        Err(error) => Err(WarehouseError::Unavailable(format!(
                            "the answer broke off: {error}"
                        ))),
                    };
                }
            }
        }
    }
}

#[async_trait]
impl Warehouse for Server {
    async fn query(&self, sql: &str, params: &Params) -> Result<Vec<RecordBatch>, WarehouseError> {
        let mut source = self.cursor(sql, params)?;
        let mut batches = Vec::new();
        while let Some(batch) = source.next().await? {
            batches.push(batch);
        }
        Ok(batches)
    }

    async fn stream(&self, sql: &str, params: &Params) -> Result<Rows, WarehouseError> {
        let source = self.cursor(sql, params)?;
        Ok(
            futures::stream::try_unfold(source, |mut source| async move {
                Ok(source.next().await?.map(|batch| (batch, source)))
            })
            .boxed(),
        )
    }

    async fn execute(&self, sql: &str, params: &Params) -> Result<(), WarehouseError> {
        let mut client = self.client(params)?;
        for (name, value) in WRITE_SETTINGS {
            client = client.with_setting(name, value);
        }
        let outcome = self.within(client.query_raw(sql).execute()).await;
        self.tables.forget();
        outcome
    }

    async fn insert(&self, table: &str, rows: RecordBatch) -> Result<(), WarehouseError> {
        let head = self.tables.check(self, table, &rows).await?;
        if rows.num_rows() == 0 {
            return Ok(());
        }
        let mut insert = self
            .client(&Params::new())?
            .insert_formatted_with(format!("{head} FORMAT ArrowStream"))
            .with_timeouts(Some(self.timeout), Some(self.timeout));
        for (name, value) in WRITE_SETTINGS {
            insert = insert.with_setting(name, value);
        }
        let unwritable =
            |error: arrow::error::ArrowError| WarehouseError::rows(table, error.to_string());
        let mut writer =
            StreamWriter::try_new(Vec::new(), rows.schema_ref()).map_err(unwritable)?;
        for start in (0..rows.num_rows()).step_by(ROWS_A_PIECE) {
            let length = ROWS_A_PIECE.min(rows.num_rows() - start);
            writer
                .write(&rows.slice(start, length))
                .map_err(unwritable)?;
            let piece = Bytes::from(std::mem::take(writer.get_mut()));
            insert.send(piece).await.map_err(mapped)?;
        }
        writer.finish().map_err(unwritable)?;
        insert
            .send(Bytes::from(std::mem::take(writer.get_mut())))
            .await
            .map_err(mapped)?;
        insert.end().await.map_err(mapped)
    }

    async fn close(&self) {
        // Connections belong to the client, and end with it or when idle.
        self.closed.store(true, Ordering::Release);
    }
}
