#![allow(clippy::unwrap_used)]

mod random;
mod reading;
mod reference;
mod schema;
mod writing;
