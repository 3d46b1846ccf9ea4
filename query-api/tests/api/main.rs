//! The routes against real parts: the embedded ClickHouse, a local archive, SQLite and an embedded log.
#![allow(clippy::unwrap_used)]

mod accounts;
mod analytics;
mod customers;
mod data;
mod harness;
mod interface;
mod isolation;
mod rejections;
mod sales;
mod sql;
mod staff;
