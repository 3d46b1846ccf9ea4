//! The ClickHouse port: one suite on both adapters, what survives a crash, and the HTTP interface with the clients of others.
#![allow(clippy::unwrap_used, unreachable_pub)]

mod suite;

mod connect;
mod durable;
mod embedded;
mod http;
mod server;
