pub(crate) mod clock;
pub(crate) mod postgres;
