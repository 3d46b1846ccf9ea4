//! The harness: starts the real program on a free port in a folder of its own, and talks to it over HTTP.
//!
//! Nothing here shares code with the program beside the published limits: what it answers is computed again.

#![allow(clippy::unwrap_used)]

mod app;
mod caller;
mod disk;
mod ledger;
mod money;
mod tools;
mod warehouse;

pub use app::{Account, OPERATOR, TestApp, last_lines};
pub use caller::{Answer, Caller, encoded};
pub use ledger::{Ledger, Load};
pub use money::{average, micros, text};
pub use tools::{
    children, command, crashable, dataset, forget_settings, kill, libchdb, millrace, python,
    resident_bytes, resume, run_python, stop, terminate,
};
pub use warehouse::OpenWarehouse;
