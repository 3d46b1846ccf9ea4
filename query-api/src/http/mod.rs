//! What every handler takes in and gives back.

pub(crate) mod alias;
pub(crate) mod as_of;
pub(crate) mod body;
pub(crate) mod caller;
pub(crate) mod cursor;
pub(crate) mod params;
pub(crate) mod problem;
pub(crate) mod writing;
