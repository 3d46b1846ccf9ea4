//! ClickHouse, embedded or as a server, and the Delta archive.

pub mod archive;
mod embedded;
mod error;
mod http;
mod migrate;
mod params;
pub mod port;
mod server;
mod table;

pub use embedded::{Embedded, close_embedded};
pub use error::WarehouseError;
pub use http::{Access, HttpAuth, clickhouse_router, decoders};
pub use params::{Params, Value};
pub use port::{MAX_BLOCK_ROWS, Options, Rows, Warehouse, open};
