//! The archive: one suite at every place it can be stored in, and read by other tools.
#![allow(clippy::unwrap_used, unreachable_pub)]

#[macro_use]
mod suite;

mod local;
mod python;
mod s3;
